//! What the engine concludes.

use std::sync::Arc;

use super::{Actor, Anomaly, BootNanos, Content, Damage, ExitStatus, InodeId, OpenId, Place, Span};

/// One conclusion of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A write session ended.
    Session(Box<SessionReport>),
    /// A description's reads were judged.
    Read(Box<ReadReport>),
    /// A description got the bytes of a version that is damaged at rest.
    DamagedRead(Box<DamagedReadReport>),
    /// A torn or damaged reader's process ended, or did not within the time that we wait.
    ReaderExit(ReaderExit),
    /// The agent is asked to read and judge a state file. It answers with an event `Content` within 2 s; no answer counts
    /// as one that could not be judged.
    Check(CheckRequest),
    /// Something could not be explained.
    Anomaly(Anomaly),
}

/// How a write session ended; also the label values of `write_sessions_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A complete other inode took over the name by rename, exchange or link.
    AtomicReplace,
    /// Existing content was changed where it lay.
    InPlace,
    /// There was no file before, and it was filled under its final name.
    CreatedInPlace,
    /// Unlinked, then created and filled under its final name.
    Recreated,
    /// In place, but writer and readers took the profile's lock.
    Guarded,
    /// A file took over the name by rename while its writer had not finished.
    IncompleteReplace,
    /// Events were lost inside the session, or its end was never seen within the deadline.
    Unknown,
}

impl Outcome {
    /// All outcomes, in label order.
    pub const ALL: [Self; 7] = [
        Self::AtomicReplace,
        Self::InPlace,
        Self::CreatedInPlace,
        Self::Recreated,
        Self::Guarded,
        Self::IncompleteReplace,
        Self::Unknown,
    ];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtomicReplace => "atomic_replace",
            Self::InPlace => "in_place",
            Self::CreatedInPlace => "created_in_place",
            Self::Recreated => "recreated",
            Self::Guarded => "guarded",
            Self::IncompleteReplace => "incomplete_replace",
            Self::Unknown => "unknown",
        }
    }

    /// True for the sessions that put readers at risk: `in_place`, `created_in_place`, `recreated`, `incomplete_replace`.
    #[must_use]
    pub fn is_nonatomic(self) -> bool {
        matches!(self, Self::InPlace | Self::CreatedInPlace | Self::Recreated | Self::IncompleteReplace)
    }
}

/// How a non-atomic session began; also the label values of `nonatomic_writes_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// An open with O_TRUNC emptied existing content.
    OpenTruncate,
    /// truncate or ftruncate changed the size.
    Truncate,
    /// Bytes within existing content were written.
    Overwrite,
    /// Bytes were added behind existing content.
    Append,
    /// A shared writable mapping was made.
    Mmap,
    /// The file was created under its final name.
    Create,
    /// The file was renamed over the state file before it was complete.
    Rename,
    /// Something was modified; the source cannot say how.
    Unknown,
}

impl Operation {
    /// All operations, in label order.
    pub const ALL: [Self; 8] = [
        Self::OpenTruncate,
        Self::Truncate,
        Self::Overwrite,
        Self::Append,
        Self::Mmap,
        Self::Create,
        Self::Rename,
        Self::Unknown,
    ];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OpenTruncate => "open_truncate",
            Self::Truncate => "truncate",
            Self::Overwrite => "overwrite",
            Self::Append => "append",
            Self::Mmap => "mmap",
            Self::Create => "create",
            Self::Rename => "rename",
            Self::Unknown => "unknown",
        }
    }
}

/// What is proved of a description's reads; also the label values of `overlapping_reads_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The bytes cannot be the complete old or the complete new content.
    Torn,
    /// A read inside a write window for which tearing cannot be proved.
    Overlapping,
    /// Had the file open during a write window, read nothing within it.
    Exposed,
    /// Writer and reader both held the profile's lock.
    Guarded,
    /// Events were lost: nothing can be said.
    Unknown,
}

impl Verdict {
    /// All verdicts, in label order.
    pub const ALL: [Self; 5] = [Self::Torn, Self::Overlapping, Self::Exposed, Self::Guarded, Self::Unknown];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Torn => "torn",
            Self::Overlapping => "overlapping",
            Self::Exposed => "exposed",
            Self::Guarded => "guarded",
            Self::Unknown => "unknown",
        }
    }
}

/// One modifying operation of a session, as evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    /// What it did.
    pub operation: Operation,
    /// When.
    pub span: Span,
    /// Who.
    pub actor: Actor,
    /// First byte that changed.
    pub offset: Option<u64>,
    /// How many bytes changed, for writes.
    pub length: Option<u64>,
    /// Size afterwards.
    pub size: Option<u64>,
}

/// A write session with its evidence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionReport {
    /// The state file.
    pub place: Arc<Place>,
    /// The file that was written; for an atomic replace the new one, when known.
    pub inode: Option<InodeId>,
    /// How it ended.
    pub outcome: Outcome,
    /// For an atomic replace: fsynced before it took over the name. `None` when it could not be told.
    pub durable: Option<bool>,
    /// How it began; `None` for an atomic replace and where the beginning was not seen.
    pub operation: Option<Operation>,
    /// Who made the first modifying operation.
    pub writer: Actor,
    /// From the entry of the first modifying operation to the release.
    pub window: Span,
    /// The first modifying operations, at most [`SessionReport::MAX_OPERATIONS`].
    pub operations: Vec<OperationRecord>,
    /// How many modifying operations there were in all.
    pub operation_count: u64,
    /// Size before, when known; 0 with `outcome` `created_in_place` means that there was no file.
    pub size_before: Option<u64>,
    /// Size at the end, when known.
    pub size_after: Option<u64>,
    /// A writing process was killed by a signal before it had closed the file.
    pub writer_died: bool,
    /// What the agent found in it, when the session ended by that; else its file is to be read.
    pub content: Option<Content>,
    /// A writing process ended in another way before it had closed the file. It died, if it left the file damaged.
    pub writer_exited: bool,
}

impl SessionReport {
    /// How many operations a report lists; the rest is only counted.
    pub const MAX_OPERATIONS: usize = 16;
}

/// The judgement of what one description read while the file was being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadReport {
    /// The state file.
    pub place: Arc<Place>,
    /// The file that was read.
    pub inode: InodeId,
    /// The description.
    pub open: OpenId,
    /// What is proved.
    pub verdict: Verdict,
    /// Who read (who opened, when nothing was read).
    pub reader: Actor,
    /// Who wrote.
    pub writer: Actor,
    /// The session that the read is judged against: the last one that it touched.
    pub window: Span,
    /// The modifying operations of that session.
    pub operations: Vec<OperationRecord>,
    /// The read call that shows it best: the end-of-file or short read of a torn read, else the last one in the
    /// window; `None` when nothing was read in the window.
    pub read: Option<ReadCall>,
    /// How many read calls the description made in all.
    pub read_calls: u64,
    /// How many bytes it got in all.
    pub bytes: u64,
    /// Size before the session.
    pub size_before: Option<u64>,
    /// Size after the session.
    pub final_size: Option<u64>,
    /// When the verdict was reached.
    pub judged: BootNanos,
}

/// One read call as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadCall {
    /// When.
    pub span: Span,
    /// Where.
    pub offset: Option<u64>,
    /// How many bytes were asked for.
    pub requested: u64,
    /// How many came.
    pub returned: u64,
    /// Size when it returned.
    pub size_at_read: Option<u64>,
    /// How many calls in a row are told as this one: each went on where the one before had ended.
    pub merged: u64,
}

/// What a description got of a version that is damaged at rest. No verdict: nobody was writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedReadReport {
    /// The state file.
    pub place: Arc<Place>,
    /// The file that was read.
    pub inode: InodeId,
    /// The description.
    pub open: OpenId,
    /// Who read.
    pub reader: Actor,
    /// How the version is damaged.
    pub damage: Damage,
    /// When it was left so; when it was first found so, if that was not seen.
    pub since: BootNanos,
    /// Who modified it last; [`Actor::UNKNOWN`] where that was not seen.
    pub by: Actor,
    /// The last read call.
    pub read: Option<ReadCall>,
    /// How many read calls the description made in all.
    pub read_calls: u64,
    /// How many bytes it got in all.
    pub bytes: u64,
    /// The version's size.
    pub size: u64,
    /// When this became certain.
    pub judged: BootNanos,
}

/// A state file that the agent is asked to read and judge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckRequest {
    /// Where.
    pub place: Arc<Place>,
    /// Which file is meant.
    pub inode: InodeId,
}

/// What a reader's end follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Follows {
    /// A damaged read.
    Damaged,
    /// A torn read, or a mapped file that was cut short below its reader.
    Torn,
}

impl Follows {
    /// As a finding says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Damaged => "damaged",
            Self::Torn => "torn",
        }
    }
}

/// What became of a reader's process; also the label values of `torn_reader_exits_total` and
/// `damaged_reader_exits_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReaderResult {
    /// It exited with 0.
    Success,
    /// It exited with another code or by a signal.
    Failure,
    /// It did not end within 10 s, or its end was lost.
    Unknown,
}

impl ReaderResult {
    /// All results, in label order.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Unknown];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Unknown => "unknown",
        }
    }
}

/// How the process of a torn or damaged read's reader ended. One for each process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderExit {
    /// The state file of the read.
    pub place: Arc<Place>,
    /// The description of the read: links this to its [`ReadReport`] or [`DamagedReadReport`].
    pub open: OpenId,
    /// Which of both it follows.
    pub follows: Follows,
    /// Who.
    pub reader: Actor,
    /// How it ended, in one word.
    pub result: ReaderResult,
    /// How it ended, exactly; `None` with [`ReaderResult::Unknown`].
    pub status: Option<ExitStatus>,
    /// When it ended or was given up.
    pub at: BootNanos,
}
