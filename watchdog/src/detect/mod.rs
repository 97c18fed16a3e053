//! The engine: judges write sessions and the reads that overlap them.
//!
//! Pure: no clock, no files, no tokio, no aya, no metrics. It cannot fail: whatever it is told, it answers with
//! reports or with anomalies.
//!
//! - [`engine`] takes events in and keeps time; `opens`, `writes`, `renames` and `judge` hold what each kind of
//!   event does.
//! - `file` is what is known of one inode, `session` of one write session, `reads` of what one description read,
//!   `names` of one directory entry.
//! - `timeline` is the heart: which complete versions a pass over the file can have come from.

mod bounds;
mod description;
mod engine;
mod exits;
mod file;
mod judge;
mod limits;
mod locks;
mod names;
mod opens;
mod reads;
mod renames;
mod session;
mod sizes;
mod table;
mod timeline;
mod timers;
mod writes;

pub use engine::{Counts, Engine};
pub use limits::Limits;
