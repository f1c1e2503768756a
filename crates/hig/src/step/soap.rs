//! SOAP (Vyas, Morwani, Zhao, Shapira, Brandfonbrener, Janson and Kakade 2024, arXiv 2409.11321,
//! algorithm 3): Adam in the eigenbasis of Shampoo's factors.
//!
//! For a matrix of parameters with gradient G
//!
//! ```text
//! L = mean of G·Gᵀ,  R = mean of Gᵀ·G,  L = Q_L·Λ·Q_Lᵀ,  R = Q_R·Λ·Q_Rᵀ
//! M = mean of G,     V = mean of (Q_Lᵀ·G·Q_R)²,          ΔW = -η·Q_L·[(Q_Lᵀ·M·Q_R) / (√V + ε)]·Q_Rᵀ
//! ```
//!
//! with means that forget, M and V corrected for their start at 0. The bases follow L and R by one step of
//! orthogonal iteration (the QR decomposition of L·Q_L) every few updates. A convolution's four axes have a
//! factor each; a vector has none, and Adam. As in the source the first batch sets the bases and changes no
//! parameter.

use super::{Method, Step, Update, check_squares, clipped_gradient};
use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::symmetric::{eigen, orthonormal};
use crate::linalg::{Mat, MatMut, MatRef, matrix};
use crate::objective::{Consumes, Linearized, ParameterView};
use crate::settings::{AT_LEAST_ONE, FRACTION, NON_NEGATIVE, POSITIVE, Settings};
use faer::Accum;

crate::settings! {
    /// SOAP: Adam in the eigenbasis of Shampoo's factors of each matrix of parameters.
    pub struct Soap {
        /// Learning rate η.
        pub learning_rate: f64 = 3e-3, POSITIVE;
        /// Decay of the mean of gradients.
        pub beta1: f64 = 0.95, FRACTION;
        /// Decay of the mean of squared gradients, and of the factors.
        pub beta2: f64 = 0.95, FRACTION;
        /// Added to the root of the second moment.
        pub epsilon: f64 = 1e-8, POSITIVE;
        /// The largest norm of a gradient; a longer one is shortened to it. 0 is any.
        pub clip: f64 = 0.0, NON_NEGATIVE;
        /// Updates from one renewal of the bases to the next.
        pub frequency: usize = 10, AT_LEAST_ONE;
        /// The longest axis of an array that has a factor; longer ones keep their own basis.
        pub largest: usize = 10_000, AT_LEAST_ONE;
    }
}

impl Method for Soap {
    fn name(&self) -> &'static str {
        "soap"
    }

    fn about(&self) -> &'static str {
        "SOAP: Adam in the eigenbasis of Shampoo's factors (Vyas et al. 2024, arXiv 2409.11321)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::Gradient
    }

    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Running {
            settings: self.clone(),
            updates: 0,
            first: Vec::new(),
            second: Vec::new(),
            arrays: Vec::new(),
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

struct Running {
    settings: Soap,
    /// Batches seen, of which the first changed nothing.
    updates: usize,
    /// M, in the parameters' own basis.
    first: Vec<f64>,
    /// V, in the eigenbases.
    second: Vec<f64>,
    arrays: Vec<Array>,
}

/// A parameter array with the factors of its axes.
struct Array {
    first: usize,
    axes: Vec<Axis>,
}

/// An axis of a row-major array.
struct Axis {
    length: usize,
    /// Numbers of the axes behind it.
    inner: usize,
    /// The mean of G₍ₖ₎·G₍ₖ₎ᵀ and its eigenvectors (length × length each); empty where there are none.
    factor: Vec<f64>,
    basis: Vec<f64>,
}

impl Axis {
    fn square(&self, numbers: &[f64]) -> Mat<f64> {
        let view = MatRef::from_column_major_slice(numbers, self.length, self.length);
        view.to_owned()
    }

    fn has_factor(&self) -> bool {
        !self.factor.is_empty()
    }

    /// Multiplies the axis by the transposed basis, or by the basis itself on the way back.
    fn turn(&self, values: &mut Vec<f64>, back: bool) {
        if !self.has_factor() {
            return;
        }
        let length = self.length;
        let basis = MatRef::from_column_major_slice(&self.basis, length, length);
        let mut turned = vec![0.0; values.len()];
        if self.inner == 1 {
            let count = values.len() / length;
            let left = if back { basis } else { basis.transpose() };
            let from = MatRef::from_column_major_slice(values, length, count);
            let into = MatMut::from_column_major_slice_mut(&mut turned, length, count);
            matrix::multiply(into, Accum::Replace, left, from);
        } else {
            let right = if back { basis.transpose() } else { basis };
            let block = length * self.inner;
            for (from, into) in values
                .chunks_exact(block)
                .zip(turned.chunks_exact_mut(block))
            {
                let from = MatRef::from_column_major_slice(from, self.inner, length);
                let into = MatMut::from_column_major_slice_mut(into, self.inner, length);
                matrix::multiply(into, Accum::Replace, from, right);
            }
        }
        *values = turned;
    }

    /// G₍ₖ₎·G₍ₖ₎ᵀ of an array.
    fn outer(&self, values: &[f64]) -> Mat<f64> {
        let length = self.length;
        let mut sum = Mat::zeros(length, length);
        if self.inner == 1 {
            let from = MatRef::from_column_major_slice(values, length, values.len() / length);
            matrix::multiply(sum.as_mut(), Accum::Replace, from, from.transpose());
        } else {
            for from in values.chunks_exact(length * self.inner) {
                let from = MatRef::from_column_major_slice(from, self.inner, length);
                matrix::multiply(sum.as_mut(), Accum::Add, from.transpose(), from);
            }
        }
        sum
    }

    /// Hears a gradient: `kept` of the factor remains.
    fn hear(&mut self, gradient: &[f64], kept: f64) {
        if self.has_factor() {
            let outer = self.outer(gradient);
            let new = outer.col_iter().flat_map(|column| column.iter());
            for (f, new) in self.factor.iter_mut().zip(new) {
                *f = kept * *f + (1.0 - kept) * new;
            }
        }
    }

    /// The eigenbasis of the factor as it is.
    fn begin(&mut self) -> Result<()> {
        if self.has_factor() {
            let (_, vectors) = eigen(self.square(&self.factor), "factor of SOAP")?;
            self.basis = matrix::stack(vectors.as_ref());
        }
        Ok(())
    }

    /// One step of orthogonal iteration, after the basis was sorted by what it finds; answers the order.
    fn renew(&mut self) -> Option<Vec<usize>> {
        if !self.has_factor() {
            return None;
        }
        let (factor, basis) = (self.square(&self.factor), self.square(&self.basis));
        let image = matrix::product(factor.as_ref(), basis.as_ref());
        let found = |j: usize| matrix::dot(basis.col_as_slice(j), image.col_as_slice(j));
        let values: Vec<f64> = (0..self.length).map(found).collect();
        let mut order: Vec<usize> = (0..self.length).collect();
        order.sort_by(|a, b| values[*b].total_cmp(&values[*a]));
        let sorted = Mat::from_fn(self.length, self.length, |i, j| image[(i, order[j])]);
        self.basis = matrix::stack(orthonormal(sorted).as_ref());
        Some(order)
    }

    /// Takes what stands along the axis in another order.
    fn permute(&self, values: &mut [f64], order: &[usize]) {
        let block = self.length * self.inner;
        for whole in values.chunks_exact_mut(block) {
            let before = whole.to_vec();
            for (into, from) in whole.chunks_exact_mut(self.inner).zip(order) {
                into.copy_from_slice(&before[from * self.inner..][..self.inner]);
            }
        }
    }
}

impl Array {
    fn new(view: &ParameterView, largest: usize) -> Self {
        let has_factors = view.shape.len() > 1;
        let axis = |place: usize| {
            let length = view.shape[place];
            let square = match has_factors && length > 1 && length <= largest {
                true => length * length,
                false => 0,
            };
            Axis {
                length,
                inner: view.shape[place + 1..].iter().product(),
                factor: vec![0.0; square],
                basis: vec![0.0; square],
            }
        };
        Self {
            first: view.range.start,
            axes: (0..view.shape.len()).map(axis).collect(),
        }
    }

    fn len(&self) -> usize {
        self.axes.iter().map(|axis| axis.length).product()
    }

    /// Into the eigenbases of all axes, or back.
    fn turn(&self, values: &[f64], back: bool) -> Vec<f64> {
        let mut turned = values.to_vec();
        self.axes
            .iter()
            .for_each(|axis| axis.turn(&mut turned, back));
        turned
    }
}

impl Running {
    /// Δθ in place of a gradient, from the means with it.
    fn delta(&mut self, gradient: &[f64], learning_rate: f64) -> Vec<f64> {
        let Soap {
            beta1,
            beta2,
            epsilon,
            ..
        } = self.settings;
        let counted = i32::try_from(self.updates - 1).unwrap_or(i32::MAX);
        let corrections = (1.0 - beta1.powi(counted), 1.0 - beta2.powi(counted));
        for (m, g) in self.first.iter_mut().zip(gradient) {
            *m = beta1 * *m + (1.0 - beta1) * g;
        }
        let mut delta = vec![0.0; gradient.len()];
        for array in &self.arrays {
            let range = array.first..array.first + array.len();
            let turned = array.turn(&gradient[range.clone()], false);
            let mut step = array.turn(&self.first[range.clone()], false);
            let second = &mut self.second[range.clone()];
            for ((m, g), v) in step.iter_mut().zip(&turned).zip(second) {
                *v = beta2 * *v + (1.0 - beta2) * g * g;
                *m = (*m / corrections.0) / ((*v / corrections.1).sqrt() + epsilon);
            }
            let back = array.turn(&step, true);
            let pairs = delta[range].iter_mut().zip(back);
            pairs.for_each(|(d, step)| *d = -learning_rate * step);
        }
        delta
    }
}

impl Step for Running {
    fn begin(&mut self, _: u64, arrays: &[ParameterView]) {
        let largest = self.settings.largest;
        self.arrays = arrays
            .iter()
            .map(|view| Array::new(view, largest))
            .collect();
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("updates", &mut self.updates);
        state.vector("first", &mut self.first);
        state.vector("second", &mut self.second);
        for (place, array) in self.arrays.iter_mut().enumerate() {
            for (k, axis) in array.axes.iter_mut().enumerate() {
                if axis.has_factor() {
                    state.part(&format!("arrays.{place}.{k}"), |state| {
                        state.vector("factor", &mut axis.factor);
                        state.vector("basis", &mut axis.basis);
                    });
                }
            }
        }
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let gradient = clipped_gradient(at, self.settings.clip)?;
        if self.arrays.is_empty() {
            let whole = ParameterView {
                name: "parameters".into(),
                shape: vec![gradient.len()],
                range: 0..gradient.len(),
            };
            self.begin(0, &[whole]);
        }
        self.first.resize(gradient.len(), 0.0);
        self.second.resize(gradient.len(), 0.0);
        self.updates += 1;
        let fresh = self.updates == 1;
        let delta = match fresh {
            true => vec![0.0; gradient.len()],
            false => self.delta(&gradient, learning_rate),
        };
        check_squares(&self.second)?;
        let (beta2, frequency) = (self.settings.beta2, self.settings.frequency);
        for array in &mut self.arrays {
            let range = array.first..array.first + array.len();
            for axis in &mut array.axes {
                axis.hear(&gradient[range.clone()], beta2);
                check_squares(&axis.factor)?;
                if fresh {
                    axis.begin()?;
                } else if (self.updates - 1).is_multiple_of(frequency)
                    && let Some(order) = axis.renew()
                {
                    axis.permute(&mut self.second[range.clone()], &order);
                }
            }
        }
        Ok(Update {
            delta,
            ..Update::default()
        })
    }
}
