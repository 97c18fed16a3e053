//! Whom each container belongs to, as the last good read of its state file said.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::millis;
use crate::enrich::{Identity, Owner};
use crate::model::{BootNanos, Pid, Place, RootId};

/// A bounded memory of owners; attribution must not depend on reading a file at the moment when it is torn.
#[derive(Debug, Default)]
pub(super) struct Pods {
    known: HashMap<Key, Known>,
}

/// The root, and the directory of the state file below it.
type Key = (RootId, Arc<str>);

#[derive(Debug, Default)]
struct Known {
    owner: Owner,
    init: Option<Pid>,
    asked: Asked,
    /// The bundle that was among the places.
    bundle: Option<PathBuf>,
    /// Since when no state file stands there.
    gone: Option<BootNanos>,
}

/// Whether all places that may tell were looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    Never,
    /// Since then; there is no answer yet.
    Since(BootNanos),
    /// There was no answer; asked again after this time.
    Until(BootNanos),
    Done,
}

/// Which container is meant: a place's directory as the host sees it, and the id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Container<'a> {
    pub(super) place: &'a Place,
    pub(super) directory: &'a Path,
    pub(super) id: &'a str,
}

/// A look at all places that may tell whose a container is.
#[derive(Clone, Debug)]
pub(super) struct Search {
    key: Key,
    pub(super) directory: PathBuf,
    pub(super) id: String,
    /// What its state file says.
    pub(super) said: Identity,
}

impl Pods {
    /// At most so many are remembered; a node runs some hundred.
    const MAX: usize = 4_096;
    /// A container is forgotten so long after it is gone: its last findings may still come.
    const KEPT: u64 = millis(300_000);
    /// Findings wait so long to learn whose container they are about.
    const PATIENCE: u64 = millis(100);
    /// A container that is made anew again and again is looked for so often.
    const ANEW: u64 = millis(1_000);
    /// What could not be looked at is looked at again after so long.
    const AGAIN: u64 = millis(60_000);

    /// Takes over what a good read said. Returns what is still to be looked at.
    pub(super) fn learn(
        &mut self,
        container: Container<'_>,
        said: &Identity,
        now: BootNanos,
    ) -> Option<Search> {
        let known = self.entry(container.place)?;
        // Another first process: a container of the same id was made anew.
        if said.init.is_some() && said.init != known.init {
            // There is one search at a time, however often that happens.
            let asked = if known.asked == Asked::Done { Asked::Never } else { known.asked };
            *known = Known { init: said.init, asked, ..Known::default() };
        }
        // A bundle that was not known when the places were looked at may tell more, whether a process is known or not.
        if said.bundle.is_some() && said.bundle != known.bundle {
            known.bundle.clone_from(&said.bundle);
            if known.asked == Asked::Done {
                known.asked = Asked::Never;
            }
        }
        let mut told = Owner::told(said, container.id);
        told.fill(std::mem::take(&mut known.owner));
        known.owner = told;
        known.gone = None;
        known.search(container, said, now)
    }

    /// Returns what is to be looked at, once, for a container whose state file could not be read yet.
    pub(super) fn ask(&mut self, container: Container<'_>, now: BootNanos) -> Option<Search> {
        let known = self.entry(container.place)?;
        let search = known.search(container, &Identity::default(), now)?;
        // Nobody may ever say that it is gone.
        known.gone = Some(now);
        Some(search)
    }

    /// A search has ended; `None` when it was given up.
    pub(super) fn found(&mut self, search: &Search, owner: Option<Owner>, now: BootNanos) {
        let Some(known) = self.known.get_mut(&search.key) else { return };
        // A container of the same id was made anew meanwhile.
        let is_other = search.said.init.is_some() && search.said.init != known.init;
        match owner {
            _ if is_other => known.asked = Asked::Until(now.plus(Self::ANEW)),
            Some(owner) => {
                // A good read may have named the bundle meanwhile.
                let is_whole = known.bundle.is_none() || known.bundle == search.said.bundle;
                known.asked = if is_whole { Asked::Done } else { Asked::Never };
                known.owner.fill(owner);
            }
            None => known.asked = Asked::Until(now.plus(Self::AGAIN)),
        }
    }

    /// Until when findings wait for a search, if they do.
    pub(super) fn awaited(&self, place: &Place, now: BootNanos) -> Option<BootNanos> {
        match self.known.get(&key(place))?.asked {
            Asked::Since(since) => Some(since.plus(Self::PATIENCE)).filter(|until| *until > now),
            Asked::Never | Asked::Until(_) | Asked::Done => None,
        }
    }

    /// Whom it belongs to, as far as is known.
    pub(super) fn find(&self, place: &Place) -> Owner {
        self.known.get(&key(place)).map(|known| known.owner.clone()).unwrap_or_default()
    }

    /// The container is gone.
    pub(super) fn leave(&mut self, place: &Place, now: BootNanos) {
        if let Some(known) = self.known.get_mut(&key(place)) {
            known.gone = Some(now);
        }
    }

    /// Forgets those that are gone for long.
    pub(super) fn expire(&mut self, now: BootNanos) {
        self.known.retain(|_, known| known.gone.is_none_or(|gone| now.since(gone) <= Self::KEPT));
    }

    /// `None` when the memory is full of containers that are there.
    fn entry(&mut self, place: &Place) -> Option<&mut Known> {
        let key = key(place);
        if self.known.len() >= Self::MAX && !self.known.contains_key(&key) {
            let gone = self.known.iter().filter_map(|(key, known)| Some((known.gone?, key)));
            let oldest = gone.min_by_key(|(gone, _)| *gone).map(|(_, key)| key.clone())?;
            self.known.remove(&oldest);
        }
        Some(self.known.entry(key).or_default())
    }
}

impl Known {
    fn search(&mut self, container: Container<'_>, said: &Identity, now: BootNanos) -> Option<Search> {
        let is_due = match self.asked {
            Asked::Never => true,
            Asked::Until(again) => again <= now,
            Asked::Since(_) | Asked::Done => false,
        };
        if !is_due {
            return None;
        }
        self.asked = Asked::Since(now);
        let (directory, id) = (container.directory.to_owned(), container.id.to_owned());
        Some(Search { key: key(container.place), directory, id, said: said.clone() })
    }
}

fn key(place: &Place) -> Key {
    (place.root, Arc::clone(&place.container))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::owner;
    use crate::files::Ungated;
    use crate::host_root::HostRoot;
    use crate::model::Role;
    use std::fs;

    const UID: &str = "0b2e1c1a-3d2f-4e5a-9b1c-000000000001";

    struct Bench {
        host: tempfile::TempDir,
        pods: Pods,
    }

    fn place(container: &str) -> Place {
        Place { root: RootId(0), container: container.into(), name: "state.json".into(), role: Role::State }
    }

    fn container(place: &Place) -> Container<'_> {
        Container { place, directory: Path::new("/r/abc"), id: &place.container }
    }

    /// Looks where it is asked to look.
    fn look(host: &HostRoot, Search { directory, id, said, .. }: &Search) -> Owner {
        owner(host, directory, id, said, &Ungated)
    }

    fn said(name: Option<&str>, init: Option<u32>) -> Identity {
        let mut identity = Identity { init: init.map(Pid), ..Identity::default() };
        identity.pod.name = name.map(str::to_owned);
        identity
    }

    impl Bench {
        fn new() -> Self {
            let host = tempfile::tempdir().unwrap();
            Self { host, pods: Pods::default() }
        }

        fn answer(&mut self, search: Option<Search>) {
            if let Some(search) = search {
                let owner = look(&HostRoot::new(self.host.path()), &search);
                self.pods.found(&search, Some(owner), BootNanos(0));
            }
        }

        fn learn(&mut self, id: &str, said: &Identity) {
            let search = self.pods.learn(container(&place(id)), said, BootNanos(0));
            self.answer(search);
        }

        fn name(&mut self, id: &str) -> Option<String> {
            let search = self.pods.ask(container(&place(id)), BootNanos(0));
            self.answer(search);
            self.pods.find(&place(id)).pod.name
        }
    }

    #[test]
    fn what_a_good_read_said_stays_when_later_ones_say_less() {
        let mut bench = Bench::new();
        bench.learn("abc", &said(Some("web-0"), Some(42)));
        bench.learn("abc", &said(None, Some(42)));
        bench.learn("abc", &Identity::default());
        assert_eq!(bench.name("abc").as_deref(), Some("web-0"));
        assert_eq!(bench.name("other"), None);
    }

    #[test]
    fn a_container_that_is_made_anew_has_a_pod_of_its_own() {
        let mut bench = Bench::new();
        bench.learn("abc", &said(Some("web-0"), Some(42)));
        bench.learn("abc", &said(None, Some(43)));
        assert_eq!(bench.name("abc"), None);
    }

    #[test]
    fn the_first_process_tells_the_pod_where_the_file_does_not() {
        let mut bench = Bench::new();
        let folder = bench.host.path().join("proc/42");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("cgroup"), format!("0::/kubepods/pod{UID}/abc\n")).unwrap();
        // youki's first write knows no process yet.
        bench.learn("abc", &Identity::default());
        bench.learn("abc", &said(None, Some(42)));
        assert_eq!(bench.pods.find(&place("abc")).pod.uid.as_deref(), Some(UID));
    }

    #[test]
    fn a_container_that_was_never_read_is_looked_for_once() {
        let mut bench = Bench::new();
        let bundle = bench.host.path().join("run/containerd/io.containerd.runtime.v2.task/k8s.io/abc");
        assert_eq!(bench.name("def"), None);
        fs::create_dir_all(&bundle).unwrap();
        let config = r#"{"annotations":{"io.kubernetes.cri.sandbox-name":"web-0"}}"#;
        fs::write(bundle.join("config.json"), config).unwrap();
        assert_eq!(bench.name("abc").as_deref(), Some("web-0"));
        fs::remove_dir_all(&bundle).unwrap();
        assert_eq!(bench.name("abc").as_deref(), Some("web-0"));
        // And asked again when its file tells of a process.
        bench.learn("def", &said(Some("db-0"), Some(7)));
        assert_eq!(bench.name("def").as_deref(), Some("db-0"));
    }

    #[test]
    fn a_bundle_is_asked_though_the_file_tells_of_no_process() {
        let mut bench = Bench::new();
        let bundle = bench.host.path().join("b");
        fs::create_dir_all(&bundle).unwrap();
        let config = r#"{"annotations":{"io.kubernetes.cri.sandbox-name":"web-0"}}"#;
        fs::write(bundle.join("config.json"), config).unwrap();
        // A finding came before the first good read.
        assert_eq!(bench.name("abc"), None);
        bench.learn("abc", &Identity { bundle: Some("/b".into()), ..Identity::default() });
        assert_eq!(bench.name("abc").as_deref(), Some("web-0"));
        // Once.
        fs::remove_file(bundle.join("config.json")).unwrap();
        bench.learn("abc", &Identity { bundle: Some("/b".into()), ..Identity::default() });
        assert_eq!(bench.name("abc").as_deref(), Some("web-0"));
    }

    #[test]
    fn a_container_is_remembered_for_some_minutes_after_it_is_gone() {
        let mut bench = Bench::new();
        bench.learn("abc", &said(Some("web-0"), None));
        bench.pods.expire(BootNanos(u64::MAX));
        assert_eq!(bench.name("abc").as_deref(), Some("web-0"));
        bench.pods.leave(&place("abc"), BootNanos(5));
        bench.pods.expire(BootNanos(5 + Pods::KEPT));
        assert_eq!(bench.name("abc").as_deref(), Some("web-0"));
        bench.pods.expire(BootNanos(6 + Pods::KEPT));
        assert!(bench.pods.known.is_empty());
    }

    #[test]
    fn memory_is_bounded_and_those_that_are_gone_make_room() {
        let mut bench = Bench::new();
        for number in 0..Pods::MAX + 10 {
            bench.learn(&number.to_string(), &said(Some("web-0"), None));
        }
        assert_eq!(bench.pods.known.len(), Pods::MAX);
        assert_eq!(bench.name("one too many"), None);
        assert_eq!(bench.pods.known.len(), Pods::MAX);
        bench.pods.leave(&place("7"), BootNanos(5));
        bench.learn("one more", &said(Some("web-0"), None));
        assert_eq!(bench.pods.known.len(), Pods::MAX);
        assert_eq!(bench.name("one more").as_deref(), Some("web-0"));
    }

    #[test]
    fn findings_wait_for_a_search_that_is_under_way_and_not_for_ever() {
        let mut bench = Bench::new();
        let (place, ms) = (place("abc"), millis(1));
        assert_eq!(bench.pods.awaited(&place, BootNanos(0)), None);
        let search = bench.pods.ask(container(&place), BootNanos(0)).unwrap();
        assert!(bench.pods.ask(container(&place), BootNanos(0)).is_none(), "one search at a time");
        let until = bench.pods.awaited(&place, BootNanos(0)).unwrap();
        assert_eq!(bench.pods.awaited(&place, until), None);
        // What does not answer is left alone for a while.
        bench.pods.found(&search, None, until);
        assert!(bench.pods.ask(container(&place), until.plus(ms)).is_none());
        assert!(bench.pods.ask(container(&place), until.plus(Pods::AGAIN)).is_some());
    }

    #[test]
    fn an_answer_about_a_container_that_was_made_anew_meanwhile_is_nobodys() {
        let mut bench = Bench::new();
        let place = place("abc");
        let old = bench.pods.learn(container(&place), &said(None, Some(42)), BootNanos(0)).unwrap();
        let other = said(None, Some(43));
        assert!(bench.pods.learn(container(&place), &other, BootNanos(0)).is_none(), "one search at a time");
        let owner = |name: &str| {
            let mut owner = Owner::default();
            owner.pod.name = Some(name.to_owned());
            Some(owner)
        };
        bench.pods.found(&old, owner("old"), BootNanos(0));
        assert_eq!(bench.pods.find(&place).pod.name, None);
        let later = BootNanos(Pods::ANEW);
        let new = bench.pods.learn(container(&place), &other, later).unwrap();
        bench.pods.found(&new, owner("new"), later);
        assert_eq!(bench.pods.find(&place).pod.name.as_deref(), Some("new"));
    }
}
