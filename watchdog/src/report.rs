//! Findings as people and programs read them.

mod finding;
mod line;
mod message;
mod outlet;
mod text;
mod writer;

pub use finding::{ExitView, Finding, Kind, OperationView, ProcessView, ReadView, WindowView};
pub use line::line;
pub use outlet::Outlet;
pub use text::clean;
pub use writer::{FileFacts, Reporter};

#[cfg(test)]
mod tests;
