//! A pod of some user, with the readiness probe that suffers when its state file is written unsafely.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::node::{Node, condition};
use crate::{
    finding::Pod,
    runtimes::{IMAGE, StateFile},
};

pub(super) const NAME: &str = "web-0";
pub(super) const NAMESPACE: &str = "shop";
const CONTAINER: &str = "app";
const READY: Duration = Duration::from_secs(180);
const OBJECT: [&str; 4] = ["pod", NAME, "--namespace", NAMESPACE];

/// The pod, running.
#[derive(Clone, Debug)]
pub(super) struct Victim {
    /// Its container's id.
    pub(super) container: String,
    /// The runtime root that holds its state file.
    pub(super) root: PathBuf,
    uid: String,
}

impl Victim {
    /// Makes it and waits until its probe has succeeded.
    pub(super) fn start(node: &Node) -> Result<Self> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        node.cluster.apply(&namespace)?;
        let account = ["serviceaccount", "default", "--namespace", NAMESPACE];
        node.cluster.until(READY, &account, |account| account["secrets"].is_array())?;
        node.cluster.apply(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": CONTAINER,
                    "image": IMAGE,
                    "imagePullPolicy": "Never",
                    "readinessProbe": {"exec": {"command": ["/bin/busybox", "true"]}, "periodSeconds": 1},
                }],
            },
        }))?;
        let pod = node
            .cluster
            .until(READY, &OBJECT, |pod| condition(pod, "Ready") == Some("True"))
            .with_context(|| node.logs())?;
        let id = status(&pod)["containerID"].as_str().context("the container has no id")?;
        Ok(Self {
            container: id.rsplit('/').next().unwrap_or(id).to_owned(),
            root: node.runtime_root(),
            uid: pod["metadata"]["uid"].as_str().context("the pod has no uid")?.to_owned(),
        })
    }

    /// Its state file, which nobody else writes while it just runs.
    pub(super) fn state_file(&self) -> Result<StateFile> {
        StateFile::of(&self.root, &self.container)
    }

    /// What findings must say of it.
    pub(super) fn names(&self) -> Pod {
        let text = |text: &str| Some(text.to_owned());
        Pod { name: text(NAME), namespace: text(NAMESPACE), container: text(CONTAINER), uid: text(&self.uid) }
    }

    /// Takes it down; an error when it had not been one container all the time.
    pub(super) fn remove(&self, node: &Node) -> Result<String> {
        let pod = node.cluster.get(&OBJECT)?;
        ensure!(status(&pod)["restartCount"] == 0, "it restarted: {:#}", pod["status"]);
        node.cluster.delete(&OBJECT)?;
        Ok(String::new())
    }
}

fn status(pod: &Value) -> &Value {
    &pod["status"]["containerStatuses"][0]
}
