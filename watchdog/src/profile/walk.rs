//! The state files under a root, as they are come upon.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Root;
use crate::model::Role;
use crate::source::Shape;

/// At most so many entries of one directory are looked at: twice as many as state files are remembered, because each may have
/// a lock beside it, and a few more.
const MAX_ENTRIES: usize = 65_536;

/// What a walk comes upon.
#[derive(Debug)]
pub enum Found {
    /// A state file may stand here: its name is right, and nothing was opened.
    Name(PathBuf),
    /// A directory that cannot be looked into, or not to its end.
    Refused(PathBuf, io::Error),
}

/// Walks down to the profile's depths. Symlinks are not followed.
pub fn walk(root: &Root, see: &mut dyn FnMut(Found)) {
    descend(root, &root.path, 0, see);
}

fn descend(root: &Root, directory: &Path, level: u8, see: &mut dyn FnMut(Found)) {
    if root.profile.depths.contains(level) {
        names(root, directory, see);
    }
    if !root.profile.depths.reach_below(level) {
        return;
    }
    entries(directory, see, |entry, see| {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            descend(root, &entry.path(), level + 1, see);
        }
    });
}

/// The paths in one directory that could be state files.
fn names(root: &Root, directory: &Path, see: &mut dyn FnMut(Found)) {
    let names = root.profile.names.iter().filter(|name| name.role == Role::State);
    let (exact, patterns): (Vec<_>, Vec<_>) = names.partition(|name| name.shape == Shape::Exact);
    for name in exact {
        see(Found::Name(directory.join(&name.text)));
    }
    if patterns.is_empty() {
        return;
    }
    entries(directory, see, |entry, see| {
        let name = entry.file_name();
        if patterns.iter().any(|pattern| pattern.matches(name.as_encoded_bytes())) {
            see(Found::Name(entry.path()));
        }
    });
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
            walk(&roots.table()[0], &mut |found| told.push(format!("{found:?}")));
            told.sort();
            told
        };
        let names = told();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[0].starts_with("Name(") && names[0].ends_with("r/a/state.json\")"), "{names:?}");
        fs::remove_dir_all(host.path().join("r")).unwrap();
        let gone = told();
        assert!(gone.len() == 1 && gone[0].starts_with("Refused("), "{gone:?}");
    }
}
