//! Opens files and directories whose paths foreign processes control.
//!
//! - Every component is opened relative to the one before. Below a runtime's root no symbolic link is followed; on the
//!   way to a bundle, links lead where they lead on the host.
//! - Nothing is opened for reading before it is known to be a regular file: O_PATH reaches no driver and no FIFO, and
//!   the regular file is opened again through its descriptor, so no other file can take its place in between.
//! - Before each operation that may wait for a file system, the [`Gate`] is asked. Mount points are crossed in a step of
//!   their own, so that a mount that does not answer is not mistaken for the one around it.

mod gate;
mod node;

pub use gate::{Gate, Ungated, Whereabouts, Within};
pub use node::{Directory, Kind, Node, Reached, regular_file};
