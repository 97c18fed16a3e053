//! Which pod a container belongs to.

/// A pod, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pod {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The container's name within it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Its uid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
}

impl Pod {
    /// Adds what only the other knows.
    pub fn fill(&mut self, other: Self) {
        let Self { name, namespace, container, uid } = other;
        self.name = self.name.take().or(name);
        self.namespace = self.namespace.take().or(namespace);
        self.container = self.container.take().or(container);
        self.uid = self.uid.take().or(uid);
    }
}

/// The pod that a cgroup path names, when it is this container's cgroup.
///
/// `…/kubepods/burstable/pod<uid>/<id>` with cgroupfs,
/// `…/kubepods-burstable-pod<uid with _>.slice/cri-containerd-<id>.scope` with systemd; in a bundle
/// `kubepods-burstable-pod<uid with _>.slice:cri-containerd:<id>`. A runtime's own process often runs in another
/// cgroup; that says nothing about this container.
#[must_use]
pub fn pod_of_cgroup(cgroup: &str, container: &str) -> Option<Pod> {
    let parts = || cgroup.split(['/', ':']);
    if container.is_empty() || !parts().any(|part| is_container(part, container)) {
        return None;
    }
    let uid = parts().find_map(|part| {
        let part = part.strip_suffix(".slice").unwrap_or(part);
        let uid = part.strip_prefix("pod").or_else(|| {
            part.strip_prefix("kubepods").and_then(|rest| rest.rsplit_once("-pod")).map(|(_, uid)| uid)
        })?;
        let plain = uid.len() >= 32 && uid.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, '-' | '_'));
        plain.then(|| uid.replace('_', "-"))
    })?;
    Some(Pod { uid: Some(uid), ..Pod::default() })
}

fn is_container(part: &str, container: &str) -> bool {
    let part = part.strip_suffix(".scope").unwrap_or(part);
    part.strip_suffix(container).is_some_and(|before| before.is_empty() || before.ends_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0b2e1c1a-3d2f-4e5a-9b1c-000000000001";

    #[test]
    fn both_drivers_name_the_pod() {
        for path in [
            "/kubepods/burstable/pod0b2e1c1a-3d2f-4e5a-9b1c-000000000001/abc",
            "/kubepods.slice/kubepods-besteffort.slice/\
             kubepods-besteffort-pod0b2e1c1a_3d2f_4e5a_9b1c_000000000001.slice/cri-containerd-abc.scope",
            "/kubepods.slice/kubepods-pod0b2e1c1a_3d2f_4e5a_9b1c_000000000001.slice/crio-abc.scope/init",
            "kubepods-burstable-pod0b2e1c1a_3d2f_4e5a_9b1c_000000000001.slice:cri-containerd:abc",
            "/kubepods.slice/kubepods-pod0b2e1c1a_3d2f_4e5a_9b1c_000000000001.slice/docker-abc.scope",
        ] {
            assert_eq!(pod_of_cgroup(path, "abc").and_then(|pod| pod.uid).as_deref(), Some(UID), "{path}");
        }
    }

    #[test]
    fn another_cgroup_says_nothing() {
        for path in [
            "/system.slice/containerd.service",
            "/kubepods/pod0b2e1c1a-3d2f-4e5a-9b1c-000000000001/other",
            "/podman/abc",
            "",
        ] {
            assert_eq!(pod_of_cgroup(path, "abc"), None, "{path}");
        }
        assert_eq!(pod_of_cgroup("/kubepods/pod0b2e1c1a-3d2f-4e5a-9b1c-000000000001/", ""), None);
    }
}
