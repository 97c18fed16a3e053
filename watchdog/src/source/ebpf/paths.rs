//! From a path that a program gave to the place that it means.
//!
//! Tracepoints on system calls show text. A directory means what the calling process's root, working directory and
//! mounts make of it, so it is opened through /proc/<pid> while the process lives, else as the agent sees it, and is
//! then compared with the roots by (device, inode). Answers are kept: runtimes use the same few directories again.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use watchdog_common::RootKey;

use crate::host_root::HostRoot;
use crate::model::{Pid, RootId};
use crate::source::Depths;

/// Answers are trusted this long: mounts and symlinks may change.
const TRUST: Duration = Duration::from_secs(10);
/// And this many are kept.
const MAX_ANSWERS: usize = 4096;
const AT_FDCWD: i32 = -100;

/// A directory at its root's depth below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directory {
    pub(super) root: RootId,
    /// The path from the root, without slashes at its ends.
    pub(super) container: Vec<u8>,
}

/// What became of a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Below a root.
    Inside(Directory),
    /// A directory that does not matter.
    Outside,
    /// The process and its directory are gone: nobody can tell.
    Unknown,
}

/// Where a call's path begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base {
    pub(super) pid: Pid,
    /// A directory descriptor of the process, or AT_FDCWD.
    pub(super) descriptor: i32,
    pub(super) mount_namespace: u32,
    /// The directory behind it when the call returned, as the probes identify it.
    pub(super) identity: RootKey,
}

/// How the probes identify a file.
pub(super) type Identify<'a> = &'a dyn Fn(&File) -> Option<RootKey>;

struct Root {
    id: RootId,
    path: PathBuf,
    depths: Depths,
    /// Device and inode as stat(2) tells them: the ruler of everything in this file.
    identity: (u64, u64),
    /// The same root as the probes identify it.
    key: RootKey,
}

impl Root {
    /// Whether state files may lie in this directory below it.
    fn has_at(&self, relative: &Path) -> bool {
        self.depths.iter().any(|depth| relative.components().count() == usize::from(depth))
    }

    /// Whether the directory is this root as the probes identify it.
    fn is_still(&self, directory: &Path, identify: Identify<'_>) -> bool {
        open_as_path(directory).and_then(|opened| identify(&opened)) == Some(self.key)
    }
}

/// Resolves directories.
pub(super) struct Resolver {
    roots: Vec<Root>,
    answers: HashMap<(u32, Vec<u8>), (Instant, Answer)>,
    /// Our own mount namespace: what the agent sees is what such a process saw.
    own_namespace: Option<u32>,
}

impl Resolver {
    pub(super) fn new() -> Self {
        let link = fs::read_link("/proc/self/ns/mnt").ok();
        let own_namespace =
            link.and_then(|link| link.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok());
        Self { roots: Vec::new(), answers: HashMap::new(), own_namespace }
    }

    /// Adds a root, or takes note that another directory stands there now.
    pub(super) fn add(&mut self, id: RootId, path: &Path, depths: Depths, metadata: &Metadata, key: RootKey) {
        self.remove(id);
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.roots.push(Root { id, path, depths, identity: identity(metadata), key });
    }

    /// Drops a root.
    pub(super) fn remove(&mut self, id: RootId) {
        self.answers.clear();
        self.roots.retain(|root| root.id != id);
    }

    /// The place of a path: its directory and its last component. `None` for the name means that the path has none
    /// that could be a file's.
    pub(super) fn split(path: &[u8]) -> Option<(&Path, &[u8])> {
        let path = Path::new(OsStr::from_bytes(path));
        match path.components().next_back()? {
            Component::Normal(name) => Some((path.parent().unwrap_or(Path::new("")), name.as_bytes())),
            _ => None,
        }
    }

    /// Whether a directory lies at its depth below a root.
    pub(super) fn resolve(&mut self, base: Base, directory: &Path, identify: Identify<'_>) -> Answer {
        // A relative path means something else for every process; only absolute ones can be remembered.
        if !directory.is_absolute() {
            return self.relative(base, directory, identify).unwrap_or(Answer::Unknown);
        }
        let key = (base.mount_namespace, directory.as_os_str().as_bytes().to_owned());
        if let Some((since, answer)) = self.answers.get(&key)
            && since.elapsed() < TRUST
        {
            return answer.clone();
        }
        let answer = self.absolute(base, directory, identify);
        if answer != Answer::Unknown {
            if self.answers.len() >= MAX_ANSWERS {
                self.answers.clear();
            }
            self.answers.insert(key, (Instant::now(), answer.clone()));
        }
        answer
    }

    /// From the process's directory, if that is still the one from which the call began; `None` when nobody can tell.
    fn relative(&self, base: Base, directory: &Path, identify: Identify<'_>) -> Option<Answer> {
        let process = PathBuf::from(format!("/proc/{}", base.pid));
        let start = match base.descriptor {
            AT_FDCWD => process.join("cwd"),
            descriptor => process.join("fd").join(descriptor.to_string()),
        };
        match open_as_path(&start) {
            Some(opened) if identify(&opened) == Some(base.identity) => {
                self.compare(&path_of(&opened).join(directory), identify)
            }
            _ => self.below_base(base, directory),
        }
    }

    /// The process went elsewhere or is gone. What remains is a path that begins at a root itself.
    fn below_base(&self, base: Base, directory: &Path) -> Option<Answer> {
        let root = self.roots.iter().find(|root| root.key == base.identity)?;
        let is_plain = |component| matches!(component, Component::Normal(_));
        let is_below = directory.components().all(is_plain) && root.has_at(directory);
        let container = directory.as_os_str().as_bytes().to_owned();
        is_below.then_some(Answer::Inside(Directory { root: root.id, container }))
    }

    fn absolute(&self, base: Base, directory: &Path, identify: Identify<'_>) -> Answer {
        // Below /proc/<pid>/root the kernel would follow an absolute link from our own root on.
        let seen = HostRoot::new(format!("/proc/{}/root", base.pid)).directory(directory).ok();
        if let Some(answer) = seen.and_then(|directory| self.compare(&directory, identify)) {
            return answer;
        }
        if self.own_namespace != Some(base.mount_namespace) {
            return Answer::Unknown;
        }
        // The process is gone, or the directory is: what we see there now, or what the text says.
        self.compare(directory, identify).unwrap_or_else(|| self.by_text(directory))
    }

    /// Compares the directory's ancestors with the roots; `None` when it cannot be opened.
    fn compare(&self, directory: &Path, identify: Identify<'_>) -> Option<Answer> {
        let mut ancestor = directory.to_owned();
        let mut names: Vec<OsString> = Vec::new();
        for depth in 0..=2_u8 {
            let Ok(metadata) = fs::metadata(&ancestor) else {
                return (depth > 0).then_some(Answer::Outside);
            };
            let numbers = identity(&metadata);
            let is_it = |root: &&Root| {
                // The number of a root that is gone may be another directory's by now: its generation tells.
                root.depths.contains(depth) && root.identity == numbers && root.is_still(&ancestor, identify)
            };
            if let Some(root) = self.roots.iter().find(is_it) {
                names.reverse();
                let container = names.join(OsStr::new("/")).into_encoded_bytes();
                return Some(Answer::Inside(Directory { root: root.id, container }));
            }
            names.push(own_name(&ancestor)?);
            ancestor.push("..");
        }
        Some(Answer::Outside)
    }

    /// What the text says, for a directory that is gone already: a runtime that unlinks its state file removes the
    /// directory next.
    fn by_text(&self, directory: &Path) -> Answer {
        for root in &self.roots {
            if let Ok(rest) = directory.strip_prefix(&root.path)
                && root.has_at(rest)
            {
                let container = rest.as_os_str().as_bytes().to_owned();
                return Answer::Inside(Directory { root: root.id, container });
            }
        }
        Answer::Outside
    }
}

/// A directory's own name, whatever path led to it.
fn own_name(directory: &Path) -> Option<OsString> {
    let link = fs::read_link(path_of(&open_as_path(directory)?)).ok()?;
    Some(link.file_name().unwrap_or_default().to_owned())
}

/// Opens a directory without the right to read it and without side effects.
fn open_as_path(directory: &Path) -> Option<File> {
    fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(directory).ok()
}

fn path_of(opened: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", opened.as_raw_fd()))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> (PathBuf, Resolver) {
        let base = std::env::temp_dir().join(format!(
            "watchdog-paths-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        fs::create_dir_all(base.join("root/abc")).unwrap();
        std::os::unix::fs::symlink(base.join("root/abc"), base.join("link")).unwrap();
        let mut resolver = Resolver::new();
        let root = base.join("root");
        let key = identify(&File::open(&root).unwrap()).unwrap();
        resolver.add(RootId(7), &root, Depths::only(1), &fs::metadata(&root).unwrap(), key);
        (base, resolver)
    }

    fn inside(container: &str) -> Answer {
        Answer::Inside(Directory { root: RootId(7), container: container.into() })
    }

    fn here(resolver: &Resolver) -> Base {
        let mount_namespace = resolver.own_namespace.unwrap();
        Base {
            pid: Pid(std::process::id()),
            descriptor: AT_FDCWD,
            mount_namespace,
            identity: RootKey::default(),
        }
    }

    /// The ruler of these tests.
    fn identify(file: &File) -> Option<RootKey> {
        Some(RootKey { ino: file.metadata().ok()?.ino(), ..RootKey::default() })
    }

    #[test]
    fn a_directory_is_what_its_inode_says() {
        let (base, mut resolver) = fixture();
        let process = here(&resolver);
        assert_eq!(resolver.resolve(process, &base.join("root/abc"), &identify), inside("abc"));
        assert_eq!(resolver.resolve(process, &base.join("link"), &identify), inside("abc"));
        assert_eq!(resolver.resolve(process, &base.join("root/abc/../abc"), &identify), inside("abc"));
        assert_eq!(resolver.resolve(process, &base.join("root"), &identify), Answer::Outside);
        assert_eq!(resolver.resolve(process, &base, &identify), Answer::Outside);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_directory_with_the_number_of_a_root_that_is_gone_is_no_root() {
        let (base, mut resolver) = fixture();
        let process = here(&resolver);
        let other = |file: &File| Some(RootKey { generation: 1, ..identify(file)? });
        assert_eq!(resolver.resolve(process, &base.join("root/abc"), &other), Answer::Outside);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_directory_that_is_gone_is_what_its_path_says() {
        let (base, mut resolver) = fixture();
        let dead = Base { pid: Pid(u32::MAX), ..here(&resolver) };
        let path = fs::canonicalize(&base).unwrap().join("root/gone");
        assert_eq!(resolver.resolve(dead, &path, &identify), inside("gone"));
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_dead_process_of_another_mount_namespace_cannot_be_resolved() {
        let (base, mut resolver) = fixture();
        let dead = Base { pid: Pid(u32::MAX), mount_namespace: 1, ..here(&resolver) };
        assert_eq!(resolver.resolve(dead, &base.join("root/abc"), &identify), Answer::Unknown);
        assert_eq!(resolver.resolve(dead, Path::new("abc"), &identify), Answer::Unknown);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn a_relative_path_begins_where_the_process_was() {
        let (base, mut resolver) = fixture();
        let start = File::open(base.join("root")).unwrap();
        let process =
            Base { descriptor: start.as_raw_fd(), identity: identify(&start).unwrap(), ..here(&resolver) };
        assert_eq!(resolver.resolve(process, Path::new("abc"), &identify), inside("abc"));
        let moved = Base { pid: Pid(u32::MAX), ..process };
        assert_eq!(resolver.resolve(moved, Path::new("abc"), &identify), inside("abc"));
        assert_eq!(resolver.resolve(moved, Path::new("../root/abc"), &identify), Answer::Unknown);
        let elsewhere = Base { identity: RootKey::default(), ..process };
        assert_eq!(resolver.resolve(elsewhere, Path::new("abc"), &identify), Answer::Unknown);
        fs::remove_dir_all(base).unwrap();
    }

    #[test]
    fn paths_are_split_at_their_last_name() {
        let name = |path: &'static [u8]| Resolver::split(path).map(|(_, name)| name);
        assert_eq!(name(b"/run/runc/a/state.json"), Some(&b"state.json"[..]));
        assert_eq!(name(b"state.json"), Some(&b"state.json"[..]));
        assert_eq!(name(b"/run/.."), None);
        assert_eq!(name(b""), None);
    }
}
