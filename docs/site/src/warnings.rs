//! What mdBook warns of, which it does by events only.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// Warnings and errors so far.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<String>>>);

/// From here on warnings of the whole program are collected.
pub fn listen() -> Told {
    let told = Told::default();
    tracing_subscriber::registry().with(told.clone()).init();
    told
}

impl Told {
    /// All of them.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<S: Subscriber> Layer<S> for Told {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if *event.metadata().level() <= Level::WARN {
            let mut message = Message(String::new());
            event.record(&mut message);
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            told.push(message.0);
        }
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
