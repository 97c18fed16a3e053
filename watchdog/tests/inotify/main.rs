//! The source `inotify` against the running kernel, on a tmpfs and on the disk. Needs no privilege.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

mod agent;
mod bench;
mod limits;
mod loss;
mod program;
mod roots;
mod sessions;
