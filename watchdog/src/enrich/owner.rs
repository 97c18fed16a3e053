//! Whom a container belongs to: what its state file says, and where that says too little, what lies beside it.
//!
//! Files alone are asked, never a network.

use std::path::{Component, Path, PathBuf};

use super::document::read_document;
use super::{Identity, Pod, cgroup_of, pod_of_cgroup};
use crate::files::{Directory, Gate};
use crate::host_root::HostRoot;

/// Where the managers keep a container's configuration under its id, whatever its runtime and however torn its state
/// file is: containerd's shim for Kubernetes, CRI-O, docker.
const KEPT: [(&str, &str); 3] = [
    ("/run/containerd/io.containerd.runtime.v2.task/k8s.io", "config.json"),
    ("/run/containers/storage/overlay-containers", "userdata/config.json"),
    ("/var/lib/docker/containers", "config.v2.json"),
];

/// A container's pod and image, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// Its pod.
    pub pod: Pod,
    /// Its image.
    pub image: Option<String>,
}

impl Owner {
    /// What a file says of this container.
    #[must_use]
    pub fn told(identity: &Identity, container: &str) -> Self {
        let mut pod = identity.pod.clone();
        for cgroup in &identity.cgroups {
            pod.fill(pod_of_cgroup(cgroup, container).unwrap_or_default());
        }
        Self { pod, image: identity.image.clone() }
    }

    /// Adds what only the other knows.
    pub fn fill(&mut self, other: Self) {
        self.pod.fill(other.pod);
        self.image = self.image.take().or(other.image);
    }

    /// True when there is nothing left to look for.
    fn is_whole(&self) -> bool {
        let Pod { name, namespace, container: _, uid } = &self.pod;
        name.is_some() && namespace.is_some() && uid.is_some()
    }
}

/// Looks for the owner of a container. `directory` is the host's path to the directory of its state file, `said` what
/// that file says; it may say nothing, because it is torn or was never whole.
#[must_use]
pub fn owner(host: &HostRoot, directory: &Path, container: &str, said: &Identity, gate: &dyn Gate) -> Owner {
    let mut owner = Owner::told(said, container);
    let mut sandbox = said.sandbox.clone();
    // crun keeps a copy of the configuration beside its state.
    let beside = [Some(directory), said.bundle.as_deref()];
    let beside = beside.into_iter().flatten().map(|directory| directory.join("config.json"));
    for path in beside.chain(kept(container)) {
        if owner.is_whole() {
            return owner;
        }
        let Some(found) = read(host, &path, gate) else { continue };
        owner.fill(Owner::told(&found, container));
        sandbox = sandbox.or(found.sandbox);
    }
    // Older containerd says of a container its sandbox alone.
    if owner.pod.name.is_none()
        && let Some(sandbox) = sandbox.filter(|sandbox| sandbox != container && is_name(sandbox))
    {
        let sibling = said.bundle.as_ref().map(|bundle| bundle.with_file_name(&sandbox).join("config.json"));
        let found = sibling.into_iter().chain(kept(&sandbox)).find_map(|path| read(host, &path, gate));
        let pod = found.map(|found| Owner::told(&found, &sandbox).pod).unwrap_or_default();
        owner.pod.fill(Pod { container: None, ..pod });
    }
    if owner.pod.uid.is_none()
        && let Some(cgroup) = said.init.and_then(|init| cgroup_of(host, init))
    {
        owner.pod.fill(pod_of_cgroup(&cgroup, container).unwrap_or_default());
    }
    owner
}

fn kept(container: &str) -> impl Iterator<Item = PathBuf> {
    let places = if is_name(container) { &KEPT[..] } else { &[] };
    places.iter().map(move |(folder, file)| Path::new(folder).join(container).join(file))
}

/// An id is foreign text; as a path it must not lead anywhere else.
fn is_name(container: &str) -> bool {
    let mut parts = Path::new(container).components();
    matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None))
}

fn read(host: &HostRoot, path: &Path, gate: &dyn Gate) -> Option<Identity> {
    let directory = Directory::open(&host.path("/"), gate).ok()?.on_host(path.parent()?).ok()?;
    let (file, _) = directory.child(path.file_name()?).ok()?.open().ok()?;
    let read = read_document(&file, gate);
    // Closing may wait for the file system, too.
    gate.again();
    drop(file);
    Some(read.ok()?.identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ungated;
    use crate::model::Pid;
    use std::fs;

    const UID: &str = "0b2e1c1a-3d2f-4e5a-9b1c-000000000001";

    struct Host(tempfile::TempDir);

    impl Host {
        fn new(files: &[(&str, &str)]) -> Self {
            let host = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = host.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(host)
        }

        fn owner(&self, container: &str, said: &Identity) -> [Option<String>; 4] {
            let directory = Path::new("/run/x").join(container);
            let Owner { pod, image: _ } =
                owner(&HostRoot::new(self.0.path()), &directory, container, said, &Ungated);
            [pod.name, pod.namespace, pod.container, pod.uid]
        }
    }

    fn expected(parts: [&str; 4]) -> [Option<String>; 4] {
        parts.map(|part| Some(part.to_owned()).filter(|part| !part.is_empty()))
    }

    #[test]
    fn the_configuration_beside_the_state_or_in_the_bundle_tells() {
        let config = r#"{"annotations":{"io.kubernetes.pod.name":"web-0","io.kubernetes.pod.uid":"u"}}"#;
        let nothing = Identity::default();
        let with_bundle = Identity { bundle: Some("/some/bundle".into()), ..Identity::default() };
        for (file, said) in [("run/x/abc/config.json", &nothing), ("some/bundle/config.json", &with_bundle)] {
            assert_eq!(Host::new(&[(file, config)]).owner("abc", said), expected(["web-0", "", "", "u"]));
        }
        assert_eq!(Host::new(&[]).owner("abc", &with_bundle), expected([""; 4]));
    }

    #[test]
    fn a_container_whose_state_was_never_whole_is_found_under_its_id() {
        let labels = r#"{"io.kubernetes.pod.name":"web-0","io.kubernetes.container.name":"app"}"#;
        let spec = format!(r#"{{"annotations":{labels}}}"#);
        let docker = format!(r#"{{"Config":{{"Labels":{labels}}}}}"#);
        for (path, text) in [
            ("run/containerd/io.containerd.runtime.v2.task/k8s.io/abc/config.json", &spec),
            ("run/containers/storage/overlay-containers/abc/userdata/config.json", &spec),
            ("var/lib/docker/containers/abc/config.v2.json", &docker),
        ] {
            let found = Host::new(&[(path, text)]).owner("abc", &Identity::default());
            assert_eq!(found, expected(["web-0", "", "app", ""]), "{path}");
        }
    }

    #[test]
    fn an_old_containerd_is_asked_for_the_sandbox() {
        let task = |id: &str| format!("b/{id}/config.json");
        let container = r#"{"annotations":{"io.kubernetes.cri.container-type":"container",
            "io.kubernetes.cri.sandbox-id":"box"}}"#;
        let sandbox = r#"{"annotations":{"io.kubernetes.cri.container-type":"sandbox",
            "io.kubernetes.cri.sandbox-id":"box",
            "io.kubernetes.cri.sandbox-log-directory":"/var/log/pods/shop_web-0_u-1"}}"#;
        let host = Host::new(&[(&task("abc"), container), (&task("box"), sandbox)]);
        let said = |id: &str| Identity { bundle: Some(format!("/b/{id}").into()), ..Identity::default() };
        let web = expected(["web-0", "shop", "", "u-1"]);
        assert_eq!(host.owner("abc", &said("abc")), web);
        assert_eq!(host.owner("box", &said("box")), web);
    }

    #[test]
    fn cgroups_tell_the_uid_where_nothing_else_does() {
        let path = format!("/kubepods/pod{UID}/abc");
        let uid = expected(["", "", "", UID]);
        let noted = Identity { cgroups: vec![format!("/sys/fs/cgroup/cpu{path}")], ..Identity::default() };
        assert_eq!(Host::new(&[]).owner("abc", &noted), uid);
        let living = Identity { init: Some(Pid(42)), ..Identity::default() };
        let host = Host::new(&[("proc/42/cgroup", &format!("0::{path}\n"))]);
        assert_eq!(host.owner("abc", &living), uid);
        // A pid that was given out again belongs to another container.
        assert_eq!(host.owner("def", &living), expected([""; 4]));
    }

    #[test]
    fn a_foreign_id_leads_nowhere() {
        let secret = r#"{"annotations":{"io.kubernetes.pod.name":"web-0"}}"#;
        let host = Host::new(&[("run/containerd/io.containerd.runtime.v2.task/other/config.json", secret)]);
        for id in ["../other", "..", ".", "", "/", "a/../../other"] {
            assert!(kept(id).next().is_none(), "{id}");
        }
        assert_eq!(host.owner("../other", &Identity::default()), expected([""; 4]));
    }
}
