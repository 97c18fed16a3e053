//! What the watches on containers' directories cost: calls in such a directory, calls beside it, and the kernel's memory.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result};

use super::{
    cost::median,
    page::{self, Part},
};
use crate::{
    agent::Agent,
    markdown::Table,
    repository::Repository,
    scale,
    scratch::{Medium, Scratch},
};

/// How many containers' directories are watched for the memory.
const DIRECTORIES: usize = 20_000;
/// So often each call is made for one figure.
const CALLS: u32 = 20_000;
/// The memory is measured so often with and without.
const ROUNDS_OF_MEMORY: usize = 3;

/// Nanoseconds of one call.
#[derive(Clone, Copy, Debug)]
struct Calls {
    open: f64,
    rename: f64,
}

/// What was measured in one round: in a watched directory and in another one of the same file system.
#[derive(Clone, Copy, Debug)]
struct Round {
    watched: Calls,
    elsewhere: Calls,
}

/// Measures both, prints the tables, and writes the page when asked to.
pub(super) fn watches(rounds: usize, agent: &Path, repository: &Repository) -> Result<()> {
    let latency = latency(rounds, agent)?;
    let memory = memory(agent)?;
    page::keep(repository, Part::Watches, &format!("{latency}\n{memory}"))
}

/// Nobody and the agent in turn.
fn latency(rounds: usize, agent: &Path) -> Result<String> {
    let scratch = Scratch::new(Medium::Memory)?;
    let root = scratch.folder("root")?;
    let watched = scratch.folder("root/container")?;
    let elsewhere = scratch.folder("elsewhere")?;
    for directory in [&watched, &elsewhere] {
        fs::write(directory.join("state.json"), "{}")?;
        fs::write(directory.join("config.json"), "{}")?;
    }
    let log = scratch.path().join("agent.log");
    let options = |source| ["--source", source, "--no-witness"];
    let watchers = ["nothing", "inotify", "syscalls"];
    let mut figures = watchers.map(|_| Vec::new());
    for round in 1..=rounds {
        println!("  round {round} of {rounds}");
        for (watcher, figures) in watchers.iter().zip(&mut figures) {
            let running = match *watcher {
                "nothing" => None,
                source => {
                    let roots = [("container", root.as_path())];
                    Some(Agent::start_with(agent, &options(source), &roots, &log, None)?)
                }
            };
            // In turn, so that neither gains by being later.
            for of_both in [[&watched, &elsewhere], [&elsewhere, &watched]] {
                let [first, second] = [calls(of_both[0])?, calls(of_both[1])?];
                let (watched, elsewhere) =
                    if of_both[0] == &watched { (first, second) } else { (second, first) };
                figures.push(Round { watched, elsewhere });
            }
            running.map(Agent::stop).transpose()?;
        }
    }
    let mut table = Table::new(&[
        "watching",
        "open+close in a watched directory, ns",
        "elsewhere, ns",
        "rename in a watched directory, ns",
        "elsewhere, ns",
    ]);
    for (watcher, rounds) in watchers.iter().zip(&figures) {
        let of = |figure: fn(&Round) -> f64| format!("{:.0}", median(rounds.iter().map(figure)));
        let name =
            if *watcher == "nothing" { "nothing".into() } else { format!("state-watchdog, `{watcher}`") };
        table.row(&[
            &name,
            &of(|round| round.watched.open),
            &of(|round| round.elsewhere.open),
            &of(|round| round.watched.rename),
            &of(|round| round.elsewhere.rename),
        ]);
    }
    Ok(format!("Medians of {rounds} alternating rounds, {CALLS} calls each, on tmpfs.\n\n{}", table.text()))
}

fn calls(directory: &Path) -> Result<Calls> {
    let file = directory.join("config.json");
    let [one, other] = ["config.json", "config.old"].map(|name| directory.join(name));
    let open = each(|| File::open(&file).map(drop))?;
    let rename = each(|| fs::rename(&one, &other).and_then(|()| fs::rename(&other, &one)))? / 2.0;
    Ok(Calls { open, rename })
}

/// Nanoseconds of one call.
fn each(mut call: impl FnMut() -> std::io::Result<()>) -> Result<f64> {
    let begun = Instant::now();
    for _ in 0..CALLS {
        call()?;
    }
    Ok(begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS))
}

/// The kernel's memory while the agent watches and while it does not, in turn.
fn memory(agent: &Path) -> Result<String> {
    let scratch = Scratch::new(Medium::Memory)?;
    let root = scratch.folder("root")?;
    scale::populate(&root, DIRECTORIES)?;
    let log = scratch.path().join("agent.log");
    let mut table = Table::new(&["watching 20,000 directories", "the kernel's memory, bytes each"]);
    for source in ["inotify", "syscalls"] {
        let mut kernel = Vec::new();
        for _ in 0..ROUNDS_OF_MEMORY {
            let before = slabs()?;
            let running =
                Agent::start_with(agent, &["--source", source], &[("container", &root)], &log, None)?;
            let known = |metrics: &crate::metrics::Metrics| {
                metrics.sum("state_watchdog_state_files", &[]) >= DIRECTORIES as f64
            };
            running.settled(known)?;
            kernel.push((slabs()? - before) / DIRECTORIES as f64);
            running.stop()?;
        }
        table.row(&[&format!("state-watchdog, `{source}`"), &format!("{:.0}", median(kernel.into_iter()))]);
    }
    Ok(table.text().to_owned())
}

/// Bytes that the kernel's slab allocator holds.
fn slabs() -> Result<f64> {
    let file = PathBuf::from("/proc/meminfo");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("Slab:")).context("the kernel names no slabs")?;
    let kibibytes: f64 = line.trim().trim_end_matches(" kB").parse().context("the size of slabs")?;
    Ok(kibibytes * 1024.0)
}
