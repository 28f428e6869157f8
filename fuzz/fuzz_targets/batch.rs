#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings::worker::fuzz_batch(bytes));
