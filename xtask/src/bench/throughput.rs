//! How many state-file events a second the agent takes, and what each costs it.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use workload::Sent;

use super::page::{self, Part};
use crate::{
    agent::Agent,
    markdown::Table,
    metrics::Metrics,
    repository::Repository,
    scale::{resident, spent},
    scratch::{Medium, Scratch},
};

const HEADS: [&str; 7] =
    ["asked, a second", "sent, a second", "sent", "received", "lost", "CPU ms per 10,000", "resident, MiB"];
/// Opens of an unrelated file beside the events, a second.
const UNRELATED: u64 = 20_000;

/// One line a rate. What was sent must be what was received and what was lost, to the last event.
pub(super) fn throughput(
    seconds: u64,
    rates: &[u64],
    agent: &Path,
    workload: &Path,
    repository: &Repository,
) -> Result<()> {
    println!(
        "\n== state-file events for {seconds} s at each rate, beside {UNRELATED} unrelated opens a second"
    );
    let mut table = Table::new(&HEADS);
    for &rate in rates {
        let cells =
            one(rate, seconds, agent, workload).with_context(|| format!("at {rate} events a second"))?;
        println!("  {}", cells.join(" "));
        table.row(&cells.each_ref().map(String::as_str));
    }
    page::keep(repository, Part::Throughput, table.text())
}

/// What came of a storm beside an agent.
pub(super) struct Played<T> {
    pub(super) sent: Sent,
    /// The scrape that has all of it.
    pub(super) after: Metrics,
    /// Seconds of processor time that the agent took.
    pub(super) cpu: f64,
    /// What was looked at while it still ran.
    pub(super) looked: T,
}

/// Sends events at a rate, beside so many unrelated opens a second, until the agent has told or counted all of them.
pub(super) fn play<T>(
    rate: u64,
    unrelated: u64,
    seconds: u64,
    agent: &Path,
    workload: &Path,
    look: impl FnOnce(&Agent) -> Result<T>,
) -> Result<Played<T>> {
    let scratch = Scratch::new(Medium::Memory)?;
    let root = scratch.folder("root")?;
    storm(workload, &root, &["--prepare"])?;
    let running = Agent::start(agent, &[("demo", &root)], &scratch.path().join("agent.log"), None)?;
    let before = spent(&running)?;
    let [asked, unrelated, seconds] = [rate, unrelated, seconds].map(|number| number.to_string());
    let output =
        storm(workload, &root, &["--rate", &asked, "--unrelated", &unrelated, "--seconds", &seconds])?;
    let sent: Sent = serde_json::from_str(&output).context("the storm printed no figures")?;
    let after = running.settled(|metrics| received(metrics) + metrics.lost() >= sent.total())?;
    let cpu = after.sum("process_cpu_seconds_total", &[]) - before;
    let looked = look(&running)?;
    running.stop()?;
    Ok(Played { sent, after, cpu, looked })
}

fn one(rate: u64, seconds: u64, agent: &Path, workload: &Path) -> Result<[String; HEADS.len()]> {
    let Played { sent, after, cpu, looked: memory } =
        play(rate, UNRELATED, seconds, agent, workload, resident)?;
    let (received, lost) = (received(&after), after.lost());
    let per_10k = cpu * 1e3 / (received as f64 / 1e4);
    ensure!(received + lost == sent.total(), "{received} received and {lost} lost are not {}", sent.total());
    if lost == 0 {
        let outcomes = after.by("state_watchdog_write_sessions_total", "outcome", &[]);
        let told = |outcome| outcomes.get(outcome).copied().unwrap_or(0);
        ensure!(
            told("atomic_replace") == sent.atomic && told("in_place") == sent.in_place,
            "{} saves by replacing and {} in place were told as {outcomes:?}",
            sent.atomic,
            sent.in_place
        );
    }
    Ok([
        if rate == 0 { "as many as it goes".to_owned() } else { rate.to_string() },
        format!("{:.0}", sent.total() as f64 / sent.seconds),
        sent.total().to_string(),
        received.to_string(),
        lost.to_string(),
        format!("{per_10k:.0}"),
        format!("{memory:.1}"),
    ])
}

/// Events of the kinds that the storm makes.
pub(super) fn received(metrics: &Metrics) -> u64 {
    let count = |operation| metrics.count("state_watchdog_events_total", &[("operation", operation)]);
    Sent::OPERATIONS.into_iter().map(count).sum()
}

fn storm(workload: &Path, root: &Path, options: &[&str]) -> Result<String> {
    let output = Command::new(workload).arg("storm").arg("--root").arg(root).args(options).output()?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the storm ended with {}: {complaint}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
