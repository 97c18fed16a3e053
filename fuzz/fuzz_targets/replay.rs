#![no_main]
//! See [`watchdog_fuzz::replay`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::replay(bytes));
