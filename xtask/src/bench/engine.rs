//! The engine alone: the bench of the agent's library measures it, without a kernel.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::page::{self, Part};
use crate::{
    markdown::Table,
    repository::Repository,
    scratch::{Medium, Scratch},
};

/// Events a second on one core, and what is kept of each file and each open description.
pub(super) fn engine(repository: &Repository) -> Result<()> {
    let scratch = Scratch::new(Medium::Disk)?;
    let mut bench = page::bench(repository, "engine");
    let kept = page::table(bench.env("CRITERION_HOME", scratch.path()))?;
    let mut table = Table::new(&["events", "a second, millions", "each, ns"]);
    for (name, nanoseconds) in measured(&scratch.path().join("engine"))? {
        table.row(&[&name, &format!("{:.1}", 1e3 / nanoseconds), &format!("{nanoseconds:.0}")]);
    }
    page::keep(repository, Part::Engine, &format!("{}\n{kept}", table.text()))
}

/// Medians that criterion left in a folder: nanoseconds for an event of each story.
fn measured(folder: &Path) -> Result<BTreeMap<String, f64>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let story = entry?.path().join("new");
        let read = |name: &str| -> Result<Value> {
            let file = story.join(name);
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
        };
        if !story.is_dir() {
            continue;
        }
        let (story, estimates) = (read("benchmark.json")?, read("estimates.json")?);
        let name = story["function_id"].as_str().context("a story has no name")?;
        let events = story["throughput"]["Elements"].as_f64().context("a story has no events")?;
        let whole = estimates["median"]["point_estimate"].as_f64().context("a story has no median")?;
        all.insert(name.to_owned(), whole / events);
    }
    ensure!(!all.is_empty(), "{} holds no figures", folder.display());
    Ok(all)
}
