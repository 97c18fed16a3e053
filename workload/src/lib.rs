//! What the workload writes and what it records.
//!
//! The binary's writers and readers are processes of their own, as real runtimes are. Every version of a file can be
//! told from every other by any few bytes of it, so a reader knows what it got without asking anyone.

mod content;
mod cost;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod instructions;
mod names;
mod record;
mod sent;

pub use content::{APPENDED, Content, classify, render};
pub use cost::Cost;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
pub use instructions::Instructions;
pub use names::FORGED;
pub use record::{Churned, Flooded, How, ReadRecord, Style, WriteRecord};
pub use sent::Sent;
