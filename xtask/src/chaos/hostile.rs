//! A container that means harm: names, numbers of files, clients.

use std::{
    collections::BTreeSet,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use workload::FORGED;

use super::stage::{AFTER, BEFORE, DURING, Stage, settle};
use crate::{agent::Agent, deadline::until, metrics::Metrics};

/// No more memory than that, whatever happens: all tables full, with names of the usual length.
const ROOM: u64 = 80 << 20;
/// At most so many process names are label values, and `other`.
const NAMES: usize = 33;

/// Names of containers and processes that are lines, markup, escapes, metrics or no text: every finding is one whole
/// line without a character that steers anything, and label values stay few.
pub(super) fn names(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    let empty = agent.get("/metrics")?.lines().count();
    let root = stage.root.display().to_string();
    let saves: u64 = stage.crowd(&["forge", &root, "--comms", "200"])?;
    let during = stage.play(DURING)?;
    settle(&agent, calm.saves() + during.saves() + saves)?;
    for page in ["/metrics", "/findings?limit=1000", "/status", "/"] {
        let body = agent.get(page)?;
        let steers = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202a}'..='\u{202e}');
        ensure!(!body.contains(steers), "{page} holds a character that steers a terminal");
    }
    let scrape = agent.get("/metrics")?;
    let metrics = Metrics::parse(&scrape);
    for (metric, label) in [("nonatomic_writes_total", "writer"), ("overlapping_reads_total", "reader")] {
        let names = metrics.by(&format!("state_watchdog_{metric}"), label, &[]);
        ensure!(names.len() <= NAMES, "{} values of {label}", names.len());
    }
    let lines = scrape.lines().count();
    // Each name of 32 meets each operation and each verdict, at most.
    ensure!(lines <= empty + NAMES * (7 + 5), "{lines} lines of metrics, {empty} before");
    let resident = bounded(&agent)?;
    // Fails when a line of findings is no finding.
    let findings = agent.stop()?;
    during.exact(&findings)?;
    let forged: BTreeSet<&str> = findings
        .iter()
        .filter(|finding| finding.writer.as_ref().is_some_and(|writer| !writer.comm.starts_with("wl-")))
        .filter_map(|finding| finding.container_id.as_deref())
        .collect();
    ensure!(
        forged.len() == FORGED.len(),
        "{} of {} forged containers told: {forged:?}",
        forged.len(),
        FORGED.len()
    );
    let steering = findings.iter().find(|finding| finding.line.chars().any(char::is_control));
    ensure!(steering.is_none(), "a control character in: {steering:?}");
    Ok(format!(
        "{saves} saves under {} forged names told, {} lines of metrics ({empty} before), {resident:.1} MiB",
        FORGED.len(),
        lines
    ))
}

/// As many directories, each with a state file in it.
const FILES: u64 = 100_000;
/// At most so many state files are remembered.
const KNOWN: f64 = 24_576.0;
/// A look may have met the beginning of them, and the next one waits fifty times as long as it took.
const NEXT_LOOK: Duration = Duration::from_secs(180);
/// So many names of one directory are looked at.
const SEEN: f64 = 65_536.0;

/// More containers than anyone has: the tables are full, the rest is left out, and what is known is judged as ever. A
/// million would take a gigabyte of the kernel's memory on a tmpfs, and show no more: the tables end at 24,576.
pub(super) fn files(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    settle(&agent, calm.saves())?;
    let begun = Instant::now();
    for number in 0..FILES {
        let folder = stage.root.join(format!("crowd-{number}"));
        fs::create_dir(&folder)?;
        fs::write(folder.join("state.json"), "{}")?;
    }
    let rate = 2.0 * FILES as f64 / begun.elapsed().as_secs_f64();
    let during = stage.play(DURING)?;
    let sessions = calm.saves() + during.saves();
    let mut metrics = settle(&agent, sessions)?;
    let seen = |metrics: &Metrics| metrics.sum("state_watchdog_state_files", &[]);
    until(NEXT_LOOK, || {
        metrics = agent.metrics()?;
        Ok((seen(&metrics) > KNOWN).then_some(()))
    })?;
    let resident = bounded(&agent)?;
    let seen = seen(&metrics);
    let evicted = metrics.count("state_watchdog_anomalies_total", &[("kind", "evicted")]);
    ensure!(seen > KNOWN && seen <= SEEN, "{seen} state files are counted");
    let lost = metrics.lost();
    let unknown = metrics.count("state_watchdog_write_sessions_total", &[("outcome", "unknown")]);
    let findings = agent.stop()?;
    let (told, of) = during.honest(&findings)?;
    // A file that is forgotten within its session is told as unknown.
    ensure!(
        told + unknown >= of || lost > 0,
        "{told} of {of} saves told, {unknown} unknown, and nothing was lost"
    );
    Ok(format!(
        "{} names made at {rate:.0} a second, {seen} files seen, {evicted} forgotten and counted, {lost} events lost, \
         {told} of {of} saves told; {resident:.1} MiB",
        2 * FILES
    ))
}

/// So many clients open a connection and say nearly nothing.
const SLOW: usize = 200;

/// Clients that hold their connections and say nothing, and clients without end: they wait for each other, not the
/// agent for them.
pub(super) fn clients(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    let address = agent.address();
    let mut slow = Vec::new();
    for number in 0..SLOW {
        let mut stream = TcpStream::connect(address).context("a client cannot connect")?;
        let words: &[u8] = if number % 2 == 0 {
            b"GET /metrics HT"
        } else {
            b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n"
        };
        stream.write_all(words)?;
        slow.push(stream);
    }
    let during = stage.play(DURING)?;
    let in_place = calm.in_place() + during.in_place();
    let told = |finding: &crate::finding::Finding| finding.kind == "nonatomic_write";
    until(Duration::from_secs(60), || Ok((agent.count(told) as u64 >= in_place).then_some(())))?
        .context("clients keep findings from being told")?;
    let descriptors = fs::read_dir(format!("/proc/{}/fd", agent.pid()?.as_raw_nonzero()))?.count();
    ensure!(descriptors < 256, "{descriptors} descriptors are open");
    // Those that say nothing lose their places after ten seconds.
    let answered = until(Duration::from_secs(120), || Ok(agent.get("/livez").ok()))?;
    ensure!(answered.is_some(), "slow clients keep others out for ever");
    drop(slow);
    let answers = thread::scope(|scope| {
        let client = || {
            let ask = || -> Result<usize> {
                let mut stream = TcpStream::connect(address)?;
                stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer)?;
                ensure!(answer.starts_with(b"HTTP/1.1 200"), "{:.80}", String::from_utf8_lossy(&answer));
                Ok(answer.len())
            };
            (0..20).map(|_| ask()).collect::<Result<Vec<usize>>>()
        };
        let clients: Vec<_> = (0..50).map(|_| scope.spawn(client)).collect();
        let mut answers = 0;
        for client in clients {
            answers += client.join().ok().context("a client is lost")??.len();
        }
        anyhow::Ok(answers)
    })?;
    let after = stage.play(AFTER)?;
    let metrics = settle(&agent, calm.saves() + during.saves() + after.saves())?;
    let resident = bounded(&agent)?;
    let findings = agent.stop()?;
    metrics.nothing_lost()?;
    during.exact(&findings)?;
    after.exact(&findings)?;
    Ok(format!(
        "{SLOW} silent clients, {descriptors} descriptors, all saves told; then {answers} scrapes by 50 clients; \
         {resident:.1} MiB"
    ))
}

/// The most memory that it ever had, in MiB; an error when that is too much.
fn bounded(agent: &Agent) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.pid()?.as_raw_nonzero()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
    ensure!(kib << 10 <= ROOM, "{kib} KiB were resident at one time, the bound is {} KiB", ROOM >> 10);
    Ok(kib as f64 / 1024.0)
}
