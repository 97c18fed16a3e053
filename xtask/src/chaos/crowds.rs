//! Crowds of processes and of containers beside the workload.

use std::{collections::BTreeSet, thread};

use anyhow::{Context as _, Result, ensure};
use workload::{Churned, Flooded};

use super::stage::{AFTER, BEFORE, DURING, Stage, settle};

/// Short-lived processes without end, half of them under the process id of one that has just ended; the readers of the
/// workload do the same. Who read what stays told apart.
pub(super) fn flood(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    let victim = stage.root.join(AFTER[1].container()).join("state.json");
    let victim = victim.display().to_string();
    let (during, flooded) = thread::scope(|scope| {
        let crowd = scope.spawn(|| stage.crowd::<Flooded>(&["flood", &victim, "--seconds", "3"]));
        let during = stage.begin_with(DURING, &["--reuse"])?.finish()?;
        let flooded = crowd.join().ok().context("the flood is lost")??;
        anyhow::Ok((during, flooded))
    })?;
    ensure!(flooded.reused > 0, "no process id was used twice: {flooded:?}");
    let after = stage.play(AFTER)?;
    let metrics = settle(&agent, calm.saves() + during.saves() + after.saves())?;
    let findings = agent.stop()?;
    let lost = metrics.lost();
    let (told, of) = during.honest(&findings)?;
    ensure!(told == of || lost > 0, "{told} of {of} saves told, and nothing was lost");
    if lost == 0 {
        during.exact(&findings)?;
    }
    after.exact(&findings)?;
    let rate = flooded.processes as f64 / flooded.seconds;
    Ok(format!(
        "{rate:.0} processes a second, {} of {} under a used id; {told} of {of} saves told, {lost} events lost; \
         saves x{:.1}",
        flooded.reused,
        flooded.processes,
        during.slowed(&calm)?
    ))
}

/// Containers for three seconds, 200 a second, each saved atomically and read, every tenth saved in place as well.
const CONTAINERS: u64 = 600;

/// Containers that come and go: each in-place save is told once, no atomic one is, and nothing of them stays behind.
pub(super) fn churn(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    let root = stage.root.display().to_string();
    let containers = CONTAINERS.to_string();
    let (during, churned) = thread::scope(|scope| {
        let words = ["churn", &root, "--containers", &containers, "--per-second", "200"];
        let crowd = scope.spawn(move || stage.crowd::<Churned>(&words));
        let during = stage.play(DURING)?;
        let churned = crowd.join().ok().context("the churn is lost")??;
        anyhow::Ok((during, churned))
    })?;
    let after = stage.play(AFTER)?;
    let sessions = calm.saves() + during.saves() + after.saves() + churned.containers + churned.in_place;
    settle(&agent, sessions)?;
    let files = "state_watchdog_state_files";
    let metrics = agent.settled(|metrics| metrics.count(files, &[]) == Stage::CONTAINERS)?;
    let known = metrics.count(files, &[]);
    ensure!(known == Stage::CONTAINERS, "{known} state files are known, {} are there", Stage::CONTAINERS);
    let findings = agent.stop()?;
    metrics.nothing_lost()?;
    during.exact(&findings)?;
    after.exact(&findings)?;
    let of_churn =
        || findings.iter().filter(|f| f.container_id.as_deref().is_some_and(|id| id.starts_with("churn-")));
    let told = of_churn().filter(|finding| finding.kind == "nonatomic_write").count() as u64;
    let created =
        of_churn().find(|finding| finding.outcome.as_deref().is_some_and(|outcome| outcome != "in_place"));
    ensure!(
        created.is_none(),
        "nothing was made under its final name, yet: {:?}",
        created.map(|finding| &finding.line)
    );
    let mut once = BTreeSet::new();
    let twice = of_churn()
        .filter(|finding| finding.kind == "nonatomic_write")
        .find(|finding| !once.insert(finding.container_id.as_deref()));
    ensure!(
        told == churned.in_place,
        "{} saves in place, {told} told; a container's second: {:?}",
        churned.in_place,
        twice.map(|finding| &finding.line)
    );
    let other = of_churn().find(|finding| finding.kind != "nonatomic_write");
    ensure!(other.is_none(), "nobody read while a container was saved, yet: {other:?}");
    let rate = churned.containers as f64 / churned.seconds;
    Ok(format!(
        "{rate:.0} containers a second, all {told} saves in place told, {known} state files known at the end, 0 lost; \
         saves x{:.1}",
        during.slowed(&calm)?
    ))
}
