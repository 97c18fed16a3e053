//! What the parts of a cluster are told: who they are, where the API server is, how a node and its network are set.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::json;

use super::stage::PODS;

/// Where the API server answers.
pub(super) const SERVER: &str = "https://10.210.0.1:6443";
/// The node's name.
pub(super) const NODE: &str = "node";

/// Somebody whom the API server knows by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum User {
    Admin,
    ControllerManager,
    Scheduler,
    Kubelet,
    Prometheus,
}

impl User {
    const ALL: [Self; 5] =
        [Self::Admin, Self::ControllerManager, Self::Scheduler, Self::Kubelet, Self::Prometheus];

    /// Name and group: those that the API server's own rules speak of.
    pub(super) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Admin => ("admin", "system:masters"),
            Self::ControllerManager => ("system:kube-controller-manager", ""),
            Self::Scheduler => ("system:kube-scheduler", ""),
            Self::Kubelet => ("system:node:node", "system:nodes"),
            Self::Prometheus => ("prometheus", ""),
        }
    }

    /// No secret: nobody else can reach the server.
    pub(super) fn token(self) -> String {
        self.names().0.replace(':', "-")
    }
}

/// The files, all in one folder.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    folder: PathBuf,
}

impl Settings {
    /// Writes what can be written before anything runs.
    pub(super) fn write(folder: PathBuf, cgroup: &str) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let settings = Self { folder };
        let tokens: String = User::ALL
            .iter()
            .map(|user| {
                let (name, group) = user.names();
                format!("{},{name},{name},\"{group}\"\n", user.token())
            })
            .collect();
        fs::write(settings.tokens(), tokens)?;
        for user in User::ALL {
            fs::write(settings.kubeconfig(user), settings.client(user))?;
        }
        fs::write(settings.kubelet(), settings.of_kubelet(cgroup))?;
        Ok(settings)
    }

    /// The tokens.
    pub(super) fn tokens(&self) -> PathBuf {
        self.folder.join("tokens.csv")
    }

    /// What a client reads.
    pub(super) fn kubeconfig(&self, user: User) -> PathBuf {
        self.folder.join(format!("{}.kubeconfig", user.token()))
    }

    /// What the kubelet reads.
    pub(super) fn kubelet(&self) -> PathBuf {
        self.folder.join("kubelet.json")
    }

    /// Where the API server leaves its certificate, which is its own authority.
    pub(super) fn certificates(&self) -> PathBuf {
        self.folder.join("certificates")
    }

    /// What clients trust.
    pub(super) fn authority(&self) -> PathBuf {
        self.certificates().join("apiserver.crt")
    }

    /// What signs the tokens of service accounts.
    pub(super) fn account_key(&self) -> PathBuf {
        self.folder.join("accounts.key")
    }

    fn client(&self, user: User) -> String {
        let name = user.names().0;
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "node",
            "clusters": [{"name": "node", "cluster": {"server": SERVER, "certificate-authority": self.authority()}}],
            "users": [{"name": name, "user": {"token": user.token()}}],
            "contexts": [{"name": "node", "context": {"cluster": "node", "user": name}}],
        })
        .to_string()
    }

    fn of_kubelet(&self, cgroup: &str) -> String {
        json!({
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            // Whoever reaches it is within its own network namespace.
            "authentication": {"anonymous": {"enabled": true}, "webhook": {"enabled": false}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": format!("/{cgroup}"),
            "failSwapOn": false,
            "makeIPTablesUtilChains": false,
            // A score below one's own may be refused.
            "oomScoreAdj": 0,
            // The machine is shared with other work: a full disk is not this node's affair, and images cannot be pulled again.
            "evictionHard": {"memory.available": "50Mi"},
            "imageGCHighThresholdPercent": 100,
            // What could not be done at once, such as removing a busy pod, is tried again after this time, not after a minute.
            "syncFrequency": "10s",
            "volumePluginDir": self.folder.join("volume-plugins"),
        })
        .to_string()
    }
}

/// Pods get an address each and a way to the node, and no more.
pub(super) fn write_network(folder: &Path, plugins: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for plugin in ["ptp", "host-local", "loopback"] {
        std::os::unix::fs::symlink(plugins.join(plugin), folder.join(plugin))?;
    }
    let addresses = json!({
        "type": "host-local", "subnet": PODS, "routes": [{"dst": "0.0.0.0/0"}], "dataDir": folder.join("addresses"),
    });
    let list = json!({
        "cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": false, "ipam": addresses}],
    });
    fs::write(folder.join("pods.conflist"), list.to_string()).context("cannot write the pods' network")
}
