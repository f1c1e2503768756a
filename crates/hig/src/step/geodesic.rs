//! Geodesic acceleration: a correction of second order to a step (Transtrum and Sethna 2012,
//! "Improvements to the Levenberg-Marquardt algorithm for nonlinear least-squares minimization",
//! arXiv 1201.5885).
//!
//! With A = √C·J and r = g/√C (see [`whitened`](crate::objective::whitened)) a step v makes of the
//! residual r + A·v + ½·r'' to second order, where r'' = √C·y'' is its second directional derivative
//! along v. The acceleration
//!
//! ```text
//! a = -½·s·V·f(Σ)·Uᵀ·r'',      r'' ≈ 2/h·√C·((y(θ + h·v) - y(θ))/h - J·v),      h = 0.1
//! ```
//!
//! asks the same filter f, with the factor s that the method gives its directions, to take that last
//! part away: θ + t·v + t²·a is the parabola that the path of the method begins with. Of the loss only
//! C at θ is used. It is followed where 2|a|/|v| ≤ 0.75; along a shorter t·v that ratio is t times as
//! large. Where it is more, the source takes a shorter step, as a method with trials can (`lm`); the
//! others go along v alone.
//!
//! An objective that knows y'' exactly ([`second_along`](crate::objective::Linearized::second_along)), as
//! residuals of equations do by Taylor mode, is asked for it in place of the difference.
//!
//! It costs one forward pass, one product J·v and one direction of the decomposition that is there
//! already. [`Route::Lanczos`](crate::spectral::Route::Lanczos) has no direction for another residual:
//! there is no acceleration on it.

use crate::error::Result;
use crate::linalg::matrix::norm;
use crate::objective::{Linearized, curvature_roots};
use crate::spectral::{Rows, Solve};

/// h, the part of v after which y is looked at; the source's.
const AHEAD: f64 = 0.1;

/// The largest 2|a|/|v| at which a is followed; the source's.
const LIMIT: f64 = 0.75;

/// Differences of y up to this multiple of its last digit are rounding.
const ROUNDING: f64 = 16.0 * f64::EPSILON;

/// The parabola θ + t·v + t²·a.
#[derive(Debug, Clone)]
pub(super) struct Geodesic {
    velocity: Vec<f64>,
    acceleration: Option<Vec<f64>>,
    ratio: f64,
}

impl Geodesic {
    /// The line t·v.
    pub(super) fn straight(velocity: Vec<f64>) -> Self {
        Self {
            velocity,
            acceleration: None,
            ratio: 0.0,
        }
    }

    /// The parabola of a step v (length p) that was made with what solves for the √C·J of a batch;
    /// `factor` is what the method's directions of this filter are multiplied by, -v = factor·direction
    /// where v is nothing else: 1 for Gauss-Newton steps, also for shortened ones.
    ///
    /// There is no acceleration where y is not finite ahead, where y'' is lost in the rounding of y, and
    /// where nothing answers for another residual.
    ///
    /// # Errors
    /// A simulator that fails.
    pub(super) fn of(
        at: &dyn Linearized,
        rows: &Rows<'_>,
        solve: &Solve<'_>,
        factor: f64,
        velocity: Vec<f64>,
    ) -> Result<Self> {
        let straight = Self::straight(velocity);
        if !solve.answers_for_others() {
            return Ok(straight);
        }
        let velocity = &straight.velocity;
        let Some(bend) = second_derivative(at, rows, velocity)? else {
            return Ok(straight);
        };
        let Some(mut acceleration) = solve.direction_of(&bend)? else {
            return Ok(straight);
        };
        acceleration.iter_mut().for_each(|a| *a *= -0.5 * factor);
        let ratio = 2.0 * norm(&acceleration) / norm(velocity);
        Ok(match ratio.is_finite() {
            true => Self {
                acceleration: Some(acceleration),
                ratio,
                ..straight
            },
            false => straight,
        })
    }

    /// v.
    pub(super) fn velocity(&self) -> &[f64] {
        &self.velocity
    }

    /// 2|a|/|v| at t = 1; 0 where there is no acceleration.
    pub(super) fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Whether t·v + t²·a is followed; the line of a path without acceleration is.
    pub(super) fn is_followed(&self, t: f64) -> bool {
        t * self.ratio <= LIMIT
    }

    /// t·v + t²·a, or t·v alone where a is not followed.
    pub(super) fn change(&self, t: f64) -> Vec<f64> {
        let line = self.velocity.iter().map(|v| t * v);
        match &self.acceleration {
            Some(a) if self.is_followed(t) => line.zip(a).map(|(v, a)| v + t * t * a).collect(),
            _ => line.collect(),
        }
    }
}

/// √C·y'' along v (length n, or the combinations of it that the rows are); none where it is not finite or
/// lost in rounding.
fn second_derivative(
    at: &dyn Linearized,
    rows: &Rows<'_>,
    velocity: &[f64],
) -> Result<Option<Vec<f64>>> {
    if let Some(second) = at.second_along(velocity)? {
        let whitened = second
            .iter()
            .zip(curvature_roots(at)?)
            .map(|(y, root)| root * y);
        let bend = rows.of_all(whitened.collect());
        return Ok(norm(&bend).is_finite().then_some(bend));
    }
    let ahead: Vec<f64> = velocity.iter().map(|v| AHEAD * v).collect();
    let (here, there) = (at.outputs(), at.outputs_after(&ahead)?);
    let roots = curvature_roots(at)?;
    if rows.are_sketched() {
        let pairs = here.iter().zip(&there).zip(&roots);
        let (change, sizes): (Vec<f64>, Vec<f64>) = pairs
            .map(|((here, there), root)| {
                let sum = here.abs() + there.abs();
                (root * (there - here) / AHEAD, root * sum / AHEAD)
            })
            .unzip();
        let slope = rows.jacobian().jvp(velocity)?;
        let change = rows.of_all(change);
        let bend: Vec<f64> = change.iter().zip(&slope).map(|(c, s)| c - s).collect();
        return Ok(known(bend, norm(&sizes) + norm(&slope)));
    }
    let slope = at.jvp(velocity)?;
    let outputs = here.iter().zip(&there).zip(&slope).zip(&roots);
    let bend: Vec<f64> = outputs
        .clone()
        .map(|(((here, there), slope), root)| root * ((there - here) / AHEAD - slope))
        .collect();
    let sizes: Vec<f64> = outputs
        .map(|(((here, there), slope), root)| {
            root * ((here.abs() + there.abs()) / AHEAD + slope.abs())
        })
        .collect();
    Ok(known(bend, norm(&sizes)))
}

/// √C·y'' of what y differs by from its tangent ahead; none where it is not finite or lost in the rounding
/// of numbers of that size.
fn known(bend: Vec<f64>, size_of_terms: f64) -> Option<Vec<f64>> {
    let size = norm(&bend);
    let known = size.is_finite() && size > ROUNDING * size_of_terms;
    known.then(|| bend.iter().map(|b| 2.0 / AHEAD * b).collect())
}
