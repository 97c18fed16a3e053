//! What the agent takes for itself.

use std::path::Path;

use anyhow::{Result, bail};
use workload::{How, Style};

use crate::{
    agent::Agent,
    scale::resident,
    scratch::{Medium, Scratch},
    truth::Plan,
};

/// Resident memory after the start and after an hour's worth of saves and reads, run as fast as the machine can.
pub(super) fn memory(saves: u64, agent: &Path, workload: &Path) -> Result<()> {
    println!("\n== memory and start");
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
    println!("start to ready           {:>8.0} ms", begin.elapsed().as_secs_f64() * 1e3);
    println!("resident after start     {:>8.1} MiB", resident(&running)?);
    let work: Vec<_> =
        plans.iter().map(|plan| plan.start(workload, &root, &counters)).collect::<Result<_>>()?;
    for work in work {
        work.finish()?;
    }
    let metrics = running.settled(|metrics| {
        metrics.count("state_watchdog_write_sessions_total", &[("runtime", "demo")]) >= saves
    })?;
    println!("resident after {saves} saves {:>8.1} MiB", resident(&running)?);
    let latency = metrics.median("state_watchdog_detection_latency_seconds");
    println!("median detection latency {:>8.2} ms at most", latency.unwrap_or(f64::NAN) * 1e3);
    let lost = metrics.count("state_watchdog_events_lost_total", &[]);
    println!("events lost              {lost:>8}");
    running.stop()?;
    if lost > 0 {
        bail!("{lost} events were lost");
    }
    Ok(())
}
