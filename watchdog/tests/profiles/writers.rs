//! Every built-in profile: its documented way of writing, under its documented path, and what the agent says of it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::Command;

use watchdog::profile::builtin;

use crate::program::Program;
use crate::{AGENT, sources};

/// How a file is saved.
enum Save {
    /// Truncated and written at once.
    InPlace,
    /// Truncated, then byte by byte.
    Unbuffered,
    /// A temporary file of this name is renamed over it.
    Rename(&'static str),
    /// In place, while this file or directory is locked.
    Locked(&'static str),
}

struct Case {
    runtime: &'static str,
    /// Path on the host.
    file: &'static str,
    save: Save,
    container: &'static str,
}

const fn case(runtime: &'static str, file: &'static str, save: Save, container: &'static str) -> Case {
    Case { runtime, file, save, container }
}

const CASES: &[Case] = &[
    case("runc", "/run/runc/c1/state.json", Save::InPlace, "c1"),
    case("runc", "/run/runc/c2/state.json", Save::Rename("state-123"), "c2"),
    case("containerd", "/run/containerd/runc/k8s.io/c1/state.json", Save::InPlace, "c1"),
    case("containerd", "/run/containerd/runc/default/c2/status", Save::Rename("status.tmp"), "c2"),
    case("docker", "/run/docker/runtime-runc/moby/c1/state.json", Save::Rename("state-4"), "c1"),
    case(
        "crio",
        "/run/containers/storage/overlay-containers/c1/userdata/state.json",
        Save::Rename(".tmp-state.json77"),
        "c1",
    ),
    case("crun", "/run/crun/c1/status", Save::Rename("status.tmp"), "c1"),
    case("youki", "/run/youki/c1/state.json", Save::InPlace, "c1"),
    case("runwasi", "/run/containerd/wasmtime/k8s.io/c1/state.json", Save::InPlace, "c1"),
    case("runwasi", "/run/containerd/spin/default/c2/state.json", Save::InPlace, "c2"),
    case("sysbox", "/run/sysbox-runc/c1/state.json", Save::Rename("state-77"), "c1"),
    case("quark", "/run/qvisor/c1/meta.json", Save::Locked("/run/qvisor/c1/meta.lock"), "c1"),
    case("quark", "/run/qvisor/c2/meta.json", Save::Unbuffered, "c2"),
    case("urunc", "/run/urunc/c1/state.json", Save::InPlace, "c1"),
    case("kata", "/run/kata/s1/state.json", Save::Unbuffered, "s1"),
    case("kata-go", "/run/vc/sbs/s1/persist.json", Save::Locked("/run/vc/sbs/s1"), "s1"),
    case("kata-go", "/run/vc/sbs/s1/c1/persist.json", Save::Locked("/run/vc/sbs/s1"), "c1"),
    case("kata-go", "/run/vc/sbs/s2/c2/persist.json", Save::InPlace, "c2"),
    case("runsc", "/run/runsc/c1_sandbox:s1.state", Save::Locked("/run/runsc/c1_sandbox:s1.lock"), "c1"),
    case(
        "runsc",
        "/run/containerd/runsc/k8s.io/c2_sandbox:s1.state",
        Save::Locked("/run/containerd/runsc/k8s.io/c2_sandbox:s1.lock"),
        "c2",
    ),
    // Another file's lock guards nothing.
    case("runsc", "/run/runsc/c3_sandbox:s1.state", Save::Locked("/run/runsc/c1_sandbox:s1.lock"), "c3"),
    case(
        "containerd-cri",
        "/var/lib/containerd/io.containerd.grpc.v1.cri/containers/c1/status",
        Save::Rename(".tmp-status9"),
        "c1",
    ),
    case("kubelet", "/var/lib/kubelet/cpu_manager_state", Save::Rename(".123"), ""),
    case("kubelet", "/var/lib/kubelet/memory_manager_state", Save::Rename(".124"), ""),
    case("kubelet", "/var/lib/kubelet/dra_manager_state", Save::Rename(".125"), ""),
    case("kubelet", "/var/lib/kubelet/pod_status_manager_state", Save::Rename(".126"), ""),
    case("kubelet", "/var/lib/kubelet/allocated_pods_state", Save::Rename(".127"), ""),
    case("kubelet", "/var/lib/kubelet/actuated_pods_state", Save::Rename(".128"), ""),
    case("kubelet", "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint", Save::Rename(".5"), ""),
    case("kubelet", "/var/lib/kubelet/cpu_manager_state", Save::InPlace, ""),
    case(
        "containerd-shim",
        "/run/containerd/io.containerd.runtime.v2.task/moby/c1/config.json",
        Save::InPlace,
        "c1",
    ),
    case(
        "containerd-shim",
        "/run/containerd/io.containerd.runtime.v2.task/moby/c1/bootstrap.json",
        Save::Rename("12345"),
        "c1",
    ),
    case(
        "dockerd",
        "/var/lib/docker/containers/c1/config.v2.json",
        Save::Rename(".tmp-config.v2.json1"),
        "c1",
    ),
    case(
        "dockerd",
        "/var/lib/docker/containers/c1/hostconfig.json",
        Save::Rename(".tmp-hostconfig.json1"),
        "c1",
    ),
    case(
        "cni",
        "/var/lib/cni/results/net-cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc-eth0",
        Save::InPlace,
        "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
    ),
];

impl Case {
    /// What the agent must say, by what the source can see.
    fn outcome(&self, sees_locks: bool) -> &'static str {
        let locks = builtin().iter().find(|profile| &*profile.name == self.runtime).unwrap().is_locked();
        match self.save {
            Save::Rename(_) => "atomic_replace",
            _ if locks && !sees_locks => "unknown",
            Save::Locked(lock) if self.is_guarded_by(lock) => "guarded",
            Save::InPlace | Save::Unbuffered | Save::Locked(_) => "in_place",
        }
    }

    fn is_guarded_by(&self, lock: &str) -> bool {
        let stem = lock.strip_suffix(".lock").unwrap_or(lock);
        self.file.strip_prefix(stem).is_some_and(|rest| rest.starts_with(['.', '/']))
    }

    fn play(&self, host: &Path) {
        let file = host.join(&self.file[1..]);
        match self.save {
            Save::InPlace => fs::write(file, "{\"new\": 1}").unwrap(),
            Save::Unbuffered => {
                let mut file = OpenOptions::new().write(true).truncate(true).open(file).unwrap();
                for byte in b"{\"new\": 1}" {
                    file.write_all(&[*byte]).unwrap();
                }
            }
            Save::Rename(name) => {
                let temporary = file.with_file_name(name);
                fs::write(&temporary, "{\"new\": 1}").unwrap();
                fs::rename(temporary, file).unwrap();
            }
            Save::Locked(lock) => {
                let lock = host.join(&lock[1..]);
                let lock = if lock.is_dir() { File::open(lock) } else { File::create(lock) }.unwrap();
                lock.lock().unwrap();
                fs::write(file, "{\"new\": 1}").unwrap();
                lock.unlock().unwrap();
            }
        }
    }
}

/// All files as they are before, and all profiles switched on.
fn fixture() -> tempfile::TempDir {
    let host = tempfile::tempdir().unwrap();
    for case in CASES {
        let file = host.path().join(&case.file[1..]);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, "{}").unwrap();
    }
    let all = builtin();
    let all = all.iter().map(|p| format!("[[profile]]\nname = \"{}\"\nwatched = true\n", p.name));
    fs::write(host.path().join("sw.toml"), all.collect::<String>()).unwrap();
    host
}

#[test]
fn every_profile_is_played() {
    let played: BTreeSet<_> = CASES.iter().map(|case| case.runtime.to_owned()).collect();
    let known: BTreeSet<_> = builtin().iter().map(|profile| profile.name.to_string()).collect();
    assert_eq!(played, known);
}

#[test]
fn each_way_of_writing_is_told_for_what_it_is() {
    for source in sources() {
        let host = fixture();
        let mut command = Command::new(AGENT);
        command.args(["run", "--source", source, "--listen", "127.0.0.1:0"]);
        command.arg("--config").arg(host.path().join("sw.toml")).arg("--host-root").arg(host.path());
        let agent = Program::start(&mut command);
        let mut sessions = std::collections::BTreeMap::new();
        for case in CASES {
            let outcome = case.outcome(source != "inotify");
            case.play(host.path());
            let count = sessions.entry((case.runtime, outcome)).or_insert(0);
            *count += 1;
            let runtime = case.runtime;
            let series =
                format!("write_sessions_total{{outcome=\"{outcome}\",runtime=\"{runtime}\"}} {count}\n");
            agent.shows("/metrics", &series);
            if outcome != "in_place" {
                continue;
            }
            let finding = agent.finds("nonatomic_write");
            assert_eq!(finding["runtime"], runtime, "{source} {finding}");
            assert_eq!(finding["path"], case.file, "{source} {finding}");
            assert_eq!(
                finding["container_id"].as_str().unwrap_or_default(),
                case.container,
                "{source} {finding}"
            );
            let judged = (runtime != "containerd-shim").then_some("valid");
            assert_eq!(finding.get("aftermath").and_then(|word| word.as_str()), judged, "{source} {finding}");
        }
        let page = agent.page("/metrics");
        let sum = |outcome: &str| {
            let outcome = format!("outcome=\"{outcome}\"");
            let lines =
                page.lines().filter(|line| line.contains("write_sessions_total{") && line.contains(&outcome));
            lines.map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap()).sum::<usize>()
        };
        let all = ["atomic_replace", "in_place", "created_in_place", "recreated", "guarded", "unknown"];
        assert_eq!(
            all.map(sum).iter().sum::<usize>(),
            CASES.len(),
            "{source}: nothing is told twice\n{page}"
        );
        assert_eq!(agent.found(), Vec::<String>::new(), "{source}");
    }
}
