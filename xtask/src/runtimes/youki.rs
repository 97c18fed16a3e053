//! The positive control: youki's pause and resume rewrite the state in place while its state command reads it.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};

use super::{
    annotated,
    container::{Call, Container, Runtime},
    crowd::{self, Turn},
};
use crate::{
    agent::Agent,
    deadline::until,
    finding::{Finding, Read},
    metrics::Metrics,
    programs::Programs,
    scratch::{Medium, Scratch},
    tally::Tally,
};

const RUNTIME: &str = "youki";
/// For a machine that others keep busy; the loops end as soon as enough readers failed.
const LIMIT: Duration = Duration::from_secs(600);
/// How many unexplained readers are printed.
const SHOWN: usize = 8;
const SETTLE: Duration = Duration::from_secs(60);

/// How many failed readers are waited for: memory tears rarely.
fn wanted(medium: Medium) -> usize {
    match medium {
        Medium::Memory => 3,
        Medium::Disk => 20,
    }
}

/// Runs youki on one medium; every reader that failed must be explained.
pub(crate) fn check(programs: &Programs, medium: Medium, tally: &mut Tally) {
    let name = |what: &str| format!("youki on {}: {what}", medium.as_str());
    let mut watched = None;
    tally.check(&name("readers fail beside a writer"), || {
        let result = watch(programs, medium)?;
        let (failed, reads) = (result.failed.len(), result.reads);
        watched = Some(result);
        ensure!(failed >= wanted(medium), "only {failed} of {reads} reads failed in {} s", LIMIT.as_secs());
        Ok(format!("{failed} of {reads} reads"))
    });
    let Some(watched) = watched else { return };
    tally.check(&name("each failed reader is explained"), || explain(&watched.failed, &watched.findings));
    tally.check(&name("each torn read carries the container and its pod"), || attributed(&watched));
    tally.check(&name("the metrics name the writer"), || {
        let metrics = &watched.metrics;
        metrics.nothing_lost()?;
        let writes = metrics.by("state_watchdog_nonatomic_writes_total", "writer", &[("runtime", RUNTIME)]);
        ensure!(
            writes.get(RUNTIME).is_some_and(|count| *count > 0),
            "non-atomic writes by writer: {writes:?}"
        );
        Ok(format!("{writes:?}"))
    });
}

struct Watched {
    id: String,
    reads: usize,
    failed: Vec<Call>,
    findings: Vec<Finding>,
    metrics: Metrics,
}

fn watch(programs: &Programs, medium: Medium) -> Result<Watched> {
    let scratch = Scratch::new(medium)?;
    let (root, bundle) = (scratch.folder("root")?, scratch.folder("bundle")?);
    let log = scratch.path().join("agent.log");
    let agent = Agent::start(&programs.agent, &[(RUNTIME, &root)], &log, None)?;
    let runtimes = &programs.runtimes;
    let container = Container::start(&Runtime::new(&runtimes.youki), &root, &bundle, &runtimes.busybox)?;
    let id = container.id().to_owned();
    let write: Turn =
        Box::new(|number| container.call(&[if number % 2 == 0 { "pause" } else { "resume" }], &[]));
    let read = || -> Turn { Box::new(|_| container.call(&["state"], &[])) };
    let loops = [write, read(), read(), read()];
    let calls = crowd::run(&loops, LIMIT, |calls| {
        calls[1..].iter().flatten().filter(|call| met_torn_json(call)).count() >= wanted(medium)
    })?;
    let failed: Vec<Call> = calls[1..].iter().flatten().filter(|call| met_torn_json(call)).cloned().collect();
    until(SETTLE, || {
        let told = |call: &Call| agent.count(|finding| explains(finding, call)) > 0;
        Ok(failed.iter().all(told).then_some(()))
    })?;
    let metrics = agent.metrics()?;
    drop(loops);
    drop(container);
    let findings = agent.stop()?;
    Ok(Watched { id, reads: calls[1..].iter().map(Vec::len).sum(), failed, findings, metrics })
}

/// What youki's JSON parser says of a mixed file: more than one value.
const MIXED: &str = "trailing characters";

/// What youki's JSON parser says of an empty, cut or mixed file: what is wrong, and where.
fn met_torn_json(call: &Call) -> bool {
    !call.success
        && (call.said.contains("EOF while parsing") || call.said.contains(MIXED))
        && call.said.contains(" column ")
}

/// True when the finding tells why the call failed: a torn read; or, as in the ground truth, an overlapping one of the
/// new version's length whose bytes were mixed, which nothing but the bytes proves.
fn explains(finding: &Finding, call: &Call) -> bool {
    let spans = || finding.read.as_ref().is_some_and(Read::spans_the_session);
    let kind = match finding.kind.as_str() {
        "torn_read" => true,
        "overlapping_read" => call.said.contains(MIXED) && spans(),
        _ => false,
    };
    kind && finding.reader_pid() == call.pid && finding.writer_program() == RUNTIME
}

/// The line of youki's chain of causes that names the parser's error.
fn complaint(call: &Call) -> &str {
    call.said.lines().find(|line| line.contains(" column ")).unwrap_or(&call.said).trim()
}

fn explain(failed: &[Call], findings: &[Finding]) -> Result<String> {
    let mut unexplained = Vec::new();
    for call in failed {
        let told: Vec<&Finding> =
            findings.iter().filter(|finding| finding.reader_pid() == call.pid).collect();
        if !told.iter().any(|finding| explains(finding, call)) {
            let lines: Vec<&str> = told.iter().map(|finding| finding.line.as_str()).collect();
            unexplained.push(format!("pid {}: {}\n{}", call.pid, complaint(call), lines.join("\n")));
        }
    }
    ensure!(
        unexplained.is_empty(),
        "{} of {} are unexplained:\n{}",
        unexplained.len(),
        failed.len(),
        unexplained[..unexplained.len().min(SHOWN)].join("\n")
    );
    let mut kinds = BTreeMap::new();
    for finding in findings {
        *kinds.entry(finding.kind.as_str()).or_insert(0) += 1;
    }
    Ok(format!("{} of {}; findings: {kinds:?}", failed.len(), failed.len()))
}

/// Whose the container is was learnt from the last good content: at the moment of a torn read the file says nothing.
fn attributed(watched: &Watched) -> Result<String> {
    let torn: Vec<&Finding> = watched.findings.iter().filter(|finding| finding.kind == "torn_read").collect();
    for finding in &torn {
        let named = finding.container_id.as_ref() == Some(&watched.id) && finding.pod == Some(annotated());
        ensure!(named, "not of {} in {:?}: {}", watched.id, annotated(), finding.line);
        ensure!(
            finding.message.contains("state.json of container app in pod shop/web-0"),
            "{}",
            finding.line
        );
    }
    ensure!(!torn.is_empty(), "no torn read");
    Ok(format!("{} torn reads", torn.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Process;

    fn call(pid: u32, said: &str) -> Call {
        Call { pid, success: false, said: said.to_owned() }
    }

    #[test]
    fn only_a_parse_error_is_a_torn_read() {
        assert!(met_torn_json(&call(1, "error: EOF while parsing a value at line 1 column 0")));
        assert!(met_torn_json(&call(1, "trailing characters at line 1 column 516")));
        assert!(!met_torn_json(&call(1, "no such container")));
    }

    #[test]
    fn a_failed_reader_without_its_finding_is_unexplained() {
        let process = |pid, comm: &str| Some(Process { pid, comm: comm.to_owned(), args: Vec::new() });
        let finding = |kind: &str, writer: &str| Finding {
            kind: kind.to_owned(),
            reader: process(5, "youki"),
            writer: process(6, writer),
            ..Finding::default()
        };
        let failed = [call(5, "EOF while parsing a value at line 1 column 0")];
        assert!(explain(&failed, &[finding("torn_read", "youki")]).is_ok());
        assert!(explain(&failed, &[finding("overlapping_read", "youki")]).is_err());
        assert!(explain(&failed, &[finding("torn_read", "runc")]).is_err());
        assert!(explain(&[call(4, "EOF while parsing")], &[finding("torn_read", "youki")]).is_err());
    }

    #[test]
    fn a_mixed_read_of_the_new_versions_length_may_be_told_as_overlapping() {
        let overlapping = |size_at_read| Finding {
            kind: "overlapping_read".to_owned(),
            reader: Some(Process { pid: 5, ..Process::default() }),
            writer: Some(Process { comm: RUNTIME.to_owned(), ..Process::default() }),
            read: Some(Read {
                offset: Some(0),
                size_at_read: Some(size_at_read),
                final_size: Some(568),
                ..Read::default()
            }),
            ..Finding::default()
        };
        let mixed = call(5, "trailing characters at line 1 column 568");
        assert!(explains(&overlapping(568), &mixed));
        assert!(!explains(&overlapping(0), &mixed));
        assert!(!explains(&overlapping(568), &call(5, "EOF while parsing a value at line 1 column 0")));
    }
}
