//! Training, watched from Python.

use crate::arrays::vector;
use crate::errors::raise;
use crate::problem::Problem;
use crate::settings::{self, Assignments};
use crate::worker::Caller;
use hig::files::SavedState;
use hig::step::Method;
use hig::trainer::{
    self, Budget, CheckpointWriter, Evaluation, Flow, Identity, Losses, Observer, Outcome,
    Progress, Returned, Start, Stop,
};
use hig::warnings::{Warner, Warning, Wording};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How far a training has come, for the thread that waits for it.
#[derive(Default)]
struct Place {
    parameters: Vec<f64>,
    update: usize,
    epoch: f64,
    seconds: f64,
    batch_loss: f64,
    budget_used: f64,
    evaluations: Vec<Evaluated>,
    /// The place of the best evaluation, and its parameters.
    best: Option<(usize, Vec<f64>)>,
}

impl Place {
    fn of(start: &Start) -> Self {
        Self {
            parameters: start.parameters.clone(),
            update: start.updates,
            epoch: start.epochs,
            seconds: start.seconds,
            ..Self::default()
        }
    }
}

#[derive(Debug, Clone)]
struct Evaluated {
    update: usize,
    epoch: f64,
    seconds: f64,
    train_loss: f64,
    validation_loss: f64,
    test_loss: f64,
    best: bool,
    diagnostics: Vec<(&'static str, f64)>,
}

impl Evaluated {
    fn told<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let told = PyDict::new(py);
        told.set_item("update", self.update)?;
        told.set_item("epoch", self.epoch)?;
        told.set_item("seconds", self.seconds)?;
        told.set_item("train_loss", self.train_loss)?;
        told.set_item("validation_loss", self.validation_loss)?;
        told.set_item("test_loss", self.test_loss)?;
        told.set_item("best", self.best)?;
        let diagnostics = PyDict::new(py);
        for (name, value) in &self.diagnostics {
            diagnostics.set_item(name, value)?;
        }
        told.set_item("diagnostics", diagnostics)?;
        Ok(told)
    }
}

struct Watch {
    place: Arc<Mutex<Place>>,
    caller: Caller,
    /// Called with an evaluation and the parameters; answers whether to stop.
    callback: Option<Arc<Py<PyAny>>>,
}

fn lock(place: &Mutex<Place>) -> MutexGuard<'_, Place> {
    place.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    fn flow(&self) -> Flow {
        match self.caller.ending() {
            true => Flow::Stop,
            false => Flow::Continue,
        }
    }
}

impl Observer for Watch {
    fn progress(&mut self, now: &Progress<'_>) -> hig::Result<Flow> {
        let mut place = lock(&self.place);
        place.parameters.clear();
        place.parameters.extend_from_slice(now.parameters);
        place.update = now.update;
        place.epoch = now.epoch;
        place.seconds = now.seconds;
        place.batch_loss = now.batch_loss;
        place.budget_used = now.budget_used;
        Ok(self.flow())
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> hig::Result<Flow> {
        // Where the simulator gave no answer, the losses say nothing.
        if self.caller.ending() {
            return Ok(Flow::Stop);
        }
        let evaluated = Evaluated {
            update: now.update,
            epoch: now.epoch,
            seconds: now.seconds,
            train_loss: now.train_loss,
            validation_loss: now.validation_loss,
            test_loss: now.test_loss,
            best: now.best,
            diagnostics: now.diagnostics.to_vec(),
        };
        {
            let mut place = lock(&self.place);
            if now.best {
                place.best = Some((place.evaluations.len(), now.parameters.to_vec()));
            }
            place.evaluations.push(evaluated.clone());
        }
        let Some(callback) = self.callback.clone() else {
            return Ok(Flow::Continue);
        };
        let (parameters, spectrum) = (now.parameters.to_vec(), now.spectrum.to_vec());
        let stop = self.caller.ask(move |py| {
            let parameters = PyArray1::from_vec(py, parameters);
            let told = evaluated.told(py)?;
            // For callbacks only: kept for the result it would outgrow everything else there.
            told.set_item("spectrum", PyArray1::from_vec(py, spectrum))?;
            let answer = callback.bind(py).call1((told, parameters))?;
            answer.extract::<bool>()
        });
        Ok(match stop {
            Ok(false) => Flow::Continue,
            // What was raised is told by the thread that waits.
            Ok(true) | Err(_) => Flow::Stop,
        })
    }
}

/// How advice is written in Python.
fn wording() -> Wording {
    Wording {
        setting: |name, value| match value.parse::<f64>() {
            Ok(_) => format!("{name}={value}"),
            Err(_) => format!("{name}=\"{value}\""),
        },
        method: |name| format!("\"{name}\""),
        chain: |first, second| {
            let before = format!("hig.train(problem, \"{first}\", updates=500)");
            format!("hig.train(problem, \"{second}\", weights={before}.weights)")
        },
        seed: "another seed",
    }
}

/// Hands a warning to Python, on the thread that waits.
fn tell_warning(caller: &Caller, warn: &Arc<Py<PyAny>>, warning: &Warning) -> Flow {
    let (warn, warning) = (warn.clone(), warning.clone());
    match caller.ask(move |py| warn_of(py, &warn, warning)) {
        Ok(()) => Flow::Continue,
        // What was raised is told by the thread that waits.
        Err(_) => Flow::Stop,
    }
}

fn warn_of(py: Python<'_>, warn: &Py<PyAny>, warning: Warning) -> PyResult<()> {
    let Warning {
        update,
        name,
        message,
        advice,
    } = warning;
    warn.bind(py).call1((update, name, message, advice))?;
    Ok(())
}

/// What a training leaves: the results as a dictionary, and the exception that ended it, if one did.
type Left<'py> = (Bound<'py, PyDict>, Option<Py<PyAny>>);

/// Tries whether checkpoints can be written to a file.
#[pyfunction]
pub fn try_checkpoint(path: PathBuf) -> PyResult<()> {
    CheckpointWriter::new(&path, Duration::MAX)
        .hold()
        .map_err(raise)
}

/// A file for checkpoints, seconds between two of them, and whether one that is there is set aside.
type Checkpoints = (PathBuf, f64, bool);

/// Trains; errors that can be known before the first update are raised.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn train<'py>(
    py: Python<'py>,
    problem: &Problem,
    method: (String, Assignments),
    training: Assignments,
    budget: (Option<usize>, Option<f64>, Option<f64>),
    seed: u64,
    parameters: PyReadonlyArray1<'py, f64>,
    callback: Option<Py<PyAny>>,
    warn: Py<PyAny>,
    tick: Option<Py<PyAny>>,
    checkpoint: Option<Checkpoints>,
) -> PyResult<Left<'py>> {
    let method: Arc<dyn Method> = settings::method(&method.0, &method.1)?.into();
    let training = settings::training(&training)?;
    let (updates, epochs, seconds) = budget;
    let budget = Budget {
        updates,
        epochs,
        seconds,
    };
    let parameters = vector(&parameters)?;
    let (opened, worker) = problem.open(py)?;
    trainer::check(&opened, method.as_ref(), &parameters, &training, &budget).map_err(raise)?;
    let mut start = Start::from(parameters.clone());
    let mut writer = None;
    if let Some((path, seconds, restart)) = checkpoint {
        let interval = Duration::try_from_secs_f64(seconds).map_err(|_| {
            let expected = "a number of seconds of at least 0";
            raise(hig::Error::setting("checkpoint_every", seconds, expected))
        })?;
        let mut kept = CheckpointWriter::new(&path, interval);
        kept.hold().map_err(raise)?;
        let (asked, method) = (opened.clone(), method.clone());
        let told = training.clone();
        let finished = worker.run(
            py,
            |_| Ok(()),
            move || Identity::of(&asked, method.as_ref(), &told, &parameters, seed),
        )?;
        if let Some(raised) = finished.raised {
            let left = left(py, &Place::of(&start), None, training.returned)?;
            return Ok((left, Some(raised.into_value(py).into_any())));
        }
        let Some(identity) = finished.result else {
            return Err(PyRuntimeError::new_err("left behind"));
        };
        let mut identity = identity.map_err(raise)?;
        problem.tell(&mut identity);
        if restart {
            trainer::set_aside(&path).map_err(raise)?;
        } else if let Some(state) = recovered(&path, &identity)? {
            start = Start::resume(state).map_err(raise)?;
            if let Some(told) = start.rescheduled(&training, &budget) {
                warn_of(py, &warn, Warning::from(&told))?;
            }
        }
        kept.belongs_to(&identity);
        writer = Some(kept);
    }
    let returned = training.returned;
    let place = Arc::new(Mutex::new(Place::of(&start)));
    let mut watch = Watch {
        place: place.clone(),
        caller: worker.caller(),
        callback: callback.map(Arc::new),
    };
    let (caller, warn) = (worker.caller(), Arc::new(warn));
    let hand_on = move |warning: &Warning| Ok(tell_warning(&caller, &warn, warning));
    let mut warner = Warner::new(method.as_ref(), &training, wording(), hand_on);
    let tell = |py: Python<'_>| match &tick {
        Some(tick) => tell(py, tick, &place),
        None => Ok(()),
    };
    let finished = worker.run(py, tell, move || {
        let mut observers: Vec<&mut dyn Observer> = vec![&mut watch, &mut warner];
        if let Some(writer) = &mut writer {
            observers.push(writer);
        }
        trainer::train(
            &opened,
            method.as_ref(),
            start,
            &training,
            budget,
            seed,
            &mut observers,
        )
    })?;
    if let Some(tick) = &tick {
        tell_last(py, tick, &place, finished.raised.is_none())?;
    }
    let outcome = finished.result.transpose().map_err(raise)?;
    let left = left(py, &lock(&place), outcome.as_ref(), returned)?;
    let raised = finished.raised.map(|error| error.into_value(py).into_any());
    Ok((left, raised))
}

/// The state in a file, if it is there.
fn recovered(path: &Path, training: &Identity) -> PyResult<Option<SavedState>> {
    let accept = |state: &SavedState| training.accepts(state);
    let found = trainer::recover(path, accept).map_err(|error| {
        let advice = "restart=True begins anew and sets it aside; or name another file";
        PyValueError::new_err(format!("checkpoint: {error}; {advice}"))
    })?;
    Ok(found.map(|(state, _)| state))
}

fn tell(py: Python<'_>, tick: &Py<PyAny>, place: &Mutex<Place>) -> PyResult<()> {
    let now = {
        let place = lock(place);
        let losses = place
            .evaluations
            .last()
            .map(|e| (e.train_loss, e.test_loss));
        let counters = (place.update, place.epoch, place.seconds);
        (counters, place.budget_used, place.batch_loss, losses)
    };
    tick.bind(py).call1(now).map(|_| ())
}

/// The last state, whatever comes of telling it after a failure.
fn tell_last(py: Python<'_>, tick: &Py<PyAny>, place: &Mutex<Place>, well: bool) -> PyResult<()> {
    match (tell(py, tick, place), well) {
        (Err(error), true) => Err(error),
        _ => Ok(()),
    }
}

/// Update and losses (train, validation, test).
fn told_losses(losses: Losses) -> (usize, f64, f64, f64) {
    let Losses {
        update,
        train,
        validation,
        test,
    } = losses;
    (update, train, validation, test)
}

/// Parameters, their update and their losses (train, test).
type Parameters = (Vec<f64>, usize, f64, f64);

/// What is known of a training that did not come to its end: the parameters that it would have returned,
/// its counters, and the losses of the best and the last parameters.
fn left_behind(
    place: &Place,
    returned: Returned,
) -> (Parameters, (usize, f64, f64), Option<Losses>, Losses) {
    let losses = |e: &Evaluated| Losses {
        update: e.update,
        train: e.train_loss,
        validation: e.validation_loss,
        test: e.test_loss,
    };
    let evaluated = place.evaluations.last().map(losses);
    let last = evaluated.unwrap_or(Losses {
        update: place.update,
        train: f64::NAN,
        validation: f64::NAN,
        test: f64::NAN,
    });
    let best = place.best.as_ref().and_then(|(at, parameters)| {
        let told = place.evaluations.get(*at)?;
        Some((losses(told), parameters))
    });
    let (parameters, of) = match &best {
        Some((of, parameters)) if returned == Returned::Best => ((*parameters).clone(), *of),
        _ => (
            place.parameters.clone(),
            Losses {
                update: place.update,
                ..last
            },
        ),
    };
    (
        (parameters, of.update, of.train, of.test),
        (place.update, place.epoch, place.seconds),
        best.map(|(losses, _)| losses),
        last,
    )
}

fn left<'py>(
    py: Python<'py>,
    place: &Place,
    outcome: Option<&Outcome>,
    returned: Returned,
) -> PyResult<Bound<'py, PyDict>> {
    let left = PyDict::new(py);
    let (returned, counters, best, last) = match outcome {
        Some(o) => {
            let returned = (o.parameters.clone(), o.update, o.train_loss, o.test_loss);
            (returned, (o.updates, o.epochs, o.seconds), o.best, o.last)
        }
        None => left_behind(place, returned),
    };
    let (parameters, update, train, test) = returned;
    left.set_item("parameters", PyArray1::from_vec(py, parameters))?;
    let reached = outcome.map_or(&place.parameters, |o| &o.last_parameters);
    left.set_item("last_parameters", PyArray1::from_slice(py, reached))?;
    left.set_item("update", update)?;
    left.set_item("updates", counters.0)?;
    left.set_item("epochs", counters.1)?;
    left.set_item("seconds", counters.2)?;
    left.set_item("train_loss", train)?;
    left.set_item("test_loss", test)?;
    left.set_item("best", best.map(told_losses))?;
    left.set_item("last", told_losses(last))?;
    let evaluations = place.evaluations.iter().map(|e| e.told(py));
    left.set_item("evaluations", evaluations.collect::<PyResult<Vec<_>>>()?)?;
    let stop = outcome.map_or_else(|| "interrupted".into(), |o| o.stop.to_string());
    left.set_item("stop", stop)?;
    let well = outcome.is_some_and(|o| matches!(o.stop, Stop::Budget | Stop::Asked));
    left.set_item("well", well)?;
    Ok(left)
}
