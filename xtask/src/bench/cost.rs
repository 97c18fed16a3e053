//! What the agent, and others of its trade, cost programs that have nothing to do with state files.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};
use workload::Cost;

use super::{
    page::{self, Part},
    peers::{self, Peer, Tracepoints},
};
use crate::{
    agent::Agent,
    markdown::Table,
    repository::Repository,
    scratch::{Medium, Scratch},
    tools::Cache,
};

/// What follows the calls: the tree is packed as a whole.
const TREE: &str = "tar of a tree, ms";

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
            Self::Agent(source) => format!("state-watchdog, `{source}`"),
            Self::Peer(peer) => peer.name.to_owned(),
        }
    }
}

/// What was measured beside one watcher, round by round.
#[derive(Default)]
struct Figures {
    calls: Vec<Cost>,
    /// In milliseconds.
    tree: Vec<f64>,
}

/// The kinds of attachment, by the bench that loads nothing but them.
pub(super) fn attachments(repository: &Repository) -> Result<()> {
    let table = page::table(&mut page::bench(repository, "attach_kinds"))?;
    page::keep(repository, Part::Attachments, &table)
}

/// Nobody and the agent in turn.
pub(super) fn calls(rounds: usize, agent: &Path, workload: &Path, repository: &Repository) -> Result<()> {
    let text = compare(rounds, Vec::new(), agent, workload)?;
    page::keep(repository, Part::Calls, &text)
}

/// The same with the others of the trade.
pub(super) fn peers(
    rounds: usize,
    agent: &Path,
    workload: &Path,
    cache: &Cache,
    repository: &Repository,
) -> Result<()> {
    let peers = peers::all(cache);
    let _tracepoints = Tracepoints::mounted()?;
    let begun = Instant::now();
    let text = compare(rounds, peers, agent, workload)?;
    page::keep(repository, Part::Peers, &text)?;
    println!("{rounds} rounds took {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Everybody in turn, round after round: medians, and how many times what they are with nobody watching.
fn compare(rounds: usize, peers: Vec<Peer>, agent: &Path, workload: &Path) -> Result<String> {
    let scratch = Scratch::new(Medium::Memory)?;
    let place = Place { root: scratch.folder("root")?, scratch, tree: library()? };
    let agents = ["vfs", "syscalls", "inotify"].map(Watcher::Agent);
    let watchers: Vec<Watcher> =
        [Watcher::Nobody].into_iter().chain(agents).chain(peers.into_iter().map(Watcher::Peer)).collect();
    let mut figures: BTreeMap<usize, Figures> = BTreeMap::new();
    let mut refused: BTreeMap<usize, String> = BTreeMap::new();
    // The first run of all reads the tree from the disk.
    place.measure(workload)?;
    for round in 1..=rounds {
        println!("  round {round} of {rounds}");
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
                // One that ran and then does not is no peer that does not run here.
                Err(error) if figures.contains_key(&index) => {
                    return Err(error.context(format!("{}, round {round}", watcher.name())));
                }
                Err(error) => {
                    refused.insert(index, reason(&error));
                }
            }
        }
    }
    ensure!(figures.contains_key(&0), "nothing was measured: {}", refused[&0]);
    let mut text = format!("Medians of {rounds} alternating rounds.\n\n{}", table(&watchers, &figures));
    if !refused.is_empty() {
        text.push_str("\nNot here:\n\n");
    }
    for (index, reason) in refused {
        let _ = writeln!(text, "- {}: {reason}", watchers[index].name());
    }
    Ok(text)
}

/// Why somebody does not run here, on one line; of an agent, what its log names as the error.
fn reason(error: &anyhow::Error) -> String {
    let text = format!("{error:#}");
    let logged = text.lines().find_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(entry["fields"]["error"].as_str()?.to_owned())
    });
    logged.unwrap_or_else(|| text.lines().last().unwrap_or_default().trim().to_owned())
}

/// Where it is measured: the unrelated file lies on the file system that holds the root, as on a node.
struct Place {
    root: PathBuf,
    scratch: Scratch,
    tree: PathBuf,
}

impl Place {
    fn beside(&self, watcher: &Watcher, agent: &Path, workload: &Path) -> Result<(Cost, f64)> {
        match watcher {
            Watcher::Nobody => self.measure(workload),
            Watcher::Agent(source) => {
                let log = self.scratch.path().join("agent.log");
                let options = ["--source", source, "--no-witness", "--log-format", "json"];
                let running = Agent::start_with(agent, &options, &[("demo", &self.root)], &log, None)?;
                let measured = self.measure(workload);
                running.stop()?;
                measured
            }
            Watcher::Peer(peer) => {
                let running = peer.start(&self.root, self.scratch.path())?;
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
        Ok((calls, begin.elapsed().as_secs_f64() * 1e3))
    }
}

/// A source tree that is there wherever the probes are built: that of the standard library.
fn library() -> Result<PathBuf> {
    let output = Command::new("rustc").args(["--print", "sysroot"]).output().context("cannot start rustc")?;
    let tree = Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("lib/rustlib/src/rust/library");
    ensure!(tree.is_dir(), "{} is missing; run cargo xtask setup", tree.display());
    Ok(tree)
}

fn table(watchers: &[Watcher], figures: &BTreeMap<usize, Figures>) -> String {
    let calls = Cost::NAMES.map(|name| format!("{name}, ns"));
    let heads: Vec<&str> =
        ["watching"].into_iter().chain(calls.iter().map(String::as_str)).chain([TREE]).collect();
    let mut table = Table::new(&heads);
    let nobody = medians(&figures[&0]);
    for (index, figures) in figures {
        let mut cells = vec![watchers[*index].name()];
        for (value, base) in medians(figures).iter().zip(&nobody) {
            cells.push(if *index == 0 {
                format!("{value:.0}")
            } else {
                format!("{value:.0} (x {:.2})", value / base)
            });
        }
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        table.row(&cells);
    }
    table.text().to_owned()
}

fn medians(Figures { calls, tree }: &Figures) -> Vec<f64> {
    let of_call = |call: usize| median(calls.iter().map(|cost| cost.values()[call]));
    (0..Cost::NAMES.len()).map(of_call).chain([median(tree.iter().copied())]).collect()
}

pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
