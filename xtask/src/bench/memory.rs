//! What the agent takes for itself.

use std::path::Path;

use anyhow::{Context as _, Result};
use workload::{How, Style};

use super::page::{self, Part};
use crate::{
    agent::Agent,
    markdown::Table,
    repository::Repository,
    scale::resident,
    scratch::{Medium, Scratch},
    truth::Plan,
};

/// Resident memory after the start and after an hour's worth of saves and reads, run as fast as the machine can.
pub(super) fn memory(saves: u64, agent: &Path, workload: &Path, repository: &Repository) -> Result<()> {
    let scratch = Scratch::new(Medium::Memory)?;
    let (root, counters) = (scratch.folder("root")?, scratch.folder("counters")?);
    let plans = [How::Truncate, How::Rename].map(|how| {
        let writes = saves / 2;
        Plan { how, style: Style::Go, writes, reads: writes / 2 }
    });
    for plan in plans {
        plan.prepare(workload, &root)?;
    }
    let begin = std::time::Instant::now();
    let running = Agent::start(agent, &[("demo", &root)], &scratch.path().join("agent.log"), None)?;
    let ready = begin.elapsed().as_secs_f64();
    let at_start = resident(&running)?;
    let work: Vec<_> =
        plans.iter().map(|plan| plan.start(workload, &root, &counters)).collect::<Result<_>>()?;
    for work in work {
        work.finish()?;
    }
    let metrics = running.settled(|metrics| {
        metrics.count("state_watchdog_write_sessions_total", &[("runtime", "demo")]) >= saves
    })?;
    let at_end = resident(&running)?;
    let latency =
        metrics.median("state_watchdog_detection_latency_seconds").context("no finding was told")?;
    running.stop()?;
    metrics.nothing_lost()?;
    let mut table = Table::new(&["what", "figure"]);
    table.row(&["start to ready", &format!("{ready:.2} s")]);
    table.row(&["resident after start", &format!("{at_start:.1} MiB")]);
    table.row(&[&format!("resident after {saves} saves"), &format!("{at_end:.1} MiB")]);
    table.row(&[
        "release of the writer's description to the finding counted, median",
        &format!("at most {:.2} ms", latency * 1e3),
    ]);
    table.row(&["events lost", &metrics.lost().to_string()]);
    page::keep(repository, Part::Memory, table.text())
}
