//! The times of the spans inside a decomposition.

use hig::timing::{BAND, CHASE, DIVIDE, INSIDE};
use std::cell::Cell;
use std::sync::Mutex;
use std::time::Instant;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

const NAMES: [&str; 3] = [BAND, CHASE, DIVIDE];

/// Seconds of each of them, again and again.
static SPENT: Mutex<[Vec<f64>; 3]> = Mutex::new([Vec::new(), Vec::new(), Vec::new()]);

thread_local! {
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Median seconds of what a decomposition is made of.
pub struct Inside {
    pub band: f64,
    pub chase: f64,
    pub divide: f64,
}

/// Measures from here on.
pub fn listen() {
    tracing::subscriber::set_global_default(Clock).expect("no other subscriber");
}

/// Forgets what was measured so far.
pub fn forget() {
    let mut spent = SPENT.lock().expect("no panic");
    spent.iter_mut().for_each(Vec::clear);
}

/// What was measured since; 0 for what did not happen.
pub fn medians() -> Inside {
    let mut spent = SPENT.lock().expect("no panic");
    let [band, chase, divide] = spent.each_mut().map(|seconds| {
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).copied().unwrap_or(0.0)
    });
    Inside {
        band,
        chase,
        divide,
    }
}

/// None of these spans lies in another.
struct Clock;

impl Subscriber for Clock {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == INSIDE && NAMES.contains(&metadata.name())
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let place = NAMES.iter().position(|n| *n == span.metadata().name());
        Id::from_u64(1 + place.expect("an enabled span") as u64)
    }

    fn enter(&self, _: &Id) {
        SINCE.set(Some(Instant::now()));
    }

    fn exit(&self, span: &Id) {
        if let Some(since) = SINCE.take() {
            let mut spent = SPENT.lock().expect("no panic");
            spent[span.into_u64() as usize - 1].push(since.elapsed().as_secs_f64());
        }
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
}
