#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings::wire::http1::fuzz_accept(bytes));
