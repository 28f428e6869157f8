#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings::wire::resp3::fuzz_resp3(bytes));
