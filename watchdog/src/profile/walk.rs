//! The state files under a root, as they are come upon.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Root;
use crate::files::{Gate, Whereabouts};
use crate::model::Role;
use crate::source::Shape;

/// At most so many entries of one directory are looked at: twice as many as state files are remembered, because each may have
/// a lock beside it, and a few more.
const MAX_ENTRIES: usize = 65_536;

/// What a walk comes upon.
#[derive(Debug)]
pub enum Found {
    /// Something stands at a state file's name; nothing was opened.
    Name(PathBuf, Stamp),
    /// A directory that cannot be looked into, or not to its end.
    Refused(PathBuf, io::Error),
    /// A directory that others wait for in vain. Nobody knows what stands there.
    Silent(PathBuf),
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
}

/// Walks down to the profile's depths. Symlinks are not followed.
pub fn walk(root: &Root, gate: &dyn Gate, see: &mut dyn FnMut(Found)) {
    descend(root, &root.path, 0, gate, see);
}

fn descend(root: &Root, directory: &Path, level: u8, gate: &dyn Gate, see: &mut dyn FnMut(Found)) {
    // A directory may be a mount point, so each counts as a place of its own.
    if gate.enter(Whereabouts::path(directory)).is_err() {
        gate.skip();
        return see(Found::Silent(directory.to_owned()));
    }
    if root.profile.depths.contains(level) {
        names(root, directory, see);
    }
    if !root.profile.depths.reach_below(level) {
        return;
    }
    let mut below = Vec::new();
    entries(directory, see, |entry, _| {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below.push(entry.file_name());
        }
    });
    for name in below {
        descend(root, &directory.join(name), level + 1, gate, see);
    }
}

/// The paths in one directory that could be state files.
fn names(root: &Root, directory: &Path, see: &mut dyn FnMut(Found)) {
    let names = root.profile.names.iter().filter(|name| name.role == Role::State);
    let (exact, patterns): (Vec<_>, Vec<_>) = names.partition(|name| name.shape == Shape::Exact);
    for name in exact {
        sight(directory.join(&name.text), see);
    }
    if patterns.is_empty() {
        return;
    }
    entries(directory, see, |entry, see| {
        let name = entry.file_name();
        if patterns.iter().any(|pattern| pattern.matches(name.as_encoded_bytes())) {
            sight(entry.path(), see);
        }
    });
}

fn sight(path: PathBuf, see: &mut dyn FnMut(Found)) {
    if let Ok(metadata) = fs::symlink_metadata(&path) {
        see(Found::Name(path, Stamp::of(&metadata)));
    }
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
        assert!(told().is_empty());
        for container in ["a", "b"] {
            fs::write(host.path().join("r").join(container).join("state.json"), "").unwrap();
        }
        let names = told();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[0].starts_with("Name(") && names[0].contains("r/a/state.json\""), "{names:?}");
        fs::remove_dir_all(host.path().join("r")).unwrap();
        let gone = told();
        assert!(gone.len() == 1 && gone[0].starts_with("Refused("), "{gone:?}");
    }
}
