//! Training, watched from Python.

use crate::arrays::vector;
use crate::errors::raise;
use crate::problem::Problem;
use crate::settings::{self, Assignments};
use crate::worker::Caller;
use hig::files::SavedState;
use hig::trainer::{
    self, Budget, CheckpointWriter, Evaluation, Flow, Losses, Observer, Outcome, Progress,
    Returned, Start, Stop,
};
use hig::warnings::{Warner, Warning, Wording};
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::PyValueError;
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
        setting: |name, word| format!("{name}=\"{word}\""),
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
    let told = caller.ask(move |py| {
        let Warning {
            update,
            name,
            message,
            advice,
        } = warning;
        warn.bind(py).call1((update, name, message, advice))?;
        Ok(())
    });
    match told {
        Ok(()) => Flow::Continue,
        // What was raised is told by the thread that waits.
        Err(_) => Flow::Stop,
    }
}

/// What a training leaves: the results as a dictionary, and the exception that ended it, if one did.
type Left<'py> = (Bound<'py, PyDict>, Option<Py<PyAny>>);

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
    checkpoint: Option<(PathBuf, f64)>,
) -> PyResult<Left<'py>> {
    let method = settings::method(&method.0, &method.1)?;
    let training = settings::training(&training)?;
    let (updates, epochs, seconds) = budget;
    let budget = Budget {
        updates,
        epochs,
        seconds,
    };
    let parameters = vector(&parameters)?;
    let (problem, worker) = problem.open(py)?;
    trainer::check(&problem, method.as_ref(), &parameters, &training, &budget).map_err(raise)?;
    let mut start = Start::from(parameters);
    let mut writer = None;
    if let Some((path, seconds)) = checkpoint {
        let interval = Duration::try_from_secs_f64(seconds).map_err(|_| {
            let expected = "a number of seconds of at least 0";
            raise(hig::Error::setting("checkpoint_every", seconds, expected))
        })?;
        let mut kept = CheckpointWriter::new(&path, interval);
        kept.check().map_err(raise)?;
        let whose = trainer::fingerprint(&problem, method.as_ref(), &training, seed);
        if let Some(state) = recovered(&path, &whose)? {
            start = Start::resume(state).map_err(raise)?;
        }
        kept.note(WHOSE, &whose);
        writer = Some(kept);
    }
    let returned = training.returned;
    let place = Arc::new(Mutex::new(Place {
        parameters: start.parameters.clone(),
        update: start.updates,
        epoch: start.epochs,
        seconds: start.seconds,
        ..Place::default()
    }));
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
            &problem,
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

/// The note of a checkpoint that tells which training it belongs to.
const WHOSE: &str = "training";

/// The state in a file, if it is there.
fn recovered(path: &Path, whose: &str) -> PyResult<Option<SavedState>> {
    let accept = |state: &SavedState| match state.text(WHOSE) == Some(whose) {
        true => Ok(()),
        false => Err("it belongs to another training; name another file, or remove it".into()),
    };
    let found = trainer::recover(path, accept);
    let found = found.map_err(|e| PyValueError::new_err(format!("checkpoint: {e}")))?;
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
