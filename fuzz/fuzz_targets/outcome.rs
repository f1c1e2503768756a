//! `outcome.toml`: what is read is printed, and what is printed reads as the same.
#![no_main]

use hig_lab::run_folder::outcome::{Outcome, State, reason};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(table) = text.parse::<toml::Table>() {
        let _ = State::of(Some(reason(&table)), true, false).name();
    }
    if let Some(outcome) = Outcome::parse(text) {
        let printed = outcome.text();
        let again = Outcome::parse(&printed).expect("what is printed can be read");
        // NaN is not itself; its text is.
        assert_eq!(again.text(), printed);
    }
});
