//! The agent itself is killed, stopped, or left behind.

use std::{os::unix::process::ExitStatusExt as _, thread, time::Duration};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Signal, kill_process};
use workload::{How, Style};

use super::bursts::bursts;
use super::stage::{AFTER, Act, BEFORE, DURING, Stage, settle};
use crate::{deadline::until, finding::Finding, truth::Plan};

const PATIENCE: Duration = Duration::from_secs(60);

/// SIGKILL: whatever was under way is not told, the probes go with the process, and the next agent begins afresh.
pub(super) fn kill(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    settle(&agent, calm.saves())?;
    calm.exact_by(&agent)?;
    let before = agent.findings().len();
    let playing = stage.begin(CROWDED)?;
    until(PATIENCE, || Ok((agent.findings().len() > before).then_some(())))?
        .context("nothing of the workload was told")?;
    kill_process(agent.pid()?, Signal::KILL)?;
    let (status, mut findings) = agent.wait()?;
    ensure!(status.signal() == Some(9), "it ended with {status}");
    let next = stage.agent(&[])?;
    let during = playing.finish()?;
    let after = stage.play(AFTER)?;
    settle(&next, after.saves())?;
    calm.exact(&findings)?;
    findings.extend(next.stop()?);
    let (told, of) = during.honest(&findings)?;
    after.exact(&findings)?;
    let slowed = during.slowed(&calm)?;
    Ok(format!("{told} of {of} saves told by two agents, the rest while none ran; saves x{slowed:.1}"))
}

/// SIGSTOP for two seconds: the ring keeps what happens meanwhile.
pub(super) fn stop(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    settle(&agent, calm.saves())?;
    kill_process(agent.pid()?, Signal::STOP)?;
    let during = stage.play(DURING);
    // The fault is that it stands still for so long, whatever the workload does.
    thread::sleep(Duration::from_secs(2));
    kill_process(agent.pid()?, Signal::CONT)?;
    let during = during?;
    settle(&agent, calm.saves() + during.saves())?;
    let after = stage.play(AFTER)?;
    let metrics = settle(&agent, calm.saves() + during.saves() + after.saves())?;
    let findings = agent.stop()?;
    metrics.nothing_lost()?;
    calm.exact(&findings)?;
    during.exact(&findings)?;
    after.exact(&findings)?;
    let slowed = during.slowed(&calm)?;
    Ok(format!(
        "{} saves told late, {} torn reads, 0 lost; saves x{slowed:.1}",
        during.saves(),
        during.torn()
    ))
}

/// More than the ring holds, while nobody takes it.
const CROWDED: Act = &[
    Plan { how: How::Truncate, style: Style::Whole, writes: 1200, reads: 3600 },
    Plan { how: How::Rename, style: Style::Go, writes: 300, reads: 900 },
];

/// A full ring: what finds no room is counted, and what was under way is `unknown`.
pub(super) fn ring(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    settle(&agent, calm.saves())?;
    kill_process(agent.pid()?, Signal::STOP)?;
    let during = stage.play(CROWDED);
    kill_process(agent.pid()?, Signal::CONT)?;
    let during = during?;
    let full = [("reason", "ring_full")];
    let metrics = agent.settled(|metrics| metrics.count("state_watchdog_events_lost_total", &full) > 0)?;
    let lost = metrics.count("state_watchdog_events_lost_total", &full);
    ensure!(lost > 0, "the ring was never full");
    // It has caught up when there is nothing more to take.
    let mut taken = 0;
    agent.settled(|metrics| {
        let before = std::mem::replace(&mut taken, metrics.count("state_watchdog_events_total", &[]));
        thread::sleep(Duration::from_millis(200));
        before == taken
    })?;
    let after = stage.play(AFTER)?;
    let container = AFTER[0].container();
    let told = |finding: &Finding| {
        finding.kind == "nonatomic_write" && finding.container_id.as_deref() == Some(&container)
    };
    let metrics = agent.settled(|_| agent.count(told) as u64 >= AFTER[0].writes)?;
    let anomalies = metrics.count("state_watchdog_anomalies_total", &[("kind", "events_lost")]);
    ensure!(anomalies > 0, "{lost} events lost, and the engine was not told");
    let findings = agent.stop()?;
    let (told, of) = during.honest(&findings)?;
    after.exact_but_for_the_first(&findings)?;
    let slowed = during.slowed(&calm)?;
    let again = bursts(stage)?;
    Ok(format!("{lost} events lost and counted, {told} of {of} saves told; saves x{slowed:.1}; {again}"))
}
