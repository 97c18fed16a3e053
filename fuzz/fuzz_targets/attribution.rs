#![no_main]
//! See [`watchdog_fuzz::attribution`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::attribution(bytes));
