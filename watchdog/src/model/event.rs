//! What a source tells the engine: one normalised operation on a file that matters.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BootNanos, Comm, Content, InodeId, OpenId, Pid, RootId, Span};

/// One operation that succeeded, or one piece of news about a process or a file.
///
/// Sources emit events in the order in which the operations returned; an operation may have started long before
/// events that were emitted earlier (a truncating open that took 30 ms), which is why each carries a span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEvent {
    /// From entry to return. For a release that was discovered late: from when the description was last known
    /// to be alive until the discovery.
    pub span: Span,
    /// Who did it.
    pub actor: Actor,
    /// Events lost so far, in all, when this event was made. An increase between two events means that
    /// something is missing between them.
    pub lost: u64,
    /// What was done.
    pub operation: Operation,
}

/// The thread that entered the kernel; [`Actor::UNKNOWN`] where the source cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Actor {
    /// Process (thread group).
    pub pid: Pid,
    /// Thread.
    pub tid: u32,
    /// The thread's name at that moment.
    pub comm: Comm,
}

impl Actor {
    /// Somebody, and the source cannot tell who.
    pub const UNKNOWN: Self = Self { pid: Pid(0), tid: 0, comm: Comm([0; 16]) };

    /// True when it is known who it was.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.pid != Self::UNKNOWN.pid
    }
}

/// What a name in a container's directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The state file itself.
    State,
    /// A temporary name that the profile knows; it may be renamed over the state file.
    Temporary,
    /// The profile's lock file. The event's place is then the state file that it guards; one without a name stands for
    /// all state files in its directory and below.
    Lock,
}

/// At most so many state files are remembered, wherever they are: room for 20,000 containers.
pub const MAX_FILES: usize = 24_576;

/// A name under a runtime root. It names a file as a directory entry does: different inodes may stand there in turn.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The runtime root.
    pub root: RootId,
    /// Path from the root to the file's directory, without slashes at its ends: the container id at depth 1,
    /// empty at depth 0. Lossy UTF-8; never used to open anything.
    pub container: Arc<str>,
    /// The file's own name.
    pub name: Arc<str>,
    /// What the name is for.
    pub role: Role,
}

impl Place {
    /// True if the file's directory is this one, or lies below it; an empty path is the root itself.
    #[must_use]
    pub fn is_inside(&self, container: &str) -> bool {
        let rest = self.container.strip_prefix(container);
        rest.is_some_and(|rest| container.is_empty() || rest.is_empty() || rest.starts_with('/'))
    }

    /// The name when its directory `container`, or one above it, stands at `to`; `None` if it is not inside.
    #[must_use]
    pub fn moved(&self, container: &str, (root, to): (RootId, &str)) -> Option<Self> {
        if !self.is_inside(container) {
            return None;
        }
        let rest = self.container.strip_prefix(container)?.trim_start_matches('/');
        let container = match (to, rest) {
            ("", rest) => rest.into(),
            (to, "") => to.into(),
            (to, rest) => format!("{to}/{rest}").into(),
        };
        Some(Self { root, container, name: Arc::clone(&self.name), role: self.role })
    }
}

/// What an open file description may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Access {
    /// Opened for reading.
    pub read: bool,
    /// Opened for writing.
    pub write: bool,
}

/// The file that a truncation changed: through a description, or by path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Through a description (ftruncate).
    Open(OpenId),
    /// By the open that made this description (O_TRUNC), from sources that see it apart from the open itself.
    Opening(OpenId),
    /// By name (truncate); the inode is the one that stands there.
    Place(Arc<Place>),
}

/// How a lock is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockMode {
    /// Shared: among readers.
    Shared,
    /// Exclusive: for a writer.
    Exclusive,
    /// Given back.
    Unlocked,
}

/// Whom a lock belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LockOwner {
    /// The description (flock, open-file-description locks).
    Description,
    /// The process (POSIX record locks).
    Process,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitStatus {
    /// By exit, with this code.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

/// The length of an operation of which the source knows only that it took place.
pub const UNKNOWN_LENGTH: u64 = u64::MAX;

/// The operation itself. Sizes are the inode's `i_size`; `None` where the source could not see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A description came into being on a file that matters.
    Open {
        /// The new description.
        id: OpenId,
        /// The file behind it.
        inode: InodeId,
        /// The name by which it was opened.
        place: Arc<Place>,
        /// What it may be used for.
        access: Access,
        /// This open created the file (`FMODE_CREATED`).
        created: bool,
        /// This open truncated existing content (O_TRUNC on a file that was there). The truncation happened
        /// somewhere within the span.
        truncated: bool,
        /// Size when the open returned.
        size: Option<u64>,
    },
    /// Bytes came out of a description (read family; the input side of sendfile, splice, copy_file_range).
    /// A `returned` of 0 is an end-of-file, unless `requested` is [`UNKNOWN_LENGTH`].
    Read {
        /// Through which description.
        id: OpenId,
        /// Where the first byte was; `None` when the position could not be told.
        offset: Option<u64>,
        /// How many bytes were asked for.
        requested: u64,
        /// How many came.
        returned: u64,
        /// Size at entry.
        size_before: Option<u64>,
        /// Size at return.
        size: Option<u64>,
    },
    /// Content in `[offset, offset + length)` changed (write family, fallocate that changes content, the output
    /// side of sendfile, splice, copy_file_range). `length` is what was written, not what was asked for;
    /// [`UNKNOWN_LENGTH`] reaches to the end of the file (collapse and insert range); without an offset, anything
    /// may have changed.
    Write {
        /// Through which description.
        id: OpenId,
        /// Where the first byte went; `None` when the position could not be told.
        offset: Option<u64>,
        /// How many bytes changed.
        length: u64,
        /// Size at entry.
        size_before: Option<u64>,
        /// Size at return.
        size: Option<u64>,
    },
    /// A write through this description failed (ENOSPC, EDQUOT, EIO and the like): it changed nothing, and what its writer
    /// meant to store is not all there.
    WriteFailed {
        /// Through which description.
        id: OpenId,
    },
    /// The size was set: ftruncate, truncate, and O_TRUNC where it does not arrive as [`Operation::Open`].
    Truncate {
        /// Which file.
        target: Target,
        /// Who holds the file, when the source can tell.
        inode: Option<InodeId>,
        /// The new size.
        to: u64,
        /// Size at entry.
        size_before: Option<u64>,
    },
    /// The description was mapped. The mapping keeps the description alive until it is unmapped.
    Map {
        /// Which description.
        id: OpenId,
        /// Mapped shared; a private mapping shows the file's bytes, and its stores do not reach the file.
        shared: bool,
        /// Mapped writable. Stores through a mapping that is shared and writable are not seen from here on.
        writable: bool,
    },
    /// fsync or fdatasync through this description returned.
    Sync {
        /// Which description.
        id: OpenId,
    },
    /// A lock was taken or given back.
    Lock {
        /// Through which description.
        id: OpenId,
        /// How.
        mode: LockMode,
        /// For whom.
        owner: LockOwner,
    },
    /// One name took over another, or the two were exchanged. A place is `None` when that name does not matter
    /// (it lies outside the roots or no profile knows it).
    Rename {
        /// The old name.
        from: Option<Arc<Place>>,
        /// The new name.
        to: Option<Arc<Place>>,
        /// The file that moved to `to`, when the source can tell.
        inode: Option<InodeId>,
        /// RENAME_EXCHANGE: the file at `to` moved to `from`.
        exchange: bool,
        /// Someone still had the moved file open for writing, when the source can tell.
        still_open_for_writing: Option<bool>,
    },
    /// A file got a further name.
    Link {
        /// A name that it had before, when that matters.
        from: Option<Arc<Place>>,
        /// The new name.
        to: Arc<Place>,
        /// The file, when the source can tell.
        inode: Option<InodeId>,
    },
    /// A name was removed.
    Unlink {
        /// The name.
        place: Arc<Place>,
        /// The file behind it, when the source can tell.
        inode: Option<InodeId>,
    },
    /// The description's last reference went: close, exit, munmap, whatever came last.
    Release {
        /// Which description.
        id: OpenId,
    },
    /// The whole process ended.
    Exit {
        /// How.
        status: ExitStatus,
    },
    /// A scan found this file: it seeds what the engine knows of names and sizes. Not an access.
    Present {
        /// Where.
        place: Arc<Place>,
        /// The file, when the source can tell.
        inode: Option<InodeId>,
        /// Its size; `None` when it could not be told.
        size: Option<u64>,
    },
    /// The agent itself read and judged a state file. The event's span goes from before the file was opened until after
    /// its last byte was read; the actor is [`Actor::UNKNOWN`]. Not an access.
    Content {
        /// Where.
        place: Arc<Place>,
        /// The file that was read, when it could be told.
        inode: Option<InodeId>,
        /// How many bytes it had.
        size: u64,
        /// What they are.
        content: Content,
    },
    /// A directory below a root was moved, or the root itself: what stood in it stands elsewhere now.
    MoveDirectory {
        /// The root.
        root: RootId,
        /// The directory's path from the root; empty for the root itself.
        container: Arc<str>,
        /// Where it stands now; `None` when that is below no root, or not known.
        to: Option<(RootId, Arc<str>)>,
    },
    /// Nothing happened but that the loss total may have moved.
    Heartbeat,
}

impl Operation {
    /// The names of all that a source tells, in label order.
    pub const NAMES: [&'static str; 16] = [
        "open",
        "read",
        "write",
        "write_failed",
        "truncate",
        "map",
        "sync",
        "lock",
        "rename",
        "link",
        "unlink",
        "release",
        "exit",
        "present",
        "move_directory",
        "heartbeat",
    ];

    /// Its name; also the label value of `operation` in `events_total`.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Read { .. } => "read",
            Self::Write { .. } => "write",
            Self::WriteFailed { .. } => "write_failed",
            Self::Truncate { .. } => "truncate",
            Self::Map { .. } => "map",
            Self::Sync { .. } => "sync",
            Self::Lock { .. } => "lock",
            Self::Rename { .. } => "rename",
            Self::Link { .. } => "link",
            Self::Unlink { .. } => "unlink",
            Self::Release { .. } => "release",
            Self::Exit { .. } => "exit",
            Self::Present { .. } => "present",
            Self::Content { .. } => "content",
            Self::MoveDirectory { .. } => "move_directory",
            Self::Heartbeat => "heartbeat",
        }
    }
}

impl FileEvent {
    /// When the operation returned.
    #[must_use]
    pub fn at(&self) -> BootNanos {
        self.span.end
    }
}
