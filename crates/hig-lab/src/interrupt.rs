//! Ctrl-C: the first one ends the training after the current update and keeps everything, the
//! second one ends the program.

use hig::Result;
use hig::trainer::{Flow, Observer, Progress};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts to listen for Ctrl-C; a command made of several calls it for each.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(catch);
}

fn catch() {
    let handler = || {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        eprintln!(
            "\ninterrupted: finishing the update and keeping the results (again to quit at once)"
        );
    };
    // Without a handler Ctrl-C simply ends the program, and every row written so far is on disk.
    if let Err(error) = ctrlc::set_handler(handler) {
        eprintln!("warning: Ctrl-C cannot be caught ({error})");
    }
}

/// Whether the user asked for the end.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Ends a training when the user asked for it.
#[derive(Debug)]
pub struct Interrupt;

impl Observer for Interrupt {
    fn progress(&mut self, _: &Progress) -> Result<Flow> {
        Ok(if asked() { Flow::Stop } else { Flow::Continue })
    }
}
