//! Whom a container belongs to, as the annotations say that its manager gave it.

use std::collections::HashMap;

use super::Pod;

/// More bytes of a name are no name: Kubernetes allows 253, images have some more.
const MAX_NAME_BYTES: usize = 512;

/// containerd, CRI-O and what talks to docker name the same things differently.
const NAME: [&str; 3] =
    ["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name", "io.kubernetes.cri-o.KubeName"];
const NAMESPACE: [&str; 3] =
    ["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace", "io.kubernetes.cri-o.Namespace"];
const UID: [&str; 2] = ["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"];
const CONTAINER: [&str; 2] = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name"];
const IMAGE: [&str; 3] =
    ["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName", "io.kubernetes.cri-o.Image"];
const SANDBOX: [&str; 3] =
    ["io.kubernetes.cri.sandbox-id", "io.kubernetes.cri-o.SandboxID", "io.kubernetes.sandbox.id"];
/// Each names the kind of container: one of the pod's own, or the sandbox that holds the pod's namespaces.
const KIND: [(&str, &str); 3] = [
    ("io.kubernetes.cri.container-type", "sandbox"),
    ("io.kubernetes.cri-o.ContainerType", "sandbox"),
    ("io.kubernetes.docker.type", "podsandbox"),
];
/// `/var/log/pods/<namespace>_<name>_<uid>`: all that containerd before 1.5 says of a pod, and of its sandbox alone.
const LOGS: &str = "io.kubernetes.cri.sandbox-log-directory";
/// CRI-O keeps the pod's labels as JSON within one annotation.
pub(super) const LABELS: &str = "io.kubernetes.cri-o.Labels";
/// A pod's labels may be long; more bytes of them are not looked at.
const MAX_LABELS_BYTES: usize = 64 << 10;
/// The longest name that the agent looks for.
pub(super) const MAX_KEY_BYTES: usize = 48;

/// What annotations say of a container.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Annotated {
    /// The pod it belongs to.
    pub(super) pod: Pod,
    /// Its image.
    pub(super) image: Option<String>,
    /// The id of the pod's sandbox.
    pub(super) sandbox: Option<String>,
}

/// Returns how many bytes of this annotation's value matter, or `None` if the agent does not look for it.
pub(super) fn room(key: &str) -> Option<usize> {
    let groups: [&[&str]; 6] = [&NAME, &NAMESPACE, &UID, &CONTAINER, &IMAGE, &SANDBOX];
    let is_known = groups.iter().any(|keys| keys.contains(&key)) || KIND.iter().any(|(kind, _)| *kind == key);
    match key {
        LABELS => Some(MAX_LABELS_BYTES),
        LOGS => Some(3 * MAX_NAME_BYTES),
        _ => is_known.then_some(MAX_NAME_BYTES),
    }
}

/// Reads the annotations, however their manager spells them.
pub(super) fn told(mut annotations: HashMap<String, String>) -> Annotated {
    let is_sandbox = KIND.iter().any(|(key, kind)| annotations.get(*key).is_some_and(|value| value == kind));
    let mut first = |keys: &[&str]| keys.iter().find_map(|key| annotations.remove(*key).filter(is_name));
    let mut pod = Pod {
        name: first(&NAME),
        namespace: first(&NAMESPACE),
        container: first(&CONTAINER),
        uid: first(&UID),
    };
    let (image, sandbox) = (first(&IMAGE), first(&SANDBOX));
    if let Some(logs) = first(&[LOGS]) {
        pod.fill(of_log_directory(&logs));
    }
    if is_sandbox {
        // CRI-O and dockershim call it `POD`.
        pod.container = None;
    }
    Annotated { pod, image, sandbox }
}

#[expect(clippy::ptr_arg, reason = "the signature that `Option::filter` asks for")]
fn is_name(text: &String) -> bool {
    (1..=MAX_NAME_BYTES).contains(&text.len())
}

/// None of the three parts can hold a `_`.
fn of_log_directory(path: &str) -> Pod {
    let last = path.rsplit('/').next().unwrap_or_default();
    let mut parts = last.split('_').map(str::to_owned);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(namespace), Some(name), Some(uid), None) => {
            Pod { name: Some(name), namespace: Some(namespace), uid: Some(uid), container: None }
        }
        _ => Pod::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_that_is_looked_for_is_longer_than_what_is_kept() {
        let all = [&NAME[..], &NAMESPACE, &UID, &CONTAINER, &IMAGE, &SANDBOX, &[LOGS, LABELS]].concat();
        for key in all.into_iter().chain(KIND.map(|(key, _)| key)) {
            assert!(key.len() <= MAX_KEY_BYTES && room(key).is_some(), "{key}");
        }
        assert_eq!(room("io.kubernetes.pod.terminationGracePeriod"), None);
    }

    fn of(pairs: &[(&str, &str)]) -> Annotated {
        told(pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    fn pod(container: Option<&str>) -> Pod {
        let text = |text: &str| Some(text.to_owned());
        let container = container.and_then(text);
        Pod { name: text("web-0"), namespace: text("shop"), container, uid: text("u-1") }
    }

    #[test]
    fn each_manager_names_pod_container_and_image() {
        let containerd = of(&[
            ("io.kubernetes.cri.container-type", "container"),
            ("io.kubernetes.cri.container-name", "app"),
            ("io.kubernetes.cri.image-name", "shop:1"),
            ("io.kubernetes.cri.sandbox-id", "s"),
            ("io.kubernetes.cri.sandbox-name", "web-0"),
            ("io.kubernetes.cri.sandbox-namespace", "shop"),
            ("io.kubernetes.cri.sandbox-uid", "u-1"),
        ]);
        let crio = of(&[
            ("io.kubernetes.cri-o.ContainerType", "container"),
            ("io.kubernetes.cri-o.ContainerName", "k8s_app_web-0_shop_u-1_0"),
            ("io.kubernetes.cri-o.ImageName", "shop:1"),
            ("io.kubernetes.cri-o.SandboxID", "s"),
            ("io.kubernetes.pod.name", "web-0"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.container.name", "app"),
            ("io.kubernetes.pod.uid", "u-1"),
        ]);
        let docker = of(&[
            ("io.kubernetes.docker.type", "container"),
            ("io.kubernetes.container.name", "app"),
            ("io.kubernetes.pod.name", "web-0"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.pod.uid", "u-1"),
            ("io.kubernetes.sandbox.id", "s"),
        ]);
        for (identity, image) in [(containerd, Some("shop:1")), (crio, Some("shop:1")), (docker, None)] {
            assert_eq!(identity.pod, pod(Some("app")));
            assert_eq!(identity.image.as_deref(), image);
            assert_eq!(identity.sandbox.as_deref(), Some("s"));
        }
    }

    #[test]
    fn a_sandbox_is_no_container_of_the_pod() {
        let names = [
            ("io.kubernetes.container.name", "POD"),
            ("io.kubernetes.pod.name", "web-0"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.pod.uid", "u-1"),
        ];
        for kind in KIND {
            let all: Vec<_> = names.into_iter().chain([kind]).collect();
            assert_eq!(of(&all).pod, pod(None));
        }
    }

    #[test]
    fn an_old_containerd_tells_the_pod_by_its_log_directory() {
        let logs = ("io.kubernetes.cri.sandbox-log-directory", "/var/log/pods/shop_web-0_u-1");
        assert_eq!(of(&[logs, KIND[0]]).pod, pod(None));
        assert_eq!(of(&[(logs.0, "/var/log/pods/web-0")]).pod, Pod::default());
        assert_eq!(of(&[(logs.0, "a_b_c_d")]).pod, Pod::default());
    }

    #[test]
    fn what_is_no_name_names_nothing() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        assert_eq!(
            of(&[("io.kubernetes.pod.name", ""), ("io.kubernetes.pod.uid", &long)]),
            Annotated::default()
        );
    }
}
