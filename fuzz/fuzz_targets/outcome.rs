//! `outcome.toml`: what is read is printed, and what is printed reads as the same.
#![no_main]

use hig_lab::run_folder::outcome::Ended;
use hig_lab::run_folder::State;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(table) = text.parse::<toml::Table>() {
        let _ = State::of(Some(&table), true, false).name();
    }
    if let Some(ended) = Ended::parse(text) {
        let printed = ended.text();
        let again = Ended::parse(&printed).expect("what is printed can be read");
        // NaN is not itself; its text is.
        assert_eq!(again.text(), printed);
    }
});
