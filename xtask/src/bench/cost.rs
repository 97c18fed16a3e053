//! What the agent, and others of its trade, cost programs that have nothing to do with state files.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use workload::Cost;

use super::peers::{self, Peer};
use crate::{
    agent::Agent,
    scratch::{Medium, Scratch},
    tools::Cache,
};

/// Who watches while the others work.
enum Watcher {
    Nobody,
    /// The agent, with this source.
    Agent(&'static str),
    Peer(Peer),
}

impl Watcher {
    fn name(&self) -> String {
        match self {
            Self::Nobody => "nothing".to_owned(),
            Self::Agent(source) => format!("state-watchdog, {source}"),
            Self::Peer(peer) => peer.name.to_owned(),
        }
    }
}

/// What was measured beside one watcher.
#[derive(Default)]
struct Figures {
    calls: Vec<Cost>,
    tree: Vec<f64>,
}

/// Everybody in turn, round after round: medians, and how many times what they are with nobody watching.
pub(super) fn cost(
    rounds: usize,
    with_peers: bool,
    agent: &Path,
    workload: &Path,
    cache: &Cache,
) -> Result<()> {
    println!("\n== unrelated system calls, medians of {rounds} alternating rounds");
    let scratch = Scratch::new(Medium::Memory)?;
    let place = Place { root: scratch.folder("root")?, scratch, tree: library()? };
    let mut watchers = vec![Watcher::Nobody];
    watchers.extend(["vfs", "syscalls", "inotify"].map(Watcher::Agent));
    if with_peers {
        watchers.extend(peers::all(cache).into_iter().map(Watcher::Peer));
    }
    let mut figures: BTreeMap<usize, Figures> = BTreeMap::new();
    let mut refused: BTreeMap<usize, String> = BTreeMap::new();
    for _ in 0..rounds {
        for (index, watcher) in watchers.iter().enumerate() {
            if refused.contains_key(&index) {
                continue;
            }
            match place.beside(watcher, agent, workload) {
                Ok((calls, tree)) => {
                    let figures = figures.entry(index).or_default();
                    figures.calls.push(calls);
                    figures.tree.push(tree);
                }
                Err(error) => {
                    refused.insert(index, format!("{error:#}"));
                }
            }
        }
    }
    refused.retain(|index, _| !figures.contains_key(index));
    print(&watchers, &figures);
    for (index, reason) in refused {
        let reason = reason.lines().last().unwrap_or_default();
        println!("{:<24} does not run here: {reason}", watchers[index].name());
    }
    Ok(())
}

/// Where it is measured: the unrelated file lies on the file system that holds the root, as on a node.
struct Place {
    root: PathBuf,
    scratch: Scratch,
    tree: PathBuf,
}

impl Place {
    fn beside(&self, watcher: &Watcher, agent: &Path, workload: &Path) -> Result<(Cost, f64)> {
        let log = self.scratch.path().join("watcher.log");
        match watcher {
            Watcher::Nobody => self.measure(workload),
            Watcher::Agent(source) => {
                let options = ["--source", source, "--no-witness"];
                let running = Agent::start_with(agent, &options, &[("demo", &self.root)], &log, None)?;
                let measured = self.measure(workload);
                running.stop()?;
                measured
            }
            Watcher::Peer(peer) => {
                let running = peer.start(&self.root, &log)?;
                let measured = self.measure(workload);
                drop(running);
                measured
            }
        }
    }

    fn measure(&self, workload: &Path) -> Result<(Cost, f64)> {
        let output = Command::new(workload).arg("cost").arg(self.scratch.path()).output()?;
        ensure!(output.status.success(), "{} cost ended with {}", workload.display(), output.status);
        let calls = serde_json::from_slice(&output.stdout).context("the workload printed no figures")?;
        let begin = Instant::now();
        // Not to /dev/null directly: tar knows it, and reads nothing.
        let packed = Command::new("sh")
            .args(["-c", "tar -cf - -- \"$0\" | cat > /dev/null"])
            .arg(&self.tree)
            .stderr(Stdio::null())
            .status()
            .context("cannot start tar")?;
        ensure!(packed.success(), "tar ended with {packed}");
        Ok((calls, begin.elapsed().as_secs_f64() * 1e9))
    }
}

/// A source tree that is there wherever the probes are built: that of the standard library.
fn library() -> Result<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().context("cannot start rustc")?;
    let tree = Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("lib/rustlib/src/rust/library");
    ensure!(tree.is_dir(), "{} is missing; run cargo xtask setup", tree.display());
    Ok(tree)
}

fn print(watchers: &[Watcher], figures: &BTreeMap<usize, Figures>) {
    let names = Cost::NAMES.into_iter().chain(["tar of a tree"]);
    print!("{:<24}", "ns per call (ratio)");
    names.for_each(|name| print!(" {name:>19}"));
    println!();
    let row = |index: &usize| {
        let Figures { calls, tree } = &figures[index];
        let mut medians: Vec<f64> =
            (0..Cost::NAMES.len()).map(|i| median(calls.iter().map(|cost| cost.values()[i]))).collect();
        medians.push(median(tree.iter().copied()));
        medians
    };
    let nobody = row(&0);
    for index in figures.keys() {
        print!("{:<24}", watchers[*index].name());
        for (value, base) in row(index).iter().zip(&nobody) {
            print!(" {:>12.0} ({:.2})", value, value / base);
        }
        println!();
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
