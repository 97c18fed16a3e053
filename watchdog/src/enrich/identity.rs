//! Whom a container belongs to, as its state file or its configuration says.

use std::path::{Path, PathBuf};

use super::Pod;
use super::annotations::{self, Annotated, LABELS};
use super::extract::{Extract, labels_in};
use crate::json::Parser;
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

/// Reads the identity out of a file's bytes; empty where they say nothing, or are no document.
#[must_use]
pub fn identity(bytes: &[u8]) -> Identity {
    let (mut parser, mut extract) = (Parser::default(), Extract::default());
    let parsed = parser.feed(bytes, &mut extract).and_then(|()| parser.finish(&mut extract));
    if parsed.is_ok() { Identity::of(extract) } else { Identity::default() }
}

impl Identity {
    /// What the members of a whole document say.
    pub(super) fn of(extract: Extract) -> Self {
        let mut all = extract.annotations;
        if let Some(labels) = all.remove(LABELS) {
            all.extend(labels_in(labels.as_bytes()));
        }
        let Annotated { pod, image: annotated, sandbox } = annotations::told(all);
        // The image's own id names it to nobody.
        let image = extract.image.filter(|image| !image.is_empty() && !image.starts_with("sha256:"));
        let init = extract.init_process_pid.or(extract.pid).and_then(|pid| u32::try_from(pid).ok());
        let bundle = extract.bundle.map(PathBuf::from);
        Self {
            pod,
            image: annotated.or(image),
            sandbox,
            bundle: bundle.filter(|bundle| bundle.is_absolute() && *bundle != Path::new("/")),
            cgroups: extract.cgroups,
            init: init.filter(|pid| *pid != 0).map(Pid),
        }
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
    fn cri_o_keeps_the_pods_labels_within_an_annotation() {
        let of = |labels: &str| {
            let text = serde_json::json!({"annotations": {"io.kubernetes.cri-o.Labels": labels}}).to_string();
            identity(text.as_bytes())
        };
        let told = of(r#"{"io.kubernetes.pod.name":"web-0","io.kubernetes.pod.namespace":"shop","app":"x",
            "io.kubernetes.container.name":"app"}"#);
        assert_eq!(named(&told.pod), [Some("web-0"), Some("shop"), Some("app")]);
        let cut = r#"{"io.kubernetes.pod.name":"web-0","io.kubernetes.pod.uid":"u"#;
        for labels in ["", "{", cut, "[]", "7"] {
            assert_eq!(of(labels), Identity::default(), "{labels}");
        }
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
