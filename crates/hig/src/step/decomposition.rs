//! One costly factorisation of a batch's Jacobian, then any number of cheap questions to it.
//!
//! Two exact routes lead to the singular values and vectors of J:
//!
//! - **SVD** of J in f64: n × p numbers, every σ to about ε·σ_max.
//! - **Gram**: the eigendecomposition of K = J·Jᵀ, λ = σ² (or of JᵀJ, the normal equations, where
//!   p < n). It squares the condition: an eigenvalue has an error of about ε·λ_max, so that σ is
//!   lost below √ε·σ_max ≈ 1e-8·σ_max and a step's relative error at the cut-off τ is about ε/τ².
//!   What is lost can be won back without the SVD: the directions whose eigenvalues are not good to
//!   the asked accuracy are multiplied by J once more, and the small Gram matrix of those products,
//!   whose own λ_max is small, is decomposed in turn (*deflation*). Each level resolves singular
//!   values smaller by √(ε / accuracy); two reach 1e-9·σ_max at an accuracy of 1e-6.
//!
//! `auto` takes the Gram route, on the smaller side, for truncation at τ ≥ 1e-12 and for damping.
//! It takes the SVD for clamping, which weights directions that are pure rounding on the Gram route,
//! and for smaller τ, where σ itself is rounding.

use super::filter::{Filter, Treatment};
use crate::error::{Error, Result};
use crate::linearization::{Consumes, Jacobian};
use crate::matrix::{self, Mat, MatRef};
use crate::settings::{Rule, SettingType, Value};
use faer::Par;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::{evd, svd};

/// How J is decomposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// [`Gram`](Self::Gram) or [`Normal`](Self::Normal), whichever is smaller, where τ and f64
    /// allow it, [`Svd`](Self::Svd) otherwise.
    Auto,
    /// Eigendecomposition of K = J·Jᵀ (n × n); J is never formed.
    Gram,
    /// Eigendecomposition of JᵀJ (p × p): the normal equations.
    Normal,
    /// Thin singular value decomposition of J (n × p).
    Svd,
}

const AUTO_CUTOFF: f64 = 1e-12;

impl Route {
    /// All routes with their names.
    pub const ALL: [(&'static str, Self); 4] = [
        ("auto", Self::Auto),
        ("gram", Self::Gram),
        ("normal", Self::Normal),
        ("svd", Self::Svd),
    ];

    /// The route taken for a filter and a Jacobian of n rows and p columns.
    pub fn resolve(self, filter: &Filter, rows: usize, columns: usize) -> Self {
        let resolved = match filter.treatment {
            Treatment::Truncate { cutoff } => cutoff >= AUTO_CUTOFF,
            Treatment::Damp { damping } => damping > 0.0,
            Treatment::Clamp { .. } => false,
        };
        match self {
            Self::Auto if !resolved => Self::Svd,
            Self::Auto if rows <= columns => Self::Gram,
            Self::Auto => Self::Normal,
            route => route,
        }
    }

    /// What the route asks of a linearization.
    pub fn consumes(self) -> Consumes {
        match self {
            Self::Auto | Self::Gram => Consumes::Gram,
            Self::Normal | Self::Svd => Consumes::Jacobian,
        }
    }
}

impl SettingType for Route {
    fn parse(text: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, route)| *route)
    }
    fn value(&self) -> Value {
        let found = Self::ALL.iter().find(|(_, route)| route == self);
        Value::Word(found.map_or("", |(name, _)| name).into())
    }
}

/// Any route, as a setting.
pub const ANY_ROUTE: Rule<Route> = Rule {
    text: "auto, gram, normal or svd",
    holds: |_| true,
};

/// The singular values of J with what a step of any filter needs.
///
/// ```
/// use hig::linearization::ExplicitJacobian;
/// use hig::step::{Decomposition, Filter, Route};
/// // J = diag(4, 1), g = (1, 1): the half-inverse step direction is (1/2, 1).
/// let j = ExplicitJacobian::new(&hig::matrix::Mat::from_fn(2, 2, |i, j| [[4., 0.], [0., 1.]][i][j]));
/// let half = Filter::truncated(0.5, 1e-6);
/// let parts = Decomposition::of(&j, &[1.0, 1.0], &half, Route::Auto, 1e-6)?;
/// let direction = parts.direction(&j, &half);
/// assert!((direction[0] - 0.5).abs() < 1e-12 && (direction[1] - 1.0).abs() < 1e-12);
/// // Another exponent costs one backward pass.
/// let newton = parts.direction(&j, &Filter::truncated(1.0, 1e-6));
/// assert!((newton[0] - 0.25).abs() < 1e-12);
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug)]
pub struct Decomposition {
    route: Route,
    sigma: Vec<f64>,
    coefficients: Vec<f64>,
    basis: Basis,
}

#[derive(Debug)]
enum Basis {
    /// U (n × r); a step is Jᵀ·U·(f(σ)/σ · Uᵀg).
    Left(Mat<f64>),
    /// V (p × r); a step is V·(f(σ) · Uᵀg).
    Right(Mat<f64>),
    /// V (p × r), of the normal equations; a step is V·(f(σ)/σ · Vᵀ·Jᵀg).
    Normal(Mat<f64>),
}

impl Decomposition {
    /// Decomposes the Jacobian of a linearization for its own g; see [`of`](Self::of).
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn new(
        at: &crate::Linearization<'_>,
        filter: &Filter,
        route: Route,
        accuracy: f64,
    ) -> Result<Self> {
        Self::of(at, &at.cotangent(), filter, route, accuracy)
    }

    /// Decomposes J for a given g (length n).
    ///
    /// `filter` tells how small the singular values are that will be asked for, and `accuracy` the
    /// relative error that a step may have on the Gram routes; filters asked later may have any
    /// exponent, but no smaller cut-off.
    ///
    /// # Errors
    /// The matrix is not finite, or the iteration did not converge.
    pub fn of(
        jacobian: &dyn Jacobian,
        g: &[f64],
        filter: &Filter,
        route: Route,
        accuracy: f64,
    ) -> Result<Self> {
        let route = route.resolve(filter, jacobian.rows(), jacobian.columns());
        let floor = Floor::new(filter, accuracy);
        match route {
            Route::Svd => Self::by_svd(&jacobian.transposed(), g),
            Route::Normal => {
                let transposed = jacobian.transposed();
                let gram = matrix::product(transposed.as_ref(), transposed.transpose());
                let product = |v: MatRef<'_, f64>| matrix::product(transposed.transpose(), v);
                let (sigma, v) = resolve(gram, "normal matrix", floor, &product)?;
                Ok(Self {
                    route,
                    coefficients: matrix::apply_transposed(v.as_ref(), &jacobian.vjp(g)),
                    sigma,
                    basis: Basis::Normal(v),
                })
            }
            Route::Auto | Route::Gram => {
                let product = |u: MatRef<'_, f64>| jacobian.vjps(u);
                let (sigma, u) = resolve(jacobian.gram(), "Gram matrix", floor, &product)?;
                Ok(Self {
                    route,
                    coefficients: matrix::apply_transposed(u.as_ref(), g),
                    sigma,
                    basis: Basis::Left(u),
                })
            }
        }
    }

    fn by_svd(transposed: &Mat<f64>, g: &[f64]) -> Result<Self> {
        let (p, n) = (transposed.nrows(), transposed.ncols());
        let size = n.min(p);
        let thin = svd::ComputeSvdVectors::Thin;
        let mut memory = MemBuffer::new(svd::svd_scratch::<f64>(
            p,
            n,
            thin,
            thin,
            Par::Seq,
            Default::default(),
        ));
        // Far from 1 the squares inside the iteration would overflow or vanish.
        let scale = power_of_two(transposed.norm_max());
        let scaled = faer::Scale(1.0 / scale) * transposed;
        let mut sigma = Diag::zeros(size);
        let (mut v, mut u) = (Mat::zeros(p, size), Mat::zeros(n, size));
        let failed = |reason: &str| Error::Decomposition {
            matrix: "Jacobian",
            size: n,
            reason: reason.into(),
        };
        if !transposed.norm_max().is_finite() {
            return Err(failed("it is not finite; try a smaller learning rate"));
        }
        svd::svd(
            scaled.as_ref(),
            sigma.as_mut(),
            Some(v.as_mut()),
            Some(u.as_mut()),
            Par::Seq,
            MemStack::new(&mut memory),
            Default::default(),
        )
        .map_err(|_| failed("the singular value iteration did not converge"))?;
        Ok(Self {
            route: Route::Svd,
            sigma: sigma.column_vector().iter().map(|s| s * scale).collect(),
            coefficients: matrix::apply_transposed(u.as_ref(), g),
            basis: Basis::Right(v),
        })
    }

    /// The route that was taken.
    pub fn route(&self) -> Route {
        self.route
    }

    /// Singular values, largest first; those below what was asked for may be missing or zero.
    pub fn singular_values(&self) -> &[f64] {
        &self.sigma
    }

    /// Number of singular values above `cutoff` times the largest.
    pub fn rank(&self, cutoff: f64) -> usize {
        let largest = self.sigma.first().copied().unwrap_or(0.0);
        self.sigma
            .iter()
            .filter(|sigma| **sigma > cutoff * largest)
            .count()
    }

    /// V·f(Σ)·Uᵀ·g (length p), the step's direction before -η.
    pub fn direction(&self, jacobian: &dyn Jacobian, filter: &Filter) -> Vec<f64> {
        let largest = self.sigma.first().copied().unwrap_or(0.0);
        let weigh = |f: &dyn Fn(f64) -> f64| -> Vec<f64> {
            let spectrum = self.sigma.iter().zip(&self.coefficients);
            spectrum.map(|(s, c)| f(*s) * c).collect()
        };
        let (weight, ratio) = (|s| filter.weight(s, largest), |s| filter.ratio(s, largest));
        match &self.basis {
            Basis::Left(u) => jacobian.vjp(&matrix::apply(u.as_ref(), &weigh(&ratio))),
            Basis::Right(v) => matrix::apply(v.as_ref(), &weigh(&weight)),
            Basis::Normal(v) => matrix::apply(v.as_ref(), &weigh(&ratio)),
        }
    }
}

/// How far down, and how well, a spectrum must be known.
#[derive(Debug, Clone, Copy)]
struct Floor {
    /// σ/σ_max below which nothing is asked.
    cutoff: f64,
    /// σ² below which only the sum σ² + damping is asked.
    damping: f64,
    /// Relative accuracy of a step.
    accuracy: f64,
}

// Error of an eigenvalue in units of ε·λ_max, with room for what deflation adds at each level;
// `tests/spectral.rs` holds the accuracy that follows against an independent SVD.
const EIGENVALUE_ERROR: f64 = 16.0;

impl Floor {
    fn new(filter: &Filter, accuracy: f64) -> Self {
        let damping = match filter.treatment {
            Treatment::Damp { damping } => damping,
            Treatment::Truncate { .. } | Treatment::Clamp { .. } => 0.0,
        };
        Self {
            cutoff: filter.floor(),
            damping,
            accuracy: accuracy.max(1e-13),
        }
    }

    /// The absolute error of the eigenvalues of a Gram matrix.
    fn error(largest: f64) -> f64 {
        EIGENVALUE_ERROR * f64::EPSILON * largest
    }

    /// The range of places whose eigenvalues (descending) must be resolved again.
    fn unresolved(&self, lambda: &[f64], top: f64) -> std::ops::Range<usize> {
        let error = Self::error(lambda[0]);
        let resolved = error / self.accuracy;
        let needed = self.cutoff * self.cutoff * top;
        let first = lambda.partition_point(|l| l + self.damping >= resolved);
        let last = lambda.partition_point(|l| l + error > needed);
        first..last.max(first)
    }
}

/// Singular values (descending) and vectors of J from its Gram matrix, with deflation.
///
/// `product` multiplies vectors of the Gram matrix's space by J (or Jᵀ): the squared lengths of the
/// products are the eigenvalues.
fn resolve(
    gram: Mat<f64>,
    name: &'static str,
    floor: Floor,
    product: &dyn Fn(MatRef<'_, f64>) -> Mat<f64>,
) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = gram.nrows();
    let (mut lambda, mut basis) = eigen(gram, name)?;
    let top = lambda.first().copied().unwrap_or(0.0).max(0.0);
    if top > 0.0 {
        let noise = f64::EPSILON * (n as f64).sqrt() * top.sqrt();
        let range = floor.unresolved(&lambda, top);
        if !range.is_empty() {
            let tail = basis.as_ref().subcols(range.start, range.len());
            let images = product(tail);
            let (values, rotation) = deflate(&images, floor, top, noise)?;
            let rotated = matrix::product(tail, rotation.as_ref());
            let mut target = basis.as_mut().subcols_mut(range.start, range.len());
            target.copy_from(&rotated);
            lambda[range].copy_from_slice(&values);
        }
    }
    let sigma = lambda.iter().map(|l| l.max(0.0).sqrt()).collect();
    Ok((sigma, basis))
}

/// Eigenvalues and vectors of imagesᵀ·images, resolved as deep as the images themselves are.
fn deflate(images: &Mat<f64>, floor: Floor, top: f64, noise: f64) -> Result<(Vec<f64>, Mat<f64>)> {
    let gram = matrix::product(images.transpose(), images.as_ref());
    let (mut lambda, mut basis) = eigen(gram, "deflated Gram matrix")?;
    if lambda[0] <= noise * noise {
        return Ok((vec![0.0; lambda.len()], basis));
    }
    let range = floor.unresolved(&lambda, top);
    if !range.is_empty() {
        let tail = basis.as_ref().subcols(range.start, range.len());
        let deeper = matrix::product(images.as_ref(), tail);
        let (values, rotation) = deflate(&deeper, floor, top, noise)?;
        let rotated = matrix::product(tail, rotation.as_ref());
        let mut target = basis.as_mut().subcols_mut(range.start, range.len());
        target.copy_from(&rotated);
        lambda[range].copy_from_slice(&values);
    }
    Ok((lambda, basis))
}

/// Eigenvalues (descending) and vectors of a symmetric matrix, of which the lower half is read.
fn eigen(mut gram: Mat<f64>, name: &'static str) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = gram.nrows();
    let failed = |reason: &str| Error::Decomposition {
        matrix: name,
        size: n,
        reason: reason.into(),
    };
    let largest = (0..n).fold(0.0_f64, |m, i| match gram[(i, i)].abs() {
        value if value.is_nan() => f64::NAN,
        value => m.max(value),
    });
    let finite = (0..n).all(|j| gram.col_as_slice(j)[j..].iter().all(|v| v.is_finite()));
    if !finite {
        return Err(failed("it is not finite; try a smaller learning rate"));
    }
    if largest == 0.0 {
        return Ok((vec![0.0; n], Mat::identity(n, n)));
    }
    // Far from 1 the squares inside the iteration would overflow or vanish.
    let scale = power_of_two(largest);
    for j in 0..n {
        for v in &mut gram.col_as_slice_mut(j)[j..] {
            *v /= scale;
        }
    }
    let mut lambda = Diag::zeros(n);
    let mut vectors = Mat::zeros(n, n);
    let mut memory = MemBuffer::new(evd::self_adjoint_evd_scratch::<f64>(
        n,
        evd::ComputeEigenvectors::Yes,
        Par::Seq,
        Default::default(),
    ));
    evd::self_adjoint_evd(
        gram.as_ref(),
        lambda.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| failed("the eigenvalue iteration did not converge"))?;
    let descending = lambda.column_vector().iter().rev().map(|l| l * scale);
    let vectors = vectors.as_ref().reverse_cols().to_owned();
    Ok((descending.collect(), vectors))
}

fn power_of_two(value: f64) -> f64 {
    if value > 0.0 && value.is_finite() {
        value.log2().round().clamp(-1000.0, 1000.0).exp2()
    } else {
        1.0
    }
}
