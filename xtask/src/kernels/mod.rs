//! `cargo xtask test --kernels`: the agent judged on other kernels, each booted in an emulated machine.

mod cases;
mod catalogue;
mod count;
mod initramfs;
mod jobs;
mod kernel;
mod lockdown;
mod machine;
mod newc;
mod options;
mod pairs;
mod programs;
mod repeat;
mod table;
mod transcript;
mod verdict;

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{build, repository::Repository, tally::Tally, tools::Cache};

pub(crate) use count::count;
pub(crate) use options::Options;

use catalogue::KERNELS;
use initramfs::Purpose;
use jobs::{Job, architectures, emulator, jobs};
use kernel::Kernel;
use pairs::in_pairs;
use transcript::Transcript;
use verdict::judge;

/// Runs the machines, two at a time, and counts what they prove.
pub(crate) fn check(options: &Options, repository: &Repository, cache: &Cache, tally: &mut Tally) {
    if options.case.is_some() {
        return repeat::check(options, repository, cache, tally);
    }
    let mut built = BTreeMap::new();
    let jobs = jobs(options, repository, cache, tally, &mut built);
    let mut reports = Vec::new();
    let boot = |job: &Job<'_>| {
        let mut transcript = Transcript::default();
        let outcome = job.boot(Purpose::Judge, cache, &mut transcript);
        (transcript, outcome)
    };
    for (job, (transcript, outcome)) in jobs.iter().zip(in_pairs(&jobs, boot)) {
        tally.check(&format!("{}: boots and comes to its end", job.choice.name), || outcome);
        reports.push(judge(job.choice, &job.doors, &transcript, tally));
    }
    println!("\n{}", table::markdown(&reports));
    if options.is_everything() {
        tally.check(&format!("{} tells these results", table::PAGE), || {
            table::keep(repository.root(), &reports)
        });
    }
}

/// Fetches everything that the machines need, so that later runs need no network.
pub(crate) fn set_up(cache: &Cache) -> Result<()> {
    for architecture in architectures(&KERNELS) {
        emulator(cache, architecture)?;
        build::compiler(cache, architecture)?;
        programs::busybox(cache, architecture)?;
    }
    for choice in KERNELS {
        let kernel = Kernel::get(cache, choice, false)?;
        println!("  kernel {}: {}", choice.name, kernel.version);
    }
    Ok(())
}
