//! `cargo xtask soak`: a mixed workload for as long as one likes. What the agent says is right the whole time, and it
//! holds no more at the end than near the beginning.

mod sample;

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use workload::{Churned, How, Style};

use crate::{
    agent::Agent,
    build::Profile,
    deadline::{output, until},
    finding::Finding,
    metrics::Metrics,
    privilege,
    programs::{PrebuiltPrograms, Programs},
    scratch::{Medium, Scratch},
    tally::Tally,
    tools::{self, Cache},
    truth::{Plan, Truth, compare},
};
use sample::{Sample, judge};

/// For how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Minutes of work.
    #[arg(long, default_value_t = 60.0)]
    minutes: f64,
    #[command(flatten)]
    programs: PrebuiltPrograms,
}

/// As a part of all checks.
const BRIEF: f64 = 3.0;
const RUNTIME: &str = "soak";
const PATIENCE: Duration = Duration::from_secs(60);
/// For so long after a loss, the agent takes what it knew before for uncertain.
const UNCERTAIN: Duration = Duration::from_secs(60);
/// A busy machine may cost an event now and then: in one round of so many at most.
const CLEAN: u64 = 50;
/// Containers that come and go beside each round.
const CONTAINERS: &str = "60";
const PER_SECOND: &str = "20";

/// The agent understands the lock that some of those writers take.
const CONFIG: &str = "[[profile]]
name = \"soak\"
state = [\"state.json\"]
temporary = [\"state-*\"]
lock = [\"lock\"]
";

/// What one round does: some put readers at risk, some do not.
const ROUND: [Plan; 6] = [
    Plan { how: How::Truncate, style: Style::Go, writes: 40, reads: 160 },
    Plan { how: How::Chunks, style: Style::Blocks, writes: 20, reads: 80 },
    Plan { how: How::Ftruncate, style: Style::Whole, writes: 20, reads: 80 },
    Plan { how: How::Recreate, style: Style::Blocks, writes: 20, reads: 80 },
    Plan { how: How::Rename, style: Style::Go, writes: 60, reads: 240 },
    Plan { how: How::RenameSync, style: Style::Whole, writes: 10, reads: 40 },
];

/// Builds, then works for so many minutes.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(privilege::is_root(), "the agent loads probes and so needs root; run this with sudo");
    let cache = Cache::open()?;
    let (agent, workload) = options.programs.or_built(Profile::Release)?;
    println!("{}", soak(&agent, &workload, &cache, options.minutes)?);
    Ok(())
}

/// Three minutes of it.
pub(crate) fn check(programs: &Programs, cache: &Cache, tally: &mut Tally) {
    tally
        .check(&format!("soak: {BRIEF} minutes"), || soak(&programs.agent, &programs.workload, cache, BRIEF));
}

fn soak(agent: &Path, workload: &Path, cache: &Cache, minutes: f64) -> Result<String> {
    tools::installed(cache, &["bpftool"])?;
    let scratch = Scratch::new(Medium::Memory)?;
    let root = scratch.folder("root")?;
    for plan in ROUND {
        plan.prepare(workload, &root)?;
    }
    let config = scratch.path().join("config.toml");
    fs::write(&config, CONFIG)?;
    let options = ["--config", &config.display().to_string()];
    let log = scratch.path().join("agent.log");
    let agent = Agent::start_with(agent, &options, &[(RUNTIME, &root)], &log, None)?;
    let mut work = Work { agent, workload, scratch: &scratch, root: &root, told: Told::default() };
    let (begun, limit) = (Instant::now(), Duration::from_secs_f64(minutes * 60.0));
    let mut samples = Vec::new();
    while begun.elapsed() < limit {
        let number = samples.len() + 1;
        work.round()
            .with_context(|| format!("round {number}, after {:.0} s", begun.elapsed().as_secs_f64()))?;
        samples.push(Sample::take(&work.agent, begun.elapsed(), work.told.containers)?);
    }
    let metrics = work.agent.metrics()?;
    let mut anomalies = metrics.by("state_watchdog_anomalies_total", "kind", &[]);
    anomalies.retain(|_, count| *count > 0);
    let Told { saves, reads, containers, lost, losses, uncertain, .. } = work.told;
    work.agent.stop()?;
    let (rounds, table) = (samples.len() as u64, judge(&samples)?);
    ensure!(losses <= rounds.div_ceil(CLEAN), "{lost} events lost in {losses} of {rounds} rounds:\n{table}");
    Ok(format!(
        "{rounds} rounds: {saves} saves, {reads} reads, {containers} containers that came and went, all told as they were \
         but for {uncertain} rounds around {lost} lost events; anomalies {anomalies:?}\n{table}"
    ))
}

/// What was done so far.
#[derive(Debug, Default)]
struct Told {
    saves: u64,
    reads: u64,
    containers: u64,
    guarded: u64,
    sessions: u64,
    /// Events that were lost, in how many rounds, and how many rounds that made uncertain.
    lost: u64,
    losses: u64,
    uncertain: u64,
    loss: Option<Instant>,
}

struct Work<'a> {
    agent: Agent,
    workload: &'a Path,
    scratch: &'a Scratch,
    root: &'a Path,
    told: Told,
}

impl Work<'_> {
    /// Everything at once, and what was said of it.
    fn round(&mut self) -> Result<()> {
        // The counters begin anew.
        let counters = self.scratch.path().join("counters");
        let _ = fs::remove_dir_all(&counters);
        fs::create_dir_all(&counters)?;
        let (truths, churned) = thread::scope(|scope| {
            let crowd = scope.spawn(|| self.churn());
            let start = |plan: &Plan| plan.start(self.workload, self.root, &counters);
            let running = ROUND.iter().map(start).collect::<Result<Vec<_>>>()?;
            let truths = running.into_iter().map(|running| running.finish()).collect::<Result<Vec<_>>>()?;
            anyhow::Ok((truths, crowd.join().ok().context("the churn is lost")??))
        })?;
        self.note(&truths, &churned);
        let counted = |metrics: &Metrics, labels: &[(&str, &str)]| {
            metrics.count("state_watchdog_write_sessions_total", labels)
        };
        let all = [("runtime", RUNTIME)];
        let under_lock = [("outcome", "guarded"), ("runtime", RUNTIME)];
        let metrics = self.agent.settled(|metrics| counted(metrics, &all) >= self.told.sessions)?;
        let (sessions, expected) = (counted(&metrics, &all), self.told.sessions);
        let guarded = counted(&metrics, &under_lock);
        let lost = metrics.lost();
        if lost > self.told.lost {
            (self.told.lost, self.told.loss) = (lost, Some(Instant::now()));
            self.told.losses += 1;
        }
        let mut findings = Vec::new();
        if self.told.loss.is_some_and(|loss| loss.elapsed() < UNCERTAIN) {
            self.told.uncertain += 1;
            (self.told.sessions, self.told.guarded) = (sessions, guarded);
            findings.extend(self.agent.take_findings());
            return accuses_nobody(&truths, &findings);
        }
        ensure!(sessions == expected, "{expected} sessions, {sessions} counted");
        ensure!(guarded == self.told.guarded, "{} saves under a lock, {guarded} counted", self.told.guarded);
        until(PATIENCE, || {
            findings.extend(self.agent.take_findings());
            Ok(is_right(&truths, &churned, &findings).is_ok().then_some(()))
        })?;
        is_right(&truths, &churned, &findings)
    }

    fn churn(&self) -> Result<Churned> {
        let mut command = Command::new(self.workload);
        command.arg("churn").arg(self.root);
        command.args(["--guarded", "--containers", CONTAINERS, "--per-second", PER_SECOND]);
        let output = output(&mut command, "the containers that come and go", Duration::from_secs(240))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "the churn ended with {}: {}", output.status, said.trim());
        serde_json::from_slice(&output.stdout).context("the churn printed no record")
    }

    fn note(&mut self, truths: &[Truth], churned: &Churned) {
        let saves: u64 = truths.iter().map(|truth| truth.writes.len() as u64).sum();
        // Each container is saved atomically once.
        let of_churn = churned.containers + churned.in_place + churned.guarded;
        self.told.saves += saves + of_churn;
        self.told.sessions += saves + of_churn;
        self.told.reads += truths.iter().map(|truth| truth.reads.len() as u64).sum::<u64>();
        self.told.reads += churned.containers;
        self.told.containers += churned.containers;
        self.told.guarded += churned.guarded;
    }
}

/// Every save and every read of a round is told as what it was.
fn is_right(truths: &[Truth], churned: &Churned, findings: &[Finding]) -> Result<()> {
    for truth in truths {
        let complaint = compare(truth, findings).complaint();
        ensure!(complaint.is_none(), "{}: {}", truth.container, complaint.unwrap_or_default());
    }
    let of_churn: Vec<&Finding> = findings
        .iter()
        .filter(|finding| finding.container_id.as_deref().is_some_and(|id| id.starts_with("churn-")))
        .collect();
    let in_place = |finding: &&&Finding| {
        finding.kind == "nonatomic_write" && finding.outcome.as_deref() == Some("in_place")
    };
    let other = of_churn.iter().find(|finding| !in_place(finding));
    ensure!(other.is_none(), "nobody was at risk, yet: {:?}", other.map(|finding| &finding.line));
    let told = of_churn.len() as u64;
    ensure!(told == churned.in_place, "{} containers saved in place, {told} told", churned.in_place);
    Ok(())
}

/// What holds after a loss, too: no atomic writer is accused.
fn accuses_nobody(truths: &[Truth], findings: &[Finding]) -> Result<()> {
    for truth in truths.iter().filter(|truth| truth.how.is_atomic()) {
        let complaint = compare(truth, findings).complaint();
        ensure!(complaint.is_none(), "{}: {}", truth.container, complaint.unwrap_or_default());
    }
    Ok(())
}
