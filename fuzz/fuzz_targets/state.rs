#![no_main]
//! See [`watchdog_fuzz::state`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::state(bytes));
