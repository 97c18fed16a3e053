#![no_main]
//! See [`watchdog_fuzz::btf`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::btf(bytes));
