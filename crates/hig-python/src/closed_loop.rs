//! Time steps written in Python, with a network in the loop.
//!
//! The Python half wraps a user's step in an adapter that always returns float64 arrays of the right shape.
//! However many rows of J are carried back through a step, it is one call.

use crate::arrays::{by_rows, matrix};
use crate::errors::raise;
use crate::field::{UnknownParts, unknowns_of};
use crate::network::Network;
use crate::problem::{loss, told_loss};
use crate::simulator::PythonSimulator;
use crate::worker::Caller;
use hig::linalg::{Mat, MatRef};
use hig::loss::SquaredError;
use hig::network::Network as Layers;
use hig::objective::{ClosedLoop, Reduction};
use hig::physics::{Stepwise, Widths};
use hig::{Dataset, Error, Result};
use numpy::PyReadonlyArray2;
use pyo3::prelude::*;
use std::sync::Arc;

/// A Python time step and the thread to call it on.
struct PythonSteps {
    adapter: Arc<Py<PyAny>>,
    name: String,
    steps: usize,
    dt: f64,
    state: usize,
    control: usize,
    caller: Caller,
}

impl Stepwise for PythonSteps {
    fn steps(&self) -> usize {
        self.steps
    }

    fn state_len(&self) -> usize {
        self.state
    }

    fn control_len(&self) -> usize {
        self.control
    }

    fn name(&self) -> String {
        self.name.clone()
    }

    fn time(&self, step: usize) -> f64 {
        step as f64 * self.dt
    }

    /// Every call has its price, so that an evaluation makes one a step.
    fn chunk(&self) -> usize {
        usize::MAX
    }

    fn advance(&self, step: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let (adapter, x, u) = (self.adapter.clone(), x.to_owned(), u.to_owned());
        self.caller.ask(move |py| {
            let given = (step, by_rows(py, x.as_ref())?, by_rows(py, u.as_ref())?);
            let next: PyReadonlyArray2<'_, f64> =
                adapter.bind(py).call_method1("advance", given)?.extract()?;
            matrix(&next)
        })
    }

    fn pull_back(
        &self,
        step: usize,
        (x, u): (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        let adapter = self.adapter.clone();
        let (x, u, w) = (x.to_owned(), u.to_owned(), rows.to_owned());
        self.caller.ask(move |py| {
            let at = (by_rows(py, x.as_ref())?, by_rows(py, u.as_ref())?);
            let given = (step, at.0, at.1, by_rows(py, w.as_ref())?);
            let (of_state, of_control): (PyReadonlyArray2<'_, f64>, PyReadonlyArray2<'_, f64>) =
                (adapter.bind(py).call_method1("pull_back", given)?).extract()?;
            Ok((matrix(&of_state)?, matrix(&of_control)?))
        })
    }
}

/// What a network in the loop of a Python time step is made of, beside samples and loss.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub struct LoopParts {
    /// None where only unknowns act.
    network: Option<Py<Network>>,
    unknowns: Vec<UnknownParts>,
    step: Py<PyAny>,
    steps: usize,
    dt: f64,
    /// What the network sees, and what is observed, in adapters of simulators.
    see: Option<Py<PyAny>>,
    observe: Option<Py<PyAny>>,
    knows_time: bool,
    after: Option<Vec<usize>>,
    weighed: bool,
    summed: bool,
    stop_gradients: bool,
    hold: Option<usize>,
    loss: String,
    weights: Vec<f64>,
    /// What it is, by name, for checkpoints.
    told: Vec<(String, String)>,
}

/// The parts of a network in the loop of a Python time step. Each piece of work puts them together anew,
/// because the step belongs to the thread that asked for it.
pub struct OfLoop {
    parts: LoopParts,
    /// The network itself, for what needs no step.
    pub layers: Layers,
    step: Arc<Py<PyAny>>,
    see: Option<Arc<Py<PyAny>>>,
    observe: Option<Arc<Py<PyAny>>>,
    pub train: Dataset,
    pub test: Dataset,
}

impl OfLoop {
    /// Reads the parts.
    ///
    /// # Errors
    /// Layers or unknowns that do not fit.
    pub fn new(py: Python<'_>, parts: LoopParts, train: Dataset, test: Dataset) -> PyResult<Self> {
        let shared = |part: &Option<Py<PyAny>>| part.as_ref().map(|p| Arc::new(p.clone_ref(py)));
        Ok(Self {
            layers: layers(&parts, &train).map_err(raise)?,
            step: Arc::new(parts.step.clone_ref(py)),
            see: shared(&parts.see),
            observe: shared(&parts.observe),
            parts,
            train,
            test,
        })
    }

    /// Width of y.
    pub fn outputs(&self) -> usize {
        match self.parts.weighed {
            true => self.train.target.ncols() / 2,
            false => self.train.target.ncols(),
        }
    }

    /// What it is, by name.
    pub fn told(&self) -> Vec<(String, String)> {
        let network = self.parts.network.as_ref().map(|network| network.get());
        let network = network.into_iter().flat_map(Network::told);
        let mut told: Vec<_> = network
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let unknowns = format!("{:?}", self.parts.unknowns);
        told.push(("unknowns".into(), unknowns));
        told.push((
            "loss".into(),
            told_loss(&self.parts.loss, &self.parts.weights),
        ));
        told.extend(self.parts.told.iter().cloned());
        told
    }

    /// The problem, whose step is called by the given caller.
    ///
    /// # Errors
    /// Parts that do not fit.
    pub fn problem(&self, py: Python<'_>, caller: &Caller) -> PyResult<hig::Problem> {
        let parts = &self.parts;
        let layers = layers(parts, &self.train).map_err(raise)?;
        let (inputs, control) = (layers.inputs(), layers.outputs());
        let state = self.train.state.ncols();
        let physics = PythonSteps {
            adapter: self.step.clone(),
            name: self.step.bind(py).getattr("name")?.extract()?,
            steps: parts.steps,
            dt: parts.dt,
            state,
            control,
            caller: caller.clone(),
        };
        let mut steered = ClosedLoop::new(layers, physics, SquaredError::sum());
        steered.loss = loss(&parts.loss, parts.weights.clone()).map_err(raise)?;
        if parts.summed {
            steered.reduction = Reduction::Sum;
        }
        if parts.knows_time {
            steered = steered.knowing_time();
        }
        if let Some(see) = &self.see {
            let widths = Widths {
                state: self.train.input.ncols() + 1,
                control: state,
                output: inputs,
            };
            let see = PythonSimulator::new(py, see.clone(), widths, caller.clone())?;
            steered = steered.seeing(see);
        }
        let mut observed = 1;
        if let Some(after) = &parts.after {
            observed = after.len();
            steered = steered.after(after.clone()).map_err(raise)?;
        }
        if let Some(observe) = &self.observe {
            let widths = Widths {
                state,
                control: observed * state,
                output: self.outputs(),
            };
            let observe = PythonSimulator::new(py, observe.clone(), widths, caller.clone())?;
            steered = steered.observing(observe);
        }
        if parts.weighed {
            steered = steered.weighing();
        }
        if parts.stop_gradients {
            steered = steered.stopping_gradients();
        }
        if let Some(hold) = parts.hold {
            steered = steered.holding(hold);
        }
        Ok(hig::Problem::of(
            self.train.clone(),
            self.test.clone(),
            steered,
        ))
    }
}

/// The network with its unknowns behind it.
fn layers(parts: &LoopParts, train: &Dataset) -> Result<Layers> {
    let unknowns = unknowns_of(parts.unknowns.clone());
    match &parts.network {
        Some(network) => network.get().build_beside(unknowns),
        None if unknowns.is_empty() => Err(Error::setting(
            "network",
            "None",
            "a network where there are no unknowns",
        )),
        None => {
            let time = usize::from(parts.knows_time);
            let seen = train.state.ncols() + train.input.ncols() + time;
            Layers::of_unknowns(seen, unknowns)
        }
    }
}
