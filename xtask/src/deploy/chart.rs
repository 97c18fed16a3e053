//! The chart: linted, rendered with every switch, and asked to refuse nonsense.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::programs::{Programs, output};

/// Where it is.
pub(crate) const FOLDER: &str = "deploy/chart/state-watchdog";
/// The namespace in which it is rendered.
const NAMESPACE: &str = "state-watchdog";
/// Any digest.
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A web configuration as a value of helm's command line.
const WEB: &str = "tls_server_config: {cert_file: tls.crt\\, key_file: tls.key}\nbasic_auth_users: {a: b}";
/// A PodMonitor that asks for everything that the agents can.
pub(super) const PODMONITOR_BY_TLS: [&str; 9] = [
    "podMonitor.enabled=true",
    "web.secret=web",
    "web.scheme=https",
    "podMonitor.tlsConfig.ca.secret.name=web",
    "podMonitor.tlsConfig.ca.secret.key=ca.crt",
    "podMonitor.tlsConfig.serverName=state-watchdog",
    "podMonitor.basicAuth.username.name=scraper",
    "podMonitor.basicAuth.username.key=username",
    "podMonitor.basicAuth.password.name=scraper,podMonitor.basicAuth.password.key=password",
];

/// Values that are rendered and judged: the default first, then each switch.
pub(super) fn variants() -> Vec<(&'static str, Vec<String>)> {
    let set =
        |pairs: &[&str]| pairs.iter().flat_map(|pair| ["--set".to_owned(), (*pair).to_owned()]).collect();
    let digest = format!("image.digest={DIGEST}");
    vec![
        ("default", set(&[])),
        ("mode privileged", set(&["mode=privileged"])),
        ("mode inotify-only", set(&["mode=inotify-only"])),
        ("a user of its own", set(&["mode=inotify-only", "runAsUser=65532", "runAsGroup=65532"])),
        (
            "a seccomp profile",
            set(&["seccompProfile.type=Localhost", "seccompProfile.localhostProfile=state-watchdog.json"]),
        ),
        (
            "another AppArmor profile",
            set(&["appArmorProfile.type=Localhost", "appArmorProfile.localhostProfile=own"]),
        ),
        ("SELinux", set(&["seLinuxOptions.type=spc_t"])),
        ("a further capability", set(&["extraCapabilities={SYS_RESOURCE}"])),
        ("a configuration", set(&["agent.config=source = \"inotify\""])),
        (
            "roots",
            set(&["agent.roots[0].runtime=runc", "agent.roots[0].path=/run/k3s/runc", "agent.witness=false"]),
        ),
        ("narrow host paths", set(&["hostPaths={/run/containerd/runc,/run/crun}"])),
        ("IPv6 and another port", set(&["listenAddress=::", "port=19737"])),
        ("the host's network", set(&["hostNetwork=true"])),
        ("passwords", set(&["web.config=basic_auth_users: {prometheus: $2y$10$…}"])),
        ("TLS and passwords by a secret of ours", set(&[&format!("web.config={WEB}"), "web.scheme=https"])),
        (
            "TLS by secrets of others",
            set(&["web.secret=web", "web.certificateSecret=tls", "web.scheme=https"]),
        ),
        (
            "clients with certificates",
            set(&["web.secret=web", "web.scheme=https", "web.clientCertificates=true"]),
        ),
        ("a digest and a secret", set(&[&digest, "imagePullSecrets[0].name=registry"])),
        (
            "names",
            set(&["fullnameOverride=watchdog", "nameOverride=dog", "podLabels.a=b", "podAnnotations.c=d"]),
        ),
        (
            "no priority class, no limits",
            set(&["priorityClassName=", "resources.limits=null", "tolerations=null"]),
        ),
        (
            "another update strategy",
            set(&["updateStrategy.type=OnDelete", "updateStrategy.rollingUpdate=null"]),
        ),
        (
            "affinity",
            set(&[
                "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].key=a",
                "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator=Exists",
            ]),
        ),
        ("another account", set(&["serviceAccount.create=false", "serviceAccount.name=other"])),
        ("no service, no policy", set(&["service.enabled=false", "networkPolicy.enabled=false"])),
        (
            "a narrow policy",
            set(&["networkPolicy.ingressFrom[0].namespaceSelector.matchLabels.name=monitoring"]),
        ),
        (
            "PodMonitor",
            set(&[
                "podMonitor.enabled=true",
                "podMonitor.labels.release=prometheus",
                "podMonitor.relabelings[0].action=labeldrop",
                "podMonitor.relabelings[0].regex=pod",
                "podMonitor.metricRelabelings[0].action=drop",
                "podMonitor.metricRelabelings[0].regex=go_.*",
                "podMonitor.metricRelabelings[0].sourceLabels={__name__}",
            ]),
        ),
        ("PodMonitor by TLS", set(&PODMONITOR_BY_TLS)),
        ("PrometheusRule", set(&["prometheusRule.enabled=true", "prometheusRule.labels.release=prometheus"])),
        ("dashboards", set(&["dashboards.enabled=true", "dashboards.annotations.folder=Nodes"])),
    ]
}

/// Values that must be refused, each with a piece of the refusal.
pub(super) const REFUSED: [(&str, &str); 28] = [
    ("mode=unconfined", "at '/mode': value must be one of"),
    ("modes=privileged", "additional properties 'modes' not allowed"),
    ("agent.sorce=vfs", "at '/agent': additional properties 'sorce' not allowed"),
    ("agent.source=ebpf", "at '/agent/source': value must be one of"),
    ("agent.findings=yaml", "at '/agent/findings': value must be one of"),
    ("agent.roots[0].path=run/runc", "missing property 'runtime'"),
    ("agent.roots[0].runtime=a b", "at '/agent/roots/0"),
    ("port=0", "at '/port': minimum: got 0, want 1"),
    ("port=70000", "at '/port': maximum"),
    ("port=metrics", "at '/port': got string, want integer"),
    ("hostPaths={run}", "at '/hostPaths/0': 'run' does not match pattern"),
    ("hostPaths={/run/}", "at '/hostPaths/0'"),
    ("hostPaths=null", "hostPaths"),
    ("extraCapabilities={CAP_BPF}", "at '/extraCapabilities/0'"),
    ("runAsUser=1000", "at '/runAsUser': value must be 0"),
    ("image.digest=sha256:abc", "at '/image/digest'"),
    ("image.pullPolicy=Sometimes", "at '/image/pullPolicy': value must be one of"),
    ("seccompProfile.type=Localhost", "missing property 'localhostProfile'"),
    ("updateStrategy.type=Recreate", "at '/updateStrategy/type': value must be one of"),
    ("web.scheme=https", "at '/web'"),
    ("web.scheme=spdy", "at '/web/scheme': value must be one of"),
    ("web.secret=a,web.config=b", "at '/web/config': maxLength"),
    ("web.clientCertificates=true", "at '/web/scheme': value must be 'https'"),
    ("web.certificateSecret=tls", "at '/web/scheme': value must be 'https'"),
    ("web.config=tls_server_config: {}", "web.config has tls_server_config: set web.scheme to https"),
    ("podMonitor.interval=often", "at '/podMonitor/interval'"),
    ("resources.limits.memory=much", "at '/resources/limits/memory'"),
    ("tolerations[0].operator=Any", "at '/tolerations/0/operator': value must be one of"),
];

/// The chart, and a helm that renders it.
#[derive(Clone, Copy)]
pub(super) struct Chart<'a> {
    pub(super) programs: &'a Programs,
    pub(super) root: &'a Path,
}

impl Chart<'_> {
    /// Its folder.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.join(FOLDER)
    }

    /// The strictest reading that helm has.
    pub(super) fn lint(&self, options: &[String]) -> Result<String> {
        output(self.programs.helm().args(["lint", "--strict", "--quiet"]).arg(self.folder()).args(options))
    }

    /// What it renders to, for a version of Kubernetes.
    pub(super) fn render(&self, version: &str, options: &[String]) -> Result<Vec<Value>> {
        self.programs.parse(&self.text(version, options)?)
    }

    /// The same as text.
    pub(super) fn text(&self, version: &str, options: &[String]) -> Result<String> {
        let mut helm = self.programs.helm();
        helm.args(["template", "state-watchdog", "--namespace", NAMESPACE, "--kube-version", version]);
        output(helm.arg(self.folder()).args(options))
    }

    /// An error unless the values are refused in these words.
    pub(super) fn refuses(&self, value: &str, words: &str) -> Result<()> {
        match self.text("1.30.0", &["--set".to_owned(), value.to_owned()]) {
            Ok(_) => bail!("{value} is taken"),
            Err(refusal) => {
                let said = format!("{refusal:#}");
                ensure!(said.contains(words), "{value} is refused, but by: {said}");
                Ok(())
            }
        }
    }
}

/// The one object of a kind.
pub(super) fn object<'a>(documents: &'a [Value], kind: &str) -> Result<&'a Value> {
    documents.iter().find(|one| one["kind"] == kind).with_context(|| format!("no {kind} was rendered"))
}
