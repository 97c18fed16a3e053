//! Where a link leads.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::host_root::HostRoot;
use crate::profile::Stamp;

/// The file that a link at a state file's name, or at its directory's, leads to.
#[derive(Debug)]
pub(in crate::agent) struct Target {
    pub(super) file: File,
    /// The directory that stands for the container's; `None` when the file's own name is the link.
    pub(super) directory: Option<File>,
    /// Without links.
    pub(super) path: PathBuf,
    pub(super) stamp: Stamp,
}

/// Follows the links on the way to a state file of the host. `None` when no regular file stands there.
pub(super) fn follow(host: &HostRoot, path: &Path) -> Option<Target> {
    // Below the host's own `/` the kernel follows links, and this process's `/` may be that.
    let target = fs::canonicalize(host.directory(path).ok()?).ok()?;
    let file = regular(&target).ok()?;
    let stamp = Stamp::of(&file.metadata().ok()?);
    // A link at the file's own name says nothing of what else stands beside it.
    let directory = if target.file_name() == path.file_name() && !is_link(host, path) {
        let flags = libc::O_DIRECTORY | libc::O_CLOEXEC | libc::O_NONBLOCK;
        Some(OpenOptions::new().read(true).custom_flags(flags).open(target.parent()?).ok()?)
    } else {
        None
    };
    Some(Target { file, directory, path: target, stamp })
}

fn is_link(host: &HostRoot, path: &Path) -> bool {
    let link = host.file(path).and_then(fs::symlink_metadata);
    link.is_ok_and(|metadata| metadata.is_symlink())
}

/// Opens a regular file, and nothing else: a FIFO or a device is never opened.
fn regular(path: &Path) -> io::Result<File> {
    let flags = libc::O_PATH | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // Some probes are shown no description that is a path alone. What cannot be read stays one.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let again = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(OpenOptions::new().read(true).custom_flags(flags).open(again).unwrap_or(file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

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
        let follow = |container: &str| follow(&root, Path::new(&format!("/r/{container}/state.json")));
        let found = |container: &str| follow(container).map(|to| (to.path, to.directory.is_some()));
        assert_eq!(found("a"), None);
        assert_eq!(found("b"), Some((at("store/b.json"), false)));
        assert_eq!(found("c"), Some((at("store/state.json"), true)));
        assert_eq!(found("d"), Some((at("r/d/..v1/state.json"), false)));
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
}
