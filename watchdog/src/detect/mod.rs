//! The engine: judges write sessions and the reads that overlap them.
//!
//! Pure: no clock, no files, no tokio, no aya, no metrics. It cannot fail.
