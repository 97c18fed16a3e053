//! The parts that load probes and run containers: as root, here or in another process.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use super::{Part, Programs, Tally, programs::word};
use crate::{
    dashboards, page, privilege,
    repository::Repository,
    runtimes,
    scratch::{Medium, Scratch},
    tools::Cache,
    truth,
};

/// The programs by path: building and installing is not done as root.
#[derive(Debug, clap::Args)]
pub(crate) struct Installed {
    #[arg(long)]
    part: Part,
    #[arg(long)]
    results: PathBuf,
    #[arg(long)]
    agent: PathBuf,
    #[arg(long)]
    workload: PathBuf,
    #[arg(long)]
    youki: PathBuf,
    #[arg(long)]
    runc: PathBuf,
    #[arg(long)]
    busybox: PathBuf,
    #[arg(long)]
    promtool: PathBuf,
}

/// Runs one part, through sudo when this is not root.
pub(super) fn run(part: Part, repository: &Repository, cache: &Cache, tally: &mut Tally) {
    if let Some(obstacle) = privilege::obstacle() {
        tally.skip(part.title(), obstacle);
        return;
    }
    let mut programs = None;
    tally.check("the programs are there", || {
        programs = Some(Programs::get(part, repository, cache)?);
        Ok(String::new())
    });
    let Some(programs) = programs else { return };
    if privilege::is_root() {
        run_part(part, &programs, cache, tally);
        return;
    }
    match elsewhere(part, &programs, cache) {
        Ok(results) => tally.add(results),
        Err(error) => tally.check(part.title(), || Err(error)),
    }
}

/// The other end of [`elsewhere`]: the same part, now as root.
pub(crate) fn run_installed(installed: Installed) -> Result<()> {
    let Installed { part, results, agent, workload, youki, runc, busybox, promtool } = installed;
    if !privilege::is_root() {
        bail!("this must be run as root");
    }
    let mut tally = Tally::default();
    run_part(
        part,
        &Programs { agent, workload, youki, runc, busybox, promtool },
        &Cache::open()?,
        &mut tally,
    );
    tally.write(&results)
}

fn elsewhere(part: Part, programs: &Programs, cache: &Cache) -> Result<Tally> {
    let scratch = Scratch::new(Medium::Disk)?;
    let results = scratch.path().join("results");
    let Programs { agent, workload, youki, runc, busybox, promtool } = programs;
    let options = [
        ("--results", &results),
        ("--agent", agent),
        ("--workload", workload),
        ("--youki", youki),
        ("--runc", runc),
        ("--busybox", busybox),
        ("--promtool", promtool),
    ];
    let mut arguments = vec!["installed".to_owned(), "--part".to_owned(), part.as_str().to_owned()];
    for (option, path) in options {
        arguments.extend([option.to_owned(), word(path)]);
    }
    let status = privilege::again_as_root(cache, &arguments)?;
    ensure!(status.success(), "the part run as root ended with {status}");
    Tally::read(&results)
}

fn run_part(part: Part, programs: &Programs, cache: &Cache, tally: &mut Tally) {
    if part == Part::Browser {
        return page::check(programs, cache, tally);
    }
    if part == Part::Prometheus {
        return dashboards::check_live(programs, cache, tally);
    }
    for medium in Medium::ALL {
        match part {
            Part::Kernel => {
                truth::check(programs, medium, tally);
                truth::check_inotify(programs, medium, tally);
            }
            Part::Runtimes => {
                runtimes::check_youki(programs, medium, tally);
                runtimes::check_runc(programs, medium, tally);
            }
            Part::Format
            | Part::Lint
            | Part::Minimal
            | Part::Unit
            | Part::Browser
            | Part::Scrape
            | Part::Kernels
            | Part::Rules
            | Part::Prometheus
            | Part::Deploy => {}
        }
    }
}
