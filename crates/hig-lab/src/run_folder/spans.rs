//! Where the time of a training goes: the sums of the library's spans.
//!
//! A moment counts for the innermost span that is open on the thread on which the training runs, so that
//! the parts add up to the time of updates and evaluations. What other threads do meanwhile, such as the
//! second of two candidates, costs no time of its own and counts for nothing.

use hig::timing::{OUTERMOST, PARTS, TARGET};
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tracing::span::Id;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Nanoseconds of each part since the program began.
static SPENT: [AtomicU64; PARTS.len()] = [const { AtomicU64::new(0) }; PARTS.len()];

/// Seconds of each part, in the order of [`PARTS`].
pub type Seconds = [f64; PARTS.len()];

/// What was spent since the program began.
pub fn spent() -> Seconds {
    std::array::from_fn(|i| Duration::from_nanos(SPENT[i].load(Ordering::Relaxed)).as_secs_f64())
}

/// The layer of a subscriber that measures; it sees the library's spans and nothing else.
pub fn layer<S>() -> impl Layer<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    Clock.with_filter(filter_fn(|metadata| metadata.target() == TARGET))
}

struct Clock;

/// A span that is open on this thread.
struct Open {
    part: usize,
    /// Whether it lies in an outermost part, or is one.
    counts: bool,
    since: Instant,
    /// Time of the spans inside it.
    inner: Duration,
}

thread_local! {
    static OPEN: RefCell<Vec<Open>> = const { RefCell::new(Vec::new()) };
}

fn part(metadata: &Metadata<'_>) -> Option<usize> {
    PARTS.iter().position(|part| *part == metadata.name())
}

fn enter(part: usize) {
    OPEN.with_borrow_mut(|open| {
        let inside = open.last().is_some_and(|outer| outer.counts);
        open.push(Open {
            part,
            counts: inside || OUTERMOST.contains(&PARTS[part]),
            since: Instant::now(),
            inner: Duration::ZERO,
        });
    });
}

fn exit() {
    OPEN.with_borrow_mut(|open| {
        let Some(span) = open.pop() else { return };
        let whole = span.since.elapsed();
        if let Some(outer) = open.last_mut() {
            outer.inner += whole;
        }
        if span.counts {
            let own = whole.saturating_sub(span.inner).as_nanos() as u64;
            SPENT[span.part].fetch_add(own, Ordering::Relaxed);
        }
    });
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Clock {
    fn on_enter(&self, id: &Id, context: Context<'_, S>) {
        if let Some(part) = context.metadata(id).and_then(part) {
            enter(part);
        }
    }

    fn on_exit(&self, id: &Id, context: Context<'_, S>) {
        if context.metadata(id).and_then(part).is_some() {
            exit();
        }
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(Level::TRACE.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    fn pause(milliseconds: u64) {
        std::thread::sleep(Duration::from_millis(milliseconds));
    }

    /// The only test that opens spans in this program: the sums belong to all of it.
    #[test]
    fn parts_have_the_time_that_their_inner_parts_leave_and_other_threads_none() {
        let before = spent();
        let begun = Instant::now();
        let subscriber = tracing_subscriber::registry().with(layer());
        let whole = tracing::subscriber::with_default(subscriber, || {
            let step = tracing::trace_span!(target: TARGET, "step").entered();
            pause(10);
            {
                let _decompose = tracing::trace_span!(target: TARGET, "decompose").entered();
                pause(20);
                let _gram = tracing::trace_span!(target: TARGET, "gram").entered();
                pause(40);
            }
            // Somebody else's span of the same name, and one on a thread without a training.
            let _other = tracing::trace_span!(target: "other", "gram").entered();
            let here = tracing::dispatcher::get_default(Clone::clone);
            let elsewhere = std::thread::spawn(move || {
                tracing::dispatcher::with_default(&here, || {
                    let _forward = tracing::trace_span!(target: TARGET, "forward").entered();
                    pause(30);
                });
            });
            elsewhere.join().unwrap();
            drop(step);
            begun.elapsed().as_secs_f64()
        });
        let [forward, gram, decompose, direction, step, evaluate, record] =
            std::array::from_fn(|i| spent()[i] - before[i]);
        assert_eq!([forward, direction, evaluate, record], [0.0; 4]);
        assert!(gram >= 0.04 && decompose >= 0.02 && step >= 0.04);
        let sum = gram + decompose + step;
        assert!(sum <= whole && sum > whole - 0.02, "{sum} {whole}");
    }
}
