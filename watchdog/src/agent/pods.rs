//! Which pod each container belongs to, as the last good read of its state file said.

use std::collections::HashMap;
use std::sync::Arc;

use crate::enrich::{Identity, Pod, cgroup_of, pod_of_cgroup};
use crate::host_root::HostRoot;
use crate::model::Place;

/// A bounded memory of pods; attribution must not depend on reading a file at the moment when it is torn.
#[derive(Debug)]
pub(super) struct Pods {
    host: HostRoot,
    pods: HashMap<Arc<Place>, Pod>,
}

impl Pods {
    /// At most so many are remembered; a node runs some hundred.
    const MAX: usize = 4_096;

    pub(super) fn new(host: HostRoot) -> Self {
        Self { host, pods: HashMap::new() }
    }

    /// Takes over what a good read said. Where it tells no uid, the cgroup of the container's first process does.
    pub(super) fn learn(&mut self, place: &Arc<Place>, identity: &Identity) {
        let mut pod = identity.pod.clone();
        if pod.uid.is_none()
            && let Some(cgroup) = identity.init.and_then(|init| cgroup_of(&self.host, init))
        {
            let container = place.container.split('/').next().unwrap_or_default();
            pod.uid = pod_of_cgroup(&cgroup, container).and_then(|pod| pod.uid);
        }
        let room = self.pods.len() < Self::MAX || self.pods.contains_key(place);
        if pod != Pod::default() && room {
            self.pods.insert(Arc::clone(place), pod);
        }
    }

    pub(super) fn get(&self, place: &Place) -> Option<&Pod> {
        self.pods.get(place)
    }

    pub(super) fn forget(&mut self, place: &Place) {
        self.pods.remove(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pid, Role, RootId};

    #[test]
    fn the_first_process_tells_the_pod_where_the_file_does_not() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("proc/42")).unwrap();
        let uid = "0b2e1c1a-3d2f-4e5a-9b1c-000000000001";
        std::fs::write(host.path().join("proc/42/cgroup"), format!("0::/kubepods/pod{uid}/abc\n")).unwrap();
        let mut pods = Pods::new(HostRoot::new(host.path()));
        let (container, name) = ("abc".into(), "state.json".into());
        let place = Arc::new(Place { root: RootId(0), container, name, role: Role::State });

        pods.learn(&place, &Identity::default());
        assert_eq!(pods.get(&place), None);
        pods.learn(&place, &Identity { init: Some(Pid(42)), ..Identity::default() });
        assert_eq!(pods.get(&place).and_then(|pod| pod.uid.as_deref()), Some(uid));
        // A torn read says nothing, and takes nothing away.
        pods.learn(&place, &Identity::default());
        assert!(pods.get(&place).is_some());
        pods.forget(&place);
        assert_eq!(pods.get(&place), None);
    }
}
