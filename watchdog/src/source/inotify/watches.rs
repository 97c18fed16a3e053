//! Which directories are watched, and which root and container each of them is.

mod elsewhere;
mod rescan;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use ::inotify::{EventMask, WatchDescriptor, WatchMask, Watches as Instance};

use super::limits;
use super::queue::Raw;
use crate::files::{Directory, Kind, Within};
use crate::model::{BootNanos, MAX_FILES, Place, Role, RootId};
use crate::source::names::DirectoryMove;
use crate::source::{NamePattern, RootSpec, Shape};

/// What the directories told, in the words of the roots.
#[derive(Debug)]
pub(super) enum News {
    /// Something happened at a name that matters.
    Name {
        /// The name.
        place: Arc<Place>,
        /// What.
        mask: EventMask,
        /// Joins the two halves of a rename.
        cookie: u32,
        /// From when the queue was last empty until this was read.
        between: (BootNanos, BootNanos),
        /// Of several roots in which the name stands, this is the one that the probes name.
        nearest: bool,
    },
    /// An empty state file stands in a directory that was made a moment ago.
    FoundEmpty(Arc<Place>),
    /// A directory of state files is watched from now on.
    Begins(RootId, Arc<str>),
    /// A directory of state files is gone.
    Ends(RootId, Arc<str>),
    /// A directory below a root was moved.
    Moved(DirectoryMove),
}

/// The watched directories.
pub(super) struct Watches {
    instance: Instance,
    /// What is asked of a directory that holds state files.
    interest: WatchMask,
    /// Directories in which roots stand are watched, too.
    parents: bool,
    /// Every name that a rename gives or takes is told, whether a profile knows it or not.
    every_move: bool,
    /// At most so many directories are watched.
    most: usize,
    stands: HashMap<WatchDescriptor, Vec<Stand>>,
    /// Those of them that stand elsewhere than below a root: a look at the roots does not find them.
    elsewhere: HashSet<WatchDescriptor>,
    roots: BTreeMap<RootId, Root>,
    /// Directories that could not be watched when last tried.
    refused: u64,
    /// The same, over all tries.
    refusals: u64,
    /// Why the last of them could not.
    refusal: Option<String>,
    /// A directory was moved away, by the rename with this cookie; where to, the next event tells.
    departing: Option<(u32, DirectoryMove)>,
}

/// A root as it was asked for.
struct Root {
    spec: RootSpec,
    /// The exact names, to be shared by all places.
    names: Vec<(Arc<str>, Role)>,
    /// Device and inode of the directory that stands there, as far as it is watched.
    identity: Option<(u64, u64)>,
    /// It does not answer at present, so it is not looked at.
    is_silent: bool,
    /// It was not looked at when it should have been.
    is_owed: bool,
}

/// What a directory is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stand {
    /// The directory in which the root stands, or will stand again.
    Parent(RootId),
    /// The root, or a directory below it, so many levels down and on this path.
    Level(RootId, u8, Arc<str>),
    /// A state file that a symbolic link at its name leads to.
    File(Arc<Place>),
}

impl Watches {
    /// At most so many directories are watched, whatever the kernel would allow: each takes memory here as well.
    const MAX_DIRECTORIES: usize = 32_768;

    pub(super) fn new(instance: Instance, interest: WatchMask) -> Self {
        Self {
            instance,
            interest,
            parents: true,
            every_move: false,
            most: Self::MAX_DIRECTORIES,
            stands: HashMap::new(),
            elsewhere: HashSet::new(),
            roots: BTreeMap::new(),
            refused: 0,
            refusals: 0,
            refusal: None,
            departing: None,
        }
    }

    /// Waits to be told when a root comes back, and watches fewer directories: as many as state files are remembered.
    pub(super) fn for_marks(self) -> Self {
        Self { parents: false, every_move: true, most: MAX_FILES, ..self }
    }

    /// How many directories could not be watched when last tried, and why.
    pub(super) fn refused(&self) -> Option<(u64, &str)> {
        self.refusal.as_deref().filter(|_| self.refused > 0).map(|why| (self.refused, why))
    }

    /// How many tries to watch a directory were refused so far.
    pub(super) fn refusals(&self) -> u64 {
        self.refusals
    }

    /// How many directories are watched.
    pub(super) fn count(&self) -> usize {
        self.stands.len()
    }

    /// Watches a root, its parent and the directories below it.
    pub(super) fn add_root(&mut self, spec: &RootSpec, out: &mut Vec<News>) -> io::Result<()> {
        let exact = spec.names.iter().filter(|pattern| pattern.shape == Shape::Exact);
        let names = exact.map(|pattern| (pattern.text.as_str().into(), pattern.role)).collect();
        let root = Root { spec: spec.clone(), names, identity: None, is_silent: false, is_owed: false };
        let known = self.roots.insert(spec.id, root);
        let known = known.filter(|root| root.spec == *spec).and_then(|root| root.identity);
        // A root that its parent already told us of must not be watched twice: nothing would be new but the work.
        let metadata = fs::metadata(&spec.path)?;
        if known == Some((metadata.dev(), metadata.ino())) {
            self.set_identity(spec.id, known);
            return Ok(());
        }
        self.drop_root(spec.id, out);
        self.enter_root(spec.id, out)
    }

    /// Does not watch a root any more.
    pub(super) fn remove_root(&mut self, id: RootId, out: &mut Vec<News>) {
        self.drop_where(
            |stand| match stand {
                Stand::Level(root, ..) | Stand::Parent(root) => *root == id,
                Stand::File(place) => place.root == id,
            },
            out,
        );
        self.roots.remove(&id);
    }

    /// Takes in one event.
    pub(super) fn event(&mut self, raw: &Raw, out: &mut Vec<News>) {
        let Some(stands) = self.stands.get(&raw.directory) else { return };
        let ended = raw.mask.intersects(EventMask::IGNORED | EventMask::UNMOUNT);
        let holder = |stand: &Stand| match stand {
            Stand::Level(root, level, _) if self.holds_files(*root, *level) => Some(*level),
            Stand::Level(..) | Stand::Parent(_) | Stand::File(_) => None,
        };
        let nearest = stands.iter().filter_map(holder).min();
        // One directory is usually one thing; the clone is of a short list.
        for stand in stands.clone() {
            match stand {
                Stand::Parent(root) if !ended => self.parent_event(root, raw, out),
                Stand::Level(root, level, container) if !ended => {
                    self.level_event(root, (level, nearest == Some(level)), &container, raw, out);
                }
                Stand::File(place) if !ended && raw.name.is_none() => {
                    let (mask, cookie, between) = (raw.mask, raw.cookie, (raw.since, raw.at));
                    out.push(News::Name { place, mask, cookie, between, nearest: true });
                }
                Stand::Parent(_) | Stand::Level(..) | Stand::File(_) => {}
            }
        }
        if ended {
            let gone = self.stands.remove(&raw.directory).unwrap_or_default();
            self.elsewhere.remove(&raw.directory);
            self.ended(gone, out);
        }
    }

    fn parent_event(&mut self, id: RootId, raw: &Raw, out: &mut Vec<News>) {
        let came = raw.mask.intersects(EventMask::CREATE | EventMask::MOVED_TO);
        let Some(root) = self.root(id) else { return };
        if came && raw.mask.contains(EventMask::ISDIR) && raw.name.as_deref() == root.spec.path.file_name() {
            let spec = root.spec.clone();
            // The agent looks for roots as well, and says when this one cannot be watched.
            let _ = self.add_root(&spec, out);
        }
    }

    fn level_event(
        &mut self,
        id: RootId,
        (level, nearest): (u8, bool),
        container: &Arc<str>,
        raw: &Raw,
        out: &mut Vec<News>,
    ) {
        let Some(root) = self.root(id) else { return };
        let depths = root.spec.depths;
        let Some(name) = raw.name.as_deref() else {
            if level == 0 && raw.mask.contains(EventMask::MOVE_SELF) {
                self.drop_root(id, out);
                self.set_identity(id, None);
            }
            return;
        };
        if raw.mask.contains(EventMask::ISDIR) {
            if !depths.reach_below(level) {
                return;
            }
            let below = join(container, name);
            if raw.mask.intersects(EventMask::CREATE | EventMask::MOVED_TO) {
                if raw.mask.contains(EventMask::MOVED_TO)
                    && let Some((cookie, departing)) = &mut self.departing
                    && *cookie == raw.cookie
                {
                    departing.to = Some((id, Arc::clone(&below)));
                    departing.between.1 = raw.at;
                }
                self.departed(out);
                let fresh = raw.mask.contains(EventMask::CREATE);
                self.enter(id, level + 1, &below, fresh, out);
            } else if raw.mask.contains(EventMask::MOVED_FROM) {
                self.leave(id, &below, out);
                self.departed(out);
                let between = (raw.since, raw.at);
                let departing = DirectoryMove { root: id, container: below, to: None, between };
                self.departing = Some((raw.cookie, departing));
            }
        } else if depths.contains(level)
            && let Some(place) = root.place(container, name).or_else(|| {
                let is_asked =
                    self.every_move && raw.mask.intersects(EventMask::MOVED_FROM | EventMask::MOVED_TO);
                is_asked.then(|| root.temporary(container, name))
            })
        {
            let between = (raw.since, raw.at);
            let (place, mask, cookie) = (Arc::new(place), raw.mask, raw.cookie);
            out.push(News::Name { place, mask, cookie, between, nearest });
        }
    }

    /// The directory that was moved away last does not come back by the same rename.
    pub(super) fn departed(&mut self, out: &mut Vec<News>) {
        out.extend(self.departing.take().map(|(_, directory)| News::Moved(directory)));
    }

    fn enter_root(&mut self, id: RootId, out: &mut Vec<News>) -> io::Result<()> {
        let Some(root) = self.root(id) else { return Ok(()) };
        let path = root.spec.path.clone();
        if self.parents
            && let Some(parent) = path.parent()
            && let Ok(directory) = self.instance.add(parent, PARENT | FLAGS)
        {
            self.note(directory, Stand::Parent(id));
        }
        let mask = self.mask(id, 0) | WatchMask::DELETE_SELF | WatchMask::MOVE_SELF;
        // A root may be a symlink.
        let directory = self.instance.add(&path, mask | FLAGS)?;
        let metadata = fs::metadata(&path)?;
        self.set_identity(id, Some((metadata.dev(), metadata.ino())));
        self.note(directory, Stand::Level(id, 0, "".into()));
        self.look_into(id, 0, &"".into(), false, out);
        Ok(())
    }

    fn enter(&mut self, id: RootId, level: u8, container: &Arc<str>, fresh: bool, out: &mut Vec<News>) {
        let Some(root) = self.root(id) else { return };
        if self.stands.len() >= self.most {
            self.refuse(format!("there are more than {} of them", self.most));
            return;
        }
        let found = Directory::open(&root.spec.path, &Within)
            .and_then(|root| root.below(Path::new(&**container)))
            .and_then(|found| {
                // The way to what is open already crosses no mount.
                let path = format!("/proc/self/fd/{}", found.place().as_raw_fd());
                self.instance.add(path, self.mask(id, level) | FLAGS)
            });
        match found {
            Ok(directory) => {
                self.note(directory, Stand::Level(id, level, Arc::clone(container)));
                self.look_into(id, level, container, fresh, out);
            }
            // It is gone already, or is none. What is mounted there may not answer: whoever looks for mounts asks it
            // elsewhere, and has it watched when it answered.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::CrossesDevices
                ) || error.raw_os_error() == Some(libc::ELOOP) => {}
            Err(error) => self.refuse(limits::explain(error).to_string()),
        }
    }

    fn refuse(&mut self, why: String) {
        self.refused += 1;
        self.refusals += 1;
        self.refusal = Some(why);
    }

    /// What stood in a directory before it was watched.
    fn look_into(&mut self, id: RootId, level: u8, container: &Arc<str>, fresh: bool, out: &mut Vec<News>) {
        let Some(root) = self.root(id) else { return };
        let depths = root.spec.depths;
        // No link is followed and no mount is crossed: what is there may not answer.
        let here = Directory::open(&root.spec.path, &Within)
            .and_then(|directory| directory.below(Path::new(&**container)));
        if depths.contains(level) {
            out.push(News::Begins(id, Arc::clone(container)));
            let state = root.names.iter().filter(|(_, role)| fresh && *role == Role::State);
            let empty = state.filter(|(name, _)| here.as_ref().is_ok_and(|here| is_empty(here, name)));
            let found = empty.filter_map(|(name, _)| root.place(container, OsStr::new(&**name)));
            out.extend(found.map(|place| News::FoundEmpty(Arc::new(place))));
        }
        if !depths.reach_below(level) {
            return;
        }
        let entries =
            here.and_then(|here| fs::read_dir(format!("/proc/self/fd/{}", here.place().as_raw_fd())));
        let Ok(entries) = entries else { return };
        for entry in entries.filter_map(Result::ok) {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.enter(id, level + 1, &join(container, &entry.file_name()), fresh, out);
            }
        }
    }

    /// A directory was moved away: it and what lies below are not watched any more.
    fn leave(&mut self, id: RootId, container: &str, out: &mut Vec<News>) {
        self.drop_where(
            |stand| match stand {
                Stand::Level(root, _, path) => {
                    *root == id
                        && path.strip_prefix(container).is_some_and(|r| r.is_empty() || r.starts_with('/'))
                }
                Stand::Parent(_) | Stand::File(_) => false,
            },
            out,
        );
    }

    fn drop_root(&mut self, id: RootId, out: &mut Vec<News>) {
        self.drop_where(|stand| matches!(stand, Stand::Level(root, ..) if *root == id), out);
    }

    fn drop_where(&mut self, which: impl Fn(&Stand) -> bool, out: &mut Vec<News>) {
        let mut dropped = Vec::new();
        let mut idle = Vec::new();
        for (directory, stands) in &mut self.stands {
            dropped.extend(stands.extract_if(.., |stand| which(stand)));
            if stands.is_empty() {
                idle.push(directory.clone());
            }
        }
        for directory in idle {
            self.stands.remove(&directory);
            self.elsewhere.remove(&directory);
            self.unwatch(directory);
        }
        self.ended(dropped, out);
    }

    fn ended(&mut self, stands: Vec<Stand>, out: &mut Vec<News>) {
        for stand in stands {
            if let Stand::Level(root, level, container) = stand {
                if level == 0 {
                    self.set_identity(root, None);
                }
                if self.holds_files(root, level) {
                    out.push(News::Ends(root, container));
                }
            }
        }
    }

    fn unwatch(&self, directory: WatchDescriptor) {
        // The kernel may have dropped it with the directory.
        let _ = self.instance.clone().remove(directory);
    }

    fn note(&mut self, directory: WatchDescriptor, stand: Stand) {
        // One directory is usually one thing.
        let stands = self.stands.entry(directory).or_insert_with(|| Vec::with_capacity(1));
        if !stands.contains(&stand) {
            stands.push(stand);
        }
    }

    fn root(&self, id: RootId) -> Option<&Root> {
        self.roots.get(&id)
    }

    fn set_identity(&mut self, id: RootId, identity: Option<(u64, u64)>) {
        if let Some(root) = self.roots.get_mut(&id) {
            root.identity = identity;
        }
    }

    fn holds_files(&self, id: RootId, level: u8) -> bool {
        self.root(id).is_some_and(|root| root.spec.depths.contains(level))
    }

    fn mask(&self, id: RootId, level: u8) -> WatchMask {
        let Some(depths) = self.root(id).map(|root| root.spec.depths) else { return DIRECTORIES };
        let files = if depths.contains(level) { self.interest } else { WatchMask::empty() };
        let directories = if depths.reach_below(level) { DIRECTORIES } else { WatchMask::empty() };
        files | directories
    }
}

/// What is asked of the directory in which a root stands.
const PARENT: WatchMask = WatchMask::CREATE.union(WatchMask::MOVED_TO);

/// What is asked of a directory of directories.
const DIRECTORIES: WatchMask =
    WatchMask::CREATE.union(WatchMask::MOVED_TO).union(WatchMask::MOVED_FROM).union(WatchMask::DELETE);

/// One directory may be the parent of one root and the child of another. What happens to a file that stands at no name
/// any more is nobody's business.
const FLAGS: WatchMask = WatchMask::MASK_ADD.union(WatchMask::ONLYDIR).union(WatchMask::EXCL_UNLINK);

impl Root {
    /// The place of a name, when it matters.
    fn place(&self, container: &Arc<str>, name: &OsStr) -> Option<Place> {
        let bytes = name.as_bytes();
        let exact = self.names.iter().find(|(text, _)| text.as_bytes() == bytes);
        let (name, role) = match exact {
            Some((text, role)) => (Arc::clone(text), *role),
            None => {
                let matches = |pattern: &&NamePattern| pattern.matches(bytes);
                let pattern = self.spec.names.iter().find(matches)?;
                (name.to_string_lossy().as_ref().into(), pattern.role)
            }
        };
        Some(Place { root: self.spec.id, container: Arc::clone(container), name, role })
    }

    /// The place of a name that no profile knows.
    fn temporary(&self, container: &Arc<str>, name: &OsStr) -> Place {
        let (container, name) = (Arc::clone(container), name.to_string_lossy().as_ref().into());
        Place { root: self.spec.id, container, name, role: Role::Temporary }
    }
}

/// True for a regular file that holds nothing.
fn is_empty(directory: &Directory<'_>, name: &str) -> bool {
    let Ok(node) = directory.child(OsStr::new(name)) else { return false };
    node.kind() == Kind::File && node.into_file().metadata().is_ok_and(|file| file.len() == 0)
}

fn join(container: &str, name: &OsStr) -> Arc<str> {
    let name = name.to_string_lossy();
    if container.is_empty() { name.as_ref().into() } else { format!("{container}/{name}").into() }
}
