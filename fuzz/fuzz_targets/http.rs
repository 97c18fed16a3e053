#![no_main]
//! See [`watchdog_fuzz::http`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::http(bytes));
