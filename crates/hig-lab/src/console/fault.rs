//! Faults of the program itself: a panic ends in words that help, and in an exit code of its own.

use crate::console::output::note;
use std::backtrace::Backtrace;
use std::panic::{PanicHookInfo, UnwindSafe, catch_unwind};

/// The program is at fault; what was computed is kept. `EX_SOFTWARE` of sysexits.h.
pub const EXIT_FAULT: u8 = 70;

/// Does the work; where it panics, says so and what to do.
pub fn guarded(work: impl FnOnce() -> u8 + UnwindSafe) -> u8 {
    catch_unwind(work).unwrap_or_else(|fault| {
        let text = fault.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| fault.downcast_ref::<String>().cloned());
        let what = text.unwrap_or_else(|| "no message".into());
        super::error(&format!("hig itself has failed: {what}"), EXIT_FAULT);
        EXIT_FAULT
    })
}

/// Words instead of Rust's own for every panic from here on.
pub fn explain() {
    std::panic::set_hook(Box::new(|fault| {
        note!("{}", words(fault));
        if tracing::enabled!(tracing::Level::INFO) {
            note!("{}", Backtrace::force_capture());
        }
    }));
}

fn words(fault: &PanicHookInfo<'_>) -> String {
    let what = fault.payload_as_str().unwrap_or("no message");
    let place = fault.location().map_or(String::new(), |place| {
        format!(" ({}:{})", place.file(), place.line())
    });
    format!(
        "error: hig itself has failed: {what}{place}\n\
         What was computed until now is on disk; `hig resume RUN` goes on from the last checkpoint.\n\
         Please report this with the command and, if you can share it, config.toml; -v adds a backtrace."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_in_the_exit_code_of_a_fault() {
        assert_eq!(guarded(|| panic!("it is only a test")), EXIT_FAULT);
        assert_eq!(guarded(|| 0), 0);
    }
}
