//! Where a case takes place: a directory of its own with a runtime root in it.

use std::ffi::{CString, OsStr};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use watchdog::model::{Role, RootId};
use watchdog::source::{Depths, NamePattern, RootSpec, Shape};

/// What every state file holds when a case begins: 13 bytes.
pub(crate) const OLD: &[u8; 13] = br#"{"id": "old"}"#;

/// A kind of filesystem on which every case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filesystem {
    /// A tmpfs.
    Memory,
    /// One on a disk; whatever the build directory lies on, when nothing else is said.
    Disk,
    /// An overlay, where one is named.
    Overlay,
}

impl Filesystem {
    /// All that this run has.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        [Self::Memory, Self::Disk, Self::Overlay]
            .into_iter()
            .filter(|filesystem| filesystem.folder().is_some())
    }

    /// Its name in an expectation's conditions.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Memory => "tmpfs",
            Self::Disk => "disk",
            Self::Overlay => "overlay",
        }
    }

    /// Where sites are made on it.
    fn folder(self) -> Option<PathBuf> {
        let (variable, default) = match self {
            Self::Memory => ("STATE_WATCHDOG_TEST_TMPFS", Some("/dev/shm")),
            Self::Disk => ("STATE_WATCHDOG_TEST_DISK", Some(env!("CARGO_TARGET_TMPDIR"))),
            Self::Overlay => ("STATE_WATCHDOG_TEST_OVERLAY", None),
        };
        std::env::var_os(variable).map(PathBuf::from).or(default.map(PathBuf::from))
    }
}

/// A directory `base` with a root `base/root`, in which lies the state file `a/state.test`, and with `base/elsewhere`.
pub(crate) struct Site {
    base: TempDir,
    pub(crate) filesystem: Filesystem,
    /// How the agent is told of the root.
    pub(crate) registered: PathBuf,
    pub(crate) depth: u8,
    pub(crate) locks: Depths,
}

impl Site {
    pub(crate) fn new(filesystem: Filesystem, depth: u8) -> Self {
        let parent = filesystem.folder().unwrap();
        let base = tempfile::Builder::new().prefix("watchdog-").tempdir_in(parent).unwrap();
        let root = base.path().join("root");
        let site = Self { base, filesystem, registered: root.clone(), depth, locks: Depths::NONE };
        for (path, content) in [(site.state_file(), OLD), (site.base().join("elsewhere/state.test"), OLD)] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        site
    }

    pub(crate) fn base(&self) -> &Path {
        self.base.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.base().join("root")
    }

    /// The state file that is there when a case begins.
    pub(crate) fn state_file(&self) -> PathBuf {
        let container = ["", "a", "n/a"][usize::from(self.depth)];
        self.root().join(container).join("state.test")
    }

    /// A path for a system call, relative to the root.
    pub(crate) fn path(&self, relative: impl AsRef<OsStr>) -> CString {
        path(self.root().join(relative.as_ref()))
    }

    /// The same for a path outside of the root.
    pub(crate) fn outside(&self, relative: &str) -> CString {
        path(self.base().join(relative))
    }

    pub(crate) fn spec(&self, id: RootId) -> RootSpec {
        RootSpec {
            id,
            path: self.registered.clone(),
            depths: Depths::only(self.depth),
            locks: self.locks,
            names: names(),
        }
    }
}

/// A path for a system call.
pub(crate) fn path(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_bytes()).unwrap()
}

/// What the profile of these cases looks for: not `state.json`, which real runtimes on this machine may rename in great
/// numbers meanwhile.
pub(crate) fn names() -> Vec<NamePattern> {
    [
        (Role::State, Shape::Exact, "state.test"),
        (Role::Lock, Shape::Exact, "state.lock"),
        (Role::Lock, Shape::Suffix, ".guard"),
        (Role::Temporary, Shape::Prefix, "state-"),
    ]
    .map(|(role, shape, text)| NamePattern { role, shape, text: text.to_owned() })
    .to_vec()
}
