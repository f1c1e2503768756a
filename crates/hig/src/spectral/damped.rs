//! Damped Gauss-Newton directions, (JᵀJ + λ·1)⁻¹·Jᵀ·r, of one J for several λ.
//!
//! There are two ways to them. The *decomposition* of J takes longer than a Cholesky factor of K + λ·1
//! (or JᵀJ + λ·1 where p < n), answers for every λ, tells the spectrum, and wins back by deflation what rounding
//! takes from K. A *Cholesky factor* serves one λ: another one is another factor of the same K. Its answers are as
//! good as those of the decomposition without deflation, with a relative error of about ε·σ_max²/λ, so that
//! smaller λ than the asked accuracy allows for are left to the decomposition.

use super::decomposition::built;
use super::deflation::Floor;
use super::{Decomposition, Filter, Request, Route, Treatment, unit};
use crate::error::Result;
use crate::linalg::cholesky::Cholesky;
use crate::linalg::matrix::{Mat, dot, norm};
use crate::objective::Jacobian;
use crate::settings::Rule;
use crate::threads::in_pool;
use crate::timing::part;

/// How a damped system is solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Factorization {
    /// Where the route is `auto` too and takes K or JᵀJ of 250 rows on, [`Cholesky`](Self::Cholesky); or
    /// else [`Spectral`](Self::Spectral).
    Auto,
    /// By the decomposition of J, whatever route it takes.
    Spectral,
    /// By a Cholesky factor of K + λ·1, or of JᵀJ + λ·1 where p < n.
    Cholesky,
}

crate::choices! {
    Factorization, "factorization" {
        Auto = "auto", "a Cholesky factor where a decomposition takes long, in place of the route auto";
        Spectral = "spectral", "the decomposition of J, which tells its singular values";
        Cholesky = "cholesky", "a Cholesky factor for every damping, where that is accurate enough";
    }
}

/// Any of them, as a setting.
pub const ANY_FACTORIZATION: Rule<Factorization> = Rule::any();

/// The smaller side of J from which on `auto` takes Cholesky factors.
///
/// Measured on one core with AVX-512, decomposition and factors of an update of `lm`: 3.0 and 2.6 ms at p = 257, 14 and 7
/// at 449, 35 and 21 at 881, 49 and 22 at n = 1020; on one with AVX2 9 and 2.2 ms at p = 257. Below, the
/// spectrum is worth more than the time.
const FROM: usize = 250;

/// J and r, ready to be solved for any damping.
pub struct DampedSystem<'j> {
    request: &'j Request,
    jacobian: &'j dyn Jacobian,
    r: &'j [f64],
    way: Way<'j>,
}

/// Without the Jacobian, which may be too large to be written out.
impl std::fmt::Debug for DampedSystem<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DampedSystem")
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Way<'j> {
    Spectral(Decomposition<'j>),
    Cholesky(Factors),
}

impl Request {
    /// Readies J and r (length n) for dampings from `least` on.
    ///
    /// # Errors
    /// As [`Decomposition::of`].
    pub fn damped<'j>(
        &'j self,
        jacobian: &'j dyn Jacobian,
        r: &'j [f64],
        least: f64,
        factorization: Factorization,
    ) -> Result<DampedSystem<'j>> {
        let (rows, columns) = (jacobian.rows(), jacobian.columns());
        let route = self.route(&damped(least), rows, columns);
        let condensed = matches!(route, Route::Gram | Route::Normal);
        let long = self.settings.route == Route::Auto && rows.min(columns) >= FROM;
        let by_factors = match factorization {
            Factorization::Auto => condensed && long,
            Factorization::Spectral => false,
            Factorization::Cholesky => condensed,
        };
        let factors = match by_factors {
            true => in_pool(|| Factors::of(jacobian, r, route, self.settings.accuracy))?,
            false => None,
        };
        let way = match factors {
            Some(factors) => Way::Cholesky(factors),
            None => Way::Spectral(self.decompose(jacobian, r, &damped(least))?),
        };
        Ok(DampedSystem {
            request: self,
            jacobian,
            r,
            way,
        })
    }
}

impl DampedSystem<'_> {
    /// σ_max²; by Cholesky factors to about a tenth, from below.
    pub fn largest_square(&self) -> f64 {
        match &self.way {
            Way::Spectral(parts) => parts.largest().powi(2),
            Way::Cholesky(factors) => factors.top,
        }
    }

    /// The dampings to try: below the first, singular values that are the rounding of J decide, ε·σ_max each (on
    /// the route `lanczos`, that of its products); above the second, nothing is left of the step. By Cholesky
    /// factors none is so small that the rounding of K would be all of a step: where K is large, to win that back
    /// takes as long as many updates.
    pub fn bounds(&self) -> (f64, f64) {
        /// A damped step that errs by so much still goes down.
        const ROUGH: f64 = 0.1;
        let (top, rounding) = (self.largest_square(), f64::EPSILON);
        let least = match &self.way {
            Way::Spectral(parts) if parts.route() == Route::Lanczos => rounding * top,
            Way::Spectral(_) => self.jacobian.rows() as f64 * rounding * rounding * top,
            Way::Cholesky(_) => {
                Floor::least_damping(top, self.request.settings.accuracy.max(ROUGH))
            }
        };
        (least, top / rounding)
    }

    /// The system with a damping λ; none where it is not positive definite to rounding.
    ///
    /// # Errors
    /// As [`Decomposition::of`], where a factor is not accurate enough and J is decomposed after all.
    pub fn at(&mut self, damping: f64) -> Result<Option<Solve<'_>>> {
        let filter = damped(damping);
        if matches!(&self.way, Way::Cholesky(factors) if damping < factors.least) {
            let parts = self.request.decompose(self.jacobian, self.r, &filter)?;
            self.way = Way::Spectral(parts);
        }
        Ok(match &mut self.way {
            Way::Spectral(parts) => Some(Solve::filtered(parts, &filter)),
            Way::Cholesky(factors) => {
                let found = factors.factor(damping);
                found.then_some(Solve(Kind::Factored(factors, self.jacobian)))
            }
        })
    }

    /// How many singular directions carry the step of a damping (see
    /// [`participation`](super::Spectrum::participation)); none by Cholesky factors, which do not know them.
    pub fn participation(&self, damping: f64) -> Option<f64> {
        match &self.way {
            Way::Spectral(parts) => Some(parts.participation(&damped(damping))),
            Way::Cholesky(_) => None,
        }
    }

    /// Singular values, largest first, once nothing else will be asked; none by Cholesky factors.
    pub fn into_singular_values(self) -> Vec<f64> {
        match self.way {
            Way::Spectral(parts) => parts.into_singular_values(),
            Way::Cholesky(_) => Vec::new(),
        }
    }
}

fn damped(damping: f64) -> Filter {
    Filter {
        exponent: 1.0,
        treatment: Treatment::Damp { damping },
    }
}

/// What answers residuals with directions: a decomposition with a filter, or a damped system with its factor.
pub struct Solve<'a>(Kind<'a>);

enum Kind<'a> {
    Filtered(&'a Decomposition<'a>, Filter),
    Factored(&'a Factors, &'a dyn Jacobian),
}

impl std::fmt::Debug for Solve<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let way = match &self.0 {
            Kind::Filtered(_, filter) => format!("{filter:?}"),
            Kind::Factored(factors, _) => format!("damping {:e}", factors.damping),
        };
        f.debug_tuple("Solve").field(&way).finish()
    }
}

impl<'a> Solve<'a> {
    /// A decomposition that is asked with one filter.
    pub fn filtered(parts: &'a Decomposition<'a>, filter: &Filter) -> Self {
        Self(Kind::Filtered(parts, *filter))
    }

    /// The direction of the r that J was readied with (length p), see [`Decomposition::direction`].
    ///
    /// # Errors
    /// A simulator that fails.
    pub fn direction(&self) -> Result<Vec<f64>> {
        match &self.0 {
            Kind::Filtered(parts, filter) => parts.direction(filter),
            Kind::Factored(factors, jacobian) => {
                let _part = part!(DIRECTION);
                factors.direction(*jacobian, factors.solve(&factors.right))
            }
        }
    }

    /// The direction of another r (length n), see [`Decomposition::direction_of`].
    ///
    /// # Errors
    /// A simulator that fails.
    pub fn direction_of(&self, r: &[f64]) -> Result<Option<Vec<f64>>> {
        match &self.0 {
            Kind::Filtered(parts, filter) => parts.direction_of(filter, r),
            Kind::Factored(factors, jacobian) => {
                let _part = part!(DIRECTION);
                let solved = match factors.of_samples {
                    true => factors.solve(r),
                    false => factors.solve(&jacobian.vjp(r)?),
                };
                factors.direction(*jacobian, solved).map(Some)
            }
        }
    }

    /// Whether a direction can be had for another residual.
    pub fn answers_for_others(&self) -> bool {
        match &self.0 {
            Kind::Filtered(parts, _) => parts.answers_for_others(),
            Kind::Factored(..) => true,
        }
    }
}

/// K or JᵀJ with the factor of one damping.
#[derive(Debug)]
struct Factors {
    /// Whether it is K.
    of_samples: bool,
    /// Its lower half.
    gram: Mat<f64>,
    /// r, or Jᵀ·r.
    right: Vec<f64>,
    /// σ_max².
    top: f64,
    /// The least damping at which rounding leaves the asked accuracy.
    least: f64,
    damping: f64,
    factor: Option<Cholesky>,
}

impl Factors {
    /// None where the squares of J are far from 1, or not finite: a decomposition finds another unit, or tells
    /// what is wrong.
    fn of(jacobian: &dyn Jacobian, r: &[f64], route: Route, accuracy: f64) -> Result<Option<Self>> {
        let of_samples = route == Route::Gram;
        let gram = built(|| match of_samples {
            true => jacobian.gram(),
            false => jacobian.normal(),
        })?;
        let gram = gram.into_lower();
        let _part = part!(DECOMPOSE);
        let top = largest(&gram);
        if !unit::is_ordinary(top.sqrt()) {
            return Ok(None);
        }
        let right = match of_samples {
            true => r.to_vec(),
            false => jacobian.vjp(r)?,
        };
        Ok(Some(Self {
            of_samples,
            gram,
            right,
            top,
            least: Floor::least_damping(top, accuracy),
            damping: 0.0,
            factor: None,
        }))
    }

    /// Factors the system of a damping; false where it is not positive definite to rounding.
    fn factor(&mut self, damping: f64) -> bool {
        if self.factor.is_some() && self.damping == damping {
            return true;
        }
        let _part = part!(DECOMPOSE);
        let mut system = self.gram.clone();
        for i in 0..system.nrows() {
            system[(i, i)] += damping;
        }
        self.damping = damping;
        self.factor = in_pool(|| Cholesky::new(system));
        self.factor.is_some()
    }

    fn solve(&self, b: &[f64]) -> Vec<f64> {
        let factor = self.factor.as_ref();
        factor.expect("a system that was factored").solve(b)
    }

    /// The direction of what was solved for.
    fn direction(&self, jacobian: &dyn Jacobian, solved: Vec<f64>) -> Result<Vec<f64>> {
        match self.of_samples {
            true => jacobian.vjp(&solved),
            false => Ok(solved),
        }
    }
}

/// The largest eigenvalue of a matrix without negative ones, of which the lower half is read, from below: by the
/// power method, until the Rayleigh quotient grows by less than a tenth.
fn largest(gram: &Mat<f64>) -> f64 {
    const ITERATIONS: usize = 30;
    const GROWTH: f64 = 0.1;
    // Irrational weights: what cancels in their sum cancels in no other.
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let n = gram.nrows();
    let mut v: Vec<f64> = (1..=n).map(|i| (i as f64 * GOLDEN).fract() - 0.5).collect();
    let mut found = 0.0;
    for _ in 0..ITERATIONS {
        let length = norm(&v);
        v.iter_mut().for_each(|v| *v /= length);
        let mut image = vec![0.0; n];
        for j in 0..n {
            let column = &gram.col_as_slice(j)[j..];
            let (first, below) = image[j..]
                .split_first_mut()
                .expect("a column has its diagonal");
            *first += column[0] * v[j] + dot(&column[1..], &v[j + 1..]);
            for (t, a) in below.iter_mut().zip(&column[1..]) {
                *t += a * v[j];
            }
        }
        let quotient = dot(&v, &image);
        v = image;
        // What is no number does not grow either.
        let grows = quotient > found * (1.0 + GROWTH);
        if !grows {
            return quotient.max(found);
        }
        found = quotient;
    }
    found
}
