//! Where a fault strikes: a root, a workload in acts, and what must hold of each act.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use workload::{Content, How, Style};

use crate::{
    agent::{Agent, free_address},
    deadline::{output, until},
    finding::Finding,
    metrics::Metrics,
    scratch::{Medium, Scratch},
    truth::{Plan, Running, Truth, compare},
};

/// The runtime's name.
const RUNTIME: &str = "chaos";
/// A save that takes so many times as long as before the fault is harm.
const SLOWED: f64 = 8.0;
/// Nothing of the workload takes longer, on the busiest machine.
const LONGEST: Duration = Duration::from_secs(240);
/// Findings come after they were counted, by a thread of their own.
const PATIENCE: Duration = Duration::from_secs(60);
/// Below this, a save is as fast as a busy machine makes it.
const QUICK: Duration = Duration::from_millis(10);

/// An act of the workload: containers of its own, so that findings tell which act they belong to.
pub(super) type Act = &'static [Plan];

const fn plan(how: How, style: Style, writes: u64) -> Plan {
    Plan { how, style, writes, reads: writes * 4 }
}

/// Before the fault.
pub(super) const BEFORE: Act = &[plan(How::Truncate, Style::Go, 60)];
/// While it lasts.
pub(super) const DURING: Act = &[
    plan(How::Truncate, Style::Whole, 100),
    plan(How::Rename, Style::Go, 60),
    plan(How::Ftruncate, Style::Whole, 60),
];
/// When it is over.
pub(super) const AFTER: Act =
    &[plan(How::Truncate, Style::Blocks, 60), plan(How::RenameSync, Style::Whole, 40)];

/// A root with the containers of all acts, and the programs.
pub(super) struct Stage<'a> {
    pub(super) program: &'a Path,
    pub(super) workload: &'a Path,
    pub(super) scratch: Scratch,
    pub(super) root: PathBuf,
}

/// What an act's workload recorded.
pub(super) struct Played(Vec<Truth>);

impl<'a> Stage<'a> {
    /// How many containers all acts have.
    pub(super) const CONTAINERS: u64 = (BEFORE.len() + DURING.len() + AFTER.len()) as u64;

    pub(super) fn new(program: &'a Path, workload: &'a Path) -> Result<Self> {
        let scratch = Scratch::new(Medium::Memory)?;
        // As /run is: a folder that something may be mounted on, with the root in it.
        let root = scratch.folder("run")?.join("root");
        let stage = Self { program, workload, scratch, root };
        stage.furnish()?;
        Ok(stage)
    }

    /// Makes the root and what all acts need in it. The containers are made elsewhere and moved there whole, so that
    /// nothing of it is a write below a root.
    pub(super) fn furnish(&self) -> Result<()> {
        let aside = self.root.with_file_name("aside");
        fs::create_dir_all(&aside)?;
        for plan in BEFORE.iter().chain(DURING).chain(AFTER) {
            plan.prepare(self.workload, &aside)?;
        }
        fs::rename(&aside, &self.root).with_context(|| format!("cannot make {}", self.root.display()))
    }

    /// An agent as it usually runs.
    pub(super) fn agent(&self, options: &[&str]) -> Result<Agent> {
        Agent::start_with(self.program, options, &[(RUNTIME, &self.root)], &self.log(), None)
    }

    /// The words with which an agent starts that something else starts.
    pub(super) fn command(&self, options: &[&str]) -> Result<(Vec<std::ffi::OsString>, SocketAddr)> {
        let address = free_address()?;
        let mut words = vec![self.program.into()];
        words.extend(Agent::arguments(options, &[(RUNTIME, &self.root)], address));
        Ok((words, address))
    }

    pub(super) fn log(&self) -> PathBuf {
        self.scratch.path().join("agent.log")
    }

    /// Runs an act to its end.
    pub(super) fn play(&self, act: Act) -> Result<Played> {
        self.begin(act)?.finish()
    }

    /// Begins an act.
    pub(super) fn begin(&self, act: Act) -> Result<Playing> {
        self.begin_with(act, &[])
    }

    pub(super) fn begin_with(&self, act: Act, options: &[&str]) -> Result<Playing> {
        // The counters of an act that is played again begin anew.
        let counters = self.scratch.path().join("counters");
        let _ = fs::remove_dir_all(&counters);
        fs::create_dir_all(&counters)?;
        let start = |plan: &Plan| plan.start_with(self.workload, &self.root, &counters, options);
        act.iter().map(start).collect::<Result<_>>().map(Playing)
    }

    /// Runs a further task of the workload program and gives what it printed.
    pub(super) fn crowd<T: serde::de::DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let what = format!("the workload's {words:?}");
        let output = output(Command::new(self.workload).args(words), &what, LONGEST)?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{what} ended with {}: {}", output.status, said.trim());
        serde_json::from_slice(&output.stdout).context("the workload printed no record")
    }
}

/// An act under way.
pub(super) struct Playing(Vec<Running>);

impl Playing {
    /// An error when a writer or a reader came to harm.
    pub(super) fn finish(self) -> Result<Played> {
        let truths = self.0.into_iter().map(Running::finish).collect::<Result<_>>();
        truths.map(Played).context("the workload came to harm")
    }
}

impl Played {
    pub(super) fn saves(&self) -> u64 {
        self.0.iter().map(|truth| truth.writes.len() as u64).sum()
    }

    /// How many saves put readers at risk.
    pub(super) fn in_place(&self) -> u64 {
        self.0.iter().filter(|truth| !truth.how.is_atomic()).map(|truth| truth.writes.len() as u64).sum()
    }

    pub(super) fn torn(&self) -> u64 {
        self.0.iter().map(Truth::torn).sum()
    }

    /// The agent agrees with every reader and every save.
    pub(super) fn exact(&self, findings: &[Finding]) -> Result<()> {
        for truth in &self.0 {
            if let Some(complaint) = compare(truth, findings).complaint() {
                bail!("{}: {complaint}", truth.container);
            }
        }
        Ok(())
    }

    /// The same of an agent that runs on: waits until it has said all that it has to say.
    pub(super) fn exact_by(&self, agent: &Agent) -> Result<()> {
        until(PATIENCE, || Ok(self.exact(&agent.findings()).is_ok().then_some(())))?;
        self.exact(&agent.findings())
    }

    /// The same right after a loss, or after a root was found: how long the file was before the first save, nobody may
    /// have told since. The old version may then have been an empty one, and who reads nothing is told as overlapping.
    pub(super) fn exact_but_for_the_first(&self, findings: &[Finding]) -> Result<()> {
        let kept = |truth: &Truth| {
            let first = truth.writes.first().map_or(0, |write| write.end);
            let told = |pid| {
                findings.iter().any(|finding| {
                    finding.kind == "overlapping_read"
                        && finding.reader_pid() == pid
                        && finding.container_id.as_deref() == Some(&truth.container)
                })
            };
            let mut kept = truth.clone();
            kept.reads.retain(|read| read.begin > first || read.content != Content::Empty || !told(read.pid));
            kept
        };
        Self(self.0.iter().map(kept).collect()).exact(findings)
    }

    /// No reader that got a complete version is told as torn, no atomic writer is accused, and no save is told twice.
    /// Gives how many saves in place were told, of how many.
    pub(super) fn honest(&self, findings: &[Finding]) -> Result<(u64, u64)> {
        let (mut told, mut of) = (0, 0);
        for truth in &self.0 {
            let own = || {
                let own = |finding: &&Finding| finding.container_id.as_deref() == Some(&truth.container);
                findings.iter().filter(own)
            };
            if truth.how.is_atomic() {
                ensure!(own().next().is_none(), "an atomic writer, yet: {:?}", own().next());
                continue;
            }
            let mut torn: BTreeMap<u32, i64> = BTreeMap::new();
            for read in truth.reads.iter().filter(|read| read.content.is_torn()) {
                *torn.entry(read.pid).or_default() += 1;
            }
            for finding in own().filter(|finding| finding.kind == "torn_read") {
                let left = torn.entry(finding.reader_pid()).or_default();
                *left -= 1;
                ensure!(*left >= 0, "no such reader got a torn version: {}", finding.line);
            }
            let sessions = own().filter(|finding| finding.kind == "nonatomic_write").count() as u64;
            let saves = truth.writes.len() as u64;
            ensure!(sessions <= saves, "{}: {saves} saves, {sessions} told", truth.container);
            (told, of) = (told + sessions, of + saves);
        }
        Ok((told, of))
    }

    /// How much slower the truncating saves were than in another act; an error when that is more than noise.
    pub(super) fn slowed(&self, calm: &Self) -> Result<f64> {
        let (now, then) = (self.median_save()?, calm.median_save()?);
        let ratio = now / then.max(1.0);
        let quick = now < QUICK.as_nanos() as f64;
        ensure!(quick || ratio < SLOWED, "a save took {now:.0} ns, {then:.0} ns before the fault");
        Ok(ratio)
    }

    fn median_save(&self) -> Result<f64> {
        let truth = self.0.iter().find(|truth| truth.how == How::Truncate).context("nothing truncates")?;
        let mut times: Vec<u64> = truth.writes.iter().map(|write| write.end - write.begin).collect();
        times.sort_unstable();
        Ok(times[times.len() / 2] as f64)
    }
}

/// Waits until the agent has counted so many write sessions; an error when it does not.
pub(super) fn settle(agent: &Agent, sessions: u64) -> Result<Metrics> {
    let count =
        |metrics: &Metrics| metrics.count("state_watchdog_write_sessions_total", &[("runtime", RUNTIME)]);
    let metrics = agent.settled(|metrics| count(metrics) >= sessions)?;
    ensure!(count(&metrics) >= sessions, "{sessions} saves, {} sessions counted", count(&metrics));
    Ok(metrics)
}
