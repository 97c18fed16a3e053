//! The negative control: runc replaces its state atomically, so nothing may be said against it.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    container::{Call, Container},
    crowd::{self, Turn},
};
use crate::{
    agent::Agent,
    check::{Programs, Tally},
    finding::Finding,
    metrics::Metrics,
    scratch::{Medium, Scratch},
};

const RUNTIME: &str = "runc";
const READS: usize = 500;
const LIMIT: Duration = Duration::from_secs(180);
/// Any of these would be an accusation.
const ACCUSATIONS: [&str; 5] =
    ["nonatomic_write", "torn_read", "overlapping_read", "exposed_reader", "damaged_state_file"];

/// Runs runc on one medium; updates against execs and state commands must leave no finding.
pub(crate) fn check(programs: &Programs, medium: Medium, tally: &mut Tally) {
    let name = |what: &str| format!("runc on {}: {what}", medium.as_str());
    let mut watched = None;
    tally.check(&name("no reader fails beside a writer"), || {
        let result = watch(programs, medium)?;
        let (reads, updates) = (result.reads.len(), result.updates);
        let failed: Vec<&Call> = result.reads.iter().filter(|call| !call.success).collect();
        let text = format!("{} failed, the first: {:?}", failed.len(), failed.first());
        let good = failed.is_empty();
        watched = Some(result);
        ensure!(good, text);
        ensure!(reads >= READS, "only {reads} reads in {} s", LIMIT.as_secs());
        Ok(format!("{reads} reads, {updates} updates"))
    });
    let Some(watched) = watched else { return };
    tally.check(&name("every write is an atomic replace"), || only_atomic(&watched));
    tally.check(&name("no read is torn or overlapping"), || {
        let accused = |finding: &&Finding| ACCUSATIONS.contains(&finding.kind.as_str());
        if let Some(finding) = watched.findings.iter().find(accused) {
            anyhow::bail!("{}", finding.line);
        }
        for verdict in ["torn", "overlapping"] {
            let labels = [("runtime", RUNTIME), ("verdict", verdict)];
            let count = watched.metrics.count("state_watchdog_overlapping_reads_total", &labels);
            ensure!(count == 0, "{count} {verdict} reads");
        }
        Ok(String::new())
    });
}

struct Watched {
    updates: usize,
    reads: Vec<Call>,
    findings: Vec<Finding>,
    metrics: Metrics,
}

fn watch(programs: &Programs, medium: Medium) -> Result<Watched> {
    let scratch = Scratch::new(medium)?;
    let (root, bundle) = (scratch.folder("root")?, scratch.folder("bundle")?);
    let log = scratch.path().join("agent.log");
    let agent = Agent::start(&programs.agent, &[(RUNTIME, &root)], &log, None)?;
    let container = Container::start(&programs.runc, &root, &bundle, &programs.busybox)?;
    let update: Turn = Box::new(|number| {
        let shares = if number % 2 == 0 { "512" } else { "1024" };
        container.call(&["update", "--cpu-share", shares], &[])
    });
    let exec: Turn = Box::new(|_| container.call(&["exec"], &["/bin/true"]));
    let state: Turn = Box::new(|_| container.call(&["state"], &[]));
    let loops = [update, exec, state];
    let mut calls = crowd::run(&loops, LIMIT, |calls| {
        calls[0].len() >= READS / 5 && calls[1..].iter().map(Vec::len).sum::<usize>() >= READS
    })?;
    let reads = calls.split_off(1).concat();
    let updates = calls.concat().iter().filter(|call| call.success).count();
    let metrics = agent.settled(|metrics| {
        metrics.count("state_watchdog_write_sessions_total", &[("runtime", RUNTIME)]) >= updates as u64
    })?;
    drop(loops);
    drop(container);
    let findings = agent.stop()?;
    Ok(Watched { updates, reads, findings, metrics })
}

fn only_atomic(watched: &Watched) -> Result<String> {
    let mut sessions =
        watched.metrics.by("state_watchdog_write_sessions_total", "outcome", &[("runtime", RUNTIME)]);
    let atomic = sessions.remove("atomic_replace").unwrap_or(0);
    sessions.retain(|_, count| *count > 0);
    ensure!(sessions.is_empty(), "other outcomes: {sessions:?}");
    ensure!(watched.updates > 0, "no update succeeded");
    ensure!(atomic >= watched.updates as u64, "{} updates, {atomic} atomic replaces", watched.updates);
    let lost = watched.metrics.count("state_watchdog_events_lost_total", &[]);
    ensure!(lost == 0, "{lost} events were lost");
    Ok(format!("{atomic} atomic replaces"))
}
