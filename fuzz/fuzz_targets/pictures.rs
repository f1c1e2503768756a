//! `pictures.json`, as the page passes it on.
#![no_main]

use hig_lab::run_folder::pictures;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(read)) = pictures::parse(bytes) {
        // The numbers may differ in the last bit: JSON is read in a hurry.
        let printed = read.to_string();
        let again = pictures::parse(printed.as_bytes()).expect("what is printed can be read");
        assert!(again.is_some());
    }
});
