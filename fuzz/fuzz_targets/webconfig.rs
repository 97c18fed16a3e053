#![no_main]
//! See [`watchdog_fuzz::webconfig`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::webconfig(bytes));
