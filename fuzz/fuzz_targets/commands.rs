#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tidings::wire::command::fuzz_commands(bytes));
