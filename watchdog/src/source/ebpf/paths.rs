//! What the text of a path tells, without asking the kernel anything.
//!
//! A path means what the caller's root, working directory and mounts make of it, and the caller may be gone, or its
//! mounts may hang. So no path of another process is opened or resolved here. The probes tell the caller's root and the
//! directory where a relative path begins; the rest is text. Marks on the directories decide, see
//! [`crate::source::names`].

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use watchdog_common::{LONG_NAME, PATH_LEN, PathBase, PathRecord, RootKey};

use super::decode;
use crate::model::RootId;
use crate::source::names::{Directory, Named};
use crate::source::{Depths, RootSpec};

/// How the probes identify a file.
pub(super) type Identify<'a> = &'a dyn Fn(&File) -> Option<RootKey>;

/// A root as callers may write it.
struct Root {
    id: RootId,
    depths: Depths,
    key: RootKey,
    /// The root's path below a directory that may be a caller's root.
    views: Vec<(RootKey, PathBuf)>,
}

impl Root {
    /// Returns whether state files may lie in this directory below it.
    fn has_at(&self, relative: &Path) -> bool {
        let is_plain = |component| matches!(component, Component::Normal(_));
        relative.components().all(is_plain)
            && self.depths.iter().any(|depth| relative.components().count() == usize::from(depth))
    }
}

/// Reads paths.
pub(super) struct Reader {
    roots: Vec<Root>,
    /// Mount namespaces in which absolute paths mean what they mean to the agent or to the host.
    namespaces: Vec<u32>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let namespaces = ["/proc/self/ns/mnt", "/proc/1/ns/mnt"].into_iter().filter_map(namespace).collect();
        Self { roots: Vec::new(), namespaces }
    }

    /// Adds a root, or notes that another directory stands there now.
    pub(super) fn add(&mut self, root: &RootSpec, key: RootKey, identify: Identify<'_>) {
        self.remove(root.id);
        let mut paths = vec![root.path.clone()];
        paths.extend(fs::canonicalize(&root.path).ok().filter(|path| *path != root.path));
        let views = paths.iter().flat_map(|path| views(path, identify)).collect();
        self.roots.push(Root { id: root.id, depths: root.depths, key, views });
    }

    /// Drops a root.
    pub(super) fn remove(&mut self, id: RootId) {
        self.roots.retain(|root| root.id != id);
    }

    /// Reads a record's first path.
    pub(super) fn first(&self, record: &PathRecord) -> Named {
        self.named(record, (&record.first, record.first_len), &record.first_base)
    }

    /// Reads a record's second path.
    pub(super) fn second(&self, record: &PathRecord) -> Named {
        self.named(record, (&record.second, record.second_len), &record.second_base)
    }

    fn named(&self, record: &PathRecord, (room, length): (&[u8; PATH_LEN], i32), base: &PathBase) -> Named {
        let unreadable = Named { name: None, directory: Directory::Unknown };
        let Ok(length) = usize::try_from(length) else { return unreadable };
        // Of a path that fills its room, the room holds the end.
        let is_cut = length >= PATH_LEN;
        let text = decode::text(&room[..length.min(PATH_LEN)]);
        let Some((directory, name)) = split(text) else {
            return Named { name: None, directory: Directory::Elsewhere };
        };
        let last = || match directory.components().next_back() {
            Some(Component::Normal(name)) => Directory::Named(lossy(name.as_bytes())),
            _ => Directory::Unknown,
        };
        let directory = if is_cut {
            last()
        } else if directory.is_absolute() {
            self.absolute(record, directory).unwrap_or_else(last)
        } else {
            self.relative(directory, base).unwrap_or_else(last)
        };
        Named { name: Some(lossy(name)), directory }
    }

    /// Compares with the roots as the caller would write them.
    fn absolute(&self, record: &PathRecord, directory: &Path) -> Option<Directory> {
        if !self.namespaces.contains(&record.mount_namespace) {
            return None;
        }
        let (ino, dev, generation) = (record.root_ino, record.root_dev, record.root_generation);
        let callers_root = RootKey { ino, dev, generation };
        self.roots.iter().find_map(|root| {
            let mut views = root.views.iter().filter(|(key, _)| *key == callers_root);
            let below = views.find_map(|(_, path)| directory.strip_prefix(path).ok())?;
            root.has_at(below).then(|| Directory::Textual(root.id, join(below)))
        })
    }

    /// Compares the directory in which the path begins, as the probes saw it.
    fn relative(&self, directory: &Path, base: &PathBase) -> Option<Directory> {
        let is_bare = directory.components().all(|component| component == Component::CurDir);
        if is_bare {
            return match (base.is_below_root, base.depth) {
                // Without an inode, the probes could not see it.
                (0, _) => (base.ino != 0).then_some(Directory::Elsewhere),
                (_, 0) => Some(Directory::Certain(RootId(base.root), "".into())),
                (_, 1) => Some(Directory::Certain(RootId(base.root), own_name(&base.name))),
                // The name of the directory above is missing.
                _ => Some(Directory::Named(own_name(&base.name))),
            };
        }
        let key = RootKey { ino: base.ino, dev: base.dev, generation: base.generation };
        let root = self.roots.iter().find(|root| root.key == key && base.ino != 0)?;
        root.has_at(directory).then(|| Directory::Textual(root.id, join(directory)))
    }
}

/// The root's path below each directory above it.
fn views(path: &Path, identify: Identify<'_>) -> Vec<(RootKey, PathBuf)> {
    let view = |above: &Path| {
        let key = identify(&File::open(above).ok()?)?;
        Some((key, Path::new("/").join(path.strip_prefix(above).ok()?)))
    };
    path.ancestors().filter_map(view).collect()
}

/// A path's directory and its last component; `None` when it has none that could be a file's.
fn split(path: &[u8]) -> Option<(&Path, &[u8])> {
    let path = Path::new(OsStr::from_bytes(path));
    match path.components().next_back()? {
        Component::Normal(name) => Some((path.parent().unwrap_or(Path::new("")), name.as_bytes())),
        _ => None,
    }
}

fn own_name(room: &[u8; LONG_NAME]) -> Arc<str> {
    lossy(decode::text(room))
}

fn join(relative: &Path) -> Arc<str> {
    let names: Vec<_> = relative.components().map(|component| component.as_os_str().as_bytes()).collect();
    lossy(&names.join(&b'/'))
}

fn lossy(bytes: &[u8]) -> Arc<str> {
    String::from_utf8_lossy(bytes).into()
}

fn namespace(link: &str) -> Option<u32> {
    fs::read_link(link).ok()?.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
}
