//! Findings as people and programs read them.

mod finding;
mod line;
mod message;
mod outlet;
mod terminal;
mod text;
mod writer;

pub use finding::{ExitView, Finding, Kind, OperationView, ProcessView, ReadView, WindowView};
pub use line::line;
pub use message::duration;
pub use outlet::{DropReason, Outlet};
pub use terminal::{closed, complain, has_colours};
pub use text::{clean, is_unsafe};
pub use writer::{FileFacts, Reporter};

#[cfg(test)]
mod tests;
