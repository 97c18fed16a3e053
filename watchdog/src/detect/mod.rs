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

//!
//! # Rules
//!
//! An operation is an interval; two that meet have no order. What follows is judged by what is possible: a reader is
//! `torn` only if no order of what happened explains what it got.
//!
//! **Sessions.** A session begins with the first modifying operation on a live state file. It ends by
//!
//! - *release*: the last open file description that modified the file in this session is released. The reported window
//!   ends there.
//! - *a new save*: an operation X that truncates the file to 0 while it is not empty, or that writes at offset 0 after a
//!   first write of the session that began at 0 too. A truncation to another size by the same description, with no other
//!   modification between it and X, belongs to the new save. Required: no other modification meets X, and every
//!   description that truncated to 0 in this session has written since, before X. A call under way becomes known when it
//!   returns, so the end is certain 2 s after X, or when a later session ends by release; only then is it reported.
//! - *quiet*: 2 s after the last modification the agent is asked to check the file. Valid ends the session. Damaged leaves
//!   it open until somebody modifies the file again. Not judged, or no answer within 2 s, ends it. A session is
//!   never quiet while somebody has the file mapped, shared and writable, even if that mapping is older than the session.
//! - *cut*: 60 s after it began, or after a quiet time with a damaged file was over, without any of these.
//!
//! The reported window of the last three ends with the last modification. What a reader did behind it, before the session's
//! end, is judged too, but only `torn` is reported of it.
//!
//! **Versions.** A version is the content at a moment at which every description that had begun to modify in a session
//! had made its last modification of that session. Beside them:
//!
//! - *Come back*: a pass that got bytes is compared by bytes and lengths with every version that is still remembered, whatever
//!   happened in between. A pass without bytes shows a length alone, so it is compared by time as well.
//! - *Whole*: what one description wrote alone, from offset 0 to the file's end, when it is released later without having
//!   modified again, not killed and without a failed write: a version from its last write to the next modification,
//!   whatever others have begun before its first write. Where the file was longer, from the moment on at which another cut
//!   it to just that length.
//! - *Possible*: the content at the end of a session that ended by a new save, a cut, or without a judgement. It counts as a
//!   version, unless it is empty, or a description that modified it in that session goes on in a later one with anything
//!   but a truncation to 0 or a write at 0 (or a truncation directly followed by one).
//! - The content after a release is a version, unless it is empty and changed before the agent could check it, and its
//!   writer was killed, or a write failed, or the next modification appends at its end. Who read it meanwhile waits until
//!   that is known, at most 2 s. What a quiet time ended without a judgement is none for as long as it stays empty.
//!
//! **Damaged reads.** Content is at rest when the last modification is over; when the agent judges it damaged, each
//! description that read of it, with all calls of its last pass after the last modification, got a damaged version: reported
//! once for each description, when it is released, has met the end, or 60 s after the read. While the session is open, it
//! waits for the end of the session or 60 s.

mod bounds;
mod damage;
mod description;
mod directories;
mod ends;
mod engine;
mod exits;
mod file;
mod files;
mod judge;
mod limits;
mod locks;
mod names;
mod opens;
mod reads;
mod renames;
mod rest;
mod saves;
mod session;
mod sizes;
mod table;
mod timeline;
mod timers;
mod wholes;
mod writes;

pub use engine::{Counts, Engine};
pub use limits::Limits;
