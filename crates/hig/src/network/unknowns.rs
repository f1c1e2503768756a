//! Numbers of the physics that nobody knows, trained alone or beside a network.
//!
//! The control of a simulation is then what the network answers with the values of the unknowns behind it,
//! the same for all samples and at all steps: two layers at the end of a chain, of which the first appends
//! the trained numbers θ and the second makes values of them. Their columns of J are columns as those of any
//! layer.

use super::chain::Chain;
use super::layer::{Layer, Values};
use super::parameter::Parameter;
use super::{Initializer, Network};
use crate::error::{Error, Result};
use crate::linalg::Scratch;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use faer::reborrow::ReborrowMut;
use std::ops::Range;

/// Which values an unknown may have: how its value follows from the trained number θ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Bounds {
    /// Any: θ itself.
    Free,
    /// Above 0: the initial value times e^θ, so that θ counts relative changes.
    Positive,
    /// Between two numbers: the logistic function of θ from the one to the other.
    Between(f64, f64),
}

/// A number of the physics with a name, to be found by training or held fixed.
#[derive(Debug, Clone, PartialEq)]
pub struct Unknown {
    /// Its name.
    pub name: &'static str,
    /// Its value at the start.
    pub initial: f64,
    /// Which values it may have.
    pub bounds: Bounds,
    /// Whether it stays at its initial value.
    pub fixed: bool,
}

impl Unknown {
    /// Any number.
    pub fn free(name: &'static str, initial: f64) -> Self {
        Self {
            name,
            initial,
            bounds: Bounds::Free,
            fixed: false,
        }
    }

    /// A number above 0.
    pub fn positive(name: &'static str, initial: f64) -> Self {
        Self {
            bounds: Bounds::Positive,
            ..Self::free(name, initial)
        }
    }

    /// A number between two others.
    pub fn between(name: &'static str, initial: f64, least: f64, most: f64) -> Self {
        Self {
            bounds: Bounds::Between(least, most),
            ..Self::free(name, initial)
        }
    }

    /// The same, held at its initial value.
    #[must_use]
    pub fn fixed(mut self) -> Self {
        self.fixed = true;
        self
    }

    /// θ at the start.
    fn start(&self) -> f64 {
        match self.bounds {
            Bounds::Free => self.initial,
            Bounds::Positive => 0.0,
            Bounds::Between(least, most) => ((self.initial - least) / (most - self.initial)).ln(),
        }
    }

    /// The value that θ stands for.
    pub fn value(&self, theta: f64) -> f64 {
        match self.bounds {
            Bounds::Free => theta,
            Bounds::Positive => self.initial * theta.exp(),
            Bounds::Between(least, most) => least + (most - least) / (1.0 + (-theta).exp()),
        }
    }

    /// ∂(value)/∂θ where the value is that.
    pub fn slope(&self, value: f64) -> f64 {
        match self.bounds {
            Bounds::Free => 1.0,
            Bounds::Positive => value,
            Bounds::Between(least, most) => (value - least) * (most - value) / (most - least),
        }
    }

    fn check(&self) -> Result<()> {
        let inside = match self.bounds {
            Bounds::Free => true,
            Bounds::Positive => self.initial > 0.0,
            Bounds::Between(least, most) => {
                least.is_finite() && most.is_finite() && least < self.initial && self.initial < most
            }
        };
        if inside && self.initial.is_finite() {
            return Ok(());
        }
        let expected = match self.bounds {
            Bounds::Free => "a finite number".into(),
            Bounds::Positive => "a finite number above 0".into(),
            Bounds::Between(least, most) => format!("a number between {least} and {most}"),
        };
        Err(Error::setting(self.name, self.initial, expected))
    }
}

impl Network {
    /// The same network with unknowns of the physics behind its output.
    ///
    /// ```
    /// use hig::network::{Activation, Initializer, Network, Unknown};
    /// let force = Network::mlp(&[1, 8, 1], Activation::Tanh, Initializer::Glorot);
    /// let unknowns = vec![Unknown::positive("stiffness", 2.0), Unknown::free("bias", 0.0).fixed()];
    /// let network = force.beside(unknowns)?;
    /// // Force, stiffness and bias; the bias is not trained.
    /// assert_eq!((network.outputs(), network.parameter_count()), (3, 25 + 1));
    /// # Ok::<(), hig::Error>(())
    /// ```
    ///
    /// # Errors
    /// An initial value outside its bounds, two unknowns of one name.
    pub fn beside(self, unknowns: Vec<Unknown>) -> Result<Self> {
        let (inputs, outputs) = (self.inputs(), self.outputs());
        let chain = with_unknowns(Chain(self.nodes), outputs, unknowns)?;
        Self::new(inputs, chain, self.initializer)
    }

    /// Unknowns alone, whatever the input of that width is.
    ///
    /// # Errors
    /// As [`beside`](Self::beside).
    pub fn of_unknowns(inputs: usize, unknowns: Vec<Unknown>) -> Result<Self> {
        let chain = with_unknowns(Chain::new(), 0, unknowns)?;
        Self::new(inputs, chain, Initializer::Glorot)
    }

    /// The unknowns of the physics behind its output, each with its place in the flat vector unless it is
    /// fixed.
    pub fn unknowns(&self) -> Vec<(Unknown, Option<usize>)> {
        let mut all = Vec::new();
        for (place, layer) in self.layers() {
            let mut free = self.ranges[place].clone();
            let unknowns = layer.unknowns().iter();
            all.extend(unknowns.map(|unknown| {
                let place = if unknown.fixed { None } else { free.next() };
                (unknown.clone(), place)
            }));
        }
        all
    }
}

fn with_unknowns(chain: Chain, kept: usize, unknowns: Vec<Unknown>) -> Result<Chain> {
    for (i, unknown) in unknowns.iter().enumerate() {
        unknown.check()?;
        if unknowns[..i].iter().any(|other| other.name == unknown.name) {
            let expected = "a name for each";
            return Err(Error::setting("unknowns", unknown.name, expected));
        }
    }
    let chain = chain.then(Appended {
        kept,
        unknowns: unknowns.clone(),
    });
    Ok(chain.then(Valued { kept, unknowns }))
}

/// Features of the input with the θ of the free unknowns behind them.
#[derive(Debug, Clone)]
struct Appended {
    /// All features of the input, or 0 where there is no network before.
    kept: usize,
    unknowns: Vec<Unknown>,
}

impl Appended {
    fn free(&self) -> impl Iterator<Item = &Unknown> {
        self.unknowns.iter().filter(|unknown| !unknown.fixed)
    }
}

impl Layer for Appended {
    fn outputs(&self, _: usize) -> Result<usize, String> {
        Ok(self.kept + self.free().count())
    }

    fn parameters(&self) -> Vec<Parameter> {
        let parameter = |unknown: &Unknown| Parameter::constant(unknown.name, 1, unknown.start());
        self.free().map(parameter).collect()
    }

    fn unknowns(&self) -> &[Unknown] {
        &self.unknowns
    }

    fn is_affine(&self) -> bool {
        true
    }

    /// The θ are added as a bias is.
    fn biases(&self) -> Range<usize> {
        0..self.free().count()
    }

    fn forward(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        output: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        let (mut kept, mut appended) = output.split_at_col_mut(self.kept);
        kept.copy_from(input.subcols(0, self.kept));
        for (j, theta) in parameters.iter().enumerate() {
            matrix::column_mut(appended.rb_mut(), j).fill(*theta);
        }
    }

    fn backward(
        &self,
        _: &[f64],
        _: Values<'_>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        target.fill(0.0);
        let kept = target.subcols_mut(0, self.kept);
        { kept }.copy_from(rows.subcols(0, self.kept));
    }

    fn jvp_input(
        &self,
        _: &[f64],
        _: Values<'_>,
        tangent: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        accumulate: Accum,
        _: &mut Scratch,
    ) {
        for j in 0..target.ncols() {
            let column = matrix::column_mut(target.rb_mut(), j);
            match j < self.kept {
                true => {
                    let tangent = matrix::column(tangent, j).iter().copied();
                    matrix::write(column, accumulate, tangent);
                }
                false if accumulate == Accum::Replace => column.fill(0.0),
                false => {}
            }
        }
    }

    /// The kept features are no function of the parameters.
    fn jvp_parameters(
        &self,
        _: &[f64],
        direction: &[f64],
        _: Values<'_>,
        mut target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        target.fill(0.0);
        for (j, change) in direction.iter().enumerate() {
            matrix::column_mut(target.rb_mut(), self.kept + j).fill(*change);
        }
    }

    fn write_columns(
        &self,
        _: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        target.copy_from(rows.subcols(self.kept + columns.start, columns.len()));
    }
}

/// Values of the unknowns in place of the θ of the free ones.
#[derive(Debug, Clone)]
struct Valued {
    kept: usize,
    unknowns: Vec<Unknown>,
}

impl Valued {
    /// For each column of the output that depends on the input: its place, that in the input, and the
    /// unknown where it is one.
    fn each_free(&self) -> impl Iterator<Item = (usize, usize, Option<&Unknown>)> {
        let mut next = self.kept;
        let kept = (0..self.kept).map(|j| (j, j, None));
        let places = self.unknowns.iter().enumerate();
        kept.chain(places.filter(|(_, u)| !u.fixed).map(move |(i, unknown)| {
            next += 1;
            (self.kept + i, next - 1, Some(unknown))
        }))
    }

    /// The derivative in such a column.
    fn slope(unknown: Option<&Unknown>, output: MatRef<'_, f64>, place: usize) -> f64 {
        // All samples have the same.
        let value = matrix::column(output, place).first();
        match (unknown, value) {
            (Some(unknown), Some(value)) => unknown.slope(*value),
            _ => 1.0,
        }
    }
}

impl Layer for Valued {
    fn outputs(&self, _: usize) -> Result<usize, String> {
        Ok(self.kept + self.unknowns.len())
    }

    /// The kept features are what they were, and no unknown depends on what the network reads.
    fn is_affine(&self) -> bool {
        true
    }

    fn forward(
        &self,
        _: &[f64],
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        for (i, unknown) in self.unknowns.iter().enumerate() {
            matrix::column_mut(output.rb_mut(), self.kept + i).fill(unknown.initial);
        }
        for (place, from, unknown) in self.each_free() {
            let values = matrix::column(input, from).iter();
            let values = values.map(|v| unknown.map_or(*v, |unknown| unknown.value(*v)));
            matrix::write(
                matrix::column_mut(output.rb_mut(), place),
                Accum::Replace,
                values,
            );
        }
    }

    fn backward(
        &self,
        _: &[f64],
        at: Values<'_>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        for (place, from, unknown) in self.each_free() {
            let slope = Self::slope(unknown, at.output, place);
            let rows = matrix::column(rows, place).iter().map(|w| w * slope);
            matrix::write(
                matrix::column_mut(target.rb_mut(), from),
                Accum::Replace,
                rows,
            );
        }
    }

    fn jvp_input(
        &self,
        _: &[f64],
        at: Values<'_>,
        tangent: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        accumulate: Accum,
        _: &mut Scratch,
    ) {
        if accumulate == Accum::Replace {
            target.fill(0.0);
        }
        for (place, from, unknown) in self.each_free() {
            let slope = Self::slope(unknown, at.output, place);
            let tangent = matrix::column(tangent, from).iter().map(|v| v * slope);
            matrix::write(
                matrix::column_mut(target.rb_mut(), place),
                accumulate,
                tangent,
            );
        }
    }
}
