#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = hig::memory::Memory::from_bytes(bytes);
});
