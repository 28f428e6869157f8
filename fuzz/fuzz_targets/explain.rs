#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings::connection::fuzz_explain(bytes));
