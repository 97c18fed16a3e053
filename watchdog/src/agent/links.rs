//! Where a link leads.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::steady::size_of;
use crate::clock::boot_now;
use crate::files::{Directory, Gate, Kind, Whereabouts};
use crate::host_root::HostRoot;
use crate::model::Span;
use crate::profile::{Link, Stamp};

/// Where a link leads.
pub(super) struct Followed(pub(super) Link, pub(super) Leads);

/// What stands at a link's end.
pub(super) enum Leads {
    /// This file.
    To(Target),
    /// No regular file. The stamp is that of a link at the file's own name.
    Nowhere(Option<Stamp>),
}

/// The file that a link at a state file's name, or at its directory's, leads to.
#[derive(Debug)]
pub(super) struct Target {
    /// Without links.
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
    pub(super) device: (u32, u32),
    /// `None` when it is the one that is known already.
    pub(super) opened: Option<Opened>,
}

/// A file that a link leads to for the first time.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// The directory that stands for the container's; `None` when the file's own name is the link.
    pub(super) directory: Option<File>,
    /// From before the file was opened to the moment at which it had the size.
    pub(super) span: Span,
    /// `None` when it changed whenever it was looked at.
    pub(super) size: Option<u64>,
    /// What closing it may have to wait for.
    pub(super) whereabouts: Whereabouts,
}

/// Follows the links on the way to a state file of the host. `None` when no regular file stands there. The file is opened
/// unless it is the known one.
///
/// # Errors
/// Somebody waits there already, or it does not answer.
pub(super) fn follow(
    host: &HostRoot,
    path: &Path,
    known: Option<u64>,
    gate: &dyn Gate,
) -> io::Result<Option<Target>> {
    let start = boot_now();
    let top = host.path("/");
    let reached = match Directory::open(&top, gate).and_then(|top| top.reach(path)) {
        Ok(reached) if reached.node.kind() == Kind::File => reached,
        Err(error) if is_refusal(&error) => return Err(error),
        Ok(_) | Err(_) => return Ok(None),
    };
    let (whereabouts, device) = (reached.node.whereabouts(), reached.node.device());
    // Some probes are shown no description that is a path alone. What cannot be read stays one.
    let opened = reached.node.open().ok();
    // A link at the file's own name says nothing of what else stands beside it.
    let has_directory = !reached.is_link && reached.path.file_name() == path.file_name();
    let directory = if has_directory { reached.directory.open_for_reading().ok() } else { None };
    if has_directory && directory.is_none() {
        return Ok(None);
    }
    let path = top.join(reached.path.strip_prefix("/").unwrap_or(&reached.path));
    let file = opened.map_or_else(|| reached.node.into_file(), |(file, _)| file);
    let Ok(metadata) = file.metadata() else { return Ok(None) };
    let stamp = Stamp::of(&metadata);
    let opened = if known == Some(stamp.file()) {
        None
    } else {
        let (at, size) = size_of(&file);
        Some(Opened { file, directory, span: Span::new(start, at), size, whereabouts })
    };
    Ok(Some(Target { path, stamp, device, opened }))
}

/// The stamp of the link that stands at a file's own name.
pub(super) fn stamp_of_link(host: &HostRoot, path: &Path, gate: &dyn Gate) -> Option<Stamp> {
    let directory = Directory::open(&host.path("/"), gate).ok()?.on_host(path.parent()?).ok()?;
    let node = directory.child(path.file_name()?).ok()?;
    let is_link = node.kind() == Kind::Link;
    let metadata = node.into_file().metadata().ok()?;
    is_link.then(|| Stamp::of(&metadata))
}

/// True for what the gate says, and for file systems that give up.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

/// Files that are closed by whoever may wait for it. Where nobody does, they stay open.
#[derive(Debug)]
pub(super) struct Closing {
    files: Vec<File>,
    whereabouts: Whereabouts,
}

impl Closing {
    pub(super) fn of(opened: Opened) -> Self {
        let Opened { file, directory, whereabouts, .. } = opened;
        Self { files: [Some(file), directory].into_iter().flatten().collect(), whereabouts }
    }

    pub(super) fn close(&mut self, gate: &dyn Gate) {
        if gate.enter(self.whereabouts).is_ok() {
            self.files.clear();
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if !self.files.is_empty() {
            tracing::debug!("files of a file system that does not answer stay open");
        }
        self.files.drain(..).for_each(std::mem::forget);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::files::Ungated;

    #[test]
    fn links_are_followed_to_regular_files_alone() {
        let host = tempfile::tempdir().unwrap();
        let at = |path: &str| host.path().join(path);
        for directory in ["r/a", "r/b", "store", "r/d/..v1"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("store/b.json"), "{}").unwrap();
        fs::write(at("store/state.json"), "{}").unwrap();
        fs::write(at("r/d/..v1/state.json"), "{}").unwrap();
        symlink("/store/b.json", at("r/b/state.json")).unwrap();
        symlink("/store", at("r/c")).unwrap();
        symlink("..v1", at("r/d/..data")).unwrap();
        symlink("..data/state.json", at("r/d/state.json")).unwrap();
        symlink("/nowhere", at("r/a/state.json")).unwrap();
        let root = HostRoot::new(host.path());
        let follow = |container: &str, known: Option<u64>| {
            follow(&root, Path::new(&format!("/r/{container}/state.json")), known, &Ungated).unwrap()
        };
        let found = |container: &str| {
            follow(container, None).map(|to| (to.path, to.opened.unwrap().directory.is_some()))
        };
        assert_eq!(found("a"), None);
        assert_eq!(found("b"), Some((at("store/b.json"), false)));
        assert_eq!(found("c"), Some((at("store/state.json"), true)));
        assert_eq!(found("d"), Some((at("r/d/..v1/state.json"), false)));
        let known = follow("b", None).unwrap();
        assert_eq!(known.opened.as_ref().unwrap().size, Some(2));
        assert!(follow("b", Some(known.stamp.file())).unwrap().opened.is_none(), "it is known already");
        fs::remove_file(at("store/b.json")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            at("store/b.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(found("b"), None);
    }

    #[test]
    fn who_does_not_answer_is_told_from_what_is_not_there() {
        /// Refuses everybody.
        struct Silent;
        impl Gate for Silent {
            fn enter(&self, _: Whereabouts) -> io::Result<()> {
                Err(io::ErrorKind::TimedOut.into())
            }
        }
        let host = tempfile::tempdir().unwrap();
        let root = HostRoot::new(host.path());
        let path = Path::new("/r/a/state.json");
        assert!(follow(&root, path, None, &Silent).is_err());
        assert!(follow(&root, path, None, &Ungated).unwrap().is_none());
    }
}
