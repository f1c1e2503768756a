//! Threads that compute, and what they need of the process.
//!
//! Work that asks Python for something waits inside a thread of its pool. What Python does meanwhile may
//! be another call of `hig`, on the same thread or on one that it waits for; so no two pieces of such work
//! share a pool, and none has the threads of the short calls, which ask for nothing.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

/// The process that computed first; 0 before.
static PROCESS: AtomicU32 = AtomicU32::new(0);

/// Pools that nobody works in.
static IDLE: Mutex<Vec<ThreadPool>> = Mutex::new(Vec::new());

/// Refuses to compute in a process that was forked from one that has computed: the threads of its pools
/// are not there, and it would wait for them for ever.
///
/// # Errors
/// Such a process.
pub fn check_process() -> PyResult<()> {
    let this = std::process::id();
    let first = PROCESS.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed);
    match first {
        Err(other) if other != this => Err(PyRuntimeError::new_err(format!(
            "hig cannot compute in this process: it was forked from process {other} after hig had \
             computed there, and threads do not survive a fork; use the start method spawn or \
             forkserver of multiprocessing, or fork before the first call of hig"
        ))),
        _ => Ok(()),
    }
}

/// A pool for one piece of work; given back, and kept for the next, where it is dropped.
pub struct Pool(Option<ThreadPool>);

impl Pool {
    /// An idle pool, or a new one with as many threads as the pool of the short calls has.
    ///
    /// # Errors
    /// A forked process; no thread can be started.
    pub fn take() -> PyResult<Self> {
        check_process()?;
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let made = idle.map_or_else(|| ThreadPoolBuilder::new().build(), Ok);
        made.map(|pool| Self(Some(pool)))
            .map_err(|e| PyRuntimeError::new_err(format!("threads cannot be started: {e}")))
    }

    /// Runs work on a thread of the pool.
    pub fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        match &self.0 {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.0.take());
    }
}
