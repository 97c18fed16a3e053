//! What holds beside a runtime that replaces its state atomically: nothing is said against it.

use anyhow::{Result, ensure};

use super::container::Call;
use crate::{agent::Agent, finding::Finding, metrics::Metrics, scratch::Medium, tally::Tally};

/// Any of these would be an accusation.
const ACCUSATIONS: [&str; 5] =
    ["nonatomic_write", "torn_read", "overlapping_read", "exposed_reader", "damaged_state_file"];

/// What was done, and what the agent said of it.
pub(super) struct Watched {
    /// How often the state was saved at least.
    pub(super) saves: usize,
    /// Calls that read it.
    pub(super) reads: Vec<Call>,
    findings: Vec<Finding>,
    metrics: Metrics,
}

/// Does what `watch` does, which is `claim` where it went well, and judges what the agent said of it.
pub(super) fn check(
    (runtime, medium): (&str, Medium),
    tally: &mut Tally,
    claim: &str,
    watch: impl FnOnce() -> Result<Watched>,
    went_well: impl FnOnce(&Watched) -> Result<String>,
) {
    let name = format!("{runtime} on {}", medium.as_str());
    let mut watched = None;
    tally.check(&format!("{name}: {claim}"), || went_well(watched.insert(watch()?)));
    if let Some(watched) = watched {
        watched.judge(runtime, &name, tally);
    }
}

impl Watched {
    /// Waits for all saves to be counted, and stops the agent.
    pub(super) fn finish(agent: Agent, runtime: &str, saves: usize, reads: Vec<Call>) -> Result<Self> {
        let sessions =
            |metrics: &Metrics| metrics.count("state_watchdog_write_sessions_total", &[("runtime", runtime)]);
        let metrics = agent.settled(|metrics| sessions(metrics) >= saves as u64)?;
        Ok(Self { saves, reads, findings: agent.stop()?, metrics })
    }

    /// Judges what the agent said; `name` begins each line.
    fn judge(&self, runtime: &str, name: &str, tally: &mut Tally) {
        tally.check(&format!("{name}: every write is an atomic replace"), || self.only_atomic(runtime));
        tally.check(&format!("{name}: no read is torn or overlapping"), || self.accuses_nobody(runtime));
    }

    fn only_atomic(&self, runtime: &str) -> Result<String> {
        let mut sessions =
            self.metrics.by("state_watchdog_write_sessions_total", "outcome", &[("runtime", runtime)]);
        let atomic = sessions.remove("atomic_replace").unwrap_or(0);
        sessions.retain(|_, count| *count > 0);
        ensure!(sessions.is_empty(), "other outcomes: {sessions:?}");
        ensure!(self.saves > 0, "nothing was saved");
        ensure!(atomic >= self.saves as u64, "{} saves, {atomic} atomic replaces", self.saves);
        self.metrics.nothing_lost()?;
        Ok(format!("{atomic} atomic replaces"))
    }

    fn accuses_nobody(&self, runtime: &str) -> Result<String> {
        let accused = |finding: &&Finding| ACCUSATIONS.contains(&finding.kind.as_str());
        if let Some(finding) = self.findings.iter().find(accused) {
            anyhow::bail!("{}", finding.line);
        }
        for verdict in ["torn", "overlapping"] {
            let labels = [("runtime", runtime), ("verdict", verdict)];
            let count = self.metrics.count("state_watchdog_overlapping_reads_total", &labels);
            ensure!(count == 0, "{count} {verdict} reads");
        }
        Ok(String::new())
    }
}
