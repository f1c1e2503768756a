//! The spectrum of K as far as g can see it, from products K·v alone.
//!
//! The Lanczos method (Golub and Van Loan, "Matrix Computations", section 10.1) builds an orthonormal
//! basis Q of the Krylov space of g in which K is tridiagonal, T = Qᵀ·K·Q. A step needs f(K)·g, and
//! f(K)·g ≈ Q·f(T)·e₁·|g| for every f at once, so that any filter can still be asked
//! (Higham, "Functions of Matrices", section 13.2). The eigenvalues of T, the Ritz values, approach
//! those of K from the largest down. Memory is n·m numbers for m vectors; K and J never exist.

use super::Filter;
use super::decomposition::Accuracy;
use crate::error::{Error, Result};
use crate::linalg::Scratch;
use crate::linalg::matrix::{self, Mat, MatMut, MatRef};
use crate::linalg::symmetric::Divided;
use crate::objective::Jacobian;
use faer::Accum;

/// An orthonormal basis of a Krylov space with the matrix in it.
#[derive(Debug)]
pub(super) struct Krylov {
    basis: Blocks,
    spectrum: Divided,
    /// Estimated relative error of a step with the filter that was asked for.
    error: f64,
}

/// What is known of K after m products.
pub(super) struct Ritz {
    /// σ of the Ritz values, largest first.
    pub(super) sigma: Vec<f64>,
    /// Coefficients of g in the Ritz vectors.
    pub(super) coefficients: Vec<f64>,
    pub(super) krylov: Krylov,
}

/// T, with the entries beside its diagonal (one of them leads out of the space).
#[derive(Default)]
struct Projected {
    diagonal: Vec<f64>,
    beside: Vec<f64>,
}

// Products between two looks at the error, as a fraction of those made before.
const LOOK: f64 = 0.125;
const FIRST_LOOK: usize = 16;

/// Approximates f(K)·g until the step's estimated relative error is below what is asked for, or as many
/// products have been made as are allowed. `unit` is what the given J was divided by before; the
/// filter is that of the whole J.
///
/// # Errors
/// K is not finite, an eigenvalue iteration does not converge, a simulator fails.
pub(super) fn lanczos(
    jacobian: &dyn Jacobian,
    unit: f64,
    g: &[f64],
    filter: &Filter,
    accuracy: Accuracy,
) -> Result<Ritz> {
    let failed = |reason: &str| Error::Decomposition {
        matrix: "Gram matrix",
        size: g.len(),
        reason: reason.into(),
    };
    let diverged = || failed("the eigenvalue iteration of its projection did not converge");
    let most = accuracy.vectors;
    let length = matrix::norm(g);
    let mut basis = Blocks::new(g.len());
    let mut projected = Projected::default();
    let mut spectrum = projected.spectrum().ok_or_else(diverged)?;
    let mut looks = Looks::new(filter, unit);
    let mut overlaps = Overlaps::new(g.len());
    let [mut before, mut v, mut w] = [(); 3].map(|()| vec![0.0; g.len()]);
    let mut pulled_back = vec![0.0; jacobian.columns()];
    let mut scratch = Scratch::new();
    // The error shows from the third look on.
    let third = (most / 3).max(1);
    let mut next = FIRST_LOOK.min(third);
    // NaN shows in the first product.
    if length != 0.0 {
        basis.push(g.iter().map(|g| g / length));
    }
    while basis.len > projected.diagonal.len() {
        let m = basis.len;
        v.copy_from_slice(basis.last());
        jacobian.vjp_into(&v, &mut pulled_back, &mut scratch)?;
        jacobian.jvp_into(&pulled_back, &mut w, &mut scratch)?;
        let along = matrix::dot(&v, &w);
        let back = projected.beside.last().copied().unwrap_or(0.0);
        for ((w, v), b) in w.iter_mut().zip(&v).zip(&before) {
            *w -= along * v + back * b;
        }
        std::mem::swap(&mut before, &mut v);
        let mut beside = matrix::norm(&w);
        if !(along.is_finite() && beside.is_finite()) {
            let reason = "its products are not finite; try a smaller learning rate";
            return Err(failed(reason));
        }
        projected.diagonal.push(along);
        let top = projected.size();
        if overlaps.grow(&projected, beside, top) {
            basis.orthogonalise(&mut w);
            beside = matrix::norm(&w);
        }
        // Nothing is left but rounding: the space is invariant, and the result exact.
        let exhausted = m == g.len() || beside <= 4.0 * f64::EPSILON * top;
        if exhausted || m == most || m == next {
            spectrum = projected.spectrum().ok_or_else(diverged)?;
            looks.look(&projected, &spectrum, length);
            next = m + ((m as f64 * LOOK) as usize).max(4.min(third));
            if exhausted {
                looks.error = 0.0;
            }
            if exhausted || looks.error <= accuracy.error || m == most {
                break;
            }
        }
        projected.beside.push(beside);
        basis.push(w.iter().map(|w| w / beside));
    }
    let sigmas = spectrum.values().iter().map(|l| l.max(0.0).sqrt());
    Ok(Ritz {
        sigma: sigmas.collect(),
        coefficients: spectrum.project(&first_unit(spectrum.values().len(), length)),
        krylov: Krylov {
            basis,
            spectrum,
            error: looks.error,
        },
    })
}

/// length · e₁
fn first_unit(m: usize, length: f64) -> Vec<f64> {
    (0..m).map(|i| if i == 0 { length } else { 0.0 }).collect()
}

impl Krylov {
    /// Q·Z·c, for coefficients of the Ritz vectors.
    pub(super) fn combine(&self, c: &[f64]) -> Vec<f64> {
        self.basis.combine(&self.spectrum.combine(c))
    }

    /// Number of vectors.
    pub(super) fn vectors(&self) -> usize {
        self.spectrum.values().len()
    }

    /// Estimated relative error of a step.
    pub(super) fn error(&self) -> f64 {
        self.error
    }
}

impl Projected {
    fn size(&self) -> f64 {
        self.diagonal.iter().fold(0.0, |m, d| d.abs().max(m))
    }

    fn spectrum(&self) -> Option<Divided> {
        let inside = self.diagonal.len().saturating_sub(1);
        Divided::new(&self.diagonal, &self.beside[..inside])
    }

    /// xᵀ·T·x in units of the size of T.
    fn energy(&self, x: &[f64]) -> f64 {
        let size = self.size();
        let diagonal = self.diagonal.iter().zip(x).map(|(d, x)| d / size * x * x);
        let beside = self.beside.iter().zip(x.windows(2));
        let beside = beside.map(|(b, x)| b / size * x[0] * x[1]);
        diagonal.sum::<f64>() + 2.0 * beside.sum::<f64>()
    }
}

/// Watches how much the step still changes.
struct Looks<'a> {
    filter: &'a Filter,
    unit: f64,
    before: Vec<f64>,
    change: f64,
    error: f64,
}

impl<'a> Looks<'a> {
    fn new(filter: &'a Filter, unit: f64) -> Self {
        Self {
            filter,
            unit,
            before: Vec::new(),
            change: f64::INFINITY,
            error: f64::INFINITY,
        }
    }

    /// Estimates the error of the step. Its change since the last look, |Jᵀ·Q·Δx|, bounds the error
    /// of the last look's step well; that of the present one is smaller by the rate of decrease.
    fn look(&mut self, projected: &Projected, spectrum: &Divided, length: f64) {
        let values = spectrum.values();
        let unit = self.unit;
        let top = unit * values.first().map_or(0.0, |v| v.max(0.0)).sqrt();
        let mut x = spectrum.project(&first_unit(values.len(), length));
        for (x, value) in x.iter_mut().zip(values) {
            *x *= self.filter.ratio(unit * value.max(0.0).sqrt(), top, unit);
        }
        let x = spectrum.combine(&x);
        let size = matrix::norm(&x);
        let change = match size > 0.0 {
            true => {
                let before = self.before.iter().chain(std::iter::repeat(&0.0));
                let difference = x.iter().zip(before).map(|(x, b)| (x - b) / size);
                let whole: Vec<f64> = x.iter().map(|x| x / size).collect();
                let changed = projected.energy(&difference.collect::<Vec<_>>());
                (changed.max(0.0) / projected.energy(&whole)).sqrt()
            }
            false => 0.0,
        };
        if !self.before.is_empty() {
            let rate = (change / self.change).min(0.9);
            self.error = match self.change.is_finite() {
                true => change * rate / (1.0 - rate),
                false => f64::INFINITY,
            };
            self.change = change;
        }
        self.before = x;
    }
}

/// How far each vector has lost its orthogonality to those before it, by the recurrence of Simon
/// (1984, Mathematics of Computation 42): the loss is repaired only when it reaches √ε, at which T
/// is still exact to rounding. That is every tenth product or so, and the passes over the basis are
/// what a long run of Lanczos costs.
struct Overlaps {
    /// Of the last vector but one and of the last one, with every vector up to itself.
    previous: Vec<f64>,
    last: Vec<f64>,
    rounding: f64,
    again: bool,
}

impl Overlaps {
    fn new(n: usize) -> Self {
        Self {
            previous: Vec::new(),
            last: vec![1.0],
            rounding: f64::EPSILON * (n as f64).sqrt(),
            again: false,
        }
    }

    /// Goes on to the next vector, at the end of a step of length `beside`; whether it has to be
    /// made orthogonal to all others.
    fn grow(&mut self, projected: &Projected, beside: f64, top: f64) -> bool {
        let (alpha, beta) = (&projected.diagonal, &projected.beside);
        let j = alpha.len() - 1;
        let mut next = Vec::with_capacity(j + 2);
        let mut largest: f64 = 0.0;
        for k in 0..j {
            let mut sum = beta[k] * self.last[k + 1] + (alpha[k] - alpha[j]) * self.last[k]
                - beta[j - 1] * self.previous[k];
            if k > 0 {
                sum += beta[k - 1] * self.last[k - 1];
            }
            let overlap = (sum + (self.rounding * top).copysign(sum)) / beside;
            largest = largest.max(overlap.abs());
            next.push(overlap);
        }
        next.extend([self.rounding, 1.0]);
        let lost = largest > f64::EPSILON.sqrt() || !largest.is_finite();
        let repair = lost || self.again;
        // The recurrence has two terms: both must be clean.
        self.again = lost && !self.again;
        if repair {
            next[..=j].fill(self.rounding);
        }
        self.previous = std::mem::replace(&mut self.last, next);
        repair
    }
}

/// Columns in blocks, so that the basis grows without being copied and a block stays in the cache
/// between the two passes of an orthogonalisation.
#[derive(Debug)]
struct Blocks {
    rows: usize,
    len: usize,
    blocks: Vec<Mat<f64>>,
}

impl Blocks {
    const COLUMNS: usize = 16;

    fn new(rows: usize) -> Self {
        Self {
            rows,
            len: 0,
            blocks: Vec::new(),
        }
    }

    fn push(&mut self, column: impl Iterator<Item = f64>) {
        let place = self.len % Self::COLUMNS;
        if place == 0 {
            self.blocks.push(Mat::zeros(self.rows, Self::COLUMNS));
        }
        let block = self.blocks.last_mut().expect("a block was just made");
        for (target, v) in block.col_as_slice_mut(place).iter_mut().zip(column) {
            *target = v;
        }
        self.len += 1;
    }

    fn last(&self) -> &[f64] {
        let block = self.blocks.last().expect("a vector was pushed");
        block.col_as_slice((self.len - 1) % Self::COLUMNS)
    }

    /// The columns in use, block by block.
    fn parts(&self) -> impl Iterator<Item = MatRef<'_, f64>> {
        self.blocks.iter().enumerate().map(|(i, block)| {
            let used = (self.len - i * Self::COLUMNS).min(Self::COLUMNS);
            block.as_ref().subcols(0, used)
        })
    }

    /// Takes from w what lies in the space.
    fn orthogonalise(&self, w: &mut [f64]) {
        let n = w.len();
        for part in self.parts() {
            let inner = matrix::apply_transposed(part, w);
            faer::linalg::matmul::matmul(
                MatMut::from_column_major_slice_mut(w, n, 1),
                Accum::Add,
                part,
                MatRef::from_column_major_slice(&inner, inner.len(), 1),
                -1.0,
                faer::Par::Seq,
            );
        }
    }

    /// Q·c.
    fn combine(&self, c: &[f64]) -> Vec<f64> {
        let mut sum = vec![0.0; self.rows];
        for (part, c) in self.parts().zip(c.chunks(Self::COLUMNS)) {
            matrix::multiply(
                MatMut::from_column_major_slice_mut(&mut sum, self.rows, 1),
                Accum::Add,
                part,
                MatRef::from_column_major_slice(c, c.len(), 1),
            );
        }
        sum
    }
}
