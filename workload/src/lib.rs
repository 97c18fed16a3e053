//! What the workload writes and what it records.
//!
//! The binary's writers and readers are processes of their own, as real runtimes are. Every version of a file can be
//! told from every other by any few bytes of it, so a reader knows what it got without asking anyone.

mod content;
mod cost;
mod record;

pub use content::{APPENDED, Content, classify, render};
pub use cost::Cost;
pub use record::{How, ReadRecord, Style, WriteRecord};
