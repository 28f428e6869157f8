#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings::cli::fuzz_event_stream(bytes));
