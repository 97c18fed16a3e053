//! `cargo xtask bench`: what the agent costs everybody else, and how much memory it takes.
//!
//! Figures of shared machines are noisy, so every comparison alternates within one run and says medians and ratios.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use workload::{Cost, How, Style};

use crate::{
    agent::Agent,
    check::build,
    kernels, privilege,
    repository::Repository,
    scratch::{Medium, Scratch},
    tools::{self, Cache},
    truth::Plan,
};

/// How much is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often the agent is turned on and off.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How many saves make up the memory test: 36,000 is what 100 containers that are updated every 10 s see in an
    /// hour.
    #[arg(long, default_value_t = 36_000)]
    saves: u64,
    /// Count instructions on other kernels, in emulated machines, and do nothing else; needs no root.
    #[arg(long)]
    kernels: bool,
    #[command(flatten)]
    machines: kernels::Options,
}

/// Sets up, builds, measures, prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    if options.kernels {
        return kernels::count(&options.machines, &Repository::find()?, &Cache::open()?);
    }
    ensure!(privilege::is_root(), "measuring loads the probes and so needs root; run it with sudo");
    tools::set_up_bpf(&Cache::open()?, None)?;
    let repository = Repository::find()?;
    let (agent, workload) = build(&repository)?;
    println!("== kinds of attachment");
    let status = repository
        .cargo()
        .args(["bench", "--quiet", "--package", "watchdog", "--bench", "attach_kinds"])
        .status()?;
    ensure!(status.success(), "the benchmark of attach kinds ended with {status}");
    cost(options.rounds.max(1), &agent, &workload)?;
    memory(options.saves, &agent, &workload)
}

/// The agent on against off.
fn cost(rounds: usize, agent: &Path, workload: &Path) -> Result<()> {
    println!("\n== unrelated system calls, the agent on against off, medians of {rounds} alternating rounds");
    let scratch = Scratch::new(Medium::Memory)?;
    let root = scratch.folder("root")?;
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        off.push(measure(workload, scratch.path())?);
        let running = Agent::start(agent, &[("demo", &root)], &scratch.path().join("agent.log"), None)?;
        on.push(measure(workload, scratch.path())?);
        running.stop()?;
    }
    println!("{:<14} {:>10} {:>10} {:>8}", "ns per call", "off", "on", "ratio");
    for (i, name) in Cost::NAMES.iter().enumerate() {
        let (off, on) = (median(&off, i), median(&on, i));
        println!("{name:<14} {off:>10.1} {on:>10.1} {:>8.2}", on / off);
    }
    Ok(())
}

fn measure(workload: &Path, folder: &Path) -> Result<Cost> {
    let output = Command::new(workload).arg("cost").arg(folder).output()?;
    ensure!(output.status.success(), "{} cost ended with {}", workload.display(), output.status);
    serde_json::from_slice(&output.stdout).context("the workload printed no figures")
}

fn median(costs: &[Cost], i: usize) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(|cost| cost.values()[i]).collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Resident memory after the start and after an hour's worth of saves and reads, run as fast as the machine can.
fn memory(saves: u64, agent: &Path, workload: &Path) -> Result<()> {
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

fn resident(agent: &Agent) -> Result<f64> {
    Ok(agent.metrics()?.sum("process_resident_memory_bytes", &[]) / f64::from(1 << 20))
}
