//! `cargo xtask demo`: the race, seen live. An unsafe and a safe writer with readers beside each, the agent's findings
//! as they come, and at the end its counts next to the workload's own.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Result, bail, ensure};
use workload::{Content, How, Style};

use crate::{
    agent::{Agent, Listener},
    build::Profile,
    finding::Finding,
    metrics::Metrics,
    privilege,
    programs::PrebuiltPrograms,
    scratch::{Medium, Scratch},
    tools::Cache,
    truth::{Plan, Truth, compare},
};

const RUNTIME: &str = "demo";
const SAVES: u64 = 400;
const READS: u64 = 2000;
/// How many findings are shown as they come.
const SHOWN: usize = 12;

/// Sets up, builds, shows; an error when the agent's counts are not the workload's.
pub(crate) fn run(programs: &PrebuiltPrograms) -> Result<()> {
    let (agent, workload) = programs.or_built(Profile::Checks)?;
    if privilege::is_root() {
        return show(&agent, &workload);
    }
    if let Some(obstacle) = privilege::obstacle() {
        bail!("the demonstration {obstacle}");
    }
    let path = |path: &Path| path.display().to_string();
    let arguments =
        ["demo".to_owned(), "--agent".to_owned(), path(&agent), "--workload".to_owned(), path(&workload)];
    let status = privilege::again_as_root(&Cache::open()?, &arguments)?;
    ensure!(status.success(), "the demonstration ended with {status}");
    Ok(())
}

fn show(agent: &Path, workload: &Path) -> Result<()> {
    let scratch = Scratch::new(Medium::Memory)?;
    let (root, counters) = (scratch.folder("root")?, scratch.folder("counters")?);
    let plan = |how| Plan { how, style: Style::Go, writes: SAVES, reads: READS };
    let plans = [plan(How::Truncate), plan(How::Rename)];
    for plan in plans {
        plan.prepare(workload, &root)?;
    }
    println!("== the agent watches {}", root.display());
    let log = scratch.path().join("agent.log");
    let agent = Agent::start(agent, &[(RUNTIME, &root)], &log, Some(live()))?;
    println!("   metrics: http://{}/metrics\n", agent.address());
    println!("== findings as they come (the first {SHOWN})");
    let running: Vec<_> =
        plans.iter().map(|plan| plan.start(workload, &root, &counters)).collect::<Result<_>>()?;
    let truths: Vec<Truth> = running.into_iter().map(|running| running.finish()).collect::<Result<_>>()?;
    let torn: u64 = truths.iter().map(Truth::torn).sum();
    let metrics = agent.settled(|metrics| {
        metrics.count("state_watchdog_write_sessions_total", &[("runtime", RUNTIME)]) >= 2 * SAVES
            && metrics.count("state_watchdog_overlapping_reads_total", &[("verdict", "torn")]) >= torn
            && metrics.count("state_watchdog_torn_reader_exits_total", &[]) >= torn
    })?;
    let address = agent.address();
    let findings = agent.stop()?;
    println!("\n   {} findings in all\n", findings.len());
    let agreed = summary(&truths, &metrics);
    println!(
        "\n   metrics were at http://{address}/metrics; `state-watchdog run --root demo=DIR` serves them again"
    );
    for truth in &truths {
        if let Some(complaint) = compare(truth, &findings).complaint() {
            println!("\n{}: {complaint}", truth.container);
            bail!("the agent and the workload disagree on {}", truth.container);
        }
    }
    ensure!(agreed, "the agent's counts are not the workload's");
    println!("\n   the agent's counts are the workload's");
    Ok(())
}

/// Prints the first findings, one readable line each.
fn live() -> Listener {
    let mut shown = 0;
    Box::new(move |finding: &Finding| {
        // The exit status of a reader whose torn read was shown adds nothing here.
        if shown < SHOWN && finding.kind != "reader_exit" {
            shown += 1;
            println!("   {:<17} {}", finding.kind, finding.message);
        }
    })
}

/// Prints what the workload counted next to what the agent counted; true when they agree.
fn summary(truths: &[Truth], metrics: &Metrics) -> bool {
    println!("== {:<42} {:>9} {:>9}", "summary", "workload", "agent");
    let mut agreed = true;
    let mut row = |text: &str, truth: u64, agent: u64| {
        agreed &= truth == agent;
        let mark = if truth == agent { "" } else { "  <- differs" };
        println!("   {text:<42} {truth:>9} {agent:>9}{mark}");
    };
    let runtime = [("runtime", RUNTIME)];
    let mut saves: BTreeMap<&str, u64> = BTreeMap::new();
    for truth in truths {
        *saves.entry(truth.how.outcome()).or_default() += truth.writes.len() as u64;
    }
    let outcomes = metrics.by("state_watchdog_write_sessions_total", "outcome", &runtime);
    for (outcome, counted) in &outcomes {
        let saved = saves.get(outcome.as_str()).copied().unwrap_or(0);
        row(&format!("writes: {outcome}"), saved, *counted);
    }
    let reads = truths.iter().flat_map(|truth| &truth.reads);
    let verdicts = metrics.by("state_watchdog_overlapping_reads_total", "verdict", &runtime);
    let torn = verdicts.get("torn").copied().unwrap_or(0);
    row("reads: torn", truths.iter().map(Truth::torn).sum(), torn);
    let failed = reads.clone().filter(|read| read.content.is_torn() && !read.parsed).count() as u64;
    let labels = [("runtime", RUNTIME), ("result", "failure")];
    row("torn readers that failed", failed, metrics.count("state_watchdog_torn_reader_exits_total", &labels));
    let lost = metrics.lost();
    row("events lost", 0, lost);
    let told = |content| reads.clone().filter(|read| read.content == content).count();
    println!(
        "   the torn reads by what they got: {} empty, {} short, {} mixed; {} reads were complete",
        told(Content::Empty),
        told(Content::Short),
        told(Content::Mixed),
        told(Content::Complete),
    );
    let harmless: Vec<String> = verdicts
        .iter()
        .filter(|(verdict, _)| *verdict != "torn")
        .map(|(verdict, count)| format!("{count} {verdict}"))
        .collect();
    println!("   other reads beside a write, told without proof of harm: {}", harmless.join(", "));
    agreed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(in_place: u64) -> Metrics {
        Metrics::parse(&format!(
            "state_watchdog_write_sessions_total{{runtime=\"demo\",outcome=\"in_place\"}} {in_place}\n\
             state_watchdog_overlapping_reads_total{{runtime=\"demo\",verdict=\"torn\"}} 0\n"
        ))
    }

    #[test]
    fn the_summary_agrees_only_with_equal_counts() {
        assert!(summary(&[], &metrics(0)));
        assert!(!summary(&[], &metrics(1)));
    }
}
