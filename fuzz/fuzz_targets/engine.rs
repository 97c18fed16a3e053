#![no_main]
//! See [`watchdog_fuzz::engine`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::engine(bytes));
