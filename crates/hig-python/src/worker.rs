//! Long work beside a Python thread that waits for it.
//!
//! The work runs on a thread of its own, without the interpreter lock. The thread that asked for it
//! waits, also without the lock, and does what only it may do: it looks for signals, so that Ctrl-C
//! is obeyed, and it runs the calls into Python that the work needs, so that a simulator or callback
//! finds itself on the thread (and in the contexts) of its user.

use crate::errors::{guarded, panicked};
use crate::pools::{Pool, check_process};
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two looks for signals.
const LOOK: Duration = Duration::from_millis(50);
/// How long interrupted work may take to end by itself before it is left behind.
const GRACE: Duration = Duration::from_millis(400);

type Job = Box<dyn FnOnce(Python<'_>) + Send>;

enum Event {
    Call(Job),
    Done,
}

/// What the work holds of the thread that waits for it.
#[derive(Clone)]
pub struct Caller {
    events: Sender<Event>,
    ending: Arc<Ending>,
}

#[derive(Default)]
struct Ending {
    asked: AtomicBool,
    failure: Mutex<Option<PyErr>>,
}

impl Ending {
    fn fail(&self, error: PyErr) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(error);
        self.asked.store(true, Ordering::Relaxed);
    }

    fn failure(&self) -> Option<PyErr> {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.take()
    }
}

impl Caller {
    /// Runs a call into Python on the waiting thread.
    ///
    /// # Errors
    /// The exception of the call, or, once a call has failed or Ctrl-C was pressed, that the work should
    /// come to its end.
    pub fn ask<R: Send + 'static>(
        &self,
        call: impl FnOnce(Python<'_>) -> PyResult<R> + Send + 'static,
    ) -> hig::Result<R> {
        let interrupted = || hig::Error::external("interrupted");
        if self.ending() {
            return Err(interrupted());
        }
        let (reply, answer) = mpsc::sync_channel(1);
        let ending = self.ending.clone();
        let job = move |py: Python<'_>| match call(py) {
            // Nobody listens any more if the work was left behind.
            Ok(value) => drop(reply.send(Ok(value))),
            Err(error) => {
                ending.fail(error.clone_ref(py));
                drop(reply.send(Err(error)));
            }
        };
        let sent = self.events.send(Event::Call(Box::new(job)));
        match sent.ok().and_then(|()| answer.recv().ok()) {
            Some(answer) => answer.map_err(hig::Error::external),
            None => Err(interrupted()),
        }
    }

    /// Whether the work should come to its end.
    pub fn ending(&self) -> bool {
        self.ending.asked.load(Ordering::Relaxed)
    }
}

/// Work on a thread of its own, and the thread that waits for it.
pub struct Worker {
    caller: Caller,
    events: Mutex<Receiver<Event>>,
}

/// How the work finished.
pub struct Finished<R> {
    /// Its result; none where it was left behind after Ctrl-C.
    pub result: Option<R>,
    /// What Python raised meanwhile: KeyboardInterrupt, or the exception of a call.
    pub raised: Option<PyErr>,
}

impl Worker {
    /// Nothing runs yet.
    pub fn new() -> Self {
        let (sender, events) = mpsc::channel();
        let ending = Arc::default();
        Self {
            caller: Caller {
                events: sender,
                ending,
            },
            events: Mutex::new(events),
        }
    }

    /// What the work needs for its calls.
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// Runs the work to its end, with a `tick` from time to time. More work may follow where nothing was
    /// raised.
    ///
    /// # Errors
    /// A panic of the work.
    pub fn run<R: Send + 'static>(
        &self,
        py: Python<'_>,
        mut tick: impl FnMut(Python<'_>) -> PyResult<()>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> PyResult<Finished<R>> {
        let ending = self.caller.ending.clone();
        let done = self.caller.events.clone();
        let pool = Pool::take()?;
        let thread = std::thread::spawn(move || {
            // Told also where the work panics.
            let _told = Told(done);
            pool.run(work)
        });
        let (mut raised, mut patience) = (None, None::<Instant>);
        let mut looked = Instant::now();
        loop {
            match py.detach(|| self.next()) {
                Ok(Event::Done) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Event::Call(_)) if patience.is_some() => {}
                Ok(Event::Call(job)) => job(py),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if patience.is_none() && looked.elapsed() >= LOOK {
                looked = Instant::now();
                if let Err(error) = py.check_signals().and_then(|()| tick(py)) {
                    ending.fail(error);
                }
            }
            if raised.is_none() {
                raised = ending.failure();
                let interrupt = |e: &PyErr| !e.is_instance_of::<PyException>(py);
                patience = raised
                    .as_ref()
                    .filter(|e| interrupt(e))
                    .map(|_| Instant::now());
            }
            if patience.is_some_and(|since| since.elapsed() > GRACE) {
                return Ok(Finished {
                    result: None,
                    raised,
                });
            }
        }
        let result = py.detach(|| thread.join()).map_err(panicked)?;
        Ok(Finished {
            result: Some(result),
            raised: raised.or_else(|| ending.failure()),
        })
    }

    fn next(&self) -> Result<Event, RecvTimeoutError> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.recv_timeout(LOOK)
    }
}

struct Told(Sender<Event>);

impl Drop for Told {
    fn drop(&mut self) {
        drop(self.0.send(Event::Done));
    }
}

/// Short work without calls into Python and without the interpreter lock, which may borrow. Ctrl-C is
/// obeyed at its end: a loop over such calls that is not Python's own would never look.
///
/// # Errors
/// A process that cannot compute, KeyboardInterrupt, or a panic of the work.
pub fn detached<R: Send>(py: Python<'_>, work: impl FnOnce() -> R + Send) -> PyResult<R> {
    check_process()?;
    let result = py.detach(|| guarded(work))?;
    py.check_signals()?;
    Ok(result)
}

/// Work without calls into Python; Ctrl-C leaves it behind.
///
/// # Errors
/// KeyboardInterrupt, or a panic of the work.
pub fn alone<R: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> R + Send + 'static,
) -> PyResult<R> {
    let finished = Worker::new().run(py, |_| Ok(()), work)?;
    match (finished.result, finished.raised) {
        (Some(result), None) => Ok(result),
        (_, Some(error)) => Err(error),
        (None, None) => Err(PyRuntimeError::new_err("left behind")),
    }
}
