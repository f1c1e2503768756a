//! Simulators written in Python.
//!
//! The Python half wraps a user's simulator in an adapter that always returns float64 arrays of the
//! right shape; its methods are called on the thread that asked for the work.

use crate::arrays::{Array2, by_rows, matrix};
use crate::errors::raise;
use crate::worker::{Caller, Worker};
use hig::Result;
use hig::linalg::{Mat, MatRef};
use hig::physics::{Record, Simulator, Widths, check::check, rows_times, rows_transposed_times};
use numpy::{PyReadonlyArray2, PyReadonlyArray3, PyUntypedArrayMethods};
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use std::sync::{Arc, OnceLock};

/// What an adapter can do beside simulating and giving rows.
#[derive(Debug, Clone, Copy)]
struct Offers {
    vjp: bool,
    jvp: bool,
    inverse: bool,
}

/// A Python simulator and the thread to call it on.
#[derive(Clone)]
pub struct PythonSimulator {
    adapter: Arc<Py<PyAny>>,
    name: String,
    widths: Widths,
    offers: Offers,
    caller: Caller,
}

impl PythonSimulator {
    /// Reads what the adapter offers.
    ///
    /// # Errors
    /// Not an adapter.
    pub fn new(
        py: Python<'_>,
        adapter: Arc<Py<PyAny>>,
        widths: Widths,
        caller: Caller,
    ) -> PyResult<Self> {
        let offers = |name: &str| adapter.bind(py).getattr(name)?.extract::<bool>();
        let offers = Offers {
            vjp: offers("has_vjp")?,
            jvp: offers("has_jvp")?,
            inverse: offers("has_inverse")?,
        };
        let name = adapter.bind(py).getattr("name")?.extract()?;
        Ok(Self {
            adapter,
            name,
            widths,
            offers,
            caller,
        })
    }

    /// Calls a method with batches, samples × width each, that answers with such a batch.
    ///
    /// # Errors
    /// Its exception, or that the work should end.
    fn batch<const K: usize>(
        &self,
        method: &'static str,
        given: [Arc<Mat<f64>>; K],
    ) -> Result<Mat<f64>> {
        let adapter = self.adapter.clone();
        self.caller.ask(move |py| {
            let answer: PyReadonlyArray2<'_, f64> =
                call(py, &adapter, method, &given)?.extract()?;
            matrix(&answer)
        })
    }

    fn rows(&self, at: &At) -> Result<Mat<f64>> {
        let (adapter, given) = (self.adapter.clone(), at.both());
        self.caller.ask(move |py| {
            let answer: PyReadonlyArray3<'_, f64> =
                call(py, &adapter, "rows", &given)?.extract()?;
            stacked(&answer)
        })
    }
}

fn call<'py>(
    py: Python<'py>,
    adapter: &Py<PyAny>,
    method: &str,
    given: &[Arc<Mat<f64>>],
) -> PyResult<Bound<'py, PyAny>> {
    let arrays: Vec<Array2<'py>> = given
        .iter()
        .map(|matrix| by_rows(py, matrix.as_ref().as_ref()))
        .collect::<PyResult<_>>()?;
    let arrays = pyo3::types::PyTuple::new(py, arrays)?;
    adapter.bind(py).call_method1(method, arrays)
}

/// Rows in the order of the library, (i · samples + sample) × control, of an array
/// (samples, outputs, control).
fn stacked(array: &PyReadonlyArray3<'_, f64>) -> PyResult<Mat<f64>> {
    let &[samples, outputs, control] = array.shape() else {
        return Err(PyRuntimeError::new_err("rows need three dimensions"));
    };
    let entries = array.as_slice()?;
    let mut rows = Mat::zeros(samples * outputs, control);
    for j in 0..control {
        let column = rows.col_as_slice_mut(j);
        for i in 0..outputs {
            for s in 0..samples {
                column[i * samples + s] = entries[(s * outputs + i) * control + j];
            }
        }
    }
    Ok(rows)
}

fn shared(matrix: MatRef<'_, f64>) -> Arc<Mat<f64>> {
    Arc::new(matrix.to_owned())
}

impl Simulator for PythonSimulator {
    fn widths(&self) -> Widths {
        self.widths
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn has_products(&self) -> bool {
        self.offers.vjp && self.offers.jvp
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        let at = At {
            state: shared(state),
            control: shared(control),
        };
        let y = self.batch("simulate", at.both())?;
        Ok(Box::new(PythonRecord {
            simulator: self.clone(),
            at,
            y,
            rows: OnceLock::new(),
        }))
    }

    fn simulate(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.batch("simulate", [shared(state), shared(control)])
    }

    /// Every call has its price, so that an evaluation makes one.
    fn chunk(&self) -> usize {
        usize::MAX
    }

    fn inverse(
        &self,
        state: MatRef<'_, f64>,
        control: MatRef<'_, f64>,
        y: MatRef<'_, f64>,
    ) -> Result<Option<Mat<f64>>> {
        let asked = || self.batch("inverse", [shared(state), shared(control), shared(y)]);
        self.offers.inverse.then(asked).transpose()
    }
}

/// Where a batch was simulated.
struct At {
    state: Arc<Mat<f64>>,
    control: Arc<Mat<f64>>,
}

impl At {
    fn both(&self) -> [Arc<Mat<f64>>; 2] {
        [self.state.clone(), self.control.clone()]
    }

    fn with(&self, other: MatRef<'_, f64>) -> [Arc<Mat<f64>>; 3] {
        [self.state.clone(), self.control.clone(), shared(other)]
    }
}

struct PythonRecord {
    simulator: PythonSimulator,
    at: At,
    y: Mat<f64>,
    rows: OnceLock<Mat<f64>>,
}

impl PythonRecord {
    fn kept_rows(&self) -> Result<&Mat<f64>> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let rows = self.simulator.rows(&self.at)?;
        Ok(self.rows.get_or_init(|| rows))
    }
}

impl Record for PythonRecord {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        if self.rows.get().is_none() && self.simulator.offers.vjp {
            return self.simulator.batch("vjp", self.at.with(cotangent));
        }
        Ok(rows_transposed_times(self.kept_rows()?, cotangent))
    }

    /// Of several cotangents by the rows, so that their number is no number of calls.
    fn vjps(&self, cotangents: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let samples = self.y.nrows();
        if cotangents.nrows() == samples {
            return self.vjp(cotangents);
        }
        let rows = self.kept_rows()?;
        let mut products = Mat::zeros(cotangents.nrows(), rows.ncols());
        for first in (0..cotangents.nrows()).step_by(samples.max(1)) {
            let part = rows_transposed_times(rows, cotangents.subrows(first, samples));
            let target = products.as_mut().subrows_mut(first, samples);
            { target }.copy_from(&part);
        }
        Ok(products)
    }

    fn rows(&self) -> Result<Mat<f64>> {
        Ok(self.kept_rows()?.clone())
    }

    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        if self.rows.get().is_none() && self.simulator.offers.jvp {
            return self.simulator.batch("jvp", self.at.with(tangent));
        }
        Ok(rows_times(self.kept_rows()?, tangent))
    }
}

/// Relative errors of finite differences, of the adjoint identity, of the rows, of other batches and of
/// another order of questions, with what is broken in words.
#[pyfunction]
pub fn check_simulator(
    py: Python<'_>,
    adapter: Py<PyAny>,
    outputs: usize,
    state: PyReadonlyArray2<'_, f64>,
    control: PyReadonlyArray2<'_, f64>,
) -> PyResult<(Vec<f64>, Vec<String>)> {
    let (state, control) = (matrix(&state)?, matrix(&control)?);
    let widths = Widths {
        state: state.ncols(),
        control: control.ncols(),
        output: outputs,
    };
    let worker = Worker::new();
    let simulator = PythonSimulator::new(py, Arc::new(adapter), widths, worker.caller())?;
    let finished = worker.run(
        py,
        |_| Ok(()),
        move || check(&simulator, state.as_ref(), control.as_ref()),
    )?;
    match (finished.raised, finished.result) {
        (Some(raised), Some(Err(error))) if raised.is_instance_of::<PyException>(py) => {
            // What it was asked stands before its own words.
            let (told, own) = (error.to_string(), raised.to_string());
            if told == own {
                return Err(raised);
            }
            let failed = PyRuntimeError::new_err(told);
            failed.set_cause(py, Some(raised));
            Err(failed)
        }
        (Some(raised), _) => Err(raised),
        (None, Some(report)) => {
            let report = report.map_err(raise)?;
            let errors = vec![
                report.finite_difference,
                report.adjoint_identity,
                report.rows,
                report.batches,
                report.elsewhere,
            ];
            Ok((errors, report.faults()))
        }
        (None, None) => Err(PyRuntimeError::new_err("left behind")),
    }
}
