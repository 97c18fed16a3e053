#![no_main]
//! See [`watchdog_fuzz::config`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::config(bytes));
