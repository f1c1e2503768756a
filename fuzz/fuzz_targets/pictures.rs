//! `pictures.json`, as the page passes it on.
#![no_main]

use hig_lab::run_folder::method::parse_pictures;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(Some(pictures)) = parse_pictures(bytes) {
        // The numbers may differ in the last bit: JSON is read in a hurry.
        let printed = pictures.to_string();
        let again = parse_pictures(printed.as_bytes()).expect("what is printed can be read");
        assert!(again.is_some());
    }
});
