//! The chart's life: installed, upgraded, rolled back, uninstalled, by helm and with its default values but for the image.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{cluster::Cluster, victim::Victim};
use crate::{deadline::until, finding::Finding};

const NAME: &str = "state-watchdog";
const NAMESPACE: &str = "state-watchdog";
const SELECTOR: &str = "app.kubernetes.io/instance=state-watchdog";
/// The agent's image as the node has it.
pub(super) const IMAGE: &str = concat!("localhost/state-watchdog:", env!("CARGO_PKG_VERSION"));
/// No registry has the image, so it is never pulled.
const VALUES: [&str; 2] = ["image.repository=localhost/state-watchdog", "image.pullPolicy=Never"];
/// Every kind of object that the chart makes, and what those make.
const KINDS: &str = "daemonsets,controllerrevisions,pods,services,endpoints,serviceaccounts,configmaps,secrets,networkpolicies";
const GONE: Duration = Duration::from_secs(120);

/// The release of a chart in a cluster.
pub(super) struct Release<'a> {
    pub(super) cluster: &'a Cluster,
    pub(super) chart: &'a Path,
}

/// A pod of the DaemonSet.
#[derive(Clone, Debug)]
pub(super) struct AgentPod {
    pub(super) name: String,
    pub(super) arguments: Vec<String>,
}

impl Release<'_> {
    /// Installs it.
    pub(super) fn install(&self) -> Result<String> {
        let chart = self.chart.display().to_string();
        let mut words = vec!["install", NAME, &chart, "--namespace", NAMESPACE, "--create-namespace"];
        words.extend(VALUES.iter().flat_map(|value| ["--set", value]));
        self.cluster.helm(&words, true)?;
        let said = self.is_ready()?;
        ensure!(self.argument("--log-format")? == "json", "the log's format is not the chart's default");
        Ok(said)
    }

    /// Gives it another value.
    pub(super) fn upgrade(&self) -> Result<String> {
        let before = self.pod()?;
        let chart = self.chart.display().to_string();
        let words = ["upgrade", NAME, &chart, "--namespace", NAMESPACE, "--reuse-values", "--set"];
        self.cluster.helm(&[&words[..], &["agent.logFormat=text"]].concat(), true)?;
        self.has_changed(&before, "text", 2)
    }

    /// Takes the value back.
    pub(super) fn roll_back(&self) -> Result<String> {
        let before = self.pod()?;
        self.cluster.helm(&["rollback", NAME, "1", "--namespace", NAMESPACE], true)?;
        self.has_changed(&before, "json", 3)
    }

    /// Removes it; what the chart made must be gone from the cluster and from the node.
    pub(super) fn uninstall(&self, runtime_root: &Path, victim: &Victim) -> Result<String> {
        self.cluster.helm(&["uninstall", NAME, "--namespace", NAMESPACE], true)?;
        let mut left = Vec::new();
        until(GONE, || {
            left = self.cluster.list(&[KINDS, "--namespace", NAMESPACE, "--selector", SELECTOR])?;
            Ok(left.is_empty().then_some(()))
        })?;
        let names: Vec<String> =
            left.iter().map(|one| format!("{} {}", one["kind"], one["metadata"]["name"])).collect();
        ensure!(names.is_empty(), "in the cluster: {}", names.join(", "));
        let releases = self.cluster.helm(&["list", "--all-namespaces", "--short"], false)?;
        ensure!(releases.trim().is_empty(), "helm still lists {}", releases.trim());
        let mut ids = BTreeSet::new();
        until(GONE, || {
            ids = containers(runtime_root)?;
            // The user's container and its sandbox.
            Ok((ids.len() == 2 && ids.contains(&victim.container)).then_some(()))
        })?
        .with_context(|| format!("containers on the node: {ids:?}"))?;
        Ok(String::new())
    }

    /// The DaemonSet's one pod.
    pub(super) fn pod(&self) -> Result<AgentPod> {
        let pods = self.cluster.list(&["pods", "--namespace", NAMESPACE, "--selector", SELECTOR])?;
        // One that is on its way out is still there.
        let mut live = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        let pod = live.next().context("the DaemonSet has no pod")?;
        ensure!(live.next().is_none(), "the DaemonSet has two pods on one node");
        let name = pod["metadata"]["name"].as_str().context("a pod without a name")?.to_owned();
        let arguments = pod["spec"]["containers"][0]["args"].as_array().context("no arguments")?;
        let arguments = arguments.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        Ok(AgentPod { name, arguments })
    }

    /// The agent's findings.
    pub(super) fn findings(&self) -> Result<Vec<Finding>> {
        let findings: Vec<Value> = serde_json::from_str(&self.page("findings?limit=1000")?)?;
        findings.iter().map(|one| Ok(Finding::parse(&one.to_string())?)).collect()
    }

    /// A page of the agent, as the runbook says: the agent shows it on its loopback alone.
    fn page(&self, page: &str) -> Result<String> {
        self.cluster.forwarded(NAMESPACE, &self.pod()?.name, 9737, page)
    }

    /// An error if whoever reaches the pod's address gets findings.
    pub(super) fn is_not_exposed(&self) -> Result<String> {
        let pod = self.pod()?.name;
        let at = |page: &str| {
            self.cluster.raw(&format!("/api/v1/namespaces/{NAMESPACE}/pods/{pod}:9737/proxy/{page}"))
        };
        ensure!(at("metrics")?.contains("state_watchdog_build_info"), "no metrics at the pod's address");
        for page in ["", "findings", "status"] {
            let said = at(page).err().map(|error| format!("{error:#}"));
            let refused = said.as_ref().is_some_and(|said| said.contains("port-forward"));
            ensure!(refused, "/{page} at the pod's address: {said:?}");
        }
        Ok(String::new())
    }

    fn is_ready(&self) -> Result<String> {
        let set = self.cluster.get(&["daemonset", NAME, "--namespace", NAMESPACE])?["status"].clone();
        ensure!(
            set["desiredNumberScheduled"] == 1
                && set["numberReady"] == 1
                && set["updatedNumberScheduled"] == 1,
            "helm is content, but the DaemonSet is not ready: {set:#}"
        );
        let status: Value = serde_json::from_str(&self.page("status")?)?;
        Ok(format!("pod {}, source {}", self.pod()?.name, status["source"].as_str().unwrap_or("none")))
    }

    /// An error unless another pod runs with this format of logs, and helm knows so many revisions.
    fn has_changed(&self, before: &AgentPod, format: &str, revisions: usize) -> Result<String> {
        let said = self.is_ready()?;
        ensure!(self.pod()?.name != before.name, "it is still the pod {}", before.name);
        let found = self.argument("--log-format")?;
        ensure!(found == format, "the log's format is {found}");
        let history =
            self.cluster.helm(&["history", NAME, "--namespace", NAMESPACE, "--output", "json"], false)?;
        let history: Vec<Value> = serde_json::from_str(&history)?;
        ensure!(history.len() == revisions, "helm knows {} revisions", history.len());
        let last = history.last().map_or("none", |last| last["status"].as_str().unwrap_or("none"));
        ensure!(last == "deployed", "the last revision is {last}");
        Ok(format!("revision {revisions}, {said}"))
    }

    fn argument(&self, option: &str) -> Result<String> {
        let arguments = self.pod()?.arguments;
        let value = arguments.iter().find_map(|one| one.strip_prefix(option)?.strip_prefix('='));
        Ok(value.with_context(|| format!("no {option} among {arguments:?}"))?.to_owned())
    }
}

/// The containers that a runtime knows.
fn containers(root: &Path) -> Result<BTreeSet<String>> {
    let entries = fs::read_dir(root).with_context(|| format!("cannot read {}", root.display()))?;
    Ok(entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect())
}
