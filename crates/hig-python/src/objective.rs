//! Objectives of models that live in Python.
//!
//! The Python half puts a model (NumPy, JAX, PyTorch) behind an adapter that answers in float64 arrays of the
//! right shape. θ and the numbers of the samples go there; y, g, and what a step asks of J come back. The
//! samples themselves stay with the model.
//!
//! J is held whole where it has few numbers, and otherwise asked for in pieces of its rows, so that K is
//! made of pairs of pieces and never of J. Which of the two depends on n and p alone: the bits of an answer
//! do not depend on the questions before it.

use crate::arrays::{by_rows, matrix};
use crate::factored::{self, Factors};
use crate::worker::Caller;
use hig::data::Dataset;
use hig::linalg::{self, Mat, MatRef, Scratch, Symmetric, product_in_blocks};
use hig::network::ParameterView;
use hig::objective::{
    ExplicitJacobian, FactoredJacobian, FactoredLayout, Jacobian, Linearized, Objective, Reduction,
    Sketch,
};
use hig::{Error, Result};
use numpy::{
    IntoPyArray, PyArray1, PyReadonlyArray1, PyReadonlyArray2, PyReadonlyArray3,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// Numbers of J that are held at once: half a gibibyte.
const HELD: usize = 1 << 26;

/// What an adapter says of itself once.
#[derive(Debug, Clone)]
pub struct Model {
    /// What messages call it.
    pub name: String,
    /// The parameter arrays in the order of θ.
    pub views: Vec<ParameterView>,
    /// θ at the start.
    pub initial: Vec<f64>,
    /// The rows of J that a sample has.
    pub components: usize,
    /// How the samples of a batch make its loss.
    pub reduction: Reduction,
    /// Numbers of J that are held at once.
    pub held: usize,
    /// Whether combinations of rows cost the adapter less than the rows.
    pub combines: bool,
    /// How rows of J factor, where the adapter knows.
    pub layout: Option<Arc<FactoredLayout>>,
}

impl Model {
    /// Reads an adapter.
    ///
    /// # Errors
    /// Not an adapter.
    pub fn read(adapter: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut end = 0;
        let arrays: Vec<(String, Vec<usize>)> = adapter.getattr("views")?.extract()?;
        let views = arrays.into_iter().map(|(name, shape)| {
            let start = end;
            end += shape.iter().product::<usize>();
            ParameterView {
                name,
                shape,
                range: start..end,
            }
        });
        let initial: PyReadonlyArray1<'_, f64> = adapter.getattr("start")?.extract()?;
        let summed: bool = adapter.getattr("summed")?.extract()?;
        let held: Option<usize> = adapter.getattr("held")?.extract()?;
        let factors: Option<PyRef<'_, Factors>> = adapter.getattr("factors")?.extract()?;
        Ok(Self {
            name: adapter.getattr("name")?.extract()?,
            views: views.collect(),
            initial: initial.as_slice()?.to_vec(),
            components: adapter.getattr("components")?.extract()?,
            reduction: if summed {
                Reduction::Sum
            } else {
                Reduction::Mean
            },
            held: held.unwrap_or(HELD),
            combines: adapter.getattr("combines")?.extract()?,
            layout: factors.map(|factors| factors.layout()),
        })
    }

    /// Numbers that the rows of J of some samples take, in factors where it has some.
    fn numbers(&self, samples: usize) -> usize {
        let of_sample = match &self.layout {
            None => self.components.saturating_mul(self.width()),
            Some(layout) => {
                let weights = layout.weights().iter();
                let factors =
                    weights.map(|w| w.biased.len() * (w.inputs + self.components * w.outputs));
                factors.sum::<usize>() + self.components * layout.rest().len()
            }
        };
        samples.saturating_mul(of_sample)
    }

    /// p.
    pub fn width(&self) -> usize {
        self.views.last().map_or(0, |view| view.range.end)
    }
}

/// Samples of a model by their numbers, which stand where the state of a simulation does.
pub fn numbered(samples: Range<usize>) -> Dataset {
    let count = samples.len();
    Dataset {
        input: Mat::zeros(count, 0),
        state: Mat::from_fn(count, 1, |i, _| (samples.start + i) as f64),
        target: Mat::zeros(count, 0),
    }
}

/// A model and the thread to call it on.
pub struct ModelObjective {
    adapter: Arc<Py<PyAny>>,
    model: Arc<Model>,
    caller: Caller,
}

impl ModelObjective {
    /// With what the adapter says of itself.
    pub fn new(adapter: Arc<Py<PyAny>>, model: Arc<Model>, caller: Caller) -> Self {
        Self {
            adapter,
            model,
            caller,
        }
    }

    /// Calls a method of the adapter with θ and numbers of samples.
    fn call<R: Send + 'static>(
        &self,
        method: &'static str,
        at: &[f64],
        samples: &Dataset,
        read: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<R> + Send + 'static,
    ) -> Result<R> {
        let adapter = self.adapter.clone();
        let at = at.to_vec();
        let numbers: Vec<i64> = samples
            .state
            .col_as_slice(0)
            .iter()
            .map(|v| *v as i64)
            .collect();
        self.caller.ask(move |py| {
            let given = (at.into_pyarray(py), numbers.into_pyarray(py));
            read(&adapter.bind(py).call_method1(method, given)?)
        })
    }
}

/// A batch (samples × components) of an array.
fn batch(answer: &Bound<'_, PyAny>) -> PyResult<Mat<f64>> {
    let array: PyReadonlyArray2<'_, f64> = answer.extract()?;
    matrix(&array)
}

fn numbers(answer: &Bound<'_, PyAny>) -> PyResult<Vec<f64>> {
    let array: PyReadonlyArray1<'_, f64> = answer.extract()?;
    Ok(array.as_slice()?.to_vec())
}

impl Objective for ModelObjective {
    fn parameters(&self) -> Vec<ParameterView> {
        self.model.views.clone()
    }

    fn initial(&self, _: u64) -> Vec<f64> {
        self.model.initial.clone()
    }

    fn rows(&self, samples: usize) -> usize {
        samples * self.model.components
    }

    fn pass_numbers(&self, samples: usize) -> usize {
        let whole = self.model.numbers(samples);
        // A piece, its partner, and what Python holds of them.
        whole.min(self.model.held).saturating_mul(3)
    }

    fn product_numbers(&self, samples: usize) -> Option<usize> {
        Some(2 * (self.rows(samples) + self.model.width()))
    }

    fn check_samples(&self, _: &Dataset) -> Result<()> {
        Ok(())
    }

    fn outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>> {
        self.call("outputs", at, samples, batch)
    }

    fn loss(&self, at: &[f64], samples: &Dataset) -> Result<f64> {
        self.call("loss", at, samples, |answer| answer.extract())
    }

    fn linearize<'a>(
        &'a self,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>> {
        Ok(Box::new(Point::new(self, batch, at)?))
    }
}

/// A batch of a model, linearised at θ.
struct Point<'a> {
    of: &'a ModelObjective,
    batch: &'a Dataset,
    at: &'a [f64],
    /// What Python keeps of θ and the batch.
    kept: Arc<Py<PyAny>>,
    y: Mat<f64>,
    cotangent: Vec<f64>,
    loss: f64,
    curvature: OnceLock<Vec<f64>>,
    /// J where it is held whole, in factors or as it is.
    whole: OnceLock<Box<dyn Jacobian + 'a>>,
}

impl<'a> Point<'a> {
    fn new(of: &'a ModelObjective, samples: &'a Dataset, at: &'a [f64]) -> Result<Self> {
        let (kept, y, g, loss) = of.call("linearize", at, samples, |answer| {
            let (kept, y, g, loss): (Py<PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>, f64) =
                answer.extract()?;
            Ok((kept, batch(&y)?, batch(&g)?, loss))
        })?;
        Ok(Self {
            of,
            batch: samples,
            at,
            kept: Arc::new(kept),
            y,
            cotangent: linalg::stack(g.as_ref()),
            loss,
            curvature: OnceLock::new(),
            whole: OnceLock::new(),
        })
    }

    fn ask<R: Send + 'static>(
        &self,
        call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<R> + Send + 'static,
    ) -> Result<R> {
        let kept = self.kept.clone();
        self.of.caller.ask(move |py| call(kept.bind(py)))
    }

    fn n(&self) -> usize {
        self.cotangent.len()
    }

    fn p(&self) -> usize {
        self.at.len()
    }

    /// Whether J is held whole.
    fn is_small(&self) -> bool {
        self.of.model.numbers(self.batch.len()) <= self.of.model.held
    }

    /// Samples whose rows are asked for at once.
    fn piece(&self) -> usize {
        let numbers = (self.of.model.components * self.p()).max(1);
        (self.of.model.held / numbers).clamp(1, self.batch.len().max(1))
    }

    /// Pieces of the samples.
    fn pieces(&self) -> impl Iterator<Item = Range<usize>> {
        ranges(self.batch.len(), self.piece())
    }

    /// The rows of some samples (or, with weights, combinations of them), transposed, sample by sample:
    /// column `(sample - first) · k + row`.
    fn rows_of(&self, samples: Range<usize>, weights: Option<Mat<f64>>) -> Result<Vec<f64>> {
        let p = self.p();
        let each = match &weights {
            Some(weights) => weights.nrows() / samples.len(),
            None => self.of.model.components,
        };
        let expected = [samples.len(), each, p];
        self.ask(move |kept| {
            let given = (samples.start, samples.len());
            let answer = match weights {
                None => kept.call_method1("rows", given)?,
                Some(weights) => {
                    // Sample by sample, its combinations one after the other.
                    let weights = by_rows(kept.py(), weights.as_ref())?;
                    kept.call_method1("combined", (given.0, given.1, weights))?
                }
            };
            let array: PyReadonlyArray3<'_, f64> = answer.extract()?;
            debug_assert_eq!(array.shape(), expected);
            Ok(array.as_slice()?.to_vec())
        })
    }

    /// All rows of some samples, one after the other, with their places among all.
    fn placed_rows(&self, samples: Range<usize>) -> Result<(Vec<f64>, Vec<usize>)> {
        let (all, components) = (self.batch.len(), self.of.model.components);
        let first = samples.start;
        let rows = self.rows_of(samples, None)?;
        let places = (0..rows.len() / self.p())
            .map(|j| j % components * all + first + j / components)
            .collect();
        Ok((rows, places))
    }

    /// Jᵀ (p × n).
    fn formed(&self) -> Result<Mat<f64>> {
        let mut whole = Mat::zeros(self.p(), self.n());
        for samples in self.pieces() {
            let (rows, places) = self.placed_rows(samples)?;
            for (row, place) in rows.chunks_exact(self.p()).zip(places) {
                whole.col_as_slice_mut(place).copy_from_slice(row);
            }
        }
        Ok(whole)
    }

    /// J where it is held whole; none where it is not.
    fn whole(&self) -> Result<Option<&(dyn Jacobian + 'a)>> {
        if !self.is_small() {
            return Ok(None);
        }
        if let Some(whole) = self.whole.get() {
            return Ok(Some(whole.as_ref()));
        }
        let formed: Box<dyn Jacobian + 'a> = match &self.of.model.layout {
            None => Box::new(ExplicitJacobian::from_transposed(self.formed()?)),
            Some(layout) => {
                let (factors, rest) = self.ask(|kept| {
                    let answer = kept.call_method0("factors")?;
                    factored::read(&answer.extract()?)
                })?;
                let samples = self.batch.len();
                Box::new(FactoredJacobian::new(layout, factors, rest, samples)?)
            }
        };
        Ok(Some(self.whole.get_or_init(|| formed).as_ref()))
    }

    fn in_pieces<'p>(&'p self) -> Pieces<'p, 'a> {
        Pieces {
            of: self,
            factors: None,
        }
    }

    fn pulled(&self, w: &[f64]) -> Result<Vec<f64>> {
        let (samples, components) = (self.batch.len(), self.of.model.components);
        let w = MatRef::from_column_major_slice(w, samples, components).to_owned();
        self.ask(move |kept| {
            let given = by_rows(kept.py(), w.as_ref())?;
            numbers(&kept.call_method1("vjp", (given,))?)
        })
    }

    fn pushed(&self, v: &[f64]) -> Result<Vec<f64>> {
        let v = v.to_vec();
        let dy = self.ask(move |kept| {
            let given = PyArray1::from_vec(kept.py(), v);
            batch(&kept.call_method1("jvp", (given,))?)
        })?;
        Ok(linalg::stack(dy.as_ref()))
    }

    /// S·J transposed (p × n_s).
    fn combined(&self, sketch: &Sketch) -> Result<Mat<f64>> {
        let (samples, weights) = (self.batch.len(), sketch.weights());
        let each = sketch.rows() / samples;
        let mut combined = Mat::zeros(self.p(), sketch.rows());
        for piece in self.pieces() {
            let first = piece.start;
            let given = Mat::from_fn(piece.len() * each, weights.ncols(), |row, i| {
                weights[(row % each * samples + first + row / each, i)]
            });
            let rows = self.rows_of(piece, Some(given))?;
            for (j, row) in rows.chunks_exact(self.p()).enumerate() {
                let place = j % each * samples + first + j / each;
                combined.col_as_slice_mut(place).copy_from_slice(row);
            }
        }
        Ok(combined)
    }
}

/// Ranges of at most `size` that make up `count`.
fn ranges(count: usize, size: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..count).step_by(size.max(1));
    starts.map(move |first| first..(first + size).min(count))
}

impl Linearized for Point<'_> {
    fn parameters(&self) -> &[f64] {
        self.at
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn mean_loss(&self) -> f64 {
        match self.of.model.reduction {
            Reduction::Mean => self.loss,
            Reduction::Sum => self.loss / self.batch.len() as f64,
        }
    }

    fn cotangent(&self) -> &[f64] {
        &self.cotangent
    }

    fn curvature(&self) -> Result<Vec<f64>> {
        if let Some(curvature) = self.curvature.get() {
            return Ok(curvature.clone());
        }
        // An exception that is returned is for the method, which may do without.
        let told = self.ask(|kept| {
            let told = kept.call_method0("curvature")?;
            match told.is_instance_of::<PyException>() {
                true => Ok(Err(PyErr::from_value(told))),
                false => batch(&told).map(Ok),
            }
        })?;
        let curvature = linalg::stack(told.map_err(Error::external)?.as_ref());
        Ok(self.curvature.get_or_init(|| curvature).clone())
    }

    fn gradient(&self) -> Result<Vec<f64>> {
        self.pulled(&self.cotangent)
    }

    fn loss_at(&self, parameters: &[f64]) -> Result<f64> {
        let mean = self.of.loss(parameters, self.batch)?;
        Ok(self.of.model.reduction.of_mean(mean, self.batch.len()))
    }

    fn outputs(&self) -> Vec<f64> {
        linalg::stack(self.y.as_ref())
    }

    fn outputs_at(&self, parameters: &[f64]) -> Result<Vec<f64>> {
        let y = Objective::outputs(self.of, parameters, self.batch)?;
        Ok(linalg::stack(y.as_ref()))
    }

    fn moved<'s>(&'s self, parameters: &'s [f64]) -> Result<Box<dyn Linearized + 's>> {
        self.of.linearize(self.batch, parameters)
    }

    fn tangent(&self, v: &[f64]) -> Result<Vec<f64>> {
        self.pushed(v)
    }

    fn samples(&self) -> Option<usize> {
        Some(self.batch.len())
    }

    fn check_finite(&self) -> Result<()> {
        let name = &self.of.model.name;
        linalg::check_finite_samples(&format!("output of {name}"), self.y.as_ref())?;
        let samples = self.batch.len();
        let g = MatRef::from_column_major_slice(&self.cotangent, samples, self.y.ncols());
        linalg::check_finite_samples("gradient of the loss in y", g)?;
        if !self.loss.is_finite() {
            let losses: Option<Vec<f64>> = self.ask(|kept| {
                let losses = kept.call_method0("losses")?;
                if losses.is_none() {
                    Ok(None)
                } else {
                    numbers(&losses).map(Some)
                }
            })?;
            let mut losses = losses.into_iter().flatten().enumerate();
            return Err(match losses.find(|(_, loss)| !loss.is_finite()) {
                Some((s, loss)) => Error::of_sample("loss", loss, s, None),
                None => Error::external(format!("the loss of a batch is {}", self.loss)),
            });
        }
        if let Some(whole) = self.whole.get() {
            let columns = whole.transposed()?;
            let mut columns = columns.col_iter().enumerate();
            let found = columns.find_map(|(row, column)| {
                let mut numbers = column.iter();
                Some((row, *numbers.find(|v| !v.is_finite())?))
            });
            if let Some((row, value)) = found {
                let what = format!("Jacobian of {name}");
                return Err(Error::of_sample(what, value, row % samples, row / samples));
            }
        }
        Ok(())
    }
}

impl Jacobian for Point<'_> {
    fn rows(&self) -> usize {
        self.n()
    }

    fn columns(&self) -> usize {
        self.p()
    }

    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        match self.whole()? {
            Some(whole) => whole.vjp_into(w, target, scratch),
            None => self.in_pieces().vjp_into(w, target, scratch),
        }
    }

    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()> {
        match self.whole()? {
            Some(whole) => whole.jvp_into(v, target, scratch),
            None => self.in_pieces().jvp_into(v, target, scratch),
        }
    }

    fn gram(&self) -> Result<Symmetric> {
        match self.whole()? {
            Some(whole) => whole.gram(),
            None => self.in_pieces().gram(),
        }
    }

    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        match self.whole()? {
            Some(whole) => whole.image_gram(w),
            None => self.in_pieces().image_gram(w),
        }
    }

    fn normal(&self) -> Result<Symmetric> {
        match self.whole()? {
            Some(whole) => whole.normal(),
            None => self.in_pieces().normal(),
        }
    }

    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        match self.whole()? {
            Some(whole) => whole.normal_image_gram(v),
            None => self.in_pieces().normal_image_gram(v),
        }
    }

    fn transposed(&self) -> Result<Mat<f64>> {
        match self.whole()? {
            Some(whole) => whole.transposed(),
            None => self.formed(),
        }
    }

    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        match self.whole()? {
            Some(whole) => whole.scaled_rows(factors),
            None => Ok(Box::new(self.in_pieces().scaled(factors))),
        }
    }

    fn by_products<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        Ok(Box::new(self.in_pieces().scaled(factors)))
    }

    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        if !self.of.model.combines
            && let Some(whole) = self.whole()?
        {
            return whole.combined_rows(sketch);
        }
        let combined = self.combined(sketch)?;
        Ok(Box::new(ExplicitJacobian::from_transposed(combined)))
    }
}

/// diag(factors)·J that is never held whole: single products by the model's own derivatives, matrices by
/// pieces of the rows.
#[derive(Clone)]
struct Pieces<'p, 'a> {
    of: &'p Point<'a>,
    /// Length n; all 1 without.
    factors: Option<Vec<f64>>,
}

impl Pieces<'_, '_> {
    fn scaled(&self, factors: &[f64]) -> Self {
        let both = factors.iter().enumerate();
        let both = both.map(|(row, factor)| self.factor(row) * factor);
        Self {
            of: self.of,
            factors: Some(both.collect()),
        }
    }

    fn factor(&self, row: usize) -> f64 {
        self.factors.as_ref().map_or(1.0, |factors| factors[row])
    }

    fn scale(&self, rows: &mut [f64]) {
        let factors = self.factors.iter().flatten();
        rows.iter_mut().zip(factors).for_each(|(v, f)| *v *= f);
    }

    /// Scales columns, which are the rows of J at some places.
    fn scale_columns(&self, columns: &mut Mat<f64>, places: impl Iterator<Item = usize>) {
        for (j, place) in places.enumerate() {
            let factor = self.factor(place);
            let column = columns.col_as_slice_mut(j).iter_mut();
            column.for_each(|v| *v *= factor);
        }
    }

    /// The rows of some samples, transposed and scaled, with their places among all.
    fn piece(&self, samples: Range<usize>) -> Result<(Mat<f64>, Vec<usize>)> {
        let (rows, places) = self.of.placed_rows(samples)?;
        let rows = MatRef::from_column_major_slice(&rows, self.of.p(), places.len());
        let mut piece = rows.to_owned();
        self.scale_columns(&mut piece, places.iter().copied());
        Ok((piece, places))
    }

    /// JᵀW (p × k).
    fn image(&self, w: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let mut image = Mat::<f64>::zeros(self.of.p(), w.ncols());
        for samples in self.of.pieces() {
            let (rows, places) = self.piece(samples)?;
            let part = Mat::from_fn(places.len(), w.ncols(), |i, k| w[(places[i], k)]);
            image += product_in_blocks(rows.as_ref(), part.as_ref());
        }
        Ok(image)
    }

    /// Adds what `image` makes of each piece (p × rows → F) as F·Fᵀ.
    fn sum(&self, size: usize, image: impl Fn(MatRef<'_, f64>) -> Mat<f64>) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(size);
        for samples in self.of.pieces() {
            let (rows, _) = self.piece(samples)?;
            sum.add(image(rows.as_ref()).as_ref());
        }
        Ok(sum)
    }
}

/// FᵀF (size × size) of columns F that come in pieces, each with their places. Two pieces are held at a time: of
/// k they are asked for k²/2 times in all.
fn square_of(
    size: usize,
    pieces: &[Range<usize>],
    piece: impl Fn(Range<usize>) -> Result<(Mat<f64>, Vec<usize>)>,
) -> Result<Symmetric> {
    let mut whole = Mat::zeros(size, size);
    for (i, left) in pieces.iter().enumerate() {
        let (left, rows) = piece(left.clone())?;
        let own = product_in_blocks(left.transpose(), left.as_ref());
        fill(&mut whole, own.as_ref(), &rows, &rows);
        for right in &pieces[i + 1..] {
            let (right, columns) = piece(right.clone())?;
            let block = product_in_blocks(left.transpose(), right.as_ref());
            fill(&mut whole, block.as_ref(), &rows, &columns);
        }
    }
    Symmetric::from_lower(whole)
}

/// The lower half of a matrix whose blocks are products of two columns' ranges, from these columns.
fn fill(whole: &mut Mat<f64>, block: MatRef<'_, f64>, rows: &[usize], columns: &[usize]) {
    for (j, &column) in columns.iter().enumerate() {
        for (i, &row) in rows.iter().enumerate() {
            let (low, high) = (row.min(column), row.max(column));
            whole[(high, low)] = block[(i, j)];
        }
    }
}

impl Jacobian for Pieces<'_, '_> {
    fn rows(&self) -> usize {
        self.of.n()
    }

    fn columns(&self) -> usize {
        self.of.p()
    }

    fn vjp_into(&self, w: &[f64], target: &mut [f64], _: &mut Scratch) -> Result<()> {
        let mut w = w.to_vec();
        self.scale(&mut w);
        target.copy_from_slice(&self.of.pulled(&w)?);
        Ok(())
    }

    fn jvp_into(&self, v: &[f64], target: &mut [f64], _: &mut Scratch) -> Result<()> {
        target.copy_from_slice(&self.of.pushed(v)?);
        self.scale(target);
        Ok(())
    }

    fn gram(&self) -> Result<Symmetric> {
        let pieces: Vec<_> = self.of.pieces().collect();
        square_of(self.of.n(), &pieces, |samples| self.piece(samples))
    }

    /// Images that would be larger than what is held are made again for each of their partners.
    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        let width = (self.of.of.model.held / self.of.p().max(1)).max(1);
        let parts: Vec<_> = ranges(w.ncols(), width).collect();
        if parts.len() == 1 {
            return Ok(Symmetric::square(self.image(w)?.transpose()));
        }
        square_of(w.ncols(), &parts, |part| {
            let image = self.image(w.subcols(part.start, part.len()))?;
            Ok((image, part.collect()))
        })
    }

    fn normal(&self) -> Result<Symmetric> {
        self.sum(self.of.p(), |rows| rows.to_owned())
    }

    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        self.sum(v.ncols(), |rows| product_in_blocks(v.transpose(), rows))
    }

    fn transposed(&self) -> Result<Mat<f64>> {
        let mut whole = self.of.formed()?;
        self.scale_columns(&mut whole, 0..self.of.n());
        Ok(whole)
    }

    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        Ok(Box::new(self.scaled(factors)))
    }

    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        match &self.factors {
            Some(factors) => self.of.combined_rows(&sketch.clone().weighted(factors)),
            None => self.of.combined_rows(sketch),
        }
    }
}
