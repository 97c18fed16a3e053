//! What writers and readers write down: one JSON object a line.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::Content;

/// How a writer saves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum How {
    /// As old runc: open with O_TRUNC, one write, close.
    Truncate,
    /// Open with O_TRUNC, several writes.
    Chunks,
    /// Open, ftruncate to nothing, write.
    Ftruncate,
    /// Write over the old bytes, then cut or leave what is longer.
    Overwrite,
    /// Add behind the old bytes.
    Append,
    /// Unlink, then create and fill under the final name.
    Recreate,
    /// Open with O_TRUNC and die; the next save writes the file whole.
    Die,
    /// Temporary file, rename.
    Rename,
    /// Temporary file, fsync, rename.
    RenameSync,
    /// One descriptor for all saves: ftruncate to nothing, write in two parts, and stay open.
    Daemon,
    /// Two processes at once: open with O_TRUNC, two writes, close.
    Pair,
    /// Open with O_TRUNC, write half and be killed; the next save writes the file whole.
    Killed,
    /// Temporary file, half of it, rename, the other half.
    RenameEarly,
}

impl How {
    /// True when a reader never sees anything but one complete version.
    #[must_use]
    pub fn is_atomic(self) -> bool {
        matches!(self, Self::Rename | Self::RenameSync)
    }

    /// True when it may leave a file at rest that no reader can parse. It then stays so until the agent can have looked.
    #[must_use]
    pub fn leaves_damage(self) -> bool {
        matches!(self, Self::Pair | Self::Killed)
    }

    /// How many write sessions so many saves may be: two writers at once begin anew as often as each of them truncates
    /// what the other has written.
    #[must_use]
    pub fn sessions(self, saves: u64) -> std::ops::RangeInclusive<u64> {
        if self == Self::Pair { saves..=2 * saves } else { saves..=saves }
    }

    /// The outcome that the agent should give to each save.
    #[must_use]
    pub fn outcome(self) -> &'static str {
        match self {
            Self::Truncate
            | Self::Chunks
            | Self::Ftruncate
            | Self::Overwrite
            | Self::Append
            | Self::Die
            | Self::Daemon
            | Self::Pair
            | Self::Killed => "in_place",
            Self::Recreate => "recreated",
            Self::RenameEarly => "incomplete_replace",
            Self::Rename | Self::RenameSync => "atomic_replace",
        }
    }

    /// The name as typed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncate => "truncate",
            Self::Chunks => "chunks",
            Self::Ftruncate => "ftruncate",
            Self::Overwrite => "overwrite",
            Self::Append => "append",
            Self::Recreate => "recreate",
            Self::Die => "die",
            Self::Rename => "rename",
            Self::RenameSync => "rename-sync",
            Self::Daemon => "daemon",
            Self::Pair => "pair",
            Self::Killed => "killed",
            Self::RenameEarly => "rename-early",
        }
    }
}

/// How a reader reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Style {
    /// As Go's JSON decoder: 512, 1024, 2048 … bytes, until the value closes or the file ends.
    Go,
    /// 8192 bytes at a time until a read returns nothing.
    Blocks,
    /// As much as the file's size says, then until a read returns nothing.
    Whole,
    /// One byte at a time, until a read returns nothing.
    Bytes,
    /// Through a private mapping of the file's size.
    Mapped,
}

impl Style {
    /// The name as typed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Go => "go",
            Self::Blocks => "blocks",
            Self::Whole => "whole",
            Self::Bytes => "bytes",
            Self::Mapped => "mapped",
        }
    }
}

/// One save.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteRecord {
    /// The writer's process.
    pub pid: u32,
    /// The process that saved another version at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<u32>,
    /// What was saved.
    pub generation: u64,
    /// How.
    pub how: How,
    /// Just before the first system call, nanoseconds since boot.
    pub begin: u64,
    /// Just after the last one.
    pub end: u64,
}

/// One read by a process that did nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRecord {
    /// The reader's process.
    pub pid: u32,
    /// How it read.
    pub style: Style,
    /// What it got.
    pub content: Content,
    /// Of which generation, when the bytes say so.
    pub generation: Option<u64>,
    /// How many bytes.
    pub bytes: u64,
    /// How many read calls.
    pub calls: u64,
    /// Just after the first one, nanoseconds since boot; 0 when there was none.
    pub first_end: u64,
    /// The JSON parser was content; decides the exit status.
    pub parsed: bool,
    /// Just before the open, nanoseconds since boot.
    pub begin: u64,
    /// Just after the close.
    pub end: u64,
}

/// Containers that came and went.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Churned {
    /// How many.
    pub containers: u64,
    /// How many of them were saved in place once.
    pub in_place: u64,
    /// How many of them were saved in place once under a lock.
    pub guarded: u64,
    /// In what time.
    pub seconds: f64,
}

/// Processes that ended at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Flooded {
    /// How many.
    pub processes: u64,
    /// How many of them read the state file.
    pub reads: u64,
    /// How many had a process id that another one had before.
    pub reused: u64,
    /// In what time.
    pub seconds: f64,
}
