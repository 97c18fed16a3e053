#![no_main]
//! See [`watchdog_fuzz::ring`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::ring(bytes));
