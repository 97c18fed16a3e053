//! Whom a container belongs to, as its state file says.

use std::collections::HashMap;

use serde::Deserialize;

use super::Pod;
use crate::model::Pid;

/// What a good state file says of its container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its pod, as far as annotations tell.
    pub pod: Pod,
    /// Its first process; that one's cgroup tells the pod's uid where annotations do not.
    pub init: Option<Pid>,
}

/// The members that runc, youki and CRI-O write; everything else is skipped.
#[derive(Deserialize)]
struct StateFile {
    init_process_pid: Option<i64>,
    pid: Option<i64>,
    annotations: Option<HashMap<String, String>>,
    config: Option<RuncConfig>,
}

/// runc keeps annotations as `key=value`.
#[derive(Deserialize)]
struct RuncConfig {
    labels: Option<Vec<String>>,
}

/// Reads the identity out of a state file's bytes; empty where they say nothing.
#[must_use]
pub fn identity(bytes: &[u8]) -> Identity {
    let Ok(StateFile { init_process_pid, pid, annotations, config }) = serde_json::from_slice(bytes) else {
        return Identity::default();
    };
    let mut annotations = annotations.unwrap_or_default();
    let labels = config.and_then(|config| config.labels).unwrap_or_default();
    annotations.extend(
        labels
            .iter()
            .filter_map(|label| label.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let init = init_process_pid.or(pid).and_then(|pid| u32::try_from(pid).ok());
    Identity { pod: pod(annotations), init: init.filter(|pid| *pid != 0).map(Pid) }
}

/// containerd, CRI-O and the docker shims name the same things differently.
fn pod(mut annotations: HashMap<String, String>) -> Pod {
    // CRI-O keeps the pod's labels as JSON within one annotation.
    if let Some(labels) = annotations.get("io.kubernetes.cri-o.Labels")
        && let Ok(labels) = serde_json::from_str::<HashMap<String, String>>(labels)
    {
        annotations.extend(labels);
    }
    let mut first = |keys: [&str; 2]| keys.iter().find_map(|key| annotations.remove(*key));
    Pod {
        name: first(["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: first(["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
        container: first(["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]),
        uid: first(["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Pod {
        let text = |text: &str| Some(text.to_owned());
        Pod { name: text("web-0"), namespace: text("shop"), container: text("app"), uid: text("u-1") }
    }

    #[test]
    fn each_runtime_tells_its_pod() {
        let runc = r#"{"id":"a","init_process_pid":42,"config":{"rootfs":"/","labels":["bundle=/b",
            "io.kubernetes.cri.sandbox-name=web-0","io.kubernetes.cri.sandbox-namespace=shop",
            "io.kubernetes.cri.container-name=app","io.kubernetes.cri.sandbox-uid=u-1"]}}"#;
        let youki = r#"{"id":"a","pid":42,"bundle":"/b","annotations":{"io.kubernetes.cri.sandbox-name":"web-0",
            "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.container-name":"app",
            "io.kubernetes.cri.sandbox-uid":"u-1"}}"#;
        let crio = r#"{"pid":42,"annotations":{"io.kubernetes.cri-o.Labels":"{\"io.kubernetes.pod.name\":\"web-0\",
            \"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.container.name\":\"app\",
            \"io.kubernetes.pod.uid\":\"u-1\"}"}}"#;
        // A JSON string holds no line breaks.
        for text in [runc.to_owned(), youki.to_owned(), crio.replace('\n', "")] {
            assert_eq!(identity(text.as_bytes()), Identity { pod: web(), init: Some(Pid(42)) }, "{text}");
        }
    }

    #[test]
    fn a_file_that_says_nothing_is_nobodys() {
        for text in
            ["", "[]", "{}", "{\"pid\":-1}", "{\"pid\":\"x\"}", "{\"annotations\":{\"a\":1}}", "{\"pid\":0}"]
        {
            assert_eq!(identity(text.as_bytes()), Identity::default(), "{text}");
        }
    }
}
