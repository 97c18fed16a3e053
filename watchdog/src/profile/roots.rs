//! Which runtime roots exist right now.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Profile;
use super::plan::{Looked, Plan, Standing};
use crate::files::Ungated;
use crate::host_root::HostRoot;
use crate::model::RootId;
use crate::source::{CANARY, RootSpec};

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
    /// It is configured no longer; what is still under way there is told.
    retired: bool,
}

impl Root {
    /// The numbers of the device that it is on, while it is present.
    #[must_use]
    pub fn device(&self) -> Option<(u32, u32)> {
        let (device, _) = self.identity?;
        Some((rustix::fs::major(device), rustix::fs::minor(device)))
    }

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
    next: u16,
    left_out: HashSet<PathBuf>,
    /// How often other entries came into force.
    generation: u64,
    /// Roots from whose place the directory went, until somebody asks.
    departed: Vec<RootId>,
}

impl Roots {
    /// A table in which nothing has been looked for yet.
    #[must_use]
    pub fn new(host: HostRoot, entries: Vec<RootEntry>) -> Self {
        Self {
            host,
            entries,
            table: Vec::new(),
            next: 0,
            left_out: HashSet::new(),
            generation: 0,
            departed: Vec::new(),
        }
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
        self.table.iter().find(|root| root.id == id)
    }

    /// True when at least one directory stands where the entry points.
    #[must_use]
    pub fn is_present(&self, entry: usize) -> bool {
        self.table.iter().any(|root| root.entry == entry && root.present)
    }

    /// Takes other entries. Returns the roots that the source must not watch any more; what stays as it was keeps its
    /// number.
    pub fn replace(&mut self, entries: Vec<RootEntry>) -> Vec<RootId> {
        let before = std::mem::replace(&mut self.entries, entries);
        self.generation += 1;
        let mut gone = Vec::new();
        for root in self.table.iter_mut().filter(|root| !root.retired) {
            match self.entries.iter().position(|entry| *entry == before[root.entry]) {
                Some(entry) => root.entry = entry,
                None => {
                    (root.retired, root.present, root.identity) = (true, false, None);
                    gone.push(root.id);
                }
            }
        }
        let mut surplus = self.table.iter().filter(|root| root.retired).count().saturating_sub(MAX_ROOTS);
        self.table.retain(|root| {
            let stays = !root.retired || surplus == 0;
            surplus -= usize::from(!stays);
            stays
        });
        self.left_out.clear();
        gone
    }

    /// Looks again, and takes over what is found; see [`Self::take`].
    pub fn refresh(&mut self) -> Vec<RootId> {
        let looked = self.plan().look(&Ungated);
        self.take(looked)
    }

    /// What to look for.
    #[must_use]
    pub fn plan(&self) -> Plan {
        let patterns = self.entries.iter().map(|entry| entry.pattern.clone()).collect();
        Plan { host: self.host.clone(), patterns, generation: self.generation }
    }

    /// Takes over what stands where. Returns the roots that the source must be told of: new ones, and those that another
    /// directory stands for now.
    pub fn take(&mut self, looked: Looked) -> Vec<RootId> {
        let mut changed = Vec::new();
        let mut standing = HashSet::new();
        let mut seen = HashSet::new();
        if looked.generation != self.generation {
            // Other entries are in force since.
            return changed;
        }
        for Standing { entry, host_path, path, identity } in looked.standing {
            // Two ways to the same directory (`/var/run` and `/run`) are one root: the first one.
            if !seen.insert(identity) {
                continue;
            }
            let Some(index) = self.slot(entry, host_path, &path) else { continue };
            standing.insert(index);
            let root = &mut self.table[index];
            let before = root.identity.replace(identity);
            if before != Some(identity) {
                self.departed.extend(before.map(|_| root.id));
                // A link on the way may lead elsewhere by now.
                root.path = path;
                changed.push(root.id);
            }
        }
        for (index, root) in self.table.iter_mut().enumerate() {
            // Nobody knows whether it stands there: it stays as it was.
            let is_silent = root.present
                && looked.silent.iter().any(|(entry, below)| {
                    root.entry == *entry && !root.retired && root.host_path.starts_with(below)
                });
            root.present = standing.contains(&index) || is_silent;
            if !root.present && root.identity.take().is_some() {
                self.departed.push(root.id);
            }
        }
        changed
    }

    /// Returns the roots whose directory went from its place since the last call: it is gone, was moved, or the way
    /// leads to another one.
    pub fn take_departed(&mut self) -> Vec<RootId> {
        std::mem::take(&mut self.departed)
    }

    /// Makes the next [`Self::refresh`] report this root again, because the source could not watch it.
    pub fn retry(&mut self, id: RootId) {
        if let Some(root) = self.table.iter_mut().find(|root| root.id == id) {
            root.identity = None;
        }
    }

    fn slot(&mut self, entry: usize, host_path: PathBuf, path: &Path) -> Option<usize> {
        let here = |root: &Root| root.host_path == host_path && !root.retired;
        if let Some(index) = self.table.iter().position(here) {
            return Some(index);
        }
        if self.table.iter().filter(|root| !root.retired).count() >= MAX_ROOTS {
            if self.left_out.len() < MAX_ROOTS && self.left_out.insert(host_path.clone()) {
                tracing::warn!(root = %host_path.display(), limit = MAX_ROOTS, "too many roots, this one is not watched");
            }
            return None;
        }
        // Numbers are not given twice: what comes late still names the root that it was about.
        let id = RootId(self.next);
        if id == CANARY {
            return None;
        }
        self.next += 1;
        let profile = Arc::clone(&self.entries[entry].profile);
        self.table.push(Root {
            id,
            entry,
            host_path,
            path: path.to_owned(),
            profile,
            present: true,
            identity: None,
            retired: false,
        });
        Some(self.table.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::files::{Gate, Whereabouts};

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
        assert_eq!(roots.take_departed(), []);
        assert_eq!(roots.refresh(), [RootId(0)]);
        assert_eq!(roots.take_departed(), [RootId(0)]);
        fs::rename(host.path().join("run/runc"), host.path().join("run/away")).unwrap();
        assert!(roots.refresh().is_empty());
        assert_eq!(roots.take_departed(), [RootId(0)]);
        assert!(roots.refresh().is_empty());
        assert_eq!(roots.take_departed(), []);
    }

    #[test]
    fn what_was_found_for_other_entries_is_nobodys() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("a")).unwrap();
        let mut roots = roots(host.path(), &["/a"]);
        let looked = roots.plan().look(&Ungated);
        let profile = Arc::new(Profile::unknown("other"));
        roots.replace(vec![RootEntry { pattern: "/b".to_owned(), profile }]);
        assert!(roots.take(looked).is_empty());
        assert!(roots.table().is_empty());
    }

    #[test]
    fn a_root_that_does_not_answer_stays_as_it_was_and_hides_no_other() {
        /// Refuses what lies below a path.
        struct Silent(&'static str);
        impl Gate for Silent {
            fn enter(&self, whereabouts: Whereabouts) -> std::io::Result<()> {
                let is_it = whereabouts == Whereabouts::path(Path::new(self.0));
                if is_it { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(()) }
            }
        }
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("dead")).unwrap();
        fs::create_dir_all(host.path().join("stars/a/x")).unwrap();
        let mut roots = roots(host.path(), &["/dead", "/stars/*/x", "/late"]);
        assert_eq!(roots.refresh(), [RootId(0), RootId(1)]);
        fs::create_dir_all(host.path().join("late")).unwrap();
        fs::remove_dir_all(host.path().join("dead")).unwrap();
        fs::remove_dir_all(host.path().join("stars")).unwrap();
        let looked = roots.plan().look(&Silent("/dead"));
        assert_eq!(roots.take(looked), [RootId(2)]);
        assert!(roots.is_present(0) && !roots.is_present(1) && roots.is_present(2));
        fs::create_dir_all(host.path().join("stars/a/x")).unwrap();
        roots.refresh();
        assert!(!roots.is_present(0) && roots.is_present(1));
        fs::remove_dir_all(host.path().join("stars")).unwrap();
        let looked = roots.plan().look(&Silent("/stars"));
        roots.take(looked);
        assert!(roots.is_present(1));
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
    fn a_root_that_stays_configured_keeps_its_number_and_others_never_get_it() {
        let host = tempfile::tempdir().unwrap();
        for path in ["a", "b", "c"] {
            fs::create_dir_all(host.path().join(path)).unwrap();
        }
        let mut roots = roots(host.path(), &["/a", "/b"]);
        roots.refresh();
        let profile = Arc::new(Profile::unknown("test"));
        let entry = |pattern: &str, profile: &Arc<Profile>| RootEntry {
            pattern: pattern.to_owned(),
            profile: Arc::clone(profile),
        };
        assert_eq!(roots.replace(vec![entry("/c", &profile), entry("/b", &profile)]), [RootId(0)]);
        assert_eq!(roots.refresh(), [RootId(2)]);
        assert!(roots.is_present(0) && roots.is_present(1));
        assert_eq!(
            roots.get(RootId(0)).unwrap().host_path,
            Path::new("/a"),
            "what is under way there is told"
        );

        let changed =
            Arc::new(Profile { depths: crate::source::Depths::only(2), ..Profile::unknown("test") });
        assert_eq!(roots.replace(vec![entry("/b", &changed)]), [RootId(1), RootId(2)]);
        assert_eq!(roots.refresh(), [RootId(3)]);
    }

    #[test]
    fn roots_that_come_and_go_leave_a_bounded_table() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("a")).unwrap();
        let mut roots = roots(host.path(), &["/a"]);
        for i in 0..3 * MAX_ROOTS {
            roots.refresh();
            let profile = Arc::new(Profile::unknown(&format!("test{i}")));
            roots.replace(vec![RootEntry { pattern: "/a".to_owned(), profile }]);
        }
        assert_eq!(roots.table().len(), MAX_ROOTS);
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

    #[test]
    fn links_lead_where_they_lead_on_the_host_and_are_followed_anew_when_they_change() {
        let host = tempfile::tempdir().unwrap();
        for folder in ["run/runc", "data/a/runc", "data/b/runc", "var"] {
            fs::create_dir_all(host.path().join(folder)).unwrap();
        }
        let link =
            |target: &str, name: &str| std::os::unix::fs::symlink(target, host.path().join(name)).unwrap();
        link("/run", "var/run");
        link("/data/a", "current");
        let mut roots = roots(host.path(), &["/var/run/runc", "/current/*"]);
        assert_eq!(roots.refresh(), [RootId(0), RootId(1)]);
        let path = |roots: &Roots, id| roots.get(RootId(id)).unwrap().path.clone();
        assert_eq!(path(&roots, 0), host.path().join("run/runc"));
        assert_eq!(roots.get(RootId(0)).unwrap().host_path, Path::new("/var/run/runc"));
        assert_eq!(path(&roots, 1), host.path().join("data/a/runc"));
        fs::remove_file(host.path().join("current")).unwrap();
        link("/data/b", "current");
        assert_eq!(roots.refresh(), [RootId(1)]);
        assert_eq!(path(&roots, 1), host.path().join("data/b/runc"));
    }
}
