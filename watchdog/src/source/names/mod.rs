//! Names that change in watched directories: which directory, which name, and which call did it.
//!
//! A mark on a directory (an inotify watch) knows the directory for certain, whatever path led there. A probe on system
//! calls knows the time and the process. The kernel queues a mark's event before the call returns, so when a probe's
//! record of a call is read, the marks' events of that call can be read too. [`Join`] puts the two together.

mod join;
mod pool;

use std::sync::Arc;

use crate::model::{BootNanos, Place, RootId};

pub use join::{Call, CallKind, Join, Joined, Places};

/// An event of a mark: something happened to a name in a watched directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameEvent {
    /// The directory and the name.
    pub place: Arc<Place>,
    /// What happened.
    pub change: Change,
    /// Joins the two halves of a rename.
    pub cookie: u32,
    /// The change happened within this time.
    pub between: (BootNanos, BootNanos),
}

/// An event of a mark: a directory below a root was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryMove {
    /// The root.
    pub root: RootId,
    /// The directory's path from the root.
    pub container: Arc<str>,
    /// Where it stands now; `None` when that is below no root.
    pub to: Option<(RootId, Arc<str>)>,
    /// It was moved within this time.
    pub between: (BootNanos, BootNanos),
}

/// What happened to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A rename took the file away from this name.
    MovedFrom,
    /// A rename gave a file this name.
    MovedTo,
    /// The name came into being by an open or a link.
    Created,
    /// The name was removed.
    Deleted,
    /// The content of the file at this name changed.
    Modified,
}

/// What is known, without asking anybody, of the directory in which a call's path ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Directory {
    /// The kernel showed the directory, and it holds no state files.
    Elsewhere,
    /// The kernel showed the directory.
    Certain(RootId, Arc<str>),
    /// The text says so, as the host reads it. A symbolic link or a mount may lead elsewhere.
    Textual(RootId, Arc<str>),
    /// The text's last directory has this name; what stands before it means something else for this caller.
    Named(Arc<str>),
    /// Nothing.
    Unknown,
}

/// One of a call's paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The last component; `None` when the text could not be read.
    pub name: Option<Arc<str>>,
    /// The directory before it.
    pub directory: Directory,
}
