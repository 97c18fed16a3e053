//! The runtimes that we know. `docs/CONFIGURATION.md` is written from this table.

use super::written::{Levels, plain};
use super::{Content, Profile, Written};

/// A profile as the table has it.
#[derive(Debug)]
pub struct Builtin {
    pub(super) name: &'static str,
    /// Its roots are watched unless a configuration says otherwise.
    pub(super) watched: bool,
    pub(super) roots: &'static [&'static str],
    pub(super) depth: &'static [u8],
    pub(super) container_level: u8,
    pub(super) container_until: Option<&'static str>,
    pub(super) state: &'static [&'static str],
    pub(super) temporary: &'static [&'static str],
    pub(super) lock: &'static [&'static str],
    pub(super) content: Content,
    /// How it writes, and why it is not watched by default.
    pub note: &'static str,
}

/// What most have in common.
const PLAIN: Builtin = Builtin {
    name: "",
    watched: true,
    roots: &[],
    depth: &[1],
    container_level: 0,
    container_until: None,
    state: &["state.json"],
    // These rewrite `state.json` where it lies. A fixed version would use one of the usual temporary names.
    temporary: &["state*", ".state*", ".tmp-state*"],
    lock: &[],
    content: Content::Json,
    note: "",
};

/// All of them, in label order.
pub const BUILTIN: &[Builtin] = &[
    Builtin {
        name: "runc",
        roots: &["/run/runc"],
        temporary: &["state-*"],
        note: "In place up to 1.0.0-rc90, `state-<digits>` renamed over it since.",
        ..PLAIN
    },
    Builtin {
        name: "containerd",
        roots: &["/run/containerd/runc/*"],
        state: &["state.json", "status"],
        temporary: &["state*", ".state*", ".tmp-state*", "status.tmp"],
        note: "Whatever runtime containerd's runc shim runs, one root for each namespace; crun's file is `status`.",
        ..PLAIN
    },
    Builtin {
        name: "docker",
        roots: &["/run/docker/runtime-runc/*"],
        state: &["state.json", "status"],
        temporary: &["state*", ".state*", ".tmp-state*", "status.tmp"],
        note: "As containerd.",
        ..PLAIN
    },
    Builtin {
        name: "crio",
        roots: &["/run/containers/storage/overlay-containers"],
        depth: &[2],
        temporary: &[".tmp-state.json*"],
        note: "CRI-O's own `state.json` in `<id>/userdata`, another schema than runc's; atomic, with fsync.",
        ..PLAIN
    },
    Builtin {
        name: "crun",
        roots: &["/run/crun"],
        state: &["status"],
        temporary: &["status.tmp"],
        note: "Atomic, on create alone.",
        ..PLAIN
    },
    Builtin {
        name: "youki",
        roots: &["/run/youki"],
        note: "In place. `youki_config.json` is left out: it is written once, before the container is there.",
        ..PLAIN
    },
    Builtin {
        name: "runwasi",
        roots: &[
            "/run/containerd/wasmtime/*",
            "/run/containerd/wasmedge/*",
            "/run/containerd/wasmer/*",
            "/run/containerd/wamr/*",
            "/run/containerd/spin/*",
        ],
        note: "containerd's shims for WebAssembly, one root for each engine and namespace: in place, by youki's library.",
        ..PLAIN
    },
    Builtin { name: "urunc", roots: &["/run/urunc"], note: "In place.", ..PLAIN },
    Builtin {
        name: "kata",
        roots: &["/run/kata"],
        note: "runtime-rs: in place, in many small writes.",
        ..PLAIN
    },
    Builtin {
        name: "kata-go",
        roots: &["/run/vc/sbs"],
        depth: &[1, 2],
        container_level: 1,
        state: &["persist.json"],
        temporary: &["persist*", ".persist*"],
        lock: &["@directory"],
        note: "In place; `<sandbox>/persist.json` and `<sandbox>/<container>/persist.json`, guarded where the sandbox's \
               directory is locked.",
        ..PLAIN
    },
    Builtin {
        name: "runsc",
        roots: &["/run/runsc", "/run/containerd/runsc/*"],
        depth: &[0],
        container_until: Some("_sandbox:"),
        state: &["*.state"],
        temporary: &[],
        lock: &["*.lock"],
        note: "gVisor: in place under a lock, `<container>_sandbox:<sandbox>.state` beside `<same>.lock`.",
        ..PLAIN
    },
    Builtin {
        name: "sysbox",
        roots: &["/run/sysbox-runc"],
        temporary: &["state-*"],
        note: "A fork of runc: `state-<digits>` renamed over it.",
        ..PLAIN
    },
    Builtin {
        name: "quark",
        roots: &["/run/qvisor"],
        state: &["meta.json"],
        temporary: &["meta.json*", ".meta.json*"],
        lock: &["meta.lock"],
        note: "In place, in many small writes; `meta.lock` beside it is locked for most of them. Below containerd its shim \
               names another root, in the sandbox's bundle.",
        ..PLAIN
    },
    Builtin {
        name: "containerd-cri",
        roots: &["/var/lib/containerd/io.containerd.grpc.v1.cri/containers"],
        state: &["status"],
        temporary: &[".tmp-status*"],
        note: "Atomic, with fsync.",
        ..PLAIN
    },
    Builtin {
        name: "kubelet",
        roots: &["/var/lib/kubelet", "/var/lib/kubelet/device-plugins"],
        depth: &[0],
        state: &[
            "cpu_manager_state",
            "memory_manager_state",
            "dra_manager_state",
            "pod_status_manager_state",
            "allocated_pods_state",
            "actuated_pods_state",
            "kubelet_internal_checkpoint",
        ],
        temporary: &[".*"],
        note: "Atomic, with fsync; the files lie in the roots themselves. Kubelets of 2025 do not start over a broken one.",
        ..PLAIN
    },
    Builtin {
        name: "containerd-shim",
        watched: false,
        roots: &["/run/containerd/io.containerd.runtime.v2.task/*"],
        state: &["config.json", "options.json", "runtime", "bootstrap.json"],
        temporary: &[],
        content: Content::None,
        note: "Off: bundles are written once, in place, before anybody reads them, so every new container would be a \
               finding. NVIDIA's runtime edits the bundle's `config.json` in place, also before it is read.",
        ..PLAIN
    },
    Builtin {
        name: "dockerd",
        watched: false,
        roots: &["/var/lib/docker/containers"],
        state: &["config.v2.json", "hostconfig.json"],
        temporary: &[".tmp-config.v2.json*", ".tmp-hostconfig.json*"],
        note: "Off: atomic, with fsync, and containers' logs grow in the same directories, each line of which would be \
               looked at.",
        ..PLAIN
    },
    Builtin {
        name: "cni",
        watched: false,
        roots: &["/var/lib/cni/results"],
        depth: &[0],
        state: &["*-eth0"],
        temporary: &[],
        note: "Off: a result is written once, in place, before anybody knows of it, and read when the pod goes.",
        ..PLAIN
    },
];

impl Builtin {
    /// As a configuration file would write it.
    #[must_use]
    pub fn written(&self) -> Written {
        let list = |texts: &[&str]| Some(plain(texts.iter().map(ToString::to_string).collect()));
        Written {
            name: plain(self.name.to_owned()),
            watched: Some(self.watched),
            roots: list(self.roots),
            depth: Some(plain(Levels(self.depth.to_vec()))),
            container_level: Some(plain(self.container_level)),
            container_until: self.container_until.map(|text| plain(text.to_owned())),
            state: list(self.state),
            temporary: list(self.temporary),
            lock: list(self.lock),
            content: Some(self.content),
        }
    }
}

/// The built-in profiles, in label order.
#[must_use]
pub fn builtin() -> Vec<Profile> {
    // A row that makes no sense is found by a test.
    BUILTIN.iter().filter_map(|row| row.written().over(None).ok()).collect()
}
