//! Which state files lie under the roots right now.

use std::collections::HashMap;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::walk::{Found, Stamp, Way, walk};
use super::{Root, Roots};
use crate::files::Gate;
use crate::model::{MAX_FILES, Place, Role, RootId};

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
    /// A state file that was met elsewhere than its name says.
    #[must_use]
    pub fn new(place: Arc<Place>, path: PathBuf, stamp: Stamp) -> Self {
        Self { place, path, stamp }
    }

    /// True while the file that stands there is the one that was seen, and nobody has modified it.
    #[must_use]
    pub fn is_still_so(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|metadata| Stamp::of(&metadata) == self.stamp)
    }
}

/// A sighting that waits for its turn, among thousands: where it can be opened is worked out then.
#[derive(Debug)]
pub struct Settled {
    place: Arc<Place>,
    stamp: Stamp,
    /// The path, where the place cannot tell it because it is no text.
    odd: Option<Box<Path>>,
}

impl Settled {
    fn new(place: Arc<Place>, path: &Path, stamp: Stamp) -> Self {
        Self { place, stamp, odd: path.to_str().is_none().then(|| path.into()) }
    }

    /// Its turn has come; `None` when its root is gone from the table.
    #[must_use]
    pub fn sighting(self, roots: &Roots) -> Option<Sighting> {
        let Self { place, stamp, odd } = self;
        let path = match odd {
            Some(path) => path.into_path_buf(),
            None => roots.get(place.root)?.path.join(&*place.container).join(&*place.name),
        };
        Some(Sighting { place, path, stamp })
    }
}

impl From<Sighting> for Settled {
    fn from(Sighting { place, path, stamp }: Sighting) -> Self {
        Self::new(place, &path, stamp)
    }
}

/// A state file that is reached otherwise than by its name below the root alone: by a symbolic link, over a mount, or by
/// further names that it has.
#[derive(Clone, Debug)]
pub struct Link {
    /// The name where it stands.
    pub place: Arc<Place>,
    /// Its path on the host.
    pub path: PathBuf,
    /// A symbolic link is on the way, so the scan itself does not judge what stands there.
    pub is_followed: bool,
}

/// What a scan says changed since the last one.
#[derive(Debug, Default)]
pub struct Changes {
    /// Not judged since they last changed, and unchanged since the previous scan: nobody is writing them.
    pub settled: Vec<Settled>,
    /// Gone.
    pub gone: Vec<Arc<Place>>,
    /// Where a state file may stand behind a link or a mount, in every scan. Nothing was followed.
    pub links: Vec<Link>,
    /// A directory that could not be looked into, or not to its end.
    pub refused: Option<(PathBuf, io::Error)>,
}

/// What a walk through a root found.
#[derive(Debug)]
pub struct Walked {
    /// The root.
    pub root: RootId,
    /// `None` when it did not come to an end.
    pub found: Option<Vec<Found>>,
}

impl Walked {
    /// Walks through a root.
    #[must_use]
    pub fn through(root: &Root, gate: &dyn Gate) -> Self {
        let mut found = Vec::new();
        walk(root, gate, &mut |here| found.push(here));
        Self { root: root.id, found: Some(found) }
    }

    /// True when the root itself did not answer.
    #[must_use]
    pub fn is_silent(&self, roots: &Roots) -> bool {
        let Some(found) = &self.found else { return true };
        let Some(root) = roots.get(self.root) else { return false };
        found.iter().any(|found| matches!(found, Found::Silent(path) if *path == root.path))
    }
}

/// Remembers the state files of every root between scans.
#[derive(Debug)]
pub struct Census {
    /// By a number that stands for root and path; nobody can foresee which. The paths themselves would take as much again.
    files: HashMap<u64, Known>,
    numbers: RandomState,
    /// The last file's own name: most have the same.
    name: Arc<str>,
    round: u32,
    /// What is known is to be shown again.
    again: bool,
    /// At most so many files are remembered.
    room: usize,
    /// Those of each root that were seen by the last scan, and for which there was no room.
    beyond: HashMap<RootId, usize>,
}

impl Default for Census {
    fn default() -> Self {
        Self {
            files: HashMap::default(),
            numbers: RandomState::default(),
            name: Arc::default(),
            round: 0,
            again: false,
            room: MAX_FILES,
            beyond: HashMap::default(),
        }
    }
}

#[derive(Debug)]
struct Known {
    place: Arc<Place>,
    stamp: Stamp,
    judged: bool,
    /// It is to be shown again when it is seen next.
    owed: bool,
    round: u32,
}

impl Census {
    /// Takes in what walks through the present roots found, and shows what is seen for the first time. What stands at a
    /// state file's name counts as one, whatever it is: a symbolic link, a FIFO or a device is a damaged one.
    pub fn scan(&mut self, roots: &Roots, walked: Vec<Walked>, new: &mut dyn FnMut(&Sighting)) -> Changes {
        self.round = self.round.wrapping_add(1);
        self.beyond.clear();
        if std::mem::take(&mut self.again) {
            self.files.values_mut().for_each(|known| known.owed = true);
        }
        let mut changes = Changes::default();
        let mut silent: Vec<(RootId, PathBuf)> = Vec::new();
        for Walked { root: id, found } in walked {
            let Some(root) = roots.get(id).filter(|root| root.present) else { continue };
            let Some(found) = found else {
                silent.push((id, PathBuf::new()));
                continue;
            };
            for found in found {
                match found {
                    Found::Name(path, stamp, way) => {
                        self.sight(root, path, (stamp, way), new, &mut changes);
                    }
                    Found::Behind(path) => {
                        if let Ok(relative) = path.strip_prefix(&root.path) {
                            let (place, path) =
                                (self.place_of(root.id, relative), root.host_path.join(relative));
                            changes.links.push(Link { place, path, is_followed: true });
                        }
                    }
                    // It went while it was looked at.
                    Found::Refused(_, error) if error.kind() == io::ErrorKind::NotFound => {}
                    Found::Refused(path, error) => changes.refused = Some((path, error)),
                    Found::Silent(path) => {
                        let below = path.strip_prefix(&root.path).unwrap_or(Path::new(""));
                        silent.push((id, below.to_owned()));
                    }
                }
            }
        }
        let round = self.round;
        self.files.retain(|_, known| {
            let is_unseen = |(root, below): &(RootId, PathBuf)| {
                *root == known.place.root && Path::new(&*known.place.container).starts_with(below)
            };
            let stays = known.round == round || silent.iter().any(is_unseen);
            if !stays {
                changes.gone.push(Arc::clone(&known.place));
            }
            stays
        });
        changes
    }

    /// What the engine was told of the files is not certain any more: the next scan shows all of them.
    pub fn show_again(&mut self) {
        self.again = true;
    }

    /// Another directory stands for the root: what is there is new, and what was known is gone.
    pub fn forget(&mut self, root: RootId) -> Vec<Arc<Place>> {
        self.beyond.remove(&root);
        let gone = self.files.extract_if(|_, known| known.place.root == root);
        gone.map(|(_, known)| known.place).collect()
    }

    /// How many state files are remembered.
    #[must_use]
    pub fn total(&self) -> usize {
        self.files.len()
    }

    /// How many more stand there: they are counted and forgotten.
    #[must_use]
    pub fn beyond(&self) -> usize {
        self.beyond.values().sum()
    }

    /// How many state files the root holds, remembered or not.
    #[must_use]
    pub fn count(&self, root: RootId) -> usize {
        let known = self.files.values().filter(|known| known.place.root == root).count();
        known + self.beyond.get(&root).unwrap_or(&0)
    }

    fn sight(
        &mut self,
        root: &Root,
        path: PathBuf,
        (stamp, way): (Stamp, Way),
        new: &mut dyn FnMut(&Sighting),
        changes: &mut Changes,
    ) {
        let Ok(relative) = path.strip_prefix(&root.path) else { return };
        // What a link leads to is judged by who may wait for it.
        let is_followed = way == Way::Link;
        if way != Way::Plain {
            let (place, path) = (self.place_of(root.id, relative), root.host_path.join(relative));
            changes.links.push(Link { place, path, is_followed });
        }
        let full = self.files.len() >= self.room;
        let number = self.numbers.hash_one((root.id, relative));
        if let Some(known) = self.files.get_mut(&number) {
            known.round = self.round;
            if std::mem::take(&mut known.owed) {
                let place = Arc::clone(&known.place);
                new(&Sighting { place, path: path.clone(), stamp });
            }
            if known.stamp == stamp {
                if !std::mem::replace(&mut known.judged, true) && !is_followed {
                    changes.settled.push(Settled::new(Arc::clone(&known.place), &path, stamp));
                }
            } else {
                known.stamp = stamp;
                known.judged = false;
            }
        } else if full {
            *self.beyond.entry(root.id).or_default() += 1;
        } else {
            let place = self.place_of(root.id, relative);
            let known =
                Known { place: Arc::clone(&place), stamp, judged: false, owed: false, round: self.round };
            self.files.insert(number, known);
            if !is_followed {
                new(&Sighting { place, path, stamp });
            }
        }
    }

    fn place_of(&mut self, root: RootId, relative: &Path) -> Arc<Place> {
        let container = relative.parent().unwrap_or(Path::new("")).to_string_lossy();
        let name = relative.file_name().unwrap_or_default().to_string_lossy();
        if *self.name != *name {
            self.name = name.into();
        }
        let (container, name) = (container.into(), Arc::clone(&self.name));
        Arc::new(Place { root, container, name, role: Role::State })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::files::Ungated;
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

    fn scanned(census: &mut Census, roots: &Roots) -> (Vec<Sighting>, Changes) {
        let mut new = Vec::new();
        let present = roots.table().iter().filter(|root| root.present);
        let walked = present.map(|root| Walked::through(root, &Ungated)).collect();
        let changes = census.scan(roots, walked, &mut |sighting| new.push(sighting.clone()));
        (new, changes)
    }

    #[test]
    fn a_name_that_is_no_text_is_opened_by_its_own_bytes() {
        let (host, roots) = fixture();
        let odd = std::ffi::OsStr::from_bytes(b"a\xff");
        fs::rename(host.path().join("r/abc"), host.path().join("r").join(odd)).unwrap();
        let mut census = Census::default();
        let (new, _) = scanned(&mut census, &roots);
        assert_eq!(&*new[0].place.container, "a\u{fffd}");
        let settled = scanned(&mut census, &roots).1.settled.pop().unwrap();
        assert!(settled.sighting(&roots).unwrap().is_still_so());
    }

    #[test]
    fn a_file_is_new_once_then_settled_once_then_gone() {
        let (host, roots) = fixture();
        let mut census = Census::default();
        let (new, first) = scanned(&mut census, &roots);
        assert_eq!(new.len(), 1);
        assert_eq!(&*new[0].place.container, "abc");
        assert_eq!(&*new[0].place.name, "state.json");
        assert!(first.settled.is_empty());

        let (new, second) = scanned(&mut census, &roots);
        assert!(new.is_empty());
        assert_eq!(second.settled.len(), 1);
        assert!(scanned(&mut census, &roots).1.settled.is_empty());
        assert_eq!(census.count(RootId(0)), 1);

        fs::remove_dir_all(host.path().join("r/abc")).unwrap();
        assert_eq!(scanned(&mut census, &roots).1.gone.len(), 1);
        assert_eq!(census.count(RootId(0)), 0);
    }

    #[test]
    fn what_there_is_no_room_for_is_counted_and_taken_in_when_there_is() {
        let (host, roots) = fixture();
        fs::create_dir(host.path().join("r/b")).unwrap();
        fs::write(host.path().join("r/b/state.json"), "{}").unwrap();
        let mut census = Census { room: 1, ..Census::default() };
        for new in [1, 0, 0] {
            assert_eq!(scanned(&mut census, &roots).0.len(), new);
            assert_eq!((census.total(), census.beyond(), census.count(RootId(0))), (1, 1, 2));
        }
        census.room = 2;
        assert_eq!(scanned(&mut census, &roots).0.len(), 1);
        assert_eq!((census.total(), census.beyond(), census.count(RootId(0))), (2, 0, 2));
    }

    #[test]
    fn what_nobody_could_look_at_stays_as_it_was() {
        let (host, roots) = fixture();
        let mut census = Census::default();
        scanned(&mut census, &roots);
        fs::remove_dir_all(host.path().join("r/abc")).unwrap();
        let silent = Found::Silent(roots.table()[0].path.join("abc"));
        for found in [None, Some(vec![silent])] {
            let walked = vec![Walked { root: RootId(0), found }];
            assert!(census.scan(&roots, walked, &mut |_| {}).gone.is_empty());
        }
        let walked =
            vec![Walked { root: RootId(0), found: Some(vec![Found::Silent("/elsewhere/b".into())]) }];
        assert!(
            census.scan(&roots, walked, &mut |_| {}).gone.is_empty(),
            "a path that is not below it may be any"
        );
        assert_eq!(scanned(&mut census, &roots).1.gone.len(), 1);
    }

    #[test]
    fn what_is_to_be_shown_again_is_shown_when_it_can_be_looked_at() {
        let (_host, roots) = fixture();
        let mut census = Census::default();
        scanned(&mut census, &roots);
        census.show_again();
        let silent = vec![Walked { root: RootId(0), found: None }];
        census.scan(&roots, silent, &mut |_| panic!("nobody looked"));
        assert_eq!([1, 0].map(|_| scanned(&mut census, &roots).0.len()), [1, 0]);
    }

    #[test]
    fn what_is_forgotten_is_new_again() {
        let (_host, roots) = fixture();
        let mut census = Census::default();
        scanned(&mut census, &roots);
        assert_eq!(census.forget(RootId(1)).len(), 0);
        assert_eq!(census.forget(RootId(0)).len(), 1);
        let (new, changes) = scanned(&mut census, &roots);
        assert_eq!((new.len(), changes.gone.len()), (1, 0));
    }

    #[test]
    fn a_changed_file_settles_again() {
        let (host, roots) = fixture();
        let mut census = Census::default();
        scanned(&mut census, &roots);
        let settled = scanned(&mut census, &roots).1.settled.pop().unwrap().sighting(&roots).unwrap();
        assert!(settled.is_still_so());
        fs::write(host.path().join("r/abc/state.json"), "{\"a\":1}").unwrap();
        assert!(!settled.is_still_so());
        assert!(scanned(&mut census, &roots).1.settled.is_empty());
        assert_eq!(scanned(&mut census, &roots).1.settled.len(), 1);
    }

    #[test]
    fn symlinks_and_directories_at_a_state_file_s_name_are_seen_too() {
        let (host, roots) = fixture();
        for name in ["link", "dir"] {
            fs::create_dir(host.path().join("r").join(name)).unwrap();
        }
        std::os::unix::fs::symlink("/etc/passwd", host.path().join("r/link/state.json")).unwrap();
        fs::create_dir(host.path().join("r/dir/state.json")).unwrap();
        let mut census = Census::default();
        let (new, changes) = scanned(&mut census, &roots);
        assert_eq!((new.len(), census.total()), (2, 3));
        // The link is left to whoever may wait for what it leads to.
        let [link] = changes.links.as_slice() else { panic!("{:?}", changes.links) };
        assert!(link.is_followed && &*link.place.container == "link");
        let settled = scanned(&mut census, &roots).1.settled;
        assert!(settled.iter().all(|settled| &*settled.place.container != "link"), "{settled:?}");
    }
}
