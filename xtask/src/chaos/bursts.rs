//! The ring is filled again and again in one run of one agent: after each burst it reports every way of saving in place
//! as soon as a fresh one would.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};

use super::stage::Stage;
use crate::{agent::Agent, deadline::until, finding::Finding};

const BURSTS: u64 = 20;
/// Descriptions that each burst leaves behind: their releases are lost. All bursts together leave more than agent or
/// probes have room for.
const LEFT: usize = 1_000;
/// More than the ring holds.
const READS: usize = 30_000;
/// A save is reported within this time after a burst.
const WITHIN: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);

/// A way of saving in place.
struct Way {
    name: &'static str,
    save: fn(&Path, &[u8]) -> Result<()>,
}

const WAYS: [Way; 6] = [
    Way { name: "truncate", save: |path, text| Ok(fs::write(path, text)?) },
    Way { name: "overwrite", save: |path, text| Ok(writable(path)?.write_all_at(text, 0)?) },
    Way {
        name: "ftruncate",
        save: |path, text| {
            let mut file = writable(path)?;
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            Ok(file.write_all(text)?)
        },
    },
    Way { name: "copy", save: copy },
    Way { name: "exit", save: |path, text| by_shell("exec 9<>\"$1\" && printf %s \"$2\" >&9", path, text) },
    Way {
        name: "exec",
        save: |path, text| by_shell("exec 9<>\"$1\" && exec printf %s \"$2\" >&9", path, text),
    },
];

fn writable(path: &Path) -> Result<File> {
    Ok(OpenOptions::new().write(true).open(path)?)
}

/// Bytes that move within the kernel.
fn copy(path: &Path, text: &[u8]) -> Result<()> {
    let beside_the_root = path.ancestors().nth(3).context("the root has no parent")?;
    let aside = beside_the_root.join("copied");
    let mut from = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&aside)?;
    from.write_all(text)?;
    from.seek(SeekFrom::Start(0))?;
    let mut to = OpenOptions::new().write(true).truncate(true).open(path)?;
    std::io::copy(&mut from, &mut to)?;
    Ok(())
}

/// A process that ends with the file open.
fn by_shell(script: &str, path: &Path, text: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(text)?;
    let status = Command::new("sh").args(["-c", script, "sh"]).arg(path).arg(text).status()?;
    ensure!(status.success(), "sh -c {script:?} ended with {status}");
    Ok(())
}

/// Strikes, and gives what was seen.
pub(super) fn bursts(stage: &Stage<'_>) -> Result<String> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let busy = furnish(stage, "busy")?;
    let files = WAYS.iter().map(|way| furnish(stage, way.name)).collect::<Result<Vec<_>>>()?;
    let agent = stage.agent(&[])?;
    let (mut lost, mut slowest) = (0, Duration::ZERO);
    for burst in 1..=BURSTS {
        lost = strike(&agent, &busy, lost).with_context(|| format!("burst {burst}"))?;
        for (way, file) in WAYS.iter().zip(&files) {
            let took = report(&agent, way, file, burst);
            slowest = slowest.max(took.with_context(|| format!("after burst {burst}"))?);
        }
    }
    agent.stop()?;
    setrlimit(Resource::Nofile, limit)?;
    let ways = WAYS.len();
    Ok(format!(
        "{BURSTS} bursts in one run, {lost} events lost; {ways} ways to save after each, reported within {slowest:.1?}"
    ))
}

/// A container of a name, with its state file.
fn furnish(stage: &Stage<'_>, name: &str) -> Result<PathBuf> {
    let folder = stage.root.join(name);
    fs::create_dir_all(&folder)?;
    let file = folder.join("state.json");
    fs::write(&file, document(0))?;
    Ok(file)
}

/// Each is as long as the others.
fn document(version: u64) -> Vec<u8> {
    format!("{{\"version\":{version:09}}}").into_bytes()
}

/// Descriptions are opened while the agent takes events, and closed while it does not and the ring is full. Gives how much
/// is lost by now.
fn strike(agent: &Agent, busy: &Path, before: u64) -> Result<u64> {
    let open = |_| Ok(File::open(busy)?);
    let mut left = (0..LEFT).map(open).collect::<Result<Vec<_>>>()?;
    // It has taken them when it answers with nothing lost.
    let lost = |agent: &Agent| -> Result<u64> {
        Ok(agent.metrics()?.count("state_watchdog_events_lost_total", &[("reason", "ring_full")]))
    };
    agent.settled(|_| true)?;
    let shown = |agent: &Agent| -> Result<u64> {
        Ok(agent.metrics()?.count("state_watchdog_events_total", &[("operation", "present")]))
    };
    let shown_before = shown(agent)?;
    kill_process(agent.pid()?, Signal::STOP)?;
    let struck = (|| {
        let mut room = [0; 8];
        for _ in 0..READS {
            left[0].read_at(&mut room, 0)?;
        }
        left.clear();
        // Opened when there is no room, and closed when there is.
        left = (0..10).map(open).collect::<Result<Vec<_>>>()?;
        anyhow::Ok(())
    })();
    kill_process(agent.pid()?, Signal::CONT)?;
    struck?;
    drop(left);
    let lost = until(PATIENCE, || Ok(Some(lost(agent)?).filter(|lost| *lost > before)))?;
    let lost = lost.context("the ring was never full")?;
    // It has looked at the files anew: until then, what a file held before its next save is not known.
    let all = u64::try_from(WAYS.len())?;
    let looked = until(PATIENCE, || Ok((shown(agent)? >= shown_before + all).then_some(())))?;
    looked.context("the files were not looked at after a loss")?;
    Ok(lost)
}

/// Saves, and gives how long it took until that was reported.
fn report(agent: &Agent, way: &Way, file: &Path, version: u64) -> Result<Duration> {
    let reported = |finding: &Finding| {
        finding.kind == "nonatomic_write" && finding.container_id.as_deref() == Some(way.name)
    };
    let before = agent.count(reported);
    (way.save)(file, &document(version)).with_context(|| format!("cannot save by {}", way.name))?;
    let saved = Instant::now();
    let seen = until(PATIENCE, || Ok((agent.count(reported) > before).then(|| saved.elapsed())))?;
    let took = seen.with_context(|| format!("a save by {} is never reported", way.name))?;
    ensure!(took <= WITHIN, "a save by {} is reported after {took:.1?}", way.name);
    Ok(took)
}
