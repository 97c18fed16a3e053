//! A cluster of one node: etcd, API server, controllers, scheduler, containerd and kubelet as plain processes.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{
    cluster::Cluster,
    daemon::Daemon,
    programs::Programs,
    settings::{self, NODE, Settings, User},
    stage::{ADDRESS, SERVICES},
};
use crate::{
    deadline::until,
    runtimes::{Containerd, Places, run},
    tools::Runtimes,
};

const READY: Duration = Duration::from_secs(300);
const STORE: &str = "http://127.0.0.1:2379";

/// All of it; gone when it is dropped, the kubelet first, so that nothing starts pods again while they are removed.
pub(super) struct Node {
    kubelet: Daemon,
    containerd: Containerd,
    /// Those that talk to the API server, then it, then its store.
    control: Vec<Daemon>,
    pub(super) settings: Settings,
    pub(super) cluster: Cluster,
}

impl Node {
    /// Starts everything and waits until the node takes pods.
    pub(super) fn start(programs: &Programs, folder: &Path, cgroup: &str) -> Result<Self> {
        let settings = Settings::write(folder.join("settings"), cgroup)?;
        let cluster = Cluster::new(programs.clients.clone(), settings.kubeconfig(User::Admin), folder);
        let mut control = vec![store(programs, folder)?];
        control.insert(0, api_server(programs, &settings, folder)?);
        wait(&mut control, "the API server", || cluster.raw("/readyz").map(drop))?;
        for daemon in [controllers(programs, &settings, folder)?, scheduler(programs, &settings, folder)?] {
            control.insert(0, daemon);
        }
        let containerd = containerd(&programs.runtimes, &programs.plugins, folder, cgroup)?;
        let kubelet = kubelet(programs, &settings, folder)?;
        let mut node = Self { kubelet, containerd, control, settings, cluster };
        node.wait_until_ready()?;
        Ok(node)
    }

    /// Takes an image from an archive.
    pub(super) fn import(&self, runtimes: &Runtimes, image: &str, archive: &Path) -> Result<()> {
        self.containerd.import(runtimes, image, archive)
    }

    /// Where the runtime keeps the state of its containers.
    pub(super) fn runtime_root(&self) -> PathBuf {
        self.containerd.runtime_root()
    }

    /// The last words of everybody, for a report of what went wrong.
    pub(super) fn logs(&self) -> String {
        let daemons = self.control.iter().chain([&self.kubelet]);
        daemons.map(Daemon::log_end).collect::<Vec<_>>().join("\n")
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let ready = until(READY, || {
            self.control.iter_mut().chain([&mut self.kubelet]).try_for_each(Daemon::runs)?;
            let Ok(node) = self.cluster.get(&["node", NODE]) else { return Ok(None) };
            Ok((condition(&node, "Ready") == Some("True")).then_some(()))
        })?;
        ready.with_context(|| format!("the node is not ready; {}", self.kubelet.log_end()))?;
        // Pods are refused until their namespace has an account.
        let account = ["serviceaccount", "default", "--namespace", "default"];
        let made = until(READY, || Ok(self.cluster.get(&account).ok()))?;
        made.map(drop).with_context(|| format!("no account is made; {}", self.logs()))
    }
}

/// The status of an object's condition.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a str> {
    let conditions = object["status"]["conditions"].as_array()?;
    conditions.iter().find(|one| one["type"] == kind)?["status"].as_str()
}

fn wait(daemons: &mut [Daemon], what: &str, ask: impl Fn() -> Result<()>) -> Result<()> {
    let mut last = String::new();
    let answered = until(READY, || {
        daemons.iter_mut().try_for_each(Daemon::runs)?;
        Ok(ask().map_err(|error| last = format!("{error:#}")).ok())
    })?;
    let logs = || daemons.iter().map(Daemon::log_end).collect::<Vec<_>>().join("\n");
    answered.with_context(|| format!("{what} does not answer: {last}; {}", logs()))
}

fn store(programs: &Programs, folder: &Path) -> Result<Daemon> {
    let mut etcd = Command::new(&programs.etcd);
    etcd.arg("--data-dir").arg(folder.join("etcd"));
    for option in ["--listen-client-urls", "--advertise-client-urls"] {
        etcd.args([option, STORE]);
    }
    Daemon::start("etcd", &mut etcd, folder)
}

fn api_server(programs: &Programs, settings: &Settings, folder: &Path) -> Result<Daemon> {
    let key = settings.account_key();
    run(Command::new("openssl").args(["genrsa", "-out"]).arg(&key).arg("2048"))?;
    let mut server = Command::new(programs.kubernetes("kube-apiserver"));
    server
        .args(["--etcd-servers", STORE])
        .args(["--advertise-address", ADDRESS])
        .args(["--service-cluster-ip-range", SERVICES])
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .args(["--authorization-mode", "Node,RBAC"])
        .args(["--enable-admission-plugins", "NodeRestriction"])
        .args(["--kubelet-preferred-address-types", "InternalIP"])
        .arg("--allow-privileged=true")
        .arg("--service-account-key-file")
        .arg(&key)
        .arg("--service-account-signing-key-file")
        .arg(&key)
        .arg("--token-auth-file")
        .arg(settings.tokens())
        .arg("--cert-dir")
        .arg(settings.certificates());
    Daemon::start("kube-apiserver", &mut server, folder)
}

fn controllers(programs: &Programs, settings: &Settings, folder: &Path) -> Result<Daemon> {
    let mut manager = Command::new(programs.kubernetes("kube-controller-manager"));
    manager
        .args(["--leader-elect=false", "--use-service-account-credentials=true"])
        .arg("--kubeconfig")
        .arg(settings.kubeconfig(User::ControllerManager))
        .arg("--service-account-private-key-file")
        .arg(settings.account_key())
        .arg("--root-ca-file")
        .arg(settings.authority())
        .arg("--cert-dir")
        .arg(folder.join("controller-certificates"));
    Daemon::start("kube-controller-manager", &mut manager, folder)
}

fn scheduler(programs: &Programs, settings: &Settings, folder: &Path) -> Result<Daemon> {
    let mut scheduler = Command::new(programs.kubernetes("kube-scheduler"));
    scheduler.arg("--leader-elect=false").arg("--kubeconfig").arg(settings.kubeconfig(User::Scheduler));
    scheduler.arg("--cert-dir").arg(folder.join("scheduler-certificates"));
    Daemon::start("kube-scheduler", &mut scheduler, folder)
}

/// At the places that it has on every node.
fn containerd(runtimes: &Runtimes, plugins: &Path, folder: &Path, cgroup: &str) -> Result<Containerd> {
    let places = Places {
        root: "/var/lib/containerd".into(),
        state: "/run/containerd".into(),
        runtime: "/run/containerd/runc".into(),
        folder: folder.join("containerd"),
    };
    settings::write_network(&places.folder.join("cni"), plugins)?;
    Containerd::start(runtimes, places, format!("{cgroup}/kubepods"))
}

fn kubelet(programs: &Programs, settings: &Settings, folder: &Path) -> Result<Daemon> {
    let socket = folder.join("containerd/containerd.sock");
    let mut kubelet = Command::new(programs.kubernetes("kubelet"));
    kubelet
        .args(["--container-runtime", "remote", "--hostname-override", NODE, "--node-ip", ADDRESS])
        .arg("--container-runtime-endpoint")
        .arg(format!("unix://{}", socket.display()))
        .arg("--config")
        .arg(settings.kubelet())
        .arg("--kubeconfig")
        .arg(settings.kubeconfig(User::Kubelet));
    Daemon::start("kubelet", &mut kubelet, folder)
}
