//! The negative control: runc replaces its state atomically, so nothing may be said against it.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{
    container::{Call, Container, Runtime},
    control::{self, Watched},
    crowd::{self, Turn},
};
use crate::{
    agent::Agent,
    programs::Programs,
    scratch::{Medium, Scratch},
    tally::Tally,
};

const RUNTIME: &str = "runc";
const READS: usize = 500;
/// For a machine that others keep busy; the loops end as soon as there are enough.
const LIMIT: Duration = Duration::from_secs(600);

/// Runs runc on one medium; updates against execs and state commands must leave no finding.
pub(crate) fn check(programs: &Programs, medium: Medium, tally: &mut Tally) {
    let watch = || watch(programs, medium);
    control::check((RUNTIME, medium), tally, "no reader fails beside a writer", watch, |watched| {
        let failed: Vec<&Call> = watched.reads.iter().filter(|call| !call.success).collect();
        ensure!(failed.is_empty(), "{} failed, the first: {:?}", failed.len(), failed.first());
        let reads = watched.reads.len();
        ensure!(reads >= READS, "only {reads} reads in {} s", LIMIT.as_secs());
        Ok(format!("{reads} reads, {} updates", watched.saves))
    });
}

fn watch(programs: &Programs, medium: Medium) -> Result<Watched> {
    let scratch = Scratch::new(medium)?;
    let (root, bundle) = (scratch.folder("root")?, scratch.folder("bundle")?);
    let log = scratch.path().join("agent.log");
    let agent = Agent::start(&programs.agent, &[(RUNTIME, &root)], &log, None)?;
    let runtimes = &programs.runtimes;
    let container = Container::start(&Runtime::new(&runtimes.runc), &root, &bundle, &runtimes.busybox)?;
    let update: Turn = Box::new(|number| {
        let shares = if number % 2 == 0 { "512" } else { "1024" };
        container.call(&["update", "--cpu-share", shares], &[])
    });
    let exec: Turn = Box::new(|_| container.call(&["exec"], &["/bin/true"]));
    let state: Turn = Box::new(|_| container.call(&["state"], &[]));
    let loops = [update, exec, state];
    let mut calls = crowd::run(&loops, LIMIT, |calls| {
        calls[0].len() >= READS / 5 && calls[1..].iter().map(Vec::len).sum::<usize>() >= READS
    })?;
    let reads = calls.split_off(1).concat();
    let updates = calls.concat().iter().filter(|call| call.success).count();
    drop(loops);
    let watched = Watched::finish(agent, RUNTIME, updates, reads);
    drop(container);
    watched
}
