//! The step alone, for a J or a K given as an array.

use crate::arrays::{Array2, by_columns, matrix, transposed, vector};
use crate::errors::raise;
use crate::settings::{Assignments, assign};
use crate::worker;
use hig::linalg::{Mat, MatRef};
use hig::objective::{ExplicitJacobian, Jacobian};
use hig::spectral::{Spectrum, filtered_inverse};
use hig::step::Spectral;
use hig::{Error, Result};
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

type Array1<'py> = Bound<'py, PyArray1<f64>>;

/// n·p·min(n, p) from which on work takes so long that Ctrl-C must not wait for it: the array is
/// then copied, which takes a small part of that time, and the work can be left behind.
const LONG: f64 = 1e9;

fn spectral(settings: Assignments) -> PyResult<Spectral> {
    let mut spectral = Spectral::half_inverse();
    assign(&mut spectral, &settings)?;
    Ok(spectral)
}

/// Runs `work` on Jᵀ: in place where it is short, on a copy where it is long.
fn on_jacobian<R: Send + 'static>(
    py: Python<'_>,
    jacobian: &PyReadonlyArray2<'_, f64>,
    work: impl FnOnce(MatRef<'_, f64>) -> Result<R> + Send + 'static,
) -> PyResult<R> {
    let transposed = transposed(jacobian)?;
    let (p, n) = (transposed.nrows(), transposed.ncols());
    let result = if (n * p) as f64 * (n.min(p) as f64) < LONG {
        worker::detached(py, || work(transposed))?
    } else {
        let copy = transposed.to_owned();
        worker::alone(py, move || work(copy.as_ref()))?
    };
    result.map_err(raise)
}

fn check_finite(transposed: MatRef<'_, f64>) -> Result<()> {
    for (row, entries) in transposed.col_iter().enumerate() {
        for (column, &value) in entries.iter().enumerate() {
            if !value.is_finite() {
                return Err(Error::NonFinite {
                    what: "jacobian".into(),
                    value,
                    row,
                    column,
                });
            }
        }
    }
    Ok(())
}

fn check_gradient(gradient: &[f64], rows: usize) -> Result<()> {
    if gradient.len() != rows {
        return Err(Error::Shape {
            what: "gradient".into(),
            found: format!("({},)", gradient.len()),
            expected: format!("({rows},), one number for each row"),
        });
    }
    let column = Mat::from_fn(rows, 1, |i, _| gradient[i]);
    hig::linalg::check_finite("gradient", &column)
}

/// V·f(Σ)·Uᵀ (p, n).
#[pyfunction]
pub fn half_inverse<'py>(
    py: Python<'py>,
    jacobian: PyReadonlyArray2<'py, f64>,
    settings: Assignments,
) -> PyResult<Array2<'py>> {
    let filter = spectral(settings)?.filter();
    let inverse = on_jacobian(py, &jacobian, move |transposed| {
        check_finite(transposed)?;
        filtered_inverse(&ExplicitJacobian::borrowed(transposed), &filter)
    })?;
    by_columns(py, inverse.as_ref())
}

/// V·f(Σ)·Uᵀ·g (p,).
#[pyfunction]
pub fn spectral_step<'py>(
    py: Python<'py>,
    jacobian: PyReadonlyArray2<'py, f64>,
    gradient: PyReadonlyArray1<'py, f64>,
    settings: Assignments,
) -> PyResult<Array1<'py>> {
    let (spectral, g) = (spectral(settings)?, vector(&gradient)?);
    let step = on_jacobian(py, &jacobian, move |transposed| {
        let jacobian = ExplicitJacobian::borrowed(transposed);
        check_gradient(&g, jacobian.rows())?;
        check_finite(transposed)?;
        let filter = spectral.filter();
        let request = spectral.decomposition.request(usize::MAX);
        request
            .decompose(&jacobian, &g, &filter)?
            .direction(&filter)
    })?;
    Ok(PyArray1::from_vec(py, step))
}

/// c (n,) of the step Jᵀ·c.
#[pyfunction]
pub fn gram_step<'py>(
    py: Python<'py>,
    gram: PyReadonlyArray2<'py, f64>,
    gradient: PyReadonlyArray1<'py, f64>,
    settings: Assignments,
) -> PyResult<Array1<'py>> {
    let (filter, g) = (spectral(settings)?.filter(), vector(&gradient)?);
    let gram = matrix(&gram)?;
    let work = move || {
        check_gradient(&g, gram.nrows())?;
        hig::linalg::check_finite("gram", &gram)?;
        let parts = Spectrum::of_gram(&gram, &g, &filter)?;
        let c = parts.sample_weights(&filter);
        Ok(c.expect("a decomposition of K works in the space of the samples"))
    };
    let long = (gradient.as_slice()?.len() as f64).powi(3) >= LONG;
    let c = match long {
        true => worker::alone(py, work)?,
        false => worker::detached(py, work)?,
    };
    Ok(PyArray1::from_vec(py, c.map_err(raise)?))
}
