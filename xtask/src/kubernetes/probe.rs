//! The whole story: a kubelet's probe fails although the application is well, because runc met a state file that
//! somebody was writing; and the agent says so.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    lifecycle::Release,
    node::Node,
    settings::NODE,
    sight::{Sight, is_of},
    victim::{NAME, NAMESPACE, Victim},
};
use crate::{deadline::until, finding::Finding};

const PATIENCE: Duration = Duration::from_secs(180);
/// How long the file is empty, and how long it is whole: half of all probes fail.
const HOLD: Duration = Duration::from_millis(40);

/// Writes the victim's state file over and over until a probe has failed of it and the agent has told the read.
pub(super) fn check(node: &Node, victim: &Victim, release: &Release<'_>, sight: &Sight) -> Result<String> {
    let file = victim.state_file()?;
    let done = AtomicBool::new(false);
    let (seen, written) = thread::scope(|scope| {
        let writer = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                file.rewrite_slowly(HOLD)?;
                thread::sleep(HOLD);
            }
            Ok(())
        });
        let seen = watch(node, victim, release);
        done.store(true, Ordering::Relaxed);
        (seen, writer.join())
    });
    let (event, finding) = seen?;
    ensure!(matches!(written, Ok(Ok(()))), "the writer failed: {written:?}");
    let errors = failed_execs(node)?;
    ensure!(errors > 0, "the kubelet counts no command that the runtime could not run");
    // Each of those failed because runc read too little.
    let failed = sight.failed_readers(errors)?;
    Ok(format!(
        "the kubelet says: {event}; the agent: {}; {failed} of its readers failed, the kubelet counts {errors}",
        finding.message
    ))
}

fn watch(node: &Node, victim: &Victim, release: &Release<'_>) -> Result<(String, Finding)> {
    let event = until(PATIENCE, || failed_probe(node))?.context("no probe failed")?;
    let by_runc = |one: &Finding| {
        is_of(one, victim, "torn_read")
            && one.reader.as_ref().is_some_and(|reader| reader.comm.contains("runc"))
    };
    let found = until(PATIENCE, || Ok(release.findings()?.into_iter().find(by_runc)))?;
    Ok((event, found.context("no torn read of runc's is told")?))
}

/// What the kubelet says of a probe that runc could not start.
fn failed_probe(node: &Node) -> Result<Option<String>> {
    let events = node.cluster.list(&["events", "--namespace", NAMESPACE])?;
    let failed = events
        .iter()
        .filter(|event| event["involvedObject"]["name"] == NAME && event["reason"] == "Unhealthy");
    let messages = failed.filter_map(|event| event["message"].as_str());
    Ok(messages.map(str::to_owned).find(|message| message.contains("EOF")))
}

/// How many commands the kubelet's runtime could not run. Its `prober_probe_total` leaves out probes that end so: a
/// probe with an error has no result (`doProbe`, read in 1.20).
fn failed_execs(node: &Node) -> Result<u64> {
    const COUNTER: &str = "kubelet_runtime_operations_errors_total{operation_type=\"exec_sync\"}";
    let metrics = node.cluster.raw(&format!("/api/v1/nodes/{NODE}/proxy/metrics"))?;
    let value = metrics.lines().find_map(|line| line.strip_prefix(COUNTER));
    let value = value.with_context(|| format!("the kubelet has no {COUNTER}"))?;
    value.trim().parse().with_context(|| format!("{COUNTER} is {value}"))
}
