//! The parts that load probes and run containers: as root, here or in another process.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};

use super::part::Part;
use crate::{
    build::Profile,
    chaos, dashboards, page, privilege,
    programs::Programs,
    repository::Repository,
    runtimes, scale,
    scratch::{Medium, Scratch},
    soak,
    tally::Tally,
    tools::{Cache, Runtimes},
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
    promtool: PathBuf,
}

/// Runs one part, through sudo when this is not root.
pub(super) fn run(part: Part, profile: Profile, repository: &Repository, cache: &Cache, tally: &mut Tally) {
    if let Some(obstacle) = privilege::obstacle() {
        tally.skip(part.title(), obstacle);
        return;
    }
    let mut programs = None;
    tally.check("the programs are there", || {
        let built = Programs::get(repository, cache, profile)?;
        programs = Some(Programs { runtimes: runtimes(part, cache)?, ..built });
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
    let Installed { part, results, agent, workload, promtool } = installed;
    if !privilege::is_root() {
        bail!("this must be run as root");
    }
    let cache = Cache::open()?;
    // They were installed before; here they are found again.
    let runtimes = runtimes(part, &cache)?;
    let mut tally = Tally::default();
    run_part(part, &Programs { agent, workload, runtimes, promtool }, &cache, &mut tally);
    tally.write(&results)
}

fn elsewhere(part: Part, programs: &Programs, cache: &Cache) -> Result<Tally> {
    let scratch = Scratch::new(Medium::Disk)?;
    let results = scratch.path().join("results");
    let Programs { agent, workload, runtimes: _, promtool } = programs;
    let options =
        [("--results", &results), ("--agent", agent), ("--workload", workload), ("--promtool", promtool)];
    let mut arguments = vec!["installed".to_owned(), "--part".to_owned(), part.as_str().to_owned()];
    for (option, path) in options {
        arguments.extend([option.to_owned(), path.display().to_string()]);
    }
    let status = privilege::again_as_root(cache, &arguments)?;
    ensure!(status.success(), "the part run as root ended with {status}");
    Tally::read(&results)
}

/// Installs the container runtimes that a part runs.
fn runtimes(part: Part, cache: &Cache) -> Result<Runtimes> {
    match part {
        Part::Runtimes => Runtimes::packaged(cache),
        Part::Youki => Runtimes::get(cache),
        _ => Ok(Runtimes::default()),
    }
}

fn run_part(part: Part, programs: &Programs, cache: &Cache, tally: &mut Tally) {
    match part {
        Part::Browser => page::check(programs, cache, tally),
        Part::Prometheus => dashboards::check_live(programs, cache, tally),
        Part::Chaos => chaos::check(programs, tally),
        Part::Soak => soak::check(programs, cache, tally),
        Part::Kernel => {
            scale::check(programs, tally);
            for medium in Medium::ALL {
                truth::check(programs, medium, tally);
                truth::check_inotify(programs, medium, tally);
            }
        }
        Part::Runtimes => {
            runtimes::check_containerd(programs, tally);
            for medium in Medium::ALL {
                runtimes::check_runc(programs, medium, tally);
                runtimes::check_crun(programs, medium, tally);
            }
        }
        Part::Youki => {
            for medium in Medium::ALL {
                runtimes::check_youki(programs, medium, tally);
            }
        }
        Part::Format
        | Part::Lint
        | Part::Minimal
        | Part::Unit
        | Part::Deny
        | Part::Advisories
        | Part::Kernels
        | Part::Kubernetes
        | Part::Rules
        | Part::Scrape
        | Part::Fuzz
        | Part::Deploy => {}
    }
}
