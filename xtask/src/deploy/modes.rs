//! The image run by podman as each manifest says, on the host's own processes: what each privilege is for.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use ::workload::{How, Style};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{container::Container, overlays, programs::Programs};
use crate::{
    agent::{Agent, free_address},
    finding::Finding,
    image::Image,
    metrics::Metrics,
    scratch::Scratch,
    tally::Tally,
    tools::Podman,
    truth::{Plan, Truth, compare},
};

const RUNTIME: &str = "demo";
/// Owns a root that nobody else may enter.
const STRANGER: u32 = 12_345;
const UNSAFE: Plan = Plan { how: How::Truncate, style: Style::Go, writes: 100, reads: 500 };
const SAFE: Plan = Plan { how: How::Rename, style: Style::Go, writes: 100, reads: 200 };
/// Enough to see what is missing.
const FEW: Plan = Plan { how: How::Truncate, style: Style::Go, writes: 20, reads: 60 };

/// What is needed to run a container.
pub(super) struct Bench<'a> {
    pub(super) podman: &'a Podman,
    pub(super) image: &'a Image,
    pub(super) workload: &'a Path,
    pub(super) programs: &'a Programs,
    pub(super) root: &'a Path,
}

/// Runs every mode, and every mode with something taken away.
pub(super) fn check(bench: &Bench<'_>, tally: &mut Tally) {
    for mode in ["privileged", "least-privilege"] {
        tally.check(&format!("{mode}: the host's writers and readers are found from inside"), || {
            bench.watch(bench.container(mode)?, &[UNSAFE, SAFE])?.is_complete()
        });
    }
    tally.check("inotify-only: the host's writes are found from inside, and nobody is named", || {
        bench.watch(bench.container("inotify-only")?, &[UNSAFE, SAFE])?.is_nameless()
    });
    tally.check("inotify-only runs as a user who may read the roots", || {
        let container = bench.container("inotify-only")?.with_user(STRANGER);
        bench.watch(container, &[FEW])?.is_nameless()
    });
    tally.check("least-privilege runs under our seccomp profile, with the runtime's folder alone", || {
        let profile = bench.root.join("deploy/seccomp/state-watchdog.json");
        let container = bench.container("least-privilege")?.with_seccomp(&profile);
        bench.watch_narrowly(container)?.is_complete()
    });
    for name in ["BPF", "PERFMON"] {
        tally.check(&format!("without CAP_{name} only inotify runs, and says why"), || {
            let seen = bench.watch(bench.container("least-privilege")?.without_capability(name)?, &[FEW])?;
            seen.refuses(&format!("CAP_{name} missing"))?;
            seen.is_nameless()
        });
    }
    tally.check("without CAP_SYS_PTRACE the probes alone tell programs", || {
        let seen =
            bench.watch(bench.container("least-privilege")?.without_capability("SYS_PTRACE")?, &[FEW])?;
        seen.runs_ebpf()?;
        seen.asks_probes_alone()
    });
    tally.check("without CAP_DAC_READ_SEARCH another user's root is not found", || {
        let seen = bench
            .watch(bench.container("least-privilege")?.without_capability("DAC_READ_SEARCH")?, &[FEW])?;
        seen.runs_ebpf()?;
        ensure!(!seen.has_root("stranger"), "it is found");
        ensure!(seen.has_root(RUNTIME), "root's own is not found either");
        Ok(String::new())
    });
    tally.check("without the host's process ids the probes alone tell programs", || {
        let seen = bench.watch(bench.container("least-privilege")?.without_host_pid(), &[FEW])?;
        seen.runs_ebpf()?;
        seen.asks_probes_alone()
    });
    tally.check("without the host's files no root is found", || {
        let seen = bench.watch(bench.container("least-privilege")?.without_mounts(), &[])?;
        ensure!(!seen.has_root(RUNTIME), "a root is found");
        Ok(String::new())
    });
}

impl Bench<'_> {
    fn container(&self, mode: &str) -> Result<Container> {
        Container::of(&overlays::documents(self.programs, self.root, mode)?)
    }

    /// Runs the plans on the host beside an agent in the container.
    fn watch(&self, container: Container, plans: &[Plan]) -> Result<Seen> {
        // Where the manifests mount the host's files.
        let scratch = Scratch::below(Path::new("/run"))?;
        self.watch_in(&scratch, container, plans)
    }

    /// The same, with only the folder of the roots mounted.
    fn watch_narrowly(&self, container: Container) -> Result<Seen> {
        let scratch = Scratch::below(Path::new("/run"))?;
        let container = container.with_mount(scratch.path());
        self.watch_in(&scratch, container, &[UNSAFE, SAFE])
    }

    fn watch_in(&self, scratch: &Scratch, container: Container, plans: &[Plan]) -> Result<Seen> {
        let (root, counters) = (scratch.folder("root")?, scratch.folder("counters")?);
        let strange = strange_root(scratch)?;
        for plan in plans {
            plan.prepare(self.workload, &root)?;
        }
        let log = scratch.path().join("agent.log");
        let address = free_address()?;
        let roots: [(&str, &Path); 2] = [(RUNTIME, &root), ("stranger", &strange)];
        let command = container.command(self.podman, &self.image.reference, address, &roots)?;
        let agent = Agent::launch(command, address, &log, None)?;
        let running: Vec<_> =
            plans.iter().map(|plan| plan.start(self.workload, &root, &counters)).collect::<Result<_>>()?;
        let truths: Vec<Truth> =
            running.into_iter().map(|running| running.finish()).collect::<Result<_>>()?;
        let saves: u64 = plans.iter().map(|plan| plan.writes).sum();
        let torn: u64 = truths.iter().map(Truth::torn).sum();
        let status: Value = serde_json::from_str(&agent.get("/status")?)?;
        let proves = status["source"] != "inotify";
        let metrics = agent.settled(|metrics| {
            let count = |name: &str| metrics.count(name, &[("runtime", RUNTIME)]);
            count("state_watchdog_write_sessions_total") >= saves
                && (!proves || count("state_watchdog_torn_reader_exits_total") >= torn)
        })?;
        let findings = agent.stop()?;
        Ok(Seen { status, metrics, findings, truths })
    }
}

/// A root below a folder that only a stranger may enter.
fn strange_root(scratch: &Scratch) -> Result<PathBuf> {
    use std::os::unix::fs::{PermissionsExt as _, chown};
    let folder = scratch.folder("stranger")?;
    let root = folder.join("root");
    fs::create_dir(&root)?;
    for path in [&root, &folder] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        chown(path, Some(STRANGER), Some(STRANGER))
            .with_context(|| format!("cannot give away {}", path.display()))?;
    }
    Ok(root)
}

/// What an agent in a container said.
struct Seen {
    status: Value,
    metrics: Metrics,
    findings: Vec<Finding>,
    truths: Vec<Truth>,
}

impl Seen {
    fn source(&self) -> &str {
        self.status["source"].as_str().unwrap_or("none")
    }

    fn runs_ebpf(&self) -> Result<()> {
        ensure!(
            ["vfs", "syscalls"].contains(&self.source()),
            "the source is {}: {:#}",
            self.source(),
            self.status
        );
        Ok(())
    }

    fn has_root(&self, runtime: &str) -> bool {
        self.metrics.count("state_watchdog_runtime_root_present", &[("runtime", runtime)]) == 1
    }

    /// An error unless a better source was refused in these words.
    fn refuses(&self, words: &str) -> Result<()> {
        let reasons = self.status["refused_sources"].to_string();
        ensure!(reasons.contains(words), "refused for: {reasons}");
        Ok(())
    }

    /// An error unless every save and read of the host is told as it was, by processes of the host.
    fn is_complete(&self) -> Result<String> {
        self.runs_ebpf()?;
        let mut torn = 0;
        for truth in &self.truths {
            if let Some(complaint) = compare(truth, &self.findings).complaint() {
                bail!("{}: {complaint}", truth.container);
            }
            torn += truth.torn();
        }
        ensure!(self.has_root(RUNTIME) && self.has_root("stranger"), "a root is missing");
        self.metrics.nothing_lost()?;
        let readers = self.truths.iter().flat_map(|truth| &truth.reads).map(|read| read.pid);
        let readers: BTreeSet<u32> = readers.collect();
        let named = |finding: &&Finding| readers.contains(&finding.reader_pid());
        let attributed = self.findings.iter().filter(named).count();
        ensure!(torn == 0 || attributed > 0, "no reader is named by the host's process id");
        ensure!(self.programs() > 0, "no program is known");
        Ok(format!(
            "source {}, {torn} torn reads, {attributed} findings name a reader of the host, {} a program; {:.1} MiB",
            self.source(),
            self.programs(),
            self.metrics.sum("process_resident_memory_bytes", &[]) / f64::from(1 << 20)
        ))
    }

    /// An error unless the writes were counted and no process is named.
    fn is_nameless(&self) -> Result<String> {
        ensure!(self.source() == "inotify", "the source is {}", self.source());
        let written = self.truths.iter().filter(|truth| truth.how == How::Truncate);
        let written: u64 = written.map(|truth| truth.writes.len() as u64).sum();
        let labels = [("runtime", RUNTIME), ("outcome", "in_place")];
        let told = self.metrics.count("state_watchdog_write_sessions_total", &labels);
        ensure!(told > 0 && told <= written, "{told} of {written} in-place writes are told");
        let named = self.findings.iter().find(|finding| {
            finding.reader.is_some() || finding.writer.is_some() || finding.attribution != "none"
        });
        if let Some(finding) = named {
            bail!("a process is named: {}", finding.line);
        }
        Ok(format!("{told} of {written} in-place writes"))
    }

    /// An error unless programs are named as the probes saw them, and none as /proc shows it.
    fn asks_probes_alone(&self) -> Result<String> {
        ensure!(self.programs() > 0, "no program is known by {} findings", self.findings.len());
        let looked_up = |finding: &&Finding| {
            let line: Value = serde_json::from_str(&finding.line).unwrap_or_default();
            [&line["writer"], &line["reader"]].iter().any(|process| process["attribution"] == "full")
        };
        if let Some(finding) = self.findings.iter().find(looked_up) {
            bail!("a process was looked up in /proc: {}", finding.line);
        }
        Ok(format!("{} findings, {} with a program", self.findings.len(), self.programs()))
    }

    /// Findings that name the program of a writer or reader.
    fn programs(&self) -> usize {
        let names = |finding: &&Finding| {
            let line: Value = serde_json::from_str(&finding.line).unwrap_or_default();
            [&line["writer"]["exe"], &line["reader"]["exe"]].iter().any(|exe| exe.is_string())
        };
        self.findings.iter().filter(names).count()
    }
}
