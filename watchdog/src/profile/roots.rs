//! Which runtime roots exist right now.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Profile;
use crate::host_root::HostRoot;
use crate::model::RootId;
use crate::source::RootSpec;

/// At most so many directories are watched; what a pattern matches beyond that is left out and said.
pub const MAX_ROOTS: usize = 64;

/// One root as configured: a host path, one component of which may be `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootEntry {
    /// Path on the host; the label value of `root`.
    pub pattern: String,
    /// The runtime that lives there.
    pub profile: Arc<Profile>,
}

/// One directory that stands, or stood, where an entry points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// Its place in the table; events carry it.
    pub id: RootId,
    /// Index of the entry that it belongs to.
    pub entry: usize,
    /// Its path on the host.
    pub host_path: PathBuf,
    /// Its path as the agent opens it.
    pub path: PathBuf,
    /// The runtime's habits.
    pub profile: Arc<Profile>,
    /// It stands there now.
    pub present: bool,
    identity: Option<(u64, u64)>,
}

impl Root {
    /// What a source needs to watch it.
    #[must_use]
    pub fn spec(&self) -> RootSpec {
        RootSpec {
            id: self.id,
            path: self.path.clone(),
            depths: self.profile.depths,
            locks: self.profile.locks(),
            names: self.profile.names.clone(),
        }
    }
}

/// The table of roots. A root keeps its index when it vanishes and comes back.
#[derive(Debug)]
pub struct Roots {
    host: HostRoot,
    entries: Vec<RootEntry>,
    table: Vec<Root>,
    left_out: HashSet<PathBuf>,
}

impl Roots {
    /// A table in which nothing has been looked for yet.
    #[must_use]
    pub fn new(host: HostRoot, entries: Vec<RootEntry>) -> Self {
        Self { host, entries, table: Vec::new(), left_out: HashSet::new() }
    }

    /// What was configured.
    #[must_use]
    pub fn entries(&self) -> &[RootEntry] {
        &self.entries
    }

    /// All directories seen so far.
    #[must_use]
    pub fn table(&self) -> &[Root] {
        &self.table
    }

    /// The root with this index.
    #[must_use]
    pub fn get(&self, id: RootId) -> Option<&Root> {
        self.table.get(usize::from(id.0))
    }

    /// True when at least one directory stands where the entry points.
    #[must_use]
    pub fn is_present(&self, entry: usize) -> bool {
        self.table.iter().any(|root| root.entry == entry && root.present)
    }

    /// Looks again. Returns the roots that the source must be told of: new ones, and those that another directory
    /// stands for now.
    pub fn refresh(&mut self) -> Vec<RootId> {
        let mut changed = Vec::new();
        let mut standing = HashSet::new();
        let mut seen = HashSet::new();
        for entry in 0..self.entries.len() {
            for host_path in expand(&self.host, &self.entries[entry].pattern) {
                let path = self.host.path(&host_path);
                let Some(identity) = directory_identity(&path) else { continue };
                // Two ways to the same directory (`/var/run` and `/run`) are one root: the first one.
                if !seen.insert(identity) {
                    continue;
                }
                let Some(index) = self.slot(entry, host_path, path) else { continue };
                standing.insert(index);
                let root = &mut self.table[index];
                if root.identity.replace(identity) != Some(identity) {
                    changed.push(root.id);
                }
            }
        }
        for (index, root) in self.table.iter_mut().enumerate() {
            root.present = standing.contains(&index);
            if !root.present {
                root.identity = None;
            }
        }
        changed
    }

    /// Makes the next [`Self::refresh`] report this root again, because the source could not watch it.
    pub fn retry(&mut self, id: RootId) {
        if let Some(root) = self.table.get_mut(usize::from(id.0)) {
            root.identity = None;
        }
    }

    fn slot(&mut self, entry: usize, host_path: PathBuf, path: PathBuf) -> Option<usize> {
        if let Some(index) = self.table.iter().position(|root| root.host_path == host_path) {
            return Some(index);
        }
        if self.table.len() >= MAX_ROOTS {
            if self.left_out.len() < MAX_ROOTS && self.left_out.insert(host_path.clone()) {
                tracing::warn!(root = %host_path.display(), limit = MAX_ROOTS, "too many roots, this one is not watched");
            }
            return None;
        }
        let id = RootId(u16::try_from(self.table.len()).ok()?);
        let profile = Arc::clone(&self.entries[entry].profile);
        self.table.push(Root { id, entry, host_path, path, profile, present: true, identity: None });
        Some(usize::from(id.0))
    }
}

/// The host paths that a pattern stands for now, in name order.
fn expand(host: &HostRoot, pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once("/*") else { return vec![PathBuf::from(pattern)] };
    let Ok(entries) = fs::read_dir(host.path(before)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .take(MAX_ROOTS * 4)
        .map(|entry| Path::new(before).join(entry.file_name()).join(after.trim_start_matches('/')))
        .collect();
    paths.sort();
    paths
}

fn directory_identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roots(host: &Path, patterns: &[&str]) -> Roots {
        let profile = Arc::new(Profile::unknown("test"));
        let entries = patterns
            .iter()
            .map(|p| RootEntry { pattern: (*p).to_owned(), profile: Arc::clone(&profile) })
            .collect();
        Roots::new(HostRoot::new(host), entries)
    }

    #[test]
    fn a_root_is_found_when_it_appears_and_again_when_it_is_replaced() {
        let host = tempfile::tempdir().unwrap();
        let mut roots = roots(host.path(), &["/run/runc"]);
        assert!(roots.refresh().is_empty());
        assert!(!roots.is_present(0));

        fs::create_dir_all(host.path().join("run/runc")).unwrap();
        assert_eq!(roots.refresh(), [RootId(0)]);
        assert!(roots.is_present(0));
        assert!(roots.refresh().is_empty());

        fs::create_dir(host.path().join("run/other")).unwrap();
        fs::remove_dir(host.path().join("run/runc")).unwrap();
        fs::rename(host.path().join("run/other"), host.path().join("run/runc")).unwrap();
        assert_eq!(roots.refresh(), [RootId(0)]);
    }

    #[test]
    fn a_star_picks_up_new_directories() {
        let host = tempfile::tempdir().unwrap();
        let mut roots = roots(host.path(), &["/run/containerd/runc/*"]);
        fs::create_dir_all(host.path().join("run/containerd/runc/k8s.io")).unwrap();
        assert_eq!(roots.refresh(), [RootId(0)]);
        fs::create_dir_all(host.path().join("run/containerd/runc/default")).unwrap();
        assert_eq!(roots.refresh(), [RootId(1)]);
        assert_eq!(roots.get(RootId(1)).unwrap().host_path, Path::new("/run/containerd/runc/default"));
    }

    #[test]
    fn two_ways_to_one_directory_are_one_root() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("run/runc")).unwrap();
        std::os::unix::fs::symlink("run", host.path().join("var")).unwrap();
        let mut roots = roots(host.path(), &["/run/runc", "/var/runc"]);
        assert_eq!(roots.refresh(), [RootId(0)]);
        assert_eq!(roots.table().len(), 1);
    }

    #[test]
    fn a_root_that_could_not_be_watched_is_reported_again() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("r")).unwrap();
        let mut roots = roots(host.path(), &["/r"]);
        roots.refresh();
        roots.retry(RootId(0));
        assert_eq!(roots.refresh(), [RootId(0)]);
    }

    #[test]
    fn a_hostile_number_of_matches_is_bounded() {
        let host = tempfile::tempdir().unwrap();
        for i in 0..MAX_ROOTS + 5 {
            fs::create_dir_all(host.path().join(format!("run/{i}"))).unwrap();
        }
        let mut roots = roots(host.path(), &["/run/*"]);
        assert_eq!(roots.refresh().len(), MAX_ROOTS);
        assert!(roots.refresh().is_empty());
    }
}
