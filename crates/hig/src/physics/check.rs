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
    /// y and Jᵀ·w of each sample alone, and of a batch that has every sample twice, against those of the
    /// batch, relative to their size.
    pub batches: f64,
    /// y and Jᵀ·w after the simulator was asked about other controls and another batch size, against
    /// those before, relative to their size.
    pub elsewhere: f64,
}

impl Report {
    /// What is broken, one sentence each; empty for a simulator that can be trained with.
    pub fn faults(&self) -> Vec<String> {
        // Rounding, and the error of central differences of a function that is hardly smooth.
        const EXACT: f64 = 1e-8;
        const DIFFERENCE: f64 = 1e-3;
        let broken = |error: f64, limit: f64, says: &str| {
            // NaN is no small error.
            let within = error <= limit;
            (!within).then(|| format!("{says} (relative error {error:.1e})"))
        };
        [
            broken(
                self.finite_difference,
                DIFFERENCE,
                "its derivatives are not those of its simulation: they differ from central differences",
            ),
            broken(
                self.adjoint_identity,
                EXACT,
                "its products contradict each other: <J*v, w> is not <v, J'*w>",
            ),
            broken(
                self.rows,
                EXACT,
                "the rows of its Jacobian are not its products with unit vectors",
            ),
            broken(
                self.batches,
                EXACT,
                "its answer for a sample depends on the batch: alone, or repeated, the sample gives \
                 another one",
            ),
            broken(
                self.elsewhere,
                EXACT,
                "its answer depends on what it was asked before: it must use the state and the control \
                 of the call, not those of the last simulation",
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Compares a simulator's derivatives with central differences of its own simulation, its two
/// products with each other (⟨J·v, w⟩ = ⟨v, Jᵀ·w⟩), and its rows with its products, at the given
/// point and along fixed pseudo-random directions; and its answers with those for other batches and in
/// another order of questions, as a training asks them. [`Report::faults`] says what is broken.
///
/// Central differences with step 1e-5 leave about 1e-8 for smooth systems; the others are exact
/// up to rounding.
///
/// # Errors
/// States or controls of the wrong width, outputs that are not finite, a simulation that fails; where it
/// fails for another batch than the given one, the message says for which.
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

    let (batches, elsewhere) = contract(simulator, state, control, y)?;
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
        batches,
        elsewhere,
    })
}

/// The answers for a sample alone, for a batch that has every sample twice, and after the simulator was
/// asked about something else, against y and Jᵀ·w of the batch: the worst for other batches, and the
/// worst in another order.
fn contract(
    simulator: &dyn Simulator,
    state: MatRef<'_, f64>,
    control: MatRef<'_, f64>,
    y: &Mat<f64>,
) -> Result<(f64, f64)> {
    let samples = control.nrows();
    if samples == 0 {
        return Ok((0.0, 0.0));
    }
    let w = directions(y.nrows(), y.ncols(), 1.9);
    let asked = |state: &Mat<f64>, control: &Mat<f64>, w: &Mat<f64>| {
        let record = simulator.record(state.as_ref(), control.as_ref())?;
        Ok((record.y().clone(), record.vjp(w.as_ref())?))
    };
    let (given, at) = (state.to_owned(), control.to_owned());
    let (_, pulled) = asked(&given, &at, &w)?;
    let mut batches = 0.0_f64;
    let mut compare = |chosen: &[usize], what: &str| {
        let rows = |m: &Mat<f64>| crate::linalg::matrix::gather_rows(m, chosen);
        let (found, product) = asked(&rows(&given), &rows(&at), &rows(&w))
            .map_err(|error| error.asked(&format!("asked about {what}")))?;
        for (found, expected) in [(found, rows(y)), (product, rows(&pulled))] {
            batches = Real::max(batches, difference(&found, &expected));
        }
        Ok::<(), Error>(())
    };
    let twice: Vec<usize> = (0..2 * samples).map(|row| row / 2).collect();
    compare(&twice, "a batch that has every sample twice")?;
    for sample in 0..samples.min(3) {
        compare(&[sample], "one sample alone")?;
    }
    // Rows of J may be asked with every sample repeated once a component of y.
    let record = simulator.record(state, control)?;
    let all = "the Jacobian of every sample (by products alone: with every sample repeated)";
    let rows = record
        .rows()
        .map_err(|error| error.asked(&format!("asked about {all}")))?;
    let by_rows = super::rows_transposed_times(&rows, w.as_ref());
    batches = Real::max(batches, difference(&by_rows, &pulled));

    let record = simulator.record(state, control)?;
    let elsewhere = Mat::from_fn(1, control.ncols(), |_, j| 0.9 * control[(0, j)] + 0.1);
    simulator.simulate(state.subrows(0, 1), elsewhere.as_ref())?;
    let after = record
        .vjp(w.as_ref())
        .map_err(|error| error.asked("asked for a derivative away from its last simulation"))?;
    let again = simulator.simulate(state, control)?;
    let worst = Real::max(difference(&after, &pulled), difference(&again, y));
    Ok((batches, worst))
}

/// The relative difference of a matrix from an expected one.
fn difference(found: &Mat<f64>, expected: &Mat<f64>) -> f64 {
    if (found.nrows(), found.ncols()) != (expected.nrows(), expected.ncols()) {
        return f64::INFINITY;
    }
    (found - expected).norm_l2() / divisor(expected.norm_l2())
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
