//! Where events come from.

#[cfg(feature = "ebpf")]
pub mod ebpf;

use std::fmt;

use crate::model::{FileEvent, ProcessFacts, RootId};

/// The kinds of source, best first; also the label values of `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SourceKind {
    /// fentry/fexit or kprobes on VFS functions.
    Vfs,
    /// Tracepoints on system calls.
    Syscalls,
    /// inotify watches.
    Inotify,
    /// A recording.
    Replay,
}

impl SourceKind {
    /// All kinds, in label order.
    pub const ALL: [Self; 4] = [Self::Vfs, Self::Syscalls, Self::Inotify, Self::Replay];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Vfs => "vfs",
            Self::Syscalls => "syscalls",
            Self::Inotify => "inotify",
            Self::Replay => "replay",
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a source hands over.
#[derive(Clone, Debug)]
pub enum Item {
    /// For the engine.
    Event(FileEvent),
    /// For attribution; comes before the process's first event.
    Process(Box<ProcessFacts>),
}

/// Why an event did not reach the engine; also the label values of `events_lost_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LossReason {
    /// The ring buffer was full.
    RingFull,
    /// A kernel-side table of descriptions or calls in flight was full.
    TableFull,
    /// A record had the wrong size or kind.
    Malformed,
    /// A path could not be resolved to a root, so whether the file matters stayed open.
    Unresolved,
    /// A 32-bit program's calls, which are not decoded.
    Compat,
}

impl LossReason {
    /// All reasons, in label order.
    pub const ALL: [Self; 5] =
        [Self::RingFull, Self::TableFull, Self::Malformed, Self::Unresolved, Self::Compat];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::TableFull => "table_full",
            Self::Malformed => "malformed",
            Self::Unresolved => "unresolved",
            Self::Compat => "compat",
        }
    }
}

/// One probe's state, for `/status`, `doctor` and `probe_attached`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeStatus {
    /// What it watches, from a closed set: `sys_enter`, `sys_exit`, `process_exit`, …
    pub probe: &'static str,
    /// How it is attached: `tp_btf`, `raw_tracepoint`, …
    pub mechanism: &'static str,
    /// It is attached.
    pub attached: bool,
    /// Why not, with the remedy.
    pub reason: Option<String>,
}

/// Running totals of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(pub [u64; LossReason::ALL.len()]);

impl Losses {
    /// The total for one reason.
    #[must_use]
    pub fn get(&self, reason: LossReason) -> u64 {
        self.0[reason as usize]
    }
}

/// A directory that a source is asked to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootSpec {
    /// Index in the agent's table of roots; events carry it back.
    pub id: RootId,
    /// Where the agent can open it now (host root already applied).
    pub path: std::path::PathBuf,
    /// How many directories lie between the root and a state file: 0 to 2.
    pub depth: u8,
    /// Which names matter, from the runtime's profile.
    pub names: Vec<NamePattern>,
}

/// A file name that matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern {
    /// What such a name is for.
    pub role: crate::model::Role,
    /// Exact, beginning or end.
    pub shape: Shape,
    /// At most 32 bytes, at least 1.
    pub text: String,
}

/// How a [`NamePattern`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The whole name.
    Exact,
    /// The name begins with it.
    Prefix,
    /// The name ends with it.
    Suffix,
}
