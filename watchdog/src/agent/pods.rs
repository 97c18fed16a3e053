//! Whom each container belongs to, as the last good read of its state file said.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::millis;
use crate::enrich::{Identity, Owner, owner};
use crate::host_root::HostRoot;
use crate::model::{BootNanos, Pid, Place, RootId};

/// A bounded memory of owners; attribution must not depend on reading a file at the moment when it is torn.
#[derive(Debug)]
pub(super) struct Pods {
    host: HostRoot,
    known: HashMap<Key, Known>,
}

/// The root, and the directory of the state file below it.
type Key = (RootId, Arc<str>);

#[derive(Debug, Default)]
struct Known {
    owner: Owner,
    init: Option<Pid>,
    /// All places that may tell were looked at.
    asked: bool,
    /// Since when no state file stands there.
    gone: Option<BootNanos>,
}

/// Which container is meant: a place's directory as the host sees it, and the id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Container<'a> {
    pub(super) place: &'a Place,
    pub(super) directory: &'a Path,
    pub(super) id: &'a str,
}

impl Pods {
    /// At most so many are remembered; a node runs some hundred.
    const MAX: usize = 4_096;
    /// A container is forgotten so long after it is gone: its last findings may still come.
    const KEPT: u64 = millis(300_000);

    pub(super) fn new(host: HostRoot) -> Self {
        Self { host, known: HashMap::new() }
    }

    /// Takes over what a good read said.
    pub(super) fn learn(&mut self, container: Container<'_>, said: &Identity) {
        let host = self.host.clone();
        let Some(known) = self.entry(container.place) else { return };
        // Another first process: a container of the same id was made anew.
        if said.init.is_some() && said.init != known.init {
            *known = Known { init: said.init, ..Known::default() };
        }
        let mut told = if std::mem::replace(&mut known.asked, true) {
            Owner::told(said, container.id)
        } else {
            owner(&host, container.directory, container.id, said)
        };
        told.fill(std::mem::take(&mut known.owner));
        known.owner = told;
        known.gone = None;
    }

    /// Whom it belongs to, as far as is known. A container whose state file could not be read yet is looked for
    /// elsewhere, once; one that there is no room to remember, each time.
    pub(super) fn find(&mut self, container: Container<'_>, now: BootNanos) -> Option<Owner> {
        let host = self.host.clone();
        let elsewhere = || owner(&host, container.directory, container.id, &Identity::default());
        let owner = match self.entry(container.place) {
            Some(known) => {
                if !std::mem::replace(&mut known.asked, true) {
                    known.owner = elsewhere();
                    // Nobody may ever say that it is gone.
                    known.gone = Some(now);
                }
                known.owner.clone()
            }
            None => elsewhere(),
        };
        Some(owner).filter(|owner| *owner != Owner::default())
    }

    /// The container is gone.
    pub(super) fn leave(&mut self, place: &Place, now: BootNanos) {
        if let Some(known) = self.known.get_mut(&(place.root, Arc::clone(&place.container))) {
            known.gone = Some(now);
        }
    }

    /// Forgets those that are gone for long.
    pub(super) fn expire(&mut self, now: BootNanos) {
        self.known.retain(|_, known| known.gone.is_none_or(|gone| now.since(gone) <= Self::KEPT));
    }

    /// `None` when the memory is full of containers that are there.
    fn entry(&mut self, place: &Place) -> Option<&mut Known> {
        let key = (place.root, Arc::clone(&place.container));
        if self.known.len() >= Self::MAX && !self.known.contains_key(&key) {
            let gone = self.known.iter().filter_map(|(key, known)| Some((known.gone?, key)));
            let oldest = gone.min_by_key(|(gone, _)| *gone).map(|(_, key)| key.clone())?;
            self.known.remove(&oldest);
        }
        Some(self.known.entry(key).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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

    fn said(name: Option<&str>, init: Option<u32>) -> Identity {
        let mut identity = Identity { init: init.map(Pid), ..Identity::default() };
        identity.pod.name = name.map(str::to_owned);
        identity
    }

    impl Bench {
        fn new() -> Self {
            let host = tempfile::tempdir().unwrap();
            let pods = Pods::new(HostRoot::new(host.path()));
            Self { host, pods }
        }

        fn learn(&mut self, id: &str, said: &Identity) {
            self.pods.learn(container(&place(id)), said);
        }

        fn name(&mut self, id: &str) -> Option<String> {
            self.pods.find(container(&place(id)), BootNanos(0)).and_then(|owner| owner.pod.name.clone())
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
        let place = place("abc");
        let found = bench.pods.find(container(&place), BootNanos(0)).unwrap();
        assert_eq!(found.pod.uid.as_deref(), Some(UID));
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
        let bundle =
            bench.host.path().join("run/containerd/io.containerd.runtime.v2.task/k8s.io/one too many");
        fs::create_dir_all(&bundle).unwrap();
        let config = r#"{"annotations":{"io.kubernetes.cri.sandbox-name":"db-0"}}"#;
        fs::write(bundle.join("config.json"), config).unwrap();
        assert_eq!(bench.name("one too many").as_deref(), Some("db-0"));
        assert_eq!(bench.pods.known.len(), Pods::MAX);
        bench.pods.leave(&place("7"), BootNanos(5));
        bench.learn("one more", &said(Some("web-0"), None));
        assert_eq!(bench.pods.known.len(), Pods::MAX);
        assert_eq!(bench.name("one more").as_deref(), Some("web-0"));
    }
}
