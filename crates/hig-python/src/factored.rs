//! Rows of J that come as factors of outer products, from models that find them.

use crate::arrays::{matrix, transposed, vector};
use crate::errors::raise;
use crate::settings::{Assignments, assign};
use crate::worker;
use hig::Result;
use hig::linalg::Mat;
use hig::objective::{FactoredJacobian, FactoredLayout, FactoredWeight, WeightFactors};
use hig::step::Spectral;
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use std::sync::Arc;

/// Operations beyond which Ctrl-C must not wait for a step.
const LONG: f64 = 1e9;

/// How factors make the rows of J, which is the same for every batch.
#[pyclass(frozen, module = "hig._hig")]
#[derive(Debug, Clone)]
pub struct Factors(Arc<FactoredLayout>);

impl Factors {
    /// The layout itself.
    pub fn layout(&self) -> Arc<FactoredLayout> {
        self.0.clone()
    }
}

/// The arrays of a batch: for each weight what went in (inputs, C·b) and what came back (outputs, k·C·b), and
/// the rows of the other parameters (n, rest).
pub type Given<'py> = (
    Vec<(PyReadonlyArray2<'py, f64>, PyReadonlyArray2<'py, f64>)>,
    PyReadonlyArray2<'py, f64>,
);

/// Copies of the arrays as matrices, the other parameters transposed.
pub fn read(given: &Given<'_>) -> PyResult<(Vec<WeightFactors>, Mat<f64>)> {
    let factors = given.0.iter().map(|(input, rows)| {
        Ok(WeightFactors {
            input: matrix(input)?.transpose().to_owned(),
            rows: matrix(rows)?.transpose().to_owned(),
        })
    });
    let factors: PyResult<Vec<_>> = factors.collect();
    Ok((factors?, transposed(&given.1)?.to_owned()))
}

/// Places in θ; a negative one is none.
fn places(array: &PyReadonlyArray1<'_, i64>) -> PyResult<Vec<Option<usize>>> {
    let places = array.as_slice()?.iter();
    Ok(places.map(|place| usize::try_from(*place).ok()).collect())
}

#[pymethods]
impl Factors {
    /// From arrays of weights (inputs, outputs, whether each pass adds the bias, places of the weight by
    /// outputs and then of the bias), the places of other parameters, and p.
    #[new]
    fn new(
        weights: Vec<(usize, usize, Vec<bool>, PyReadonlyArray1<'_, i64>)>,
        rest: PyReadonlyArray1<'_, i64>,
        columns: usize,
    ) -> PyResult<Self> {
        let weights = weights.into_iter().map(|(inputs, outputs, biased, at)| {
            Ok(FactoredWeight {
                inputs,
                outputs,
                biased,
                places: places(&at)?,
            })
        });
        let weights: PyResult<Vec<_>> = weights.collect();
        let rest: Option<Vec<usize>> = places(&rest)?.into_iter().collect();
        let rest = rest.ok_or_else(|| PyValueError::new_err("rest has a place below 0"))?;
        let layout = FactoredLayout::new(weights?, rest, columns).map_err(raise)?;
        Ok(Self(Arc::new(layout)))
    }

    /// V·f(Σ)·Uᵀ·g (p,) of the J that factors of some samples make.
    fn step<'py>(
        &self,
        py: Python<'py>,
        given: Given<'py>,
        samples: usize,
        gradient: PyReadonlyArray1<'py, f64>,
        settings: Assignments,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let mut spectral = Spectral::half_inverse();
        assign(&mut spectral, &settings)?;
        let (factors, rest) = read(&given)?;
        let (g, layout) = (vector(&gradient)?, self.0.clone());
        let n = g.len() as f64;
        let work = move || -> Result<Vec<f64>> {
            let jacobian = FactoredJacobian::new(&layout, factors, rest, samples)?;
            let filter = spectral.filter();
            let request = spectral.decomposition.request(usize::MAX);
            request
                .decompose(&jacobian, &g, &filter)?
                .direction(&filter)
        };
        let step = match n * n * n >= LONG {
            true => worker::alone(py, work)?,
            false => worker::detached(py, work)?,
        };
        Ok(PyArray1::from_vec(py, step.map_err(raise)?))
    }
}
