//! `cargo xtask test --kernels`: the agent judged on other kernels, each booted in an emulated machine.

mod cases;
mod catalogue;
mod cross;
mod index;
mod initramfs;
mod kernel;
mod machine;
mod newc;
mod programs;
mod suite;
mod table;
mod transcript;
mod verdict;

use std::{collections::BTreeMap, fs, path::Path, process::Command, time::Duration};

use anyhow::{Context as _, Result, ensure};

use crate::{
    check::Tally,
    repository::Repository,
    scratch::{Medium, Scratch},
    tools::{self, Cache},
};

use catalogue::{Architecture, Choice, KERNELS};
use kernel::Kernel;
use machine::{Machine, Run};
use programs::Programs;
use transcript::Transcript;
use verdict::judge;

/// A machine that has not powered off by then is stuck.
const LIMIT: Duration = Duration::from_secs(400);
/// The agent's own tests get this much of it.
const TESTS_LIMIT: Duration = Duration::from_secs(240);
/// Size of the disk, sparse.
const DISK: &str = "64M";

/// Which kernels, and what to do beside running them.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Only these kernels, by the names of the table; may be given again.
    #[arg(long, value_name = "NAME")]
    kernel: Vec<String>,
    /// Ask the releases for newer kernels, instead of taking those that were fetched before.
    #[arg(long)]
    refresh: bool,
}

/// Runs the machines one after another and counts what they prove.
pub(crate) fn check(options: &Options, repository: &Repository, cache: &Cache, tally: &mut Tally) {
    let mut chosen = Vec::new();
    tally.check("the kernels are known", || {
        chosen = choose(&options.kernel)?;
        Ok(format!("{}", chosen.len()))
    });
    let mut reports = Vec::new();
    let mut built: BTreeMap<&str, Option<Programs>> = BTreeMap::new();
    for choice in chosen {
        let architecture = choice.architecture;
        let programs = built.entry(architecture.debian()).or_insert_with(|| {
            let mut programs = None;
            tally.check(&format!("the programs for {} are there", architecture.debian()), || {
                programs = Some(prepare(repository, cache, architecture)?);
                Ok(String::new())
            });
            programs
        });
        let Some(programs) = programs else { continue };
        let mut transcript = Transcript::default();
        tally.check(&format!("{}: boots and comes to its end", choice.name), || {
            boot(choice, programs, cache, options.refresh, &mut transcript)
        });
        reports.push(judge(choice, &transcript, tally));
    }
    println!("\n{}", table::markdown(&reports));
    if options.kernel.is_empty() {
        tally.check(&format!("{} tells these results", table::PAGE), || {
            table::keep(repository.root(), &reports)
        });
    }
}

fn choose(names: &[String]) -> Result<Vec<Choice>> {
    let known = KERNELS.map(|kernel| kernel.name);
    for name in names {
        ensure!(known.contains(&name.as_str()), "no kernel is called {name}; there are {}", known.join(", "));
    }
    let wanted = |kernel: &Choice| names.is_empty() || names.iter().any(|name| name == kernel.name);
    Ok(KERNELS.into_iter().filter(wanted).collect())
}

/// Everything that the machines of one kind of processor share.
fn prepare(repository: &Repository, cache: &Cache, architecture: Architecture) -> Result<Programs> {
    let (emulator, package) = architecture.emulator();
    if !tools::has_program(emulator) {
        tools::installed(cache, &[package])?;
    }
    Programs::get(repository, cache, architecture)
}

fn boot(
    choice: Choice,
    programs: &Programs,
    cache: &Cache,
    refresh: bool,
    transcript: &mut Transcript,
) -> Result<String> {
    let kernel = Kernel::get(cache, choice, refresh)?;
    let scratch = Scratch::new(Medium::Disk)?;
    let (first, disk) = (scratch.path().join("initramfs"), scratch.path().join("disk"));
    fs::write(&first, initramfs::build(programs, &kernel, TESTS_LIMIT)?)?;
    make_disk(&disk)?;
    let architecture = choice.architecture;
    let machine = Machine { architecture, kernel: &kernel.image, initramfs: &first, disk: &disk };
    let Run { said, took, overdue } = machine.run(LIMIT)?;
    let log = cache.folder().join("logs").join(format!("kernel-{}.log", choice.name));
    fs::write(&log, &said).with_context(|| format!("cannot write {}", log.display()))?;
    *transcript = Transcript::parse(&said);
    let why = if overdue { "was not done in time" } else { "ended early" };
    ensure!(
        transcript.done,
        "{} {why}; {}; all it said: {}",
        kernel.version,
        transcript.end(),
        log.display()
    );
    Ok(format!("{} in {:.0} s", kernel.version, took.as_secs_f64()))
}

/// A disk with an empty ext4 that every kernel here can read.
fn make_disk(disk: &Path) -> Result<()> {
    // Debian keeps it where only root's path leads.
    let output = Command::new("/sbin/mke2fs").args(["-q", "-t", "ext4"]).arg(disk).arg(DISK).output()?;
    ensure!(output.status.success(), "mke2fs: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_name() {
        assert_eq!(choose(&[]).unwrap(), KERNELS);
        assert_eq!(choose(&["6.1".to_owned()]).unwrap(), [KERNELS[1]]);
        assert!(choose(&["2.4".to_owned()]).is_err());
    }
}
