//! The state-watchdog agent as a library; `main.rs` is a thin shell around it.

pub mod detect;
pub mod model;
pub mod source;
