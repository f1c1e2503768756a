//! Ctrl-C (SIGINT) and SIGTERM: the first one ends the training after the current update and keeps
//! everything, the second one ends the program.
//!
//! SIGHUP is left alone: who starts a run with `nohup` wants it to outlive the terminal.

use crate::console::output::note;
use hig::Result;
use hig::trainer::{Flow, Observer, Progress};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// The user or the machine asked for the end; what was computed is kept.
pub const EXIT_INTERRUPTED: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Starts to listen for Ctrl-C; a command made of several calls it for each.
pub fn listen() {
    static ONCE: Once = Once::new();
    ONCE.call_once(catch);
}

fn catch() {
    // Without a handler the signal simply ends the program, and every row written so far is on disk.
    if let Err(error) = handle() {
        tracing::warn!("Ctrl-C cannot be caught ({error})");
    }
}

#[cfg(unix)]
fn handle() -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let listener = std::thread::Builder::new();
    listener.spawn(move || signals.forever().for_each(|_| ask()))?;
    Ok(())
}

/// Lets a file that would exceed a limit (`ulimit -f`) be an error of whoever writes it; the signal that
/// tells of it would end the program.
pub fn ignore_size_limit() {
    #[cfg(unix)]
    {
        let exceeded = std::sync::Arc::new(AtomicBool::new(false));
        if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, exceeded) {
            tracing::warn!("a limit on the size of files ends the program ({error})");
        }
    }
}

#[cfg(not(unix))]
fn handle() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(ask)
}

fn ask() {
    if ASKED.swap(true, Ordering::SeqCst) {
        std::process::exit(EXIT_INTERRUPTED.into());
    }
    note!("\ninterrupted: finishing the update and keeping the results (again to quit at once)");
}

/// Whether the user asked for the end.
pub fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Ends a training when the user asked for it.
#[derive(Debug, Default)]
pub struct Interrupt;

impl Observer for Interrupt {
    fn progress(&mut self, _: &Progress) -> Result<Flow> {
        Ok(if asked() { Flow::Stop } else { Flow::Continue })
    }
}
