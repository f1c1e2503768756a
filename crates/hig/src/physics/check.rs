//! Checks that a user can run on their own simulator.

use super::{Real, Simulator};
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};

/// Largest relative errors that [`check`] found; NaN where a derivative is NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Report {
    /// Products J·v against central differences of the simulation, relative to their size.
    pub finite_difference: f64,
    /// |⟨J·v, w⟩ - ⟨v, Jᵀ·w⟩| relative to |J·v|·|w|.
    pub adjoint_identity: f64,
    /// Rows ∂y_i/∂u against the products with unit cotangents, relative to their size.
    pub rows: f64,
}

/// Compares a simulator's derivatives with central differences of its own simulation, its two
/// products with each other (⟨J·v, w⟩ = ⟨v, Jᵀ·w⟩), and its rows with its products, at the given
/// point and along fixed pseudo-random directions.
///
/// Central differences with step 1e-5 leave about 1e-8 for smooth systems; the other two are exact
/// up to rounding.
///
/// # Errors
/// States or controls of the wrong width, outputs that are not finite, a simulation that fails.
pub fn check(
    simulator: &dyn Simulator,
    state: MatRef<'_, f64>,
    control: MatRef<'_, f64>,
) -> Result<Report> {
    let widths = simulator.widths();
    for (what, given, expected) in [
        ("state", state.ncols(), widths.state),
        ("control", control.ncols(), widths.control),
    ] {
        if given != expected {
            return Err(Error::Shape {
                what: what.into(),
                found: format!("width {given}"),
                expected: format!("width {expected}"),
            });
        }
    }
    let record = simulator.record(state, control)?;
    let y = record.y();
    crate::linalg::matrix::check_finite("y", y)?;

    let v = directions(control.nrows(), control.ncols(), 0.7);
    let w = directions(y.nrows(), y.ncols(), 1.9);
    let jv = record.jvp(v.as_ref())?;
    let step = 1e-5 * (1.0 + control.norm_max());
    let shifted = |sign: f64| {
        let moved = Mat::from_fn(control.nrows(), control.ncols(), |i, j| {
            control[(i, j)] + sign * step * v[(i, j)]
        });
        simulator.simulate(state, moved.as_ref())
    };
    let (ahead, behind) = (shifted(1.0)?, shifted(-1.0)?);
    let difference = Mat::from_fn(y.nrows(), y.ncols(), |i, j| {
        (ahead[(i, j)] - behind[(i, j)]) / (2.0 * step)
    });

    let left = inner(&jv, &w);
    let right = inner(&v, &record.vjp(w.as_ref())?);
    let rows = record.rows()?;
    let mut worst_row = 0.0_f64;
    for i in 0..y.ncols() {
        let unit = Mat::from_fn(y.nrows(), y.ncols(), |_, j| f64::from(i == j));
        let expected = record.vjp(unit.as_ref())?;
        let found = rows.as_ref().subrows(i * y.nrows(), y.nrows());
        let error = (found - &expected).norm_l2();
        worst_row = Real::max(worst_row, error / divisor(expected.norm_l2()));
    }
    Ok(Report {
        finite_difference: (&jv - &difference).norm_l2() / divisor(difference.norm_l2()),
        adjoint_identity: (left - right).abs() / divisor(jv.norm_l2() * w.norm_l2()),
        rows: worst_row,
    })
}

fn directions(rows: usize, columns: usize, phase: f64) -> Mat<f64> {
    Mat::from_fn(rows, columns, |i, j| {
        (phase + 1.3 * i as f64 + 0.37 * (j * j) as f64).sin()
    })
}

/// A size to divide by: not 0, and NaN where the size is.
fn divisor(size: f64) -> f64 {
    Real::max(size, f64::MIN_POSITIVE)
}

fn inner(a: &Mat<f64>, b: &Mat<f64>) -> f64 {
    (0..a.ncols())
        .map(|j| crate::linalg::matrix::dot(a.col_as_slice(j), b.col_as_slice(j)))
        .sum()
}
