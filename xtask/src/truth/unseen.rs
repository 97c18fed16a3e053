//! The ground truth under `--source inotify`, which sees neither processes nor offsets: every save is told as what it
//! was, so every torn read lies in a session that is reported; nothing is told as torn, and nobody is accused.

use anyhow::{Result, ensure};
use workload::How;

use super::{Truth, Watched, compare::overlaps, watch};
use crate::{finding::Finding, programs::Programs, scratch::Medium, tally::Tally};

/// Runs all plans on one medium and counts each as a check.
pub(crate) fn check(programs: &Programs, medium: Medium, tally: &mut Tally) {
    let name = |what: &str| format!("inotify on {}: {what}", medium.as_str());
    let mut watched = None;
    tally.check(&name("the workload runs beside the agent"), || {
        let result = watch(programs, medium, &["--source", "inotify"])?;
        let resident = result.metrics.sum("process_resident_memory_bytes", &[]) / f64::from(1 << 20);
        watched = Some(result);
        Ok(format!("{resident:.1} MiB resident"))
    });
    let Some(watched) = watched else { return };
    for truth in &watched.truths {
        tally.check(&name(&truth.container), || compare(truth, &watched.findings));
    }
    tally.check(&name("nothing was lost"), || watched.nothing_lost());
    tally.check(&name("no anomaly"), || no_anomaly(&watched));
    tally.check(&name("the metrics count what happened"), || watched.metrics_agree(medium.as_str()));
}

/// Compares one container's truth with what such a source let the agent say.
pub(crate) fn compare(truth: &Truth, findings: &[Finding]) -> Result<String> {
    let own = || findings.iter().filter(|finding| finding.container_id.as_deref() == Some(&truth.container));
    for finding in own() {
        let Finding { kind, attribution, writer, reader, line, .. } = finding;
        ensure!(kind != "torn_read" && kind != "reader_exit", "inotify proves nothing, yet: {line}");
        ensure!(attribution == "none" && writer.is_none() && reader.is_none(), "it sees nobody, yet: {line}");
    }
    if truth.how.is_atomic() {
        ensure!(own().next().is_none(), "an atomic writer, yet: {:?}", own().next());
        return Ok(format!("{} saves, no finding", truth.writes.len()));
    }
    let sessions: Vec<&Finding> = own().filter(|finding| finding.kind == "nonatomic_write").collect();
    let (saved, told) = (truth.writes.len(), sessions.len());
    // Saves through one description have no end between them that it sees.
    let due = if truth.how == How::Daemon { 1..=saved as u64 } else { truth.how.sessions(saved as u64) };
    ensure!(due.contains(&(told as u64)), "{saved} saves, {told} sessions");
    let expected = truth.how.outcome();
    let other = sessions.iter().find(|session| session.outcome.as_deref() != Some(expected));
    ensure!(other.is_none(), "not {expected}: {other:?}");
    // One session for each save, in order: a torn read within a save lies within a session.
    let torn: Vec<_> = truth.reads.iter().filter(|read| read.content.is_torn()).collect();
    let outside = torn.iter().find(|read| !truth.writes.iter().any(|write| overlaps(write, read)));
    // What a dead writer or two at once left is torn for as long as it lies there.
    ensure!(
        truth.how == How::Die || truth.how.leaves_damage() || outside.is_none(),
        "a torn read in no save: {outside:?}"
    );
    let count = |kind: &str| own().filter(|finding| finding.kind == kind).count();
    let (overlapping, exposed) = (count("overlapping_read"), count("exposed_reader"));
    Ok(format!(
        "{told} sessions for {saved} saves, {} torn reads; {overlapping} overlapping, {exposed} exposed",
        torn.len()
    ))
}

fn no_anomaly(watched: &Watched) -> Result<String> {
    let mut anomalies = watched.metrics.by("state_watchdog_anomalies_total", "kind", &[]);
    ensure!(!anomalies.is_empty(), "the agent has no count of anomalies");
    anomalies.retain(|_, count| *count > 0);
    ensure!(anomalies.is_empty(), "{anomalies:?}");
    Ok(String::new())
}
