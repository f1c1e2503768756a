//! Corrections of a damped step by the residuals that it leads to.
//!
//! With A = √C·J, r = g/√C and H = AᵀA + μ of a batch, a damped step v is to lead from r to r + A·v. What it leads to
//! instead, r(θ + δ) = r + √C·(y(θ + δ) - y), tells the rest, and the same factor of H takes it away:
//!
//! ```text
//! e_k = r(θ + δ_k) - r - A·δ_k,     δ_(k+1) = v - H⁻¹·Aᵀ·e_k,
//! ```
//!
//! from δ_0 = v, or the end of its path with [geodesic acceleration](super::geodesic), which is δ_1 to second order. For
//! η = 1 its fixed point has Aᵀ·r(θ + δ) + μ·δ = 0: an implicit step of length 1/μ along the gradient flow with A
//! as it was, found by a simplified Newton method. Several steps with one J are those of Fan 2012 (Math. Comp. 81,
//! 447, "The modified Levenberg-Marquardt method for nonlinear equations with cubic convergence"), which solve for
//! r(θ + δ) anew and forget μ·δ.
//!
//! Of the trials that this makes, each of them one forward and one backward pass, a product J·δ and a solution with a
//! factor that is there, the lowest loss is taken.

use super::geodesic::Geodesic;
use crate::error::Result;
use crate::linalg::matrix::norm;
use crate::objective::{Linearized, curvature_roots};
use crate::spectral::{Rows, Solve};

/// From this part of the promised decrease on nothing is left to correct.
const ENOUGH: f64 = 0.95;

/// A correction that brings no more than this part of it is the last.
const LITTLE: f64 = 0.05;

/// Where the trials of one damping led.
#[derive(Debug)]
pub(super) struct Trial {
    /// Δθ with the lowest loss.
    pub(super) delta: Vec<f64>,
    /// What the loss falls by with it; not finite, or below 0, where no trial lowers it.
    pub(super) decrease: f64,
    /// How many corrections it has.
    pub(super) corrections: usize,
}

/// Tries a path and at most so many corrections of it, where a decrease is promised.
///
/// # Errors
/// A simulation that fails.
pub(super) fn tried(
    at: &dyn Linearized,
    rows: &Rows<'_>,
    solve: &Solve<'_>,
    path: &Geodesic,
    (promised, most): (f64, usize),
) -> Result<Trial> {
    let delta = path.change(1.0);
    let corrected = most > 0 && solve.answers_for_others();
    if !corrected {
        let decrease = at.loss() - at.loss_after(&delta)?;
        return Ok(Trial {
            delta,
            decrease,
            corrections: 0,
        });
    }
    let here = at.outputs();
    let roots = curvature_roots(at)?;
    let mut next = delta;
    let mut best: Option<Trial> = None;
    for corrections in 0..=most {
        let (loss, there) = at.loss_and_outputs_after(&next)?;
        let decrease = at.loss() - loss;
        let before = best.as_ref().map(|trial| trial.decrease);
        let more = before.map_or(f64::INFINITY, |before| decrease - before);
        let better = before.is_none_or(|before| decrease > before);
        if !better {
            break;
        }
        let last = decrease >= ENOUGH * promised || more < LITTLE * promised;
        let last = last || corrections == most || !decrease.is_finite();
        let delta = next.clone();
        best = Some(Trial {
            delta: next,
            decrease,
            corrections,
        });
        if last {
            break;
        }
        let outputs = there.iter().zip(&here).zip(&roots);
        let change = outputs.map(|((there, here), root)| root * (there - here));
        let mut rest = rows.of_all(change.collect());
        let linear = rows.jacobian().jvp(&delta)?;
        rest.iter_mut().zip(&linear).for_each(|(e, l)| *e -= l);
        let Some(correction) = solve.direction_of(&rest)? else {
            break;
        };
        next = path.velocity().to_vec();
        next.iter_mut().zip(&correction).for_each(|(d, c)| *d -= c);
        if !norm(&next).is_finite() {
            break;
        }
    }
    Ok(best.expect("the first trial is always one"))
}
