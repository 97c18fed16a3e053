//! `trace`, `record` and `replay` beside a real kernel: what they show, how they end, and that a recording is judged as
//! the agent judged live.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

mod ends;
mod program;
mod replay;
mod work;
