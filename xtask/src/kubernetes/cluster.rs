//! The cluster as its users see it: by kubectl and helm.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    deadline::until,
    deploy::{self, feed, output},
};

/// Helm waits so long for pods.
const TIMEOUT: &str = "5m";

/// A page comes well within this, however busy the machine is.
const ANSWER: Duration = Duration::from_secs(60);

/// A forwarded port, until it is dropped.
struct Forward(Child);

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

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

    /// A page of a pod, through a forwarded port.
    pub(super) fn forwarded(&self, namespace: &str, pod: &str, port: u16, page: &str) -> Result<String> {
        let mut kubectl = self.kubectl();
        kubectl.args(["port-forward", "--namespace", namespace, &format!("pod/{pod}"), &format!(":{port}")]);
        let child = kubectl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut forward = Forward(child.context("cannot start kubectl")?);
        let mut line = String::new();
        BufReader::new(forward.0.stdout.take().context("kubectl has no output")?).read_line(&mut line)?;
        // `Forwarding from 127.0.0.1:40123 -> 9737`
        let address = line.split_whitespace().find_map(|word| word.parse::<SocketAddr>().ok());
        let Some(address) = address else {
            let mut said = String::new();
            forward.0.kill()?;
            forward.0.stderr.take().context("kubectl has no errors")?.read_to_string(&mut said)?;
            bail!("no port is forwarded: {line}{said}");
        };
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(ANSWER))?;
        write!(stream, "GET /{page} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        ensure!(head.contains(" 200 "), "/{page}: {answer}");
        Ok(body.to_owned())
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
