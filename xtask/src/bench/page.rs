//! What is measured goes to the terminal, and on request into docs/OVERHEAD.md.

use std::{
    fs,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{marks::Marks, repository::Repository};

/// The page, below the root of the repository.
const PAGE: &str = "docs/OVERHEAD.md";
/// Set to write it.
const UPDATE: &str = "UPDATE_DOCS";

/// A part of the page that one measurement writes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Attachments,
    Calls,
    Peers,
    Engine,
    Growth,
    Fleet,
    Throughput,
    Memory,
    Watches,
}

impl Part {
    fn marks(self) -> Marks {
        let (begin, end) = match self {
            Self::Attachments => ("<!-- begin attachments: generated -->", "<!-- end attachments -->"),
            Self::Calls => ("<!-- begin calls: generated -->", "<!-- end calls -->"),
            Self::Peers => ("<!-- begin peers: generated -->", "<!-- end peers -->"),
            Self::Engine => ("<!-- begin engine: generated -->", "<!-- end engine -->"),
            Self::Growth => ("<!-- begin growth: generated -->", "<!-- end growth -->"),
            Self::Fleet => ("<!-- begin fleet: generated -->", "<!-- end fleet -->"),
            Self::Throughput => ("<!-- begin throughput: generated -->", "<!-- end throughput -->"),
            Self::Memory => ("<!-- begin memory: generated -->", "<!-- end memory -->"),
            Self::Watches => ("<!-- begin watches: generated -->", "<!-- end watches -->"),
        };
        Marks { page: PAGE, begin, end }
    }
}

/// True when the page is to be written.
pub(super) fn is_wanted() -> bool {
    std::env::var_os(UPDATE).is_some()
}

/// Shows a table, and puts it in its place on the page when that is wanted.
pub(super) fn keep(repository: &Repository, part: Part, text: &str) -> Result<()> {
    println!("\n{text}");
    write(repository, part, text)
}

/// The same without showing it.
pub(super) fn write(repository: &Repository, part: Part, text: &str) -> Result<()> {
    if !is_wanted() {
        return Ok(());
    }
    let path = repository.root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let renewed = part.marks().renew(&page, text)?;
    fs::write(&path, renewed).with_context(|| format!("cannot write {}", path.display()))
}

/// One of the agent's benches.
pub(super) fn bench(repository: &Repository, name: &str) -> Command {
    let mut command = repository.cargo();
    command.args(["bench", "--quiet", "--package", "watchdog", "--bench", name]);
    command
}

/// The table that a bench prints, among other lines.
pub(super) fn table(bench: &mut Command) -> Result<String> {
    let output = bench.stderr(Stdio::inherit()).output().context("cannot start cargo")?;
    ensure!(output.status.success(), "{bench:?} ended with {}", output.status);
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
    ensure!(!lines.is_empty(), "{bench:?} printed no table: {text}");
    Ok(lines.join("\n") + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_a_place_for_each_part() {
        let page = fs::read_to_string(Repository::find().unwrap().root().join(PAGE)).unwrap();
        for part in [
            Part::Attachments,
            Part::Calls,
            Part::Peers,
            Part::Engine,
            Part::Growth,
            Part::Fleet,
            Part::Throughput,
            Part::Memory,
        ] {
            let text = "| one |\n";
            let renewed = part.marks().renew(&page, text).unwrap();
            assert_eq!(part.marks().renew(&renewed, text).unwrap(), renewed, "{part:?}");
        }
    }
}
