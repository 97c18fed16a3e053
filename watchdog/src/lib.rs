//! The state-watchdog agent as a library; `main.rs` is a thin shell around it.

pub mod agent;
pub mod cli;
pub mod clock;
pub mod completions;
pub mod config;
pub mod detect;
pub mod doctor;
pub mod enrich;
pub mod exit;
pub mod health;
pub mod host_root;
pub mod http;
pub mod memory;
pub mod metrics;
pub mod model;
pub mod privilege;
pub mod profile;
pub mod recent;
pub mod recording;
pub mod report;
pub mod scan;
pub mod source;
pub mod telemetry;
pub mod trace;
