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
//! A third one is iterative and needs neither matrix:
//!
//! - **Lanczos**: products J·(Jᵀ·v) span the Krylov space of g, in which f(K)·g is approximated to an
//!   asked relative error; memory n·m for m products. Ill-conditioned batches need many of them, and
//!   without deflation singular values below about 1e-7·σ_max are rounding.
//!
//! `auto` takes the Gram route, on the smaller side, for truncation at τ ≥ 1e-12 and for damping,
//! and Lanczos where that side is too large for the memory or the patience of a user.
//! It takes the SVD for clamping, which weights directions that are pure rounding on the Gram route,
//! and for smaller τ, where σ itself is rounding.

use super::deflation::{Eigenbasis, Floor, resolve};
use super::lanczos::{Krylov, Ritz, lanczos};
use super::svd::ThinSvd;
use super::{Route, unit};
use crate::diagnostics;
use crate::error::{Error, Result};
use crate::linalg::matrix::{self, Mat, MatRef, power_of_two};
use crate::objective::{Consumes, Jacobian};
use crate::spectral::Filter;
use crate::threads::in_pool;
use crate::timing::part;

/// The singular values of J with what a step of any filter needs.
///
/// ```
/// use hig::linalg::Mat;
/// use hig::objective::ExplicitJacobian;
/// use hig::spectral::{Decomposition, Filter, Route};
/// // J = diag(4, 1), g = (1, 1): the half-inverse step direction is (1/2, 1).
/// let j = ExplicitJacobian::new(&Mat::from_fn(2, 2, |i, j| [[4., 0.], [0., 1.]][i][j]));
/// let half = Filter::truncated(0.5, 1e-6);
/// let parts = Decomposition::of(&j, &[1.0, 1.0], &half, Route::Auto, 1e-6)?;
/// let direction = parts.direction(&half)?;
/// assert!((direction[0] - 0.5).abs() < 1e-12 && (direction[1] - 1.0).abs() < 1e-12);
/// // Another exponent costs one backward pass.
/// let newton = parts.direction(&Filter::truncated(1.0, 1e-6))?;
/// assert!((newton[0] - 0.25).abs() < 1e-12);
/// # Ok::<(), hig::Error>(())
/// ```
pub struct Decomposition<'j> {
    /// The J that was decomposed: the given one, or it divided by the unit.
    jacobian: Held<'j>,
    spectrum: Spectrum,
}

/// Without the Jacobian, which may be too large to be written out.
impl std::fmt::Debug for Decomposition<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decomposition")
            .field("spectrum", &self.spectrum)
            .finish_non_exhaustive()
    }
}

/// A Jacobian, borrowed or owned.
pub(super) enum Held<'j> {
    Given(&'j dyn Jacobian),
    Own(Box<dyn Jacobian + 'j>),
}

impl Held<'_> {
    pub(super) fn get(&self) -> &dyn Jacobian {
        match self {
            Self::Given(jacobian) => *jacobian,
            Self::Own(jacobian) => jacobian.as_ref(),
        }
    }
}

impl<'j> Decomposition<'j> {
    /// Decomposes J for a given g (length n).
    ///
    /// `filter` tells how small the singular values are that will be asked for, and `accuracy` the
    /// relative error that a step may have on the routes other than the SVD; filters asked later may
    /// have any exponent, but no smaller cut-off.
    ///
    /// # Errors
    /// The matrix is not finite, or the iteration did not converge; a simulator that fails.
    pub fn of(
        jacobian: &'j dyn Jacobian,
        g: &[f64],
        filter: &Filter,
        route: Route,
        accuracy: f64,
    ) -> Result<Self> {
        let vectors = Consumes::VECTORS;
        Self::within(vectors, jacobian, g, filter, route, accuracy)
    }

    /// The same with at most so many vectors on the route `lanczos`, whatever their step's estimated error
    /// ([`krylov`](Spectrum::krylov)) is then.
    ///
    /// # Errors
    /// As [`of`](Self::of).
    pub fn within(
        vectors: usize,
        jacobian: &'j dyn Jacobian,
        g: &[f64],
        filter: &Filter,
        route: Route,
        accuracy: f64,
    ) -> Result<Self> {
        let accuracy = Accuracy {
            error: accuracy,
            vectors,
        };
        let route = route.resolve(filter, jacobian.rows(), jacobian.columns(), usize::MAX);
        let _part = part!(DECOMPOSE);
        let parts = in_pool(|| {
            let found = Spectrum::of(jacobian, 1.0, g, filter, route, accuracy);
            let ordinary = found.as_ref().is_ok_and(|f| unit::is_ordinary(f.largest()));
            let given = |spectrum| Self {
                jacobian: Held::Given(jacobian),
                spectrum,
            };
            // The SVD of J squares nothing.
            if ordinary || route == Route::Svd {
                return found.map(given);
            }
            let Some(unit) = unit::of(jacobian)? else {
                return found.map(given);
            };
            let scaled = jacobian.scaled_rows(&vec![1.0 / unit; jacobian.rows()])?;
            let spectrum = Spectrum::of(scaled.as_ref(), unit, g, filter, route, accuracy)?;
            Ok(Self {
                jacobian: Held::Own(scaled),
                spectrum,
            })
        })?;
        tracing::debug!(
            route = ?parts.route(),
            rows = jacobian.rows(),
            columns = jacobian.columns(),
            rank = parts.rank(filter.floor()),
            largest = parts.largest(),
            "decomposed"
        );
        Ok(parts)
    }

    /// V·f(Σ)·Uᵀ·g (length p), the step's direction before -η: one backward pass, or none where V is
    /// there.
    ///
    /// # Errors
    /// A simulator that fails.
    pub fn direction(&self, filter: &Filter) -> Result<Vec<f64>> {
        let _part = part!(DIRECTION);
        match self.spectrum.step(filter) {
            Space::Parameters(direction) => Ok(direction),
            Space::Samples(w) => self.jacobian.get().vjp(&w),
        }
    }

    /// V·f(Σ)·Uᵀ·r (length p) for another r (length n) than the g that J was decomposed with: the
    /// same as [`direction`](Self::direction), and for the route `normal` a backward pass more.
    ///
    /// None where it does not [answer for others](Spectrum::answers_for_others).
    ///
    /// # Errors
    /// A simulator that fails.
    pub fn direction_of(&self, filter: &Filter, r: &[f64]) -> Result<Option<Vec<f64>>> {
        let _part = part!(DIRECTION);
        let jacobian = self.jacobian.get();
        let coefficients = match &self.spectrum.basis {
            Basis::Left(u) => u.project(r),
            Basis::Normal(v) => v.project(&jacobian.vjp(r)?),
            Basis::Right { u, .. } => matrix::apply_transposed(u.as_ref(), r),
            Basis::Krylov(_) => return Ok(None),
        };
        match self.spectrum.step_of(filter, &coefficients) {
            Space::Parameters(direction) => Ok(Some(direction)),
            Space::Samples(w) => jacobian.vjp(&w).map(Some),
        }
    }

    /// The first left singular vectors (n × count), those of the largest singular values, of which `count` must
    /// not be 0. None on the route `lanczos`.
    ///
    /// # Errors
    /// A simulator that fails.
    pub fn left_vectors(&self, count: usize) -> Result<Option<Mat<f64>>> {
        let _part = part!(DIRECTION);
        Ok(match &self.spectrum.basis {
            Basis::Left(u) => Some(u.first(count)),
            Basis::Right { u, .. } => Some(u.get(.., ..count).to_owned()),
            Basis::Normal(v) => {
                let (jacobian, v) = (self.jacobian.get(), v.first(count));
                let mut left = Mat::zeros(jacobian.rows(), count);
                for k in 0..count {
                    let image = jacobian.jvp(v.col_as_slice(k))?;
                    let length = matrix::norm(&image);
                    let target = left.col_as_slice_mut(k).iter_mut();
                    target.zip(&image).for_each(|(u, i)| *u = i / length);
                }
                Some(left)
            }
            Basis::Krylov(_) => None,
        })
    }

    /// The spectrum alone.
    pub fn into_spectrum(self) -> Spectrum {
        self.spectrum
    }

    /// Singular values, largest first, once nothing else will be asked.
    pub fn into_singular_values(self) -> Vec<f64> {
        self.spectrum.sigma
    }
}

/// Singular values beyond the other side of J are 0: what a Gram matrix of the longer side has there is rounding, of
/// which a clamped direction would have the weight of one that is not.
fn zero_beyond(other_side: usize, sigma: &mut [f64]) {
    sigma.iter_mut().skip(other_side).for_each(|s| *s = 0.0);
}

/// What is known of J without J itself may be asked of its decomposition too.
impl std::ops::Deref for Decomposition<'_> {
    type Target = Spectrum;

    fn deref(&self) -> &Spectrum {
        &self.spectrum
    }
}

/// The singular values of J, g in its left singular vectors, and what leads from there to a step.
#[derive(Debug)]
pub struct Spectrum {
    pub(super) route: Route,
    /// What J was divided by before it was decomposed; 1 for an ordinary J.
    pub(super) unit: f64,
    pub(super) sigma: Vec<f64>,
    pub(super) coefficients: Vec<f64>,
    pub(super) basis: Basis,
}

#[derive(Debug)]
pub(super) enum Basis {
    /// U, of K; a step is Jᵀ·U·(f(σ)/σ · Uᵀg).
    Left(Eigenbasis),
    /// V, of JᵀJ; a step is V·(f(σ)/σ · Vᵀ·Jᵀg).
    Normal(Eigenbasis),
    /// U (n × r) and V (p × r), of the SVD; a step is V·(f(σ) · Uᵀg).
    Right { u: Mat<f64>, v: Mat<f64> },
    /// The Krylov space of g under K; a step is Jᵀ·Q·Z·(f(σ)/σ · Zᵀ·e₁·|g|).
    Krylov(Krylov),
}

/// How good a step is asked for.
#[derive(Clone, Copy)]
pub(super) struct Accuracy {
    /// Relative error.
    pub(super) error: f64,
    /// The most vectors of a Krylov space.
    pub(super) vectors: usize,
}

impl Spectrum {
    fn of(
        jacobian: &dyn Jacobian,
        unit: f64,
        g: &[f64],
        filter: &Filter,
        route: Route,
        accuracy: Accuracy,
    ) -> Result<Self> {
        let floor = Floor::new(filter, unit, accuracy.error);
        let (mut sigma, coefficients, basis) = match route {
            Route::Svd => by_svd(&built(|| jacobian.transposed())?, g)?,
            Route::Normal => {
                let normal = || built(|| jacobian.normal());
                let images = |v: MatRef<'_, f64>| jacobian.normal_image_gram(v);
                let (mut sigma, v) = resolve(&normal, "normal matrix", floor, &images)?;
                zero_beyond(jacobian.rows(), &mut sigma);
                (sigma, v.project(&jacobian.vjp(g)?), Basis::Normal(v))
            }
            Route::Auto | Route::Gram => {
                let gram = || built(|| jacobian.gram());
                let images = |u: MatRef<'_, f64>| jacobian.image_gram(u);
                let (mut sigma, u) = resolve(&gram, "Gram matrix", floor, &images)?;
                zero_beyond(jacobian.columns(), &mut sigma);
                (sigma, u.project(g), Basis::Left(u))
            }
            Route::Lanczos => {
                let Ritz {
                    sigma,
                    coefficients,
                    krylov,
                } = lanczos(jacobian, unit, g, filter, accuracy)?;
                (sigma, coefficients, Basis::Krylov(krylov))
            }
        };
        sigma.iter_mut().for_each(|sigma| *sigma *= unit);
        if sigma.first().is_some_and(|largest| !largest.is_finite()) {
            return Err(Error::Decomposition {
                matrix: "Jacobian",
                size: g.len(),
                reason: "its largest singular value is beyond the range of numbers".into(),
            });
        }
        Ok(Self {
            route,
            unit,
            sigma,
            coefficients,
            basis,
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

    /// The largest singular value; 0 where there is none.
    pub fn largest(&self) -> f64 {
        self.sigma.first().copied().unwrap_or(0.0)
    }

    /// Number of singular values above `cutoff` times the largest.
    pub fn rank(&self, cutoff: f64) -> usize {
        let largest = self.largest();
        self.sigma
            .iter()
            .filter(|sigma| **sigma > cutoff * largest)
            .count()
    }

    /// Whether a direction can be had for another residual than g: on every route but `lanczos`, whose
    /// space is the Krylov space of g.
    pub fn answers_for_others(&self) -> bool {
        !matches!(self.basis, Basis::Krylov(_))
    }

    /// On the Lanczos route, the number of vectors and the estimated relative error of a step with
    /// the filter of the decomposition.
    pub fn krylov(&self) -> Option<(usize, f64)> {
        match &self.basis {
            Basis::Krylov(krylov) => Some((krylov.vectors(), krylov.error())),
            _ => None,
        }
    }

    /// What is worth telling about a step: the rank kept, and what Lanczos took.
    pub fn diagnostics(&self, filter: &Filter) -> Vec<(&'static str, f64)> {
        let rank = self.rank(filter.floor()) as f64;
        let mut told = vec![
            diagnostics::RANK.of(rank),
            diagnostics::PARTICIPATION.of(self.participation(filter)),
        ];
        if let Some((vectors, error)) = self.krylov() {
            told.push(diagnostics::VECTORS.of(vectors as f64));
            // Of one or two vectors nothing is known.
            told.extend(error.is_finite().then(|| diagnostics::ERROR.of(error)));
        }
        told
    }

    /// The step of a filter, in the space where it is known.
    fn step(&self, filter: &Filter) -> Space {
        self.step_of(filter, &self.coefficients)
    }

    /// The same for what has these coefficients in place of g.
    fn step_of(&self, filter: &Filter, coefficients: &[f64]) -> Space {
        let largest = self.largest();
        let weighted = |f: &dyn Fn(f64) -> f64| -> Vec<f64> {
            let pairs = self.sigma.iter().zip(coefficients);
            pairs.map(|(s, c)| f(*s) * c).collect()
        };
        let ratios = || weighted(&|s| filter.ratio(s, largest, self.unit));
        match &self.basis {
            Basis::Left(u) => Space::Samples(u.combine(&ratios())),
            Basis::Krylov(q) => Space::Samples(q.combine(&ratios())),
            Basis::Normal(v) => Space::Parameters(v.combine(&ratios())),
            Basis::Right { v, .. } => {
                let weights = weighted(&|s| filter.weight(s, largest));
                Space::Parameters(matrix::apply(v.as_ref(), &weights))
            }
        }
    }

    /// The minimum of the quadratic model of a squared loss against the direction d of a filter, from
    /// the spectrum alone: the length g·Jd / |Jd|², and the decrease ½·(g·Jd)² / |Jd|² that it brings.
    pub fn line_minimum(&self, filter: &Filter) -> (f64, f64) {
        let components = self.components(filter);
        let images = self.sigma.iter().zip(&components).map(|(s, d)| s * d);
        let largest = images.fold(0.0_f64, |most, image| most.max(image.abs()));
        if largest == 0.0 {
            return (0.0, 0.0);
        }
        // Its squares may be out of range where the length and the decrease are not.
        let unit = power_of_two(largest);
        let normal = matches!(self.basis, Basis::Normal(_));
        let spectrum = self.sigma.iter().zip(&self.coefficients);
        let parts = components.iter().zip(spectrum).map(|(d, (s, c))| {
            let (d, s_c) = (d / unit, if normal { self.unit * c } else { s * c });
            (s_c * d, (s * d) * (s * d))
        });
        let (slope, square) = parts.fold((0.0, 0.0), |(a, b), (c, d)| (a + c, b + d));
        let length = slope / square;
        (length / unit, 0.5 * length * slope)
    }

    /// How many singular directions carry the step of a filter: with aₖ its component along the k-th
    /// right singular vector, the participation ratio (Σ aₖ²)² / Σ aₖ⁴ (Bell and Dean 1970,
    /// doi 10.1039/DF9705000055). It is 1 for a step along one direction, m for one that has equal
    /// parts of m directions, and 0 for none.
    pub fn participation(&self, filter: &Filter) -> f64 {
        let components = self.components(filter);
        let largest = components.iter().fold(0.0_f64, |most, a| most.max(a.abs()));
        if largest == 0.0 {
            return 0.0;
        }
        // Relative to the largest one, whose fourth power may be out of range.
        let shares = components.iter().map(|a| (a / largest).powi(2));
        let (sum, squares) = shares.fold((0.0, 0.0), |(s, q), e| (s + e, q + e * e));
        sum * sum / squares
    }

    /// The components of the direction of a filter along the right singular vectors.
    fn components(&self, filter: &Filter) -> Vec<f64> {
        match &self.basis {
            // Here the coefficients are those of Jᵀ·g = V·Σ·(Uᵀ·g), in the unit.
            Basis::Normal(_) => self.weighted(|s, top| filter.ratio(s, top, self.unit)),
            _ => self.weighted(|s, top| filter.weight(s, top)),
        }
    }

    /// The vector c (length n) that the direction is Jᵀ·c of: f(K)·g. None on the routes that work
    /// in the space of the parameters.
    pub fn sample_weights(&self, filter: &Filter) -> Option<Vec<f64>> {
        let ratios = || self.weighted(|s, top| filter.ratio(s, top, self.unit) / self.unit);
        match &self.basis {
            Basis::Left(u) => Some(u.combine(&ratios())),
            Basis::Krylov(q) => Some(q.combine(&ratios())),
            Basis::Normal(_) | Basis::Right { .. } => None,
        }
    }

    /// The coefficients of g, each times f(σ, σ_max).
    fn weighted(&self, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let largest = self.largest();
        let spectrum = self.sigma.iter().zip(&self.coefficients);
        spectrum.map(|(s, c)| f(*s, largest) * c).collect()
    }
}

/// A direction, or the w (length n) that it is Jᵀ·w of, for the J that was decomposed.
enum Space {
    Parameters(Vec<f64>),
    Samples(Vec<f64>),
}

/// The matrix that is decomposed, while its building is a part of its own.
pub(super) fn built<M>(matrix: impl FnOnce() -> Result<M>) -> Result<M> {
    let _part = part!(GRAM);
    matrix()
}

/// σ, Uᵀ·g and V of the thin SVD of J, given Jᵀ.
fn by_svd(transposed: &Mat<f64>, g: &[f64]) -> Result<(Vec<f64>, Vec<f64>, Basis)> {
    let ThinSvd { sigma, u, v } = ThinSvd::new(transposed)?;
    let coefficients = matrix::apply_transposed(u.as_ref(), g);
    Ok((sigma, coefficients, Basis::Right { u, v }))
}
