#![no_main]
//! See [`watchdog_fuzz::inotify`].

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::inotify(bytes));
