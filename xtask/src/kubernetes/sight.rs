//! What a Prometheus sees that finds the agents by itself.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{
    lifecycle::{AgentPod, Release},
    node::Node,
    programs::Programs,
    settings::{NODE, SERVER, User},
    victim::{NAME, NAMESPACE, Victim},
};
use crate::{deadline::until, finding::Finding, prometheus::Prometheus};

/// The label of what containerd's runc keeps.
const RUNTIME: &str = "containerd";
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

/// A running Prometheus; it ends when this is dropped.
pub(super) struct Sight {
    prometheus: Prometheus,
}

impl Sight {
    /// Starts it with the right to look for pods, and no other.
    pub(super) fn open(programs: &Programs, node: &Node, folder: &Path) -> Result<Self> {
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "prometheus"},
            "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        });
        let binding = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": "prometheus"},
            "subjects": [{"kind": "User", "name": User::Prometheus.names().0, "apiGroup": "rbac.authorization.k8s.io"}],
            "roleRef": {"kind": "ClusterRole", "name": "prometheus", "apiGroup": "rbac.authorization.k8s.io"},
        });
        node.cluster.apply(&role)?;
        node.cluster.apply(&binding)?;
        // JSON is YAML.
        let job = json!({
            "job_name": "state-watchdog",
            "kubernetes_sd_configs": [{
                "role": "pod",
                "api_server": SERVER,
                "authorization": {"credentials": User::Prometheus.token()},
                "tls_config": {"ca_file": node.settings.authority()},
            }],
            "relabel_configs": [
                {
                    "source_labels": [
                        "__meta_kubernetes_pod_label_app_kubernetes_io_name",
                        "__meta_kubernetes_pod_container_port_name",
                    ],
                    "regex": "state-watchdog;metrics",
                    "action": "keep",
                },
                {"source_labels": ["__meta_kubernetes_pod_node_name"], "target_label": "node"},
                {"source_labels": ["__meta_kubernetes_pod_name"], "target_label": "pod"},
            ],
        });
        let configuration = json!({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]});
        let prometheus =
            Prometheus::start(&programs.prometheus, &folder.join("prometheus"), &configuration.to_string())?;
        Ok(Self { prometheus })
    }

    /// An error unless it scrapes this pod.
    pub(super) fn scrapes(&self, pod: &AgentPod) -> Result<String> {
        let pod = &pod.name;
        let up = self.series(&format!("up{{job=\"state-watchdog\",pod=\"{pod}\"}} == 1"))?;
        ensure!(up["node"] == NODE, "the node is {}", up["node"]);
        let source = self.series(&format!("state_watchdog_source_info{{pod=\"{pod}\"}} == 1"))?;
        Ok(format!("pod {pod}, source {}", source["source"]))
    }

    /// Lets a reader meet the empty state file of the user's container.
    pub(super) fn shows_torn_read(&self, victim: &Victim, release: &Release<'_>) -> Result<String> {
        self.prometheus
            .wait_for(&format!("state_watchdog_state_files{{runtime=\"{RUNTIME}\"}}"), |files| {
                files >= 2.0
            })?;
        victim.state_file()?.rewrite_beside_a_reader()?;
        let query = format!(
            "sum by (runtime, node) (state_watchdog_overlapping_reads_total{{runtime=\"{RUNTIME}\",verdict=\"torn\"}})"
        );
        let count = self.prometheus.wait_for(&query, |count| count >= 1.0)?;
        let labels = self.series(&query)?;
        let found = until(PATIENCE, || {
            Ok(release.findings()?.into_iter().find(|one| is_of(one, victim, "torn_read")))
        })?;
        let found = found.context("it is not in /findings")?;
        ensure!(found.pod.as_ref() == Some(&victim.names()), "the pod is {:?}: {}", found.pod, found.line);
        let said = format!("pod {NAMESPACE}/{NAME}");
        ensure!(found.message.contains(&said), "the message does not speak of {said}: {}", found.message);
        Ok(format!("{count} with {labels}; {}", found.message))
    }

    /// Waits until so many readers of torn reads are told to have failed; gives how many.
    pub(super) fn failed_readers(&self, least: u64) -> Result<f64> {
        let failures = format!(
            "sum(state_watchdog_torn_reader_exits_total{{runtime=\"{RUNTIME}\",result=\"failure\"}})"
        );
        self.prometheus.wait_for(&failures, |count| count >= least as f64)
    }

    /// The labels of what a query gives, once it gives something.
    fn series(&self, query: &str) -> Result<Value> {
        self.prometheus.wait_for(query, |_| true)?;
        let series = self.prometheus.query(query)?.series;
        Ok(series.first().with_context(|| format!("nothing any more: {query}"))?["metric"].clone())
    }
}

/// True for a finding of this kind on the victim's container.
pub(super) fn is_of(finding: &Finding, victim: &Victim, kind: &str) -> bool {
    finding.kind == kind && finding.container_id.as_deref() == Some(&victim.container)
}
