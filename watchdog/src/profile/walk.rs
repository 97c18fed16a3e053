//! The state files under a root, as they are come upon.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxFlags, statx};
use rustix::io::Errno;

use super::Root;
use crate::files::{Gate, Whereabouts};
use crate::model::Role;
use crate::source::{NamePattern, Shape};

/// At most so many entries of one directory are looked at: twice as many as state files are remembered, because each may have
/// a lock beside it, and a few more.
const MAX_ENTRIES: usize = 65_536;

/// What a walk comes upon.
#[derive(Debug)]
pub enum Found {
    /// Something stands at a state file's name; nothing was opened.
    Name(PathBuf, Stamp, Way),
    /// A state file may stand here, behind a symbolic link that stands for its directory. Nothing was followed.
    Behind(PathBuf),
    /// A name that cannot be looked at, or a directory that cannot be looked into, or not to its end.
    Refused(PathBuf, io::Error),
    /// A directory that others wait for in vain. Nobody knows what stands there.
    Silent(PathBuf),
}

/// How a state file's name leads to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The file stands there, and has no other name.
    Plain,
    /// It has further names, or stands on another mount than its root.
    Elsewhere,
    /// A symbolic link stands there.
    Link,
}

/// What changes when a file's content does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    ino: u64,
    size: u64,
    /// Nanoseconds, as far as they count.
    modified: i64,
}

impl Stamp {
    /// That of a file.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        let seconds = metadata.mtime().wrapping_mul(1_000_000_000);
        let modified = seconds.wrapping_add(metadata.mtime_nsec());
        Self { ino: metadata.ino(), size: metadata.len(), modified }
    }

    fn of_statx(found: &Statx) -> Self {
        let modified = found.stx_mtime.tv_sec.wrapping_mul(1_000_000_000);
        let modified = modified.wrapping_add(found.stx_mtime.tv_nsec.into());
        Self { ino: found.stx_ino, size: found.stx_size, modified }
    }

    /// The file's number on its file system.
    #[must_use]
    pub fn file(self) -> u64 {
        self.ino
    }
}

/// Walks down to the profile's depths. Symlinks are not followed, but named.
pub fn walk(root: &Root, gate: &dyn Gate, see: &mut dyn FnMut(Found)) {
    // Nothing is asked of the root before the gate knows where this waits.
    if gate.enter(Whereabouts::path(&root.path)).is_err() {
        gate.skip();
        return see(Found::Silent(root.path.clone()));
    }
    let mount = statx(CWD, &root.path, AtFlags::empty(), ASKED).ok().map(|found| Mount::of(&found));
    descend(root, &root.path, (0, mount), gate, see);
}

/// What tells one mount from another: its number, which kernels before 5.8 do not tell, and the file system's.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mount(Option<u64>, u32, u32);

impl Mount {
    fn of(found: &Statx) -> Self {
        let has_number = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
        Self(has_number.then_some(found.stx_mnt_id), found.stx_dev_major, found.stx_dev_minor)
    }
}

/// What is asked of each name.
const ASKED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::MNT_ID);

/// How many levels below the root, and the root's mount.
type Below = (u8, Option<Mount>);

fn descend(root: &Root, directory: &Path, below: Below, gate: &dyn Gate, see: &mut dyn FnMut(Found)) {
    let (level, mount) = below;
    // A directory may be a mount point, so each counts as a place of its own.
    if gate.enter(Whereabouts::path(directory)).is_err() {
        gate.skip();
        return see(Found::Silent(directory.to_owned()));
    }
    if root.profile.depths.contains(level) {
        names(root, directory, mount, see);
    }
    if !root.profile.depths.reach_below(level) {
        return;
    }
    let mut directories = Vec::new();
    entries(directory, see, |entry, see| match entry.file_type() {
        Ok(kind) if kind.is_dir() => directories.push(entry.file_name()),
        Ok(kind) if kind.is_symlink() && root.profile.depths.contains(level + 1) => {
            for name in exact(root) {
                see(Found::Behind(entry.path().join(&name.text)));
            }
        }
        _ => {}
    });
    for name in directories {
        descend(root, &directory.join(name), (level + 1, mount), gate, see);
    }
}

/// The state files' names that are no patterns.
fn exact(root: &Root) -> impl Iterator<Item = &NamePattern> {
    root.profile.names.iter().filter(|name| name.role == Role::State && name.shape == Shape::Exact)
}

/// The paths in one directory that could be state files.
fn names(root: &Root, directory: &Path, mount: Option<Mount>, see: &mut dyn FnMut(Found)) {
    let names = root.profile.names.iter().filter(|name| name.role == Role::State);
    let (exact, patterns): (Vec<_>, Vec<_>) = names.partition(|name| name.shape == Shape::Exact);
    for name in exact {
        sight(directory.join(&name.text), mount, see);
    }
    if patterns.is_empty() {
        return;
    }
    entries(directory, see, |entry, see| {
        let name = entry.file_name();
        if patterns.iter().any(|pattern| pattern.matches(name.as_encoded_bytes())) {
            sight(entry.path(), mount, see);
        }
    });
}

fn sight(path: PathBuf, mount: Option<Mount>, see: &mut dyn FnMut(Found)) {
    let found = match statx(CWD, &path, AtFlags::SYMLINK_NOFOLLOW, ASKED) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return,
        Err(error) => return see(Found::Refused(path, error.into())),
    };
    let way = match FileType::from_raw_mode(found.stx_mode.into()) {
        FileType::Symlink => Way::Link,
        FileType::RegularFile
            if found.stx_nlink > 1 || mount.is_some_and(|mount| mount != Mount::of(&found)) =>
        {
            Way::Elsewhere
        }
        _ => Way::Plain,
    };
    see(Found::Name(path, Stamp::of_statx(&found), way));
}

fn entries(
    directory: &Path,
    see: &mut dyn FnMut(Found),
    mut each: impl FnMut(&fs::DirEntry, &mut dyn FnMut(Found)),
) {
    let mut refused = None;
    match fs::read_dir(directory) {
        Ok(entries) => {
            for (index, entry) in entries.enumerate() {
                match entry {
                    Ok(_) if index >= MAX_ENTRIES => {
                        let message = format!("more than {MAX_ENTRIES} entries, the others are left out");
                        refused = Some(io::Error::other(message));
                        break;
                    }
                    Ok(entry) => each(&entry, see),
                    Err(error) => {
                        refused = Some(error);
                        break;
                    }
                }
            }
        }
        Err(error) => refused = Some(error),
    }
    if let Some(error) = refused {
        see(Found::Refused(directory.to_owned(), error));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ungated;
    use crate::host_root::HostRoot;
    use crate::profile::{Profile, RootEntry, Roots};
    use std::sync::Arc;

    #[test]
    fn names_are_told_and_what_cannot_be_looked_into() {
        let host = tempfile::tempdir().unwrap();
        for container in ["a", "b"] {
            fs::create_dir_all(host.path().join("r").join(container)).unwrap();
        }
        std::os::unix::fs::symlink("a", host.path().join("r/link")).unwrap();
        let entry = RootEntry { pattern: "/r".to_owned(), profile: Arc::new(Profile::unknown("test")) };
        let mut roots = Roots::new(HostRoot::new(host.path()), vec![entry]);
        roots.refresh();
        let told = || {
            let mut told: Vec<_> = Vec::new();
            walk(&roots.table()[0], &Ungated, &mut |found| told.push(format!("{found:?}")));
            told.sort();
            told
        };
        assert!(told().iter().all(|told| told.starts_with("Behind(") && told.contains("r/link/state.json")));
        for container in ["a", "b"] {
            fs::write(host.path().join("r").join(container).join("state.json"), "").unwrap();
        }
        let names = told();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names[0].starts_with("Behind(") && names[0].contains("r/link/state.json\""), "{names:?}");
        assert!(names[1].starts_with("Name(") && names[1].contains("r/a/state.json\""), "{names:?}");
        assert!(names[1].ends_with("Plain)"), "{names:?}");
        fs::remove_dir_all(host.path().join("r")).unwrap();
        let gone = told();
        assert!(gone.len() == 1 && gone[0].starts_with("Refused("), "{gone:?}");
    }
}
