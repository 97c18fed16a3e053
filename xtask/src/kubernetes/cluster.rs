//! The cluster as its users see it: by kubectl and helm.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{
    deadline::until,
    deploy::{self, feed, output},
};

/// Helm waits so long for pods.
const TIMEOUT: &str = "5m";

/// Clients with the administrator's rights.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    clients: deploy::Programs,
    kubeconfig: PathBuf,
    /// What clients remember lies here.
    home: PathBuf,
}

impl Cluster {
    pub(super) fn new(clients: deploy::Programs, kubeconfig: PathBuf, home: &Path) -> Self {
        Self { clients, kubeconfig, home: home.to_owned() }
    }

    /// What the API server answers at a path.
    pub(super) fn raw(&self, path: &str) -> Result<String> {
        output(self.kubectl().args(["get", "--raw", path]))
    }

    /// An object, or a list of them.
    pub(super) fn get(&self, words: &[&str]) -> Result<Value> {
        let text = output(self.kubectl().arg("get").args(words).args(["--output", "json"]))?;
        serde_json::from_str(&text).context("kubectl gave no JSON")
    }

    /// The objects of a list.
    pub(super) fn list(&self, words: &[&str]) -> Result<Vec<Value>> {
        Ok(self.get(words)?["items"].as_array().cloned().unwrap_or_default())
    }

    /// Makes an object.
    pub(super) fn apply(&self, object: &Value) -> Result<()> {
        feed(self.kubectl().args(["apply", "--filename", "-"]), &object.to_string()).map(drop)
    }

    /// Removes an object and waits until it is gone.
    pub(super) fn delete(&self, words: &[&str]) -> Result<()> {
        output(self.kubectl().arg("delete").args(words).args(["--wait", "--timeout", TIMEOUT])).map(drop)
    }

    /// Asks until an object is as wanted.
    pub(super) fn until(
        &self,
        limit: Duration,
        words: &[&str],
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let found = until(limit, || {
            last = self.get(words).unwrap_or_else(|error| format!("{error:#}").into());
            Ok(wanted(&last).then(|| last.clone()))
        })?;
        found.with_context(|| {
            format!("{} is never as it should be, but {:#}", words.join(" "), last["status"])
        })
    }

    /// What helm says; a change is waited for.
    pub(super) fn helm(&self, words: &[&str], waits: bool) -> Result<String> {
        let mut helm = self.clients.helm();
        helm.args(words).env("KUBECONFIG", &self.kubeconfig);
        if waits {
            helm.args(["--wait", "--timeout", TIMEOUT]);
        }
        output(&mut helm)
    }

    fn kubectl(&self) -> Command {
        let mut kubectl = Command::new(&self.clients.kubectl);
        kubectl.env("HOME", &self.home).env("KUBECONFIG", &self.kubeconfig);
        kubectl
    }
}
