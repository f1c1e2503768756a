//! Problems: a system of the library, or a network, a Python simulator, a loss and data.

use crate::arrays::{Array2, by_rows, matrix, vector};
use crate::closed_loop::{LoopParts, OfLoop};
use crate::errors::{guarded, raise};
use crate::field::{self, BlockParts, Judged, UnknownParts};
use crate::network::Network;
use crate::objective::{Model, ModelObjective, numbered};
use crate::settings::{Assignments, system};
use crate::simulator::PythonSimulator;
use crate::worker::{self, Worker};
use hig::files::Tensors;
use hig::linalg::Mat;
use hig::loss::{Infidelity, Loss, SquaredError};
use hig::network::{
    Derivative, Jets, Network as Layers, ParameterView, parameters_from, tensors_of,
};
use hig::objective::ThroughPhysics;
use hig::physics::Widths;
use hig::settings::Setting;
use hig::systems::{check_memory, size};
use hig::trainer::Identity;
use hig::{Dataset, Error};
use numpy::{PyArray1, PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// Input, state and target, samples in rows.
type Samples<'py> = (
    PyReadonlyArray2<'py, f64>,
    PyReadonlyArray2<'py, f64>,
    PyReadonlyArray2<'py, f64>,
);

/// A problem to train on.
#[pyclass(frozen, module = "hig._hig")]
pub struct Problem {
    source: Source,
}

enum Source {
    System {
        problem: Arc<hig::Problem>,
        name: String,
        settings: Vec<Setting>,
        /// By what squares of standard errors are to be multiplied, where these are told.
        variance: Option<f64>,
    },
    Field(Box<OfField>),
    Own(Box<Own>),
    Loop(Box<OfLoop>),
    Model(Box<OfModel>),
}

/// A field that should obey equations, and what it is, for checkpoints.
struct OfField {
    problem: Arc<hig::Problem>,
    layers: Layers,
    told: Vec<(String, String)>,
}

/// The parts of a problem with a Python simulator. Each piece of work puts them together anew,
/// because its simulator belongs to the thread that asked for it.
struct Own {
    network: Network,
    /// The network itself, for what needs no simulator.
    layers: Layers,
    adapter: Arc<Py<PyAny>>,
    widths: Widths,
    loss: String,
    weights: Vec<f64>,
    train: Dataset,
    test: Dataset,
}

/// A model behind its adapter, which holds the samples.
struct OfModel {
    adapter: Arc<Py<PyAny>>,
    model: Arc<Model>,
    train: Dataset,
    test: Dataset,
    /// What the samples and the model are, for checkpoints.
    told: Vec<(String, String)>,
}

impl Problem {
    /// The problem, and where its simulator is called.
    ///
    /// # Errors
    /// Parts that do not fit.
    pub fn open(&self, py: Python<'_>) -> PyResult<(Arc<hig::Problem>, Worker)> {
        let worker = Worker::new();
        let own = match &self.source {
            Source::System { problem, .. } => return Ok((problem.clone(), worker)),
            Source::Field(field) => return Ok((field.problem.clone(), worker)),
            Source::Model(of) => {
                let (adapter, model) = (of.adapter.clone(), of.model.clone());
                let objective = ModelObjective::new(adapter, model, worker.caller());
                let problem = hig::Problem::of(of.train.clone(), of.test.clone(), objective);
                return Ok((Arc::new(problem), worker));
            }
            Source::Loop(of) => {
                let problem = of.problem(py, &worker.caller())?;
                return Ok((Arc::new(problem), worker));
            }
            Source::Own(own) => own,
        };
        let caller = worker.caller();
        let physics = PythonSimulator::new(py, own.adapter.clone(), own.widths, caller)?;
        let network = own.network.build().map_err(raise)?;
        let loss = loss(&own.loss, own.weights.clone()).map_err(raise)?;
        let mut objective = ThroughPhysics::new(network, physics, SquaredError::sum());
        objective.loss = loss;
        let problem = hig::Problem::of(own.train.clone(), own.test.clone(), objective);
        Ok((Arc::new(problem), worker))
    }

    /// Adds what the problem is by name.
    pub fn tell(&self, identity: &mut Identity) {
        match &self.source {
            Source::System { name, settings, .. } => {
                identity.tell("system", name);
                identity.tell_settings("system.", settings);
            }
            Source::Model(of) => tell_all(&of.told, identity),
            Source::Field(field) => tell_all(&field.told, identity),
            Source::Loop(of) => tell_all(&of.told(), identity),
            Source::Own(own) => {
                for (name, value) in own.network.told() {
                    identity.tell(name, value);
                }
                identity.tell("loss", told_loss(&own.loss, &own.weights));
            }
        }
    }

    /// Runs work on the problem to its end.
    fn run<R: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&hig::Problem) -> R + Send + 'static,
    ) -> PyResult<R> {
        let (problem, worker) = self.open(py)?;
        let finished = worker.run(py, |_| Ok(()), move || work(&problem))?;
        match (finished.raised, finished.result) {
            (Some(error), _) => Err(error),
            (None, Some(result)) => Ok(result),
            (None, None) => Err(PyRuntimeError::new_err("left behind")),
        }
    }

    fn parameters(&self, given: &PyReadonlyArray1<'_, f64>) -> PyResult<Vec<f64>> {
        let given = vector(given)?;
        let count = self.arrays().last().map_or(0, |view| view.range.end);
        if given.len() != count {
            return Err(raise(Error::Shape {
                what: "weights".into(),
                found: format!("({},)", given.len()),
                expected: format!("({count},)"),
            }));
        }
        Ok(given)
    }

    /// The parameter arrays by name.
    fn arrays(&self) -> Vec<ParameterView> {
        match &self.source {
            Source::System { problem, .. } => problem.parameters(),
            Source::Field(field) => field.problem.parameters(),
            Source::Own(own) => own.layers.views(),
            Source::Loop(of) => of.layers.views(),
            Source::Model(of) => of.model.views.clone(),
        }
    }

    /// What the problem predicts with.
    fn predictor(&self) -> PyResult<&Layers> {
        match &self.source {
            Source::Field(field) => Ok(&field.layers),
            Source::System { problem, .. } => problem.objective.network().ok_or_else(without_parts),
            Source::Loop(of) => Ok(&of.layers),
            _ => self.network().map(|(network, _)| network),
        }
    }

    /// Samples of a network inside a simulation, whose targets say nothing: where they have weights, these are 1.
    fn moved(&self, input: Mat<f64>, state: Mat<f64>) -> PyResult<Option<Dataset>> {
        let (train, observed) = match &self.source {
            Source::System { problem, .. } if problem.objective.steps().is_some() => {
                (&problem.train, problem.objective.rows(1))
            }
            Source::Loop(of) => (&of.train, of.outputs()),
            _ => return Ok(None),
        };
        expect_width("input", &input, train.input.ncols())?;
        expect_width("state", &state, train.state.ncols())?;
        same_samples(&input, &state)?;
        let target = |_, j| f64::from(j >= observed);
        Ok(Some(Dataset {
            target: Mat::from_fn(input.nrows(), train.target.ncols(), target),
            input,
            state,
        }))
    }

    /// The network and the widths of the physics behind it.
    fn network(&self) -> PyResult<(&Layers, Widths)> {
        match &self.source {
            Source::System { problem, .. } => match problem.through_physics() {
                Some(parts) => Ok((&parts.network, parts.physics.widths())),
                None => Err(without_parts()),
            },
            Source::Own(own) => Ok((&own.layers, own.widths)),
            Source::Model(_) | Source::Field(_) | Source::Loop(_) => Err(without_parts()),
        }
    }
}

fn tell_all(told: &[(String, String)], identity: &mut Identity) {
    for (name, value) in told {
        identity.tell(name, value);
    }
}

fn without_parts() -> PyErr {
    PyValueError::new_err("this problem is no network with a simulator behind it")
}

/// A loss and its weights as a checkpoint tells them.
pub fn told_loss(name: &str, weights: &[f64]) -> String {
    match weights.is_empty() {
        true => name.into(),
        false => format!("{name} with weights {weights:?}"),
    }
}

/// A loss by its name.
///
/// # Errors
/// Another name, weights that are none.
pub fn loss(name: &str, weights: Vec<f64>) -> hig::Result<Box<dyn Loss>> {
    let squared = |loss: SquaredError| match weights.is_empty() {
        true => Ok(loss),
        false => loss.weighted(weights.clone()),
    };
    Ok(match name {
        "sum" => Box::new(squared(SquaredError::sum())?),
        "half" => Box::new(squared(SquaredError::half())?),
        "infidelity" => Box::new(Infidelity),
        _ => return Err(Error::unknown("loss", name, ["sum", "half", "infidelity"])),
    })
}

fn dataset((input, state, target): &Samples<'_>) -> PyResult<Dataset> {
    Ok(Dataset {
        input: matrix(input)?,
        state: matrix(state)?,
        target: matrix(target)?,
    })
}

/// Refuses a network whose parameters would not fit into memory.
fn check_parameters(network: &Layers, memory_limit: f64) -> PyResult<()> {
    const NUMBERS_PER_GIB: f64 = (1_u64 << 27) as f64;
    let needed = network.size() / NUMBERS_PER_GIB;
    match needed <= memory_limit {
        true => Ok(()),
        false => Err(PyMemoryError::new_err(format!(
            "the parameters of the network need {needed:.2} GiB, more than memory_limit = \
             {memory_limit} GiB: use smaller widths or fewer channels, or raise memory_limit"
        ))),
    }
}

fn expect_width(what: &str, found: &Mat<f64>, width: usize) -> PyResult<()> {
    if found.ncols() == width {
        return hig::linalg::check_finite(what, found).map_err(raise);
    }
    Err(raise(Error::Shape {
        what: what.into(),
        found: format!("({}, {})", found.nrows(), found.ncols()),
        expected: format!("(samples, {width})"),
    }))
}

fn same_samples(input: &Mat<f64>, state: &Mat<f64>) -> PyResult<()> {
    if state.nrows() == input.nrows() {
        return Ok(());
    }
    Err(raise(Error::Shape {
        what: "state".into(),
        found: format!("({}, {})", state.nrows(), state.ncols()),
        expected: format!("({}, {})", input.nrows(), state.ncols()),
    }))
}

#[pymethods]
impl Problem {
    /// A system of the library, with its own data or given ones.
    #[staticmethod]
    fn system(
        py: Python<'_>,
        name: &str,
        settings: Assignments,
        seed: u64,
        train: Option<Samples<'_>>,
        test: Option<Samples<'_>>,
        memory_limit: f64,
    ) -> PyResult<Self> {
        let system = system(name, &settings)?;
        size(system.as_ref()).map_err(raise)?;
        check_memory(system.as_ref(), memory_limit).map_err(|error| {
            PyMemoryError::new_err(format!("{name} needs more than memory_limit: {error}"))
        })?;
        let mut problem = worker::detached(py, || system.problem(seed))?;
        if let Some(samples) = train {
            problem = problem.with_samples(dataset(&samples)?);
        }
        if let Some(samples) = test {
            problem.test = dataset(&samples)?;
        }
        problem.check().map_err(raise)?;
        Ok(Self {
            source: Source::System {
                problem: Arc::new(problem),
                name: name.into(),
                settings: system.settings(),
                variance: (system.tells_estimates()).then(|| system.estimates_variance()),
            },
        })
    }

    /// A network, a simulator in its adapter, a loss and data.
    #[staticmethod]
    fn own(
        py: Python<'_>,
        network: &Network,
        adapter: Py<PyAny>,
        loss: String,
        weights: Vec<f64>,
        train: Samples<'_>,
        test: Samples<'_>,
    ) -> PyResult<Self> {
        let (train, test) = (dataset(&train)?, dataset(&test)?);
        let layers = network.build().map_err(raise)?;
        let own = Own {
            widths: Widths {
                state: train.state.ncols(),
                control: layers.outputs(),
                output: train.target.ncols(),
            },
            network: network.clone(),
            layers,
            adapter: Arc::new(adapter),
            loss,
            weights,
            train,
            test,
        };
        let problem = Self {
            source: Source::Own(Box::new(own)),
        };
        problem.open(py)?.0.check().map_err(raise)?;
        Ok(problem)
    }

    /// A network in the loop of a Python time step, and data.
    #[staticmethod]
    fn steered(
        py: Python<'_>,
        parts: LoopParts,
        train: Samples<'_>,
        test: Samples<'_>,
    ) -> PyResult<Self> {
        let of = OfLoop::new(py, parts, dataset(&train)?, dataset(&test)?)?;
        let problem = Self {
            source: Source::Loop(Box::new(of)),
        };
        problem.open(py)?.0.check().map_err(raise)?;
        Ok(problem)
    }

    /// A network that should obey equations at the points of blocks.
    #[staticmethod]
    fn field(
        network: &Network,
        blocks: Vec<BlockParts<'_>>,
        unknowns: Vec<UnknownParts>,
        judged: Option<Judged>,
        candidates: usize,
        weights: &str,
        seed: u64,
    ) -> PyResult<Self> {
        let chosen = (candidates, weights);
        let (problem, layers, told) =
            field::problem(network, blocks, unknowns, judged, chosen, seed)?;
        problem.check().map_err(raise)?;
        Ok(Self {
            source: Source::Field(Box::new(OfField {
                problem: Arc::new(problem),
                layers,
                told,
            })),
        })
    }

    /// The loss of each block of the training points, by name.
    fn blocks(
        &self,
        py: Python<'_>,
        parameters: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<Vec<(String, f64)>> {
        let parameters = self.parameters(&parameters)?;
        let work =
            move |problem: &hig::Problem| problem.objective.blocks(&parameters, &problem.train);
        let blocks = self.run(py, work)?.map_err(raise)?;
        Ok(blocks
            .into_iter()
            .map(|(name, loss)| (name.into(), loss))
            .collect())
    }

    /// What each block of points counts, by name.
    fn block_weights(&self, py: Python<'_>) -> PyResult<Vec<(String, f64)>> {
        let weights = self.run(py, |problem: &hig::Problem| problem.objective.weights())?;
        let weights = weights.into_iter();
        Ok(weights
            .map(|(name, weight)| (name.into(), weight))
            .collect())
    }

    /// Values of the unknowns with their standard errors, by name.
    fn estimates(
        &self,
        py: Python<'_>,
        parameters: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<Vec<(String, f64, f64)>> {
        let parameters = self.parameters(&parameters)?;
        let variance = match &self.source {
            Source::System { variance, .. } => variance.ok_or_else(|| {
                let told = "the loss of this problem is no negative log-likelihood, which standard errors follow from";
                PyValueError::new_err(told)
            })?,
            _ => 1.0,
        };
        let work = move |problem: &hig::Problem| {
            hig::objective::estimates(problem.objective.as_ref(), &parameters, &problem.train)
        };
        let found = self.run(py, work)?.map_err(raise)?.into_iter();
        Ok(found
            .map(|e| (e.name.into(), e.value, variance.sqrt() * e.standard_error))
            .collect())
    }

    /// A derivative of the field (points, fields): along no coordinate, one, or two.
    fn derivative<'py>(
        &self,
        py: Python<'py>,
        parameters: PyReadonlyArray1<'py, f64>,
        points: PyReadonlyArray2<'py, f64>,
        along: Vec<usize>,
    ) -> PyResult<Array2<'py>> {
        let (parameters, points) = (self.parameters(&parameters)?, matrix(&points)?);
        let network = self.predictor()?;
        expect_width("points", &points, network.inputs())?;
        if let Some(i) = along.iter().find(|i| **i >= network.inputs()) {
            let expected = format!("below {}", network.inputs());
            return Err(raise(Error::setting("coordinate", i, expected)));
        }
        let jets = Jets::of(network.inputs());
        let (jets, derivative) = match along.as_slice() {
            [] => (jets, Derivative::Value),
            [i] => (jets.with_first(*i), Derivative::First(*i)),
            [i, j] => {
                let (i, j) = (*i.min(j), *i.max(j));
                (jets.with_second(i, j), Derivative::Second(i, j))
            }
            more => {
                let expected = "at most two coordinates";
                return Err(raise(Error::setting(
                    "derivative",
                    format!("{more:?}"),
                    expected,
                )));
            }
        };
        let place = jets.place(derivative).expect("it was added");
        let found = worker::detached(py, || network.jets(&parameters, points.as_ref(), &jets))?;
        let found = found.map_err(raise)?;
        let rows = found
            .as_ref()
            .subrows(place * points.nrows(), points.nrows());
        by_rows(py, rows)
    }

    /// A model behind its adapter, with the numbers of its training and test samples, and what it is by name.
    #[staticmethod]
    fn model(
        py: Python<'_>,
        adapter: Py<PyAny>,
        samples: (usize, usize),
        told: Vec<(String, String)>,
    ) -> PyResult<Self> {
        let model = Model::read(adapter.bind(py))?;
        let (train, test) = samples;
        Ok(Self {
            source: Source::Model(Box::new(OfModel {
                adapter: Arc::new(adapter),
                model: Arc::new(model),
                train: numbered(0..train),
                test: numbered(train..train + test),
                told,
            })),
        })
    }

    /// y (samples, components) of samples by their numbers.
    fn outputs<'py>(
        &self,
        py: Python<'py>,
        parameters: PyReadonlyArray1<'py, f64>,
        first: usize,
        count: usize,
    ) -> PyResult<Array2<'py>> {
        let parameters = self.parameters(&parameters)?;
        let work = move |problem: &hig::Problem| {
            problem
                .objective
                .outputs(&parameters, &numbered(first..first + count))
        };
        let y = self.run(py, work)?.map_err(raise)?;
        by_rows(py, y.as_ref())
    }

    /// Widths of network input, state, control and output.
    #[getter]
    fn widths(&self) -> PyResult<(usize, usize, usize, usize)> {
        let (network, widths) = self.network()?;
        Ok((
            network.inputs(),
            widths.state,
            widths.control,
            widths.output,
        ))
    }

    /// Names and shapes of the parameter arrays, in the order of the flat vector.
    #[getter]
    fn views(&self) -> Vec<(String, Vec<usize>)> {
        let views = self.arrays().into_iter();
        views.map(|view| (view.name, view.shape)).collect()
    }

    /// Whether the problem can draw new samples for every update.
    #[getter]
    fn draws(&self) -> bool {
        match &self.source {
            Source::System { problem, .. } => problem.sampler.is_some(),
            Source::Field(_) => true,
            Source::Own(_) | Source::Loop(_) | Source::Model(_) => false,
        }
    }

    /// Input, state and target of the training or the test samples.
    fn samples<'py>(
        &self,
        py: Python<'py>,
        test: bool,
    ) -> PyResult<(Array2<'py>, Array2<'py>, Array2<'py>)> {
        let (train_data, test_data) = match &self.source {
            Source::System { problem, .. } => (&problem.train, &problem.test),
            Source::Field(field) => (&field.problem.train, &field.problem.test),
            Source::Own(own) => (&own.train, &own.test),
            Source::Loop(of) => (&of.train, &of.test),
            Source::Model(of) => (&of.train, &of.test),
        };
        let data = if test { test_data } else { train_data };
        Ok((
            by_rows(py, data.input.as_ref())?,
            by_rows(py, data.state.as_ref())?,
            by_rows(py, data.target.as_ref())?,
        ))
    }

    fn initial_parameters<'py>(
        &self,
        py: Python<'py>,
        seed: u64,
        memory_limit: f64,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let initial = match &self.source {
            Source::System { problem, .. } => guarded(|| problem.initial_parameters(seed))?,
            Source::Field(field) => {
                check_parameters(&field.layers, memory_limit)?;
                guarded(|| field.problem.initial_parameters(seed))?
            }
            Source::Own(own) => {
                check_parameters(&own.layers, memory_limit)?;
                guarded(|| own.layers.initial_parameters(seed))?
            }
            Source::Loop(of) => {
                check_parameters(&of.layers, memory_limit)?;
                guarded(|| of.layers.initial_parameters(seed))?
            }
            Source::Model(of) => of.model.initial.clone(),
        };
        Ok(PyArray1::from_vec(py, initial))
    }

    fn predict<'py>(
        &self,
        py: Python<'py>,
        parameters: PyReadonlyArray1<'py, f64>,
        input: PyReadonlyArray2<'py, f64>,
    ) -> PyResult<Array2<'py>> {
        let (parameters, input) = (self.parameters(&parameters)?, matrix(&input)?);
        let network = self.predictor()?;
        expect_width("input", &input, network.inputs())?;
        let output = worker::detached(py, || network.predict(&parameters, input.as_ref()))?;
        by_rows(py, output.as_ref())
    }

    fn simulate<'py>(
        &self,
        py: Python<'py>,
        parameters: PyReadonlyArray1<'py, f64>,
        input: PyReadonlyArray2<'py, f64>,
        state: PyReadonlyArray2<'py, f64>,
    ) -> PyResult<Array2<'py>> {
        let parameters = self.parameters(&parameters)?;
        let (input, state) = (matrix(&input)?, matrix(&state)?);
        if let Some(samples) = self.moved(input.clone(), state.clone())? {
            let work =
                move |problem: &hig::Problem| problem.objective.outputs(&parameters, &samples);
            let y = self.run(py, work)?.map_err(raise)?;
            return by_rows(py, y.as_ref());
        }
        let (network, widths) = self.network()?;
        expect_width("input", &input, network.inputs())?;
        expect_width("state", &state, widths.state)?;
        same_samples(&input, &state)?;
        let y = self.run(py, move |problem| {
            let parts = problem.through_physics()?;
            let control = parts.network.predict(&parameters, input.as_ref());
            Some(parts.physics.simulate(state.as_ref(), control.as_ref()))
        })?;
        let y = y.expect("it has a network").map_err(raise)?;
        by_rows(py, y.as_ref())
    }

    /// States (samples, width) at the start and after each step, and the controls during each, where a network
    /// is called in the steps of a simulation.
    fn motion<'py>(
        &self,
        py: Python<'py>,
        parameters: PyReadonlyArray1<'py, f64>,
        input: PyReadonlyArray2<'py, f64>,
        state: PyReadonlyArray2<'py, f64>,
    ) -> PyResult<(Vec<Array2<'py>>, Vec<Array2<'py>>)> {
        let parameters = self.parameters(&parameters)?;
        let Some(samples) = self.moved(matrix(&input)?, matrix(&state)?)? else {
            let told = "this problem calls no network in the time steps of a simulation";
            return Err(PyValueError::new_err(told));
        };
        let work = move |problem: &hig::Problem| problem.objective.motion(&parameters, &samples);
        let motion = self.run(py, work)?.map_err(raise)?;
        let motion = motion.expect("it has steps");
        let all = |fields: Vec<Mat<f64>>| {
            let each = fields.iter().map(|field| by_rows(py, field.as_ref()));
            each.collect::<PyResult<Vec<_>>>()
        };
        Ok((all(motion.states)?, all(motion.controls)?))
    }

    /// Mean loss of the training and of the test samples.
    fn losses(
        &self,
        py: Python<'_>,
        parameters: PyReadonlyArray1<'_, f64>,
    ) -> PyResult<(f64, f64)> {
        let parameters = self.parameters(&parameters)?;
        self.run(py, move |problem| {
            let loss = |data| problem.objective.loss(&parameters, data);
            Ok((loss(&problem.train)?, loss(&problem.test)?))
        })?
        .map_err(raise)
    }

    fn save_parameters(
        &self,
        parameters: PyReadonlyArray1<'_, f64>,
        path: PathBuf,
    ) -> PyResult<()> {
        let parameters = self.parameters(&parameters)?;
        let tensors = tensors_of(&self.arrays(), &parameters);
        tensors.save(&path).map_err(raise)
    }

    fn load_parameters<'py>(
        &self,
        py: Python<'py>,
        path: PathBuf,
    ) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let read = Tensors::load(&path).and_then(|t| parameters_from(&self.arrays(), &t));
        let parameters = read.map_err(raise)?;
        Ok(PyArray1::from_vec(py, parameters))
    }
}
