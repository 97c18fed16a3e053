//! Which state files lie under the roots right now.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::walk::{Found, MAX_ENTRIES, walk};
use super::{Root, Roots};
use crate::model::{Place, Role, RootId};

/// At most so many state files are remembered.
const MAX_FILES: usize = MAX_ENTRIES;

/// A state file that a scan met.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The name where it stands.
    pub place: Arc<Place>,
    /// Where the agent can open it.
    pub path: PathBuf,
    stamp: Stamp,
}

impl Sighting {
    /// True while the file that stands there is the one that was seen, and nobody has modified it.
    #[must_use]
    pub fn is_still_so(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|metadata| Stamp::of(&metadata) == self.stamp)
    }
}

/// What a scan says changed since the last one.
#[derive(Debug, Default)]
pub struct Changes {
    /// Seen for the first time.
    pub new: Vec<Sighting>,
    /// Not judged since they last changed, and unchanged since the previous scan: nobody is writing them.
    pub settled: Vec<Sighting>,
    /// Gone.
    pub gone: Vec<Arc<Place>>,
}

/// Remembers the state files of every root between scans.
#[derive(Debug, Default)]
pub struct Census {
    files: HashMap<(RootId, PathBuf), Known>,
    round: u64,
}

#[derive(Debug)]
struct Known {
    place: Arc<Place>,
    stamp: Stamp,
    judged: bool,
    round: u64,
}

/// What changes when a file's content does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    ino: u64,
    size: u64,
    modified: (i64, i64),
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self {
            ino: metadata.ino(),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl Census {
    /// Looks at every present root. What stands at a state file's name counts as one, whatever it is: a symbolic link, a FIFO
    /// or a device is a damaged one.
    pub fn scan(&mut self, roots: &Roots) -> Changes {
        self.round += 1;
        let mut changes = Changes::default();
        for root in roots.table().iter().filter(|root| root.present) {
            walk(root, &mut |found| {
                if let Found::Name(path) = found {
                    self.sight(root, path, &mut changes);
                }
            });
        }
        let round = self.round;
        self.files.retain(|_, known| {
            let stays = known.round == round;
            if !stays {
                changes.gone.push(Arc::clone(&known.place));
            }
            stays
        });
        changes
    }

    /// Another directory stands for the root: what is there is new, and what was known is gone.
    pub fn forget(&mut self, root: RootId) -> Vec<Arc<Place>> {
        let gone = self.files.extract_if(|(id, _), _| *id == root);
        gone.map(|(_, known)| known.place).collect()
    }

    /// How many state files the root holds.
    #[must_use]
    pub fn count(&self, root: RootId) -> usize {
        self.files.keys().filter(|(id, _)| *id == root).count()
    }

    fn sight(&mut self, root: &Root, path: PathBuf, changes: &mut Changes) {
        let Ok(metadata) = fs::symlink_metadata(&path) else { return };
        let Ok(relative) = path.strip_prefix(&root.path).map(Path::to_owned) else { return };
        let stamp = Stamp::of(&metadata);
        let full = self.files.len() >= MAX_FILES;
        let key = (root.id, relative);
        if let Some(known) = self.files.get_mut(&key) {
            known.round = self.round;
            if known.stamp == stamp {
                if !std::mem::replace(&mut known.judged, true) {
                    let place = Arc::clone(&known.place);
                    changes.settled.push(Sighting { place, path, stamp });
                }
            } else {
                known.stamp = stamp;
                known.judged = false;
            }
        } else if !full {
            let place = place_of(root.id, &key.1);
            changes.new.push(Sighting { place: Arc::clone(&place), path, stamp });
            self.files.insert(key, Known { place, stamp, judged: false, round: self.round });
        }
    }
}

fn place_of(root: RootId, relative: &Path) -> Arc<Place> {
    let text =
        |path: Option<&std::ffi::OsStr>| path.unwrap_or_default().to_string_lossy().into_owned().into();
    Arc::new(Place {
        root,
        container: text(relative.parent().map(Path::as_os_str)),
        name: text(relative.file_name()),
        role: Role::State,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host_root::HostRoot;
    use crate::profile::{Profile, RootEntry};

    fn fixture() -> (tempfile::TempDir, Roots) {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("r/abc")).unwrap();
        fs::write(host.path().join("r/abc/state.json"), "{}").unwrap();
        let entry = RootEntry { pattern: "/r".to_owned(), profile: Arc::new(Profile::unknown("test")) };
        let mut roots = Roots::new(HostRoot::new(host.path()), vec![entry]);
        roots.refresh();
        (host, roots)
    }

    #[test]
    fn a_file_is_new_once_then_settled_once_then_gone() {
        let (host, roots) = fixture();
        let mut census = Census::default();
        let first = census.scan(&roots);
        assert_eq!(first.new.len(), 1);
        assert_eq!(&*first.new[0].place.container, "abc");
        assert_eq!(&*first.new[0].place.name, "state.json");
        assert!(first.settled.is_empty());

        let second = census.scan(&roots);
        assert!(second.new.is_empty());
        assert_eq!(second.settled.len(), 1);
        assert!(census.scan(&roots).settled.is_empty());
        assert_eq!(census.count(RootId(0)), 1);

        fs::remove_dir_all(host.path().join("r/abc")).unwrap();
        assert_eq!(census.scan(&roots).gone.len(), 1);
        assert_eq!(census.count(RootId(0)), 0);
    }

    #[test]
    fn what_is_forgotten_is_new_again() {
        let (_host, roots) = fixture();
        let mut census = Census::default();
        census.scan(&roots);
        assert_eq!(census.forget(RootId(1)).len(), 0);
        assert_eq!(census.forget(RootId(0)).len(), 1);
        let changes = census.scan(&roots);
        assert_eq!((changes.new.len(), changes.gone.len()), (1, 0));
    }

    #[test]
    fn a_changed_file_settles_again() {
        let (host, roots) = fixture();
        let mut census = Census::default();
        census.scan(&roots);
        let settled = census.scan(&roots).settled;
        assert!(settled[0].is_still_so());
        fs::write(host.path().join("r/abc/state.json"), "{\"a\":1}").unwrap();
        assert!(!settled[0].is_still_so());
        assert!(census.scan(&roots).settled.is_empty());
        assert_eq!(census.scan(&roots).settled.len(), 1);
    }

    #[test]
    fn symlinks_and_directories_at_a_state_file_s_name_are_seen_too() {
        let (host, roots) = fixture();
        for name in ["link", "dir"] {
            fs::create_dir(host.path().join("r").join(name)).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", host.path().join("r/link/state.json")).unwrap();
        fs::create_dir(host.path().join("r/dir/state.json")).unwrap();
        assert_eq!(Census::default().scan(&roots).new.len(), 3);
    }
}
