//! Where events come from.

mod blind;
mod capabilities;
#[cfg(feature = "ebpf")]
pub mod ebpf;
pub mod inotify;
pub mod names;
mod plan;
mod root;
#[cfg(test)]
pub(crate) mod scripted;
pub mod witness;

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Anomaly, BootNanos, FileEvent, InodeId, OpenId, Pid, Place, ProcessFacts, RootId};

use self::inotify::Sight;

pub use blind::{BlindSpot, blind_spots};
pub use capabilities::{Capabilities, Capability, Fact};
pub use plan::{BTF_REMEDY, LOCKDOWN_REMEDY, Plan, Refusal, Remedy, plan};
pub use root::{Depths, NamePattern, RootSpec, Shape, guarded_by};

/// Something that events come from.
///
/// It runs in the agent's one loop; dropping it detaches it from the kernel.
#[expect(async_fn_in_trait, reason = "the agent has one thread, so no future needs to be Send")]
pub trait Source {
    /// Which one it is.
    fn kind(&self) -> SourceKind;

    /// Waits until there is something and appends it to `out`. Cancel-safe: what was taken from the kernel is in `out`.
    async fn read(&mut self, out: &mut Vec<Item>) -> Result<(), SourceError>;

    /// Watches a root from now on. Called again with the same id when another directory stands there.
    fn watch(&mut self, root: &RootSpec) -> Result<(), SourceError>;

    /// The root's directory went from its place, and may come back: what happens in it matters no longer.
    fn leave(&mut self, id: RootId) {
        let _ = id;
    }

    /// Notes whether the root's file system answers. One that does not is not looked at until it does.
    fn set_silent(&mut self, id: RootId, is_silent: bool) {
        let _ = (id, is_silent);
    }

    /// Does not watch it any more.
    fn unwatch(&mut self, id: RootId);

    /// Whether [`Self::poll_released`] can find out anything: descriptions of this source are the kernel's.
    fn has_descriptions(&self) -> bool {
        true
    }

    /// Asks the kernel whether these descriptions are gone. The answers arrive as release events, or as [`Item::Gone`]
    /// where the release was lost.
    fn poll_released(&mut self, opens: &[OpenId]) -> Result<(), SourceError>;

    /// Compares a piece of what the source keeps in the kernel with what is there, and drops what was left behind by
    /// losses. Returns when the next piece is due, or `None` when the source keeps nothing.
    fn reconcile(&mut self, now: BootNanos) -> Option<BootNanos> {
        let _ = now;
        None
    }

    /// Running totals of what was lost.
    fn losses(&self) -> Losses;

    /// The state of every probe.
    fn probes(&self) -> Vec<ProbeStatus>;

    /// Which operations of the agent's own canary must come out of it as events.
    fn proofs(&self) -> &'static [Proof] {
        &Proof::ALL
    }

    /// The file's identity by the ruler of this source's events; `None` when it has none.
    fn identify(&self, file: &File) -> Option<InodeId> {
        let _ = file;
        None
    }

    /// What the source's own marks on directories saw since the last call, for the cross-check; `None` when it has none.
    fn sights(&mut self) -> Option<Vec<Sight>> {
        None
    }

    /// Watches a state file that stands elsewhere than its name below the root says.
    fn watch_elsewhere(&mut self, found: &Elsewhere<'_>) -> Result<(), SourceError> {
        let _ = found;
        Ok(())
    }

    /// No state file stands at that name any more.
    fn leave_elsewhere(&mut self, place: &Place) {
        let _ = place;
    }

    /// True when a description that was opened before its root was watched goes past it unless it is handed over.
    fn needs_open_descriptions(&self) -> bool {
        false
    }

    /// Takes over a description that this process opened before its root was watched.
    fn take_over(&mut self, file: &File, holder: Pid) {
        let _ = (file, holder);
    }

    /// The agent is about to read this state file itself: a source that cannot tell who reads must leave that out.
    fn reads_itself(&mut self, place: &Arc<Place>) {
        let _ = place;
    }
}

/// A state file that a symbolic link or a mount leads to.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere<'a> {
    /// Its name below the root.
    pub place: &'a Arc<Place>,
    /// The file, open as a path.
    pub file: &'a File,
    /// The directory that stands for the container's, open as a path; `None` when the file's own name is the link.
    pub directory: Option<&'a File>,
}

/// Why a source failed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The stream of events broke.
    #[error("cannot read events from {source_kind}")]
    Read {
        /// Which source.
        source_kind: SourceKind,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is attached, and shows nothing of what happens.
    #[error("{source_kind} shows nothing of what the agent does to a file of its own")]
    Mute {
        /// Which source.
        source_kind: SourceKind,
    },
    /// One root cannot be watched; the others still are.
    #[error("cannot watch {}", path.display())]
    Watch {
        /// The root.
        path: PathBuf,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
    /// The source could not be set up, or the kernel refused a request.
    #[error("{what} failed")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// Why.
        #[source]
        cause: Box<dyn Error + Send + Sync>,
    },
}

/// The kinds of source, best first; also the label values of `source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

impl SourceKind {
    /// Whether its events tell of locks.
    #[must_use]
    pub fn sees_locks(self) -> bool {
        !matches!(self, Self::Inotify)
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The root of the agent's own canary; no runtime's root has this number.
pub const CANARY: RootId = RootId(watchdog_common::CANARY_ROOT);

/// An operation by which a source proves that it sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// A description came into being.
    Open,
    /// It was read.
    Read,
    /// It was written.
    Write,
    /// It was truncated.
    Truncate,
    /// A name took over another file.
    Rename,
    /// A name went.
    Unlink,
    /// The description's last reference went.
    Release,
}

impl Proof {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Open, Self::Read, Self::Write, Self::Truncate, Self::Rename, Self::Unlink, Self::Release];

    /// As `/status` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Read => "read",
            Self::Write => "write",
            Self::Truncate => "truncate",
            Self::Rename => "rename",
            Self::Unlink => "unlink",
            Self::Release => "release",
        }
    }
}

/// How a proof of life ended; also the label values of `result` in `canary_writes_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProofResult {
    /// All events came.
    Seen,
    /// Some came.
    Partial,
    /// Neither opens nor writes came.
    Missed,
    /// Events were lost meanwhile, which explains what is missing.
    Lost,
}

impl ProofResult {
    /// All results, in label order.
    pub const ALL: [Self; 4] = [Self::Seen, Self::Partial, Self::Missed, Self::Lost];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Partial => "partial",
            Self::Missed => "missed",
            Self::Lost => "lost",
        }
    }
}

/// What a source hands over.
#[derive(Clone, Debug)]
pub enum Item {
    /// For the engine.
    Event(FileEvent),
    /// Something that the source itself cannot explain.
    Anomaly(Anomaly),
    /// For attribution; comes before the process's first event.
    Process(Box<ProcessFacts>),
    /// The description is gone, and its release was lost.
    Gone(OpenId),
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
    /// io_uring was asked to do something with a state file, which a source on system calls does not see.
    IoUring,
    /// The kernel did not run a probe.
    ProbeMissed,
    /// The kernel's queue of inotify events overflowed; how many events that cost, it does not say.
    QueueOverflow,
    /// A directory could not be watched.
    WatchLimit,
}

impl LossReason {
    /// All reasons, in label order.
    pub const ALL: [Self; 9] = [
        Self::RingFull,
        Self::TableFull,
        Self::Malformed,
        Self::Unresolved,
        Self::Compat,
        Self::IoUring,
        Self::ProbeMissed,
        Self::QueueOverflow,
        Self::WatchLimit,
    ];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RingFull => "ring_full",
            Self::TableFull => "table_full",
            Self::Malformed => "malformed",
            Self::Unresolved => "unresolved",
            Self::Compat => "compat",
            Self::IoUring => "io_uring",
            Self::ProbeMissed => "probe_missed",
            Self::QueueOverflow => "queue_overflow",
            Self::WatchLimit => "watch_limit",
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
    /// All that was lost.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The total for one reason.
    #[must_use]
    pub fn get(&self, reason: LossReason) -> u64 {
        self.0[reason as usize]
    }
}
