//! The ground truth: every read of a workload that records what it got, against what the agent says of it.

mod compare;
mod plans;
mod unseen;
mod workload;

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use ::workload::How;
use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    agent::Agent,
    finding::Finding,
    metrics::Metrics,
    programs::Programs,
    scratch::{Medium, Scratch},
    tally::Tally,
};
use plans::PLANS;

pub(crate) use compare::{Truth, compare};
pub(crate) use plans::SMALL_PLANS;
pub(crate) use unseen::{check as check_inotify, compare as compare_unseen};
pub(crate) use workload::{Plan, Running};

/// Runs all plans on one medium and counts each as a check.
pub(crate) fn check(programs: &Programs, medium: Medium, tally: &mut Tally) {
    let name = |what: &str| format!("ground truth on {}: {what}", medium.as_str());
    let mut watched = None;
    tally.check(&name("the workload runs beside the agent"), || {
        let result = watch(programs, medium, &[])?;
        let (saves, reads) =
            (result.saves(), result.truths.iter().map(|truth| truth.reads.len()).sum::<usize>());
        let median = result.metrics.median("state_watchdog_detection_latency_seconds");
        let latency = median.map_or("unknown".to_owned(), |bound| format!("at most {:.1} ms", bound * 1e3));
        let resident = result.metrics.sum("process_resident_memory_bytes", &[]) / f64::from(1 << 20);
        watched = Some(result);
        Ok(format!("{saves} saves, {reads} reads, median detection {latency}, {resident:.1} MiB resident"))
    });
    let Some(watched) = watched else { return };
    for truth in &watched.truths {
        tally.check(&name(&truth.container), || {
            let comparison = compare(truth, &watched.findings);
            match comparison.complaint() {
                Some(complaint) => bail!(complaint),
                None => Ok(format!(
                    "{} of {} reads were torn, and the agent does not disagree\n{comparison}",
                    truth.torn(),
                    truth.reads.len()
                )),
            }
        });
    }
    tally.check(&name("nothing was lost"), || watched.nothing_lost());
    tally.check(&name("the metrics count what happened"), || watched.metrics_agree(medium.as_str()));
    tally.check(&name("the metrics are well-formed"), || promtool(&programs.promtool, &watched.scrape));
}

/// What the workload recorded, and what the agent said of it.
pub(crate) struct Watched {
    /// Each container's truth.
    pub(crate) truths: Vec<Truth>,
    /// What the agent printed.
    pub(crate) findings: Vec<Finding>,
    /// What it counted.
    pub(crate) metrics: Metrics,
    /// The same, as it was served.
    pub(crate) scrape: String,
}

fn watch(programs: &Programs, medium: Medium, options: &[&str]) -> Result<Watched> {
    let scratch = Scratch::new(medium)?;
    let root = scratch.folder("root")?;
    let counters = scratch.folder("counters")?;
    let unseen = options.contains(&"inotify");
    // Without processes, a file that is renamed before it is complete is a replacement and then a write in place.
    let plans = || PLANS.into_iter().filter(|plan| !unseen || plan.how != How::RenameEarly);
    for plan in plans() {
        plan.prepare(&programs.workload, &root)?;
    }
    let log = scratch.path().join("agent.log");
    let agent = Agent::start_with(&programs.agent, options, &[(medium.as_str(), &root)], &log, None)?;
    let mut truths = Vec::new();
    for plan in plans() {
        let running = plan.start(&programs.workload, &root, &counters)?;
        truths.push(running.finish().with_context(|| plan.container())?);
    }
    // Where one description saves again and again, inotify shows modifications and no beginning of a save.
    let least = |truth: &Truth| if unseen && truth.how == How::Daemon { 1 } else { truth.writes.len() };
    let saves: usize = truths.iter().map(least).sum();
    let sessions = |metrics: &Metrics| {
        metrics.count("state_watchdog_write_sessions_total", &[("runtime", medium.as_str())])
    };
    agent.settled(|metrics| sessions(metrics) >= saves as u64)?;
    // The two witnesses compare what they saw when both had three seconds to speak.
    let compared = Instant::now() + Duration::from_millis(3_500);
    agent.settled(|_| unseen || Instant::now() >= compared)?;
    let scrape = agent.get("/metrics")?;
    let findings = agent.stop()?;
    Ok(Watched { truths, findings, metrics: Metrics::parse(&scrape), scrape })
}

impl Watched {
    fn saves(&self) -> usize {
        self.truths.iter().map(|truth| truth.writes.len()).sum()
    }

    /// An error when the agent lost events, or saw none.
    pub(crate) fn nothing_lost(&self) -> Result<String> {
        self.nothing_lost_but(0)
    }

    /// The same, where the kernel says that it did not run the agent's programs so many times: that many events may be counted as
    /// lost, and for no other reason.
    pub(crate) fn nothing_lost_but(&self, skipped: u64) -> Result<String> {
        let missed = self.metrics.nothing_lost_but("probe_missed", skipped)?;
        let events = self.metrics.count("state_watchdog_events_total", &[]);
        ensure!(events > 0, "the agent counted no event");
        let dropped = self.metrics.count("state_watchdog_findings_dropped_total", &[]);
        ensure!(dropped == 0, "{dropped} findings were dropped: this machine was too slow to read them");
        let mut anomalies = self.metrics.by("state_watchdog_anomalies_total", "kind", &[]);
        anomalies.retain(|_, count| *count > 0);
        let disagree = ["session_missed", "session_unwitnessed"].map(|kind| anomalies.get(kind));
        ensure!(disagree == [None, None], "the two witnesses disagree: {anomalies:?}");
        let but = if missed > 0 { format!(", {missed} lost that the kernel skipped") } else { String::new() };
        Ok(format!("{events} events, anomalies: {anomalies:?}{but}"))
    }

    /// How many sessions are to be counted: one for each save, or as many as were told where that is not certain.
    fn sessions(&self, truth: &Truth) -> u64 {
        if !matches!(truth.how, How::Pair | How::Daemon) {
            return truth.writes.len() as u64;
        }
        let told = self.findings.iter().filter(|finding| {
            finding.kind == "nonatomic_write" && finding.container_id.as_deref() == Some(&truth.container)
        });
        told.count() as u64
    }

    /// An error when the metrics of a runtime do not count what the truths and the findings say.
    pub(crate) fn metrics_agree(&self, name: &str) -> Result<String> {
        let runtime = [("runtime", name)];
        let mut expected = std::collections::BTreeMap::new();
        for truth in &self.truths {
            *expected.entry(truth.how.outcome().to_owned()).or_insert(0) += self.sessions(truth);
        }
        let mut counted = self.metrics.by("state_watchdog_write_sessions_total", "outcome", &runtime);
        counted.retain(|_, count| *count > 0);
        ensure!(counted == expected, "write sessions: {counted:?}, saved: {expected:?}");
        let torn = self
            .metrics
            .count("state_watchdog_overlapping_reads_total", &[("runtime", name), ("verdict", "torn")]);
        let told = self.findings.iter().filter(|finding| finding.kind == "torn_read").count() as u64;
        ensure!(torn == told, "{torn} torn reads counted, {told} findings");
        Ok(format!("{counted:?}, {torn} torn reads"))
    }
}

/// Holds a scrape against Prometheus's own rules.
fn promtool(program: &Path, scrape: &str) -> Result<String> {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    child.stdin.take().context("promtool has no input")?.write_all(scrape.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "promtool: {}", said.trim());
    Ok(String::new())
}
