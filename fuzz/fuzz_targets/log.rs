#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings::topic::fuzz_log(bytes));
