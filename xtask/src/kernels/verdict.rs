//! What a machine's transcript proves.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    cases::{self, Groups},
    catalogue::{self, Choice, Door, MEDIA, PLANS, Sight},
    lockdown,
    transcript::{Section, Transcript},
};
use crate::{
    finding::Finding,
    metrics::Metrics,
    tally::Tally,
    truth::{Plan, Truth, Watched, compare, compare_unseen},
};

/// One kernel's results.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// What was booted.
    pub(crate) choice: Choice,
    /// What the kernel calls itself; empty when it did not come so far.
    pub(crate) release: String,
    /// The source that the agent takes when it may choose.
    pub(crate) takes: String,
    /// How the source `vfs` was attached where nothing was forced.
    pub(crate) vfs_by: String,
    /// One for each way to events and file system.
    pub(crate) rows: Vec<Row>,
    /// What came of the agent's own tests, for each way to events.
    pub(crate) operations: Vec<Operations>,
}

/// What came of the agent's own tests with one way to events.
#[derive(Clone, Debug)]
pub(crate) struct Operations {
    /// The way to events.
    pub(crate) door: &'static str,
    /// What it sees, and so which tests are its own.
    pub(crate) sight: Sight,
    /// One for each kind of operation.
    pub(crate) groups: Groups,
}

/// What one way to events gave on one file system.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The way to events.
    pub(crate) door: &'static str,
    /// What it sees.
    pub(crate) sight: Sight,
    /// The file system.
    pub(crate) medium: &'static str,
    /// One for each plan, in their order.
    pub(crate) cells: Vec<Cell>,
}

/// What came of one plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cell {
    /// The agent agrees with the truth.
    Agrees,
    /// It does not.
    Disagrees,
    /// It was not run, or its records did not come.
    Missing,
}

/// `doctor --json`, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Doctor {
    #[serde(default)]
    takes: Option<String>,
}

/// Judges all that a machine delivered; each check is counted and printed as it is judged.
pub(crate) fn judge(choice: Choice, doors: &[Door], transcript: &Transcript, tally: &mut Tally) -> Report {
    let text = |name| transcript.section(name).map(Section::text).unwrap_or_default();
    let doctor = serde_json::from_str(&text("doctor")).unwrap_or(Doctor { takes: None });
    let mut report = Report {
        choice,
        release: text("kernel"),
        takes: doctor.takes.unwrap_or_else(|| "none".to_owned()),
        vfs_by: mechanisms("vfs", transcript),
        rows: Vec::new(),
        operations: Vec::new(),
    };
    let check = |what: &str| format!("{}: {what}", choice.name);
    tally.check(&check("the doctor answers"), || {
        let section = transcript.section("doctor").context("there is no answer")?;
        ensure!(section.status == Some(0), "{}\n{}", text("doctor"), text("doctor.log"));
        Ok(format!("it takes {}", report.takes))
    });
    for medium in MEDIA {
        tally.check(&check(&format!("{medium} is there")), || mounted(transcript, medium));
    }
    tally.check(&check("the kernel has nothing to complain of"), || untainted(transcript));
    if doors.iter().any(|door| door.name == "vfs") {
        tally.check(&check("vfs is attached as it should be"), || {
            ensure!(report.vfs_by == choice.vfs_by, "by {:?}, not by {}", report.vfs_by, choice.vfs_by);
            Ok(report.vfs_by.clone())
        });
    }
    for &door in doors {
        report.rows.extend(judge_door(choice, door, transcript, tally));
        let operations = judge_tests(choice, door, transcript, tally);
        if door.arguments.contains(&"vfs") {
            judge_ways(choice, door, transcript, tally);
        }
        report.operations.push(Operations { door: door.name, sight: door.sight, groups: operations });
    }
    lockdown::judge(choice, &report.takes, transcript, tally);
    report
}

fn judge_tests(choice: Choice, door: Door, transcript: &Transcript, tally: &mut Tally) -> Groups {
    let mut groups = Groups::new();
    tally.check(&format!("{}, {}: the agent's own tests", choice.name, door.name), || {
        let section = |name: &str| transcript.section(name).with_context(|| format!("there is no {name}"));
        let said = section(&format!("{}.tests", door.name))?;
        let unseen = section(&format!("{}.unseen", door.name))?;
        let list = section(&format!("{}.list", door.name))?;
        let (judged, count) = cases::judge(&cases::names(list)?, said, unseen);
        groups = judged;
        Ok(format!("{} passed", count?))
    });
    groups
}

/// Each way to write or read a state file, as the table of ways has it.
fn judge_ways(choice: Choice, door: Door, transcript: &Transcript, tally: &mut Tally) {
    tally.check(&format!("{}, {}: each way to write or read", choice.name, door.name), || {
        let said = transcript.section(&format!("{}.ways", door.name)).context("no way was gone")?;
        let skips = said.lines.iter().any(|line| line.contains("skipped:"));
        ensure!(said.status == Some(0) && !skips, "it ended with {:?}:\n{}", said.status, said.text());
        let is_seen = |line: &&String| line.ends_with("Some(Seen)");
        let seen = said.lines.iter().filter(is_seen).count();
        ensure!(seen > 0, "none was seen:\n{}", said.text());
        Ok(format!("{seen} seen"))
    });
}

fn judge_door(choice: Choice, door: Door, transcript: &Transcript, tally: &mut Tally) -> Vec<Row> {
    let check = |what: &str| format!("{}, {}: {what}", choice.name, door.name);
    let mut said = None;
    tally.check(&check("the agent ran"), || {
        let log = transcript.section(&format!("{}.log", door.name)).context("it left no log")?;
        ensure!(log.status == Some(0), "it ended with {:?}:\n{}", log.status, log.text());
        let findings = transcript.section(&format!("{}.findings", door.name)).context("no findings")?;
        let findings =
            findings.lines.iter().map(|line| Ok(Finding::parse(line)?)).collect::<Result<Vec<_>>>();
        let scrape = transcript.section(&format!("{}.metrics", door.name)).context("no metrics")?.text();
        said = Some((findings.context("a line is no finding")?, scrape));
        Ok(String::new())
    });
    let Some((findings, scrape)) = said else { return missing(door) };
    if door.sight == Sight::Deeds {
        tally.check(&check("the kernel holds its programs"), || kernels_word(door, transcript));
    }
    let metrics = Metrics::parse(&scrape);
    let mut rows = Vec::new();
    for (index, medium) in MEDIA.into_iter().enumerate() {
        if mounted(transcript, medium).is_err() {
            continue;
        }
        let own = |finding: &&Finding| {
            finding.container_id.as_deref().is_some_and(|id| id.starts_with(&format!("{medium}-")))
        };
        let findings: Vec<Finding> = findings.iter().filter(own).cloned().collect();
        let mut watched =
            Watched { truths: Vec::new(), findings, metrics: metrics.clone(), scrape: scrape.clone() };
        if index == 0 {
            tally.check(&check("nothing was lost"), || {
                // This source has no second copies: what the kernel skipped is to be counted.
                let skipped =
                    if door.name == "syscalls" { figure(door, transcript, "recursion_misses") } else { 0 };
                watched.nothing_lost_but(skipped)
            });
        }
        let mut cells = Vec::new();
        tally.check(&check(medium), || {
            let complaints = judge_plans(door, medium, transcript, &mut watched, &mut cells);
            ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
            watched.metrics_agree(medium)?;
            let torn: u64 = watched.truths.iter().map(Truth::torn).sum();
            ensure!(torn > 0, "no read was torn, which proves nothing");
            let reads: usize = watched.truths.iter().map(|truth| truth.reads.len()).sum();
            Ok(format!("{torn} of {reads} reads were torn, and the agent does not disagree"))
        });
        rows.push(Row { door: door.name, sight: door.sight, medium, cells });
    }
    rows
}

/// Judges each plan on one medium; gives what does not agree.
fn judge_plans(
    door: Door,
    medium: &str,
    transcript: &Transcript,
    watched: &mut Watched,
    cells: &mut Vec<Cell>,
) -> Vec<String> {
    let mut complaints = Vec::new();
    for plan in PLANS {
        match truth(door, medium, &plan, transcript) {
            Ok(truth) => {
                let complaint = match door.sight {
                    Sight::Deeds => compare(&truth, &watched.findings).complaint(),
                    Sight::Order => {
                        compare_unseen(&truth, &watched.findings).err().map(|error| error.to_string())
                    }
                };
                cells.push(if complaint.is_none() { Cell::Agrees } else { Cell::Disagrees });
                complaints.extend(complaint.map(|text| format!("{}: {text}", truth.container)));
                watched.truths.push(truth);
            }
            Err(error) => {
                cells.push(Cell::Missing);
                complaints.push(format!("{}: {error:#}", catalogue::container(medium, &plan)));
            }
        }
    }
    complaints
}

/// What the workload recorded.
fn truth(door: Door, medium: &str, plan: &Plan, transcript: &Transcript) -> Result<Truth> {
    let container = catalogue::container(medium, plan);
    let section = |what: &str| transcript.section(&format!("{}.{container}.{what}", door.name));
    let errors = section("errors").context("it was not run")?;
    ensure!(errors.status == Some(0), "the workload ended with {:?}: {}", errors.status, errors.text());
    let truth = Truth {
        how: plan.how,
        writes: records(section("writes")).context("the writer")?,
        reads: records(section("reads")).context("the readers")?,
        container,
    };
    ensure!(truth.writes.len() as u64 == plan.writes, "the writer recorded {} saves", truth.writes.len());
    ensure!(truth.reads.len() as u64 == plan.reads, "the readers recorded {} reads", truth.reads.len());
    Ok(truth)
}

fn records<T: DeserializeOwned>(section: Option<&Section>) -> Result<Vec<T>> {
    let lines = &section.context("the records did not come")?.lines;
    lines.iter().map(|line| serde_json::from_str(line).with_context(|| line.clone())).collect()
}

fn missing(door: Door) -> Vec<Row> {
    let row =
        |medium| Row { door: door.name, sight: door.sight, medium, cells: vec![Cell::Missing; PLANS.len()] };
    MEDIA.map(row).into()
}

fn mounted(transcript: &Transcript, medium: &str) -> Result<String> {
    let section = transcript.section(&format!("medium.{medium}")).context("it was not tried")?;
    ensure!(section.status == Some(0), "{}", section.text());
    Ok(String::new())
}

/// What the kernel says of the programs: how long its verifier worked, and how often it did not start one because it was
/// preempted there already. The agent has copies of such programs, or counts what it missed as lost, which is judged
/// apart.
fn kernels_word(door: Door, transcript: &Transcript) -> Result<String> {
    let section = transcript.section(&format!("{}.programs", door.name)).context("nobody asked")?;
    ensure!(!section.lines.is_empty(), "the agent holds no program");
    let sum = |name: &str| figure(door, transcript, name);
    // Kernels before 5.16 do not say how long their verifier worked.
    Ok(format!("{} instructions verified, {} runs skipped", sum("verified_insns"), sum("recursion_misses")))
}

/// The sum of one of the kernel's figures over all the agent's programs.
fn figure(door: Door, transcript: &Transcript, name: &str) -> u64 {
    let Some(section) = transcript.section(&format!("{}.programs", door.name)) else { return 0 };
    let value = |line: &String| -> Option<u64> {
        let mut words = line.split_whitespace();
        words.find(|word| word.strip_suffix(':') == Some(name))?;
        words.next()?.parse().ok()
    };
    section.lines.iter().filter_map(value).sum()
}

/// A warning or an oops leaves its mark on the kernel, whatever the console is told to show.
fn untainted(transcript: &Transcript) -> Result<String> {
    let section = transcript.section("tainted").context("it was not asked")?;
    let (mask, messages) = section.lines.split_first().context("it said nothing")?;
    ensure!(mask == "0", "it is tainted ({mask}):\n{}", messages.join("\n"));
    Ok(String::new())
}

/// `/status`, as far as it is needed.
#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    probes: Vec<Probe>,
}

#[derive(Debug, Deserialize)]
struct Probe {
    mechanism: String,
    attached: bool,
}

/// How a source's functions were attached; empty when it did not run.
fn mechanisms(door: &str, transcript: &Transcript) -> String {
    let status = transcript.section(&format!("{door}.status")).map(Section::text).unwrap_or_default();
    let status: Status = serde_json::from_str(&status).unwrap_or_default();
    let used = status.probes.iter().filter(|probe| probe.attached).map(|probe| probe.mechanism.as_str());
    // The end of processes and the second witness are watched the same way wherever that is.
    let used: BTreeSet<&str> = used.filter(|mechanism| !matches!(*mechanism, "tp_btf" | "inotify")).collect();
    used.into_iter().collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
