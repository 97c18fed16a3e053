//! Whom a container belongs to, as its state file or its configuration says.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Pod;
use super::annotations::{self, Annotated};
use crate::model::Pid;

/// What a good file says of its container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// Its pod, as far as annotations tell.
    pub pod: Pod,
    /// Its image.
    pub image: Option<String>,
    /// The id of the pod's sandbox, itself a container.
    pub sandbox: Option<String>,
    /// The host's directory that holds its `config.json`.
    pub bundle: Option<PathBuf>,
    /// Its cgroups, in any of the spellings in which runtimes note them.
    pub cgroups: Vec<String>,
    /// Its first process.
    pub init: Option<Pid>,
}

/// The members that runtimes and managers write; everything else is skipped.
#[derive(Deserialize)]
struct Document {
    /// runc.
    init_process_pid: Option<i64>,
    /// youki, urunc, crun, CRI-O.
    pid: Option<i64>,
    /// The same.
    bundle: Option<PathBuf>,
    /// youki, urunc, CRI-O, and `config.json` in a bundle.
    annotations: Option<HashMap<String, String>>,
    /// runc; by controller, or one under an empty name.
    cgroup_paths: Option<HashMap<String, String>>,
    /// crun.
    #[serde(rename = "cgroup-path")]
    cgroup_path: Option<String>,
    /// `config.json` in a bundle.
    linux: Option<Linux>,
    /// runc.
    config: Option<RuncConfig>,
    /// docker's `config.v2.json`.
    #[serde(rename = "Config")]
    docker: Option<DockerConfig>,
}

#[derive(Deserialize)]
struct Linux {
    #[serde(rename = "cgroupsPath")]
    cgroups_path: Option<String>,
}

/// runc keeps annotations as `key=value`, and the bundle among them.
#[derive(Deserialize)]
struct RuncConfig {
    labels: Option<Vec<String>>,
}

/// What talks to docker puts labels on its containers.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(rename = "Image")]
    image: Option<String>,
    #[serde(rename = "Labels")]
    labels: Option<HashMap<String, String>>,
}

/// Reads the identity out of a file's bytes; empty where they say nothing.
#[must_use]
pub fn identity(bytes: &[u8]) -> Identity {
    let Ok(document) = serde_json::from_slice(bytes) else { return Identity::default() };
    let Document {
        init_process_pid,
        pid,
        bundle,
        annotations,
        cgroup_paths,
        cgroup_path,
        linux,
        config,
        docker,
    } = document;
    let mut all = annotations.unwrap_or_default();
    let labels = config.and_then(|config| config.labels).unwrap_or_default();
    all.extend(
        labels
            .iter()
            .filter_map(|label| label.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    let bundle = bundle.or_else(|| all.remove("bundle").map(PathBuf::from));
    let mut image = None;
    if let Some(DockerConfig { image: named, labels }) = docker {
        all.extend(labels.unwrap_or_default());
        // The image's own id names it to nobody.
        image = named.filter(|image| !image.is_empty() && !image.starts_with("sha256:"));
    }
    let Annotated { pod, image: annotated, sandbox } = annotations::told(all);
    let init = init_process_pid.or(pid).and_then(|pid| u32::try_from(pid).ok());
    let cgroups = cgroup_paths.unwrap_or_default().into_values().chain(cgroup_path);
    Identity {
        pod,
        image: annotated.or(image),
        sandbox,
        bundle: bundle.filter(|bundle| bundle.is_absolute() && *bundle != Path::new("/")),
        cgroups: cgroups.chain(linux.and_then(|linux| linux.cgroups_path)).collect(),
        init: init.filter(|pid| *pid != 0).map(Pid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0b2e1c1a-3d2f-4e5a-9b1c-000000000001";

    fn named(pod: &Pod) -> [Option<&str>; 3] {
        [pod.name.as_deref(), pod.namespace.as_deref(), pod.container.as_deref()]
    }

    #[test]
    fn each_schema_tells_pod_bundle_cgroup_and_first_process() {
        let runc = format!(
            r#"{{"id":"a","init_process_pid":42,"cgroup_paths":{{"":"/sys/fs/cgroup/kubepods/pod{UID}/a"}},
            "config":{{"rootfs":"/","labels":["bundle=/b","io.kubernetes.cri.sandbox-name=web-0",
            "io.kubernetes.cri.sandbox-namespace=shop","io.kubernetes.cri.container-name=app"]}}}}"#
        );
        let youki = r#"{"id":"a","pid":42,"bundle":"/b","annotations":{"io.kubernetes.cri.sandbox-name":"web-0",
            "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.container-name":"app"}}"#;
        let crun = format!(r#"{{"pid":42,"bundle":"/b","cgroup-path":"/kubepods/pod{UID}/a"}}"#);
        let config = format!(
            r#"{{"annotations":{{"io.kubernetes.pod.name":"web-0"}},
            "linux":{{"cgroupsPath":"kubepods-pod{UID}.slice:crio:a"}}}}"#
        );
        let web = [Some("web-0"), Some("shop"), Some("app")];
        for (text, names, init, bundle, cgroups) in [
            (runc.as_str(), web, Some(42), true, 1),
            (youki, web, Some(42), true, 0),
            (&crun, [None; 3], Some(42), true, 1),
            (&config, [Some("web-0"), None, None], None, false, 1),
        ] {
            let identity = identity(text.as_bytes());
            assert_eq!(named(&identity.pod), names, "{text}");
            assert_eq!(identity.init, init.map(Pid), "{text}");
            assert_eq!(identity.bundle.is_some_and(|bundle| bundle == Path::new("/b")), bundle, "{text}");
            assert_eq!(identity.cgroups.len(), cgroups, "{text}");
        }
    }

    #[test]
    fn docker_tells_by_its_labels() {
        let text = r#"{"ID":"a","Name":"/k8s_app_web-0_shop_u_0","Config":{"Image":"sha256:12",
            "Labels":{"io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop",
            "io.kubernetes.container.name":"app"}}}"#;
        let told = identity(text.as_bytes());
        assert_eq!(named(&told.pod), [Some("web-0"), Some("shop"), Some("app")]);
        assert_eq!(told.image, None);
        assert_eq!(identity(br#"{"Config":{"Image":"shop:1"}}"#).image.as_deref(), Some("shop:1"));
    }

    #[test]
    fn a_file_that_says_nothing_is_nobodys() {
        for text in [
            "",
            "[]",
            "{}",
            "{\"pid\":-1}",
            "{\"pid\":\"x\"}",
            "{\"annotations\":{\"a\":1}}",
            "{\"pid\":0}",
            "{\"bundle\":\"relative\"}",
        ] {
            assert_eq!(identity(text.as_bytes()), Identity::default(), "{text}");
        }
    }
}
