//! The other negative control: crun replaces its `status` atomically, and on create alone.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    container::{Call, Container, Runtime},
    control::{self, Watched},
};
use crate::{
    agent::Agent,
    deadline::until,
    programs::Programs,
    scratch::{Medium, Scratch},
    tally::Tally,
};

const RUNTIME: &str = "crun";
/// How many containers come and go.
const CONTAINERS: usize = 20;
/// Where systemd mounts version 2 of the cgroups beside version 1; crun 1.8 refuses to run with both.
const BOTH: &str = "/sys/fs/cgroup/unified";

/// Runs crun on one medium; creates, reads and deletes must leave no finding.
pub(crate) fn check(programs: &Programs, medium: Medium, tally: &mut Tally) {
    let watch = || watch(programs, medium);
    control::check((RUNTIME, medium), tally, "containers come and go", watch, |watched| {
        let failed = watched.reads.iter().find(|call| !call.success);
        ensure!(failed.is_none(), "a reader failed: {failed:?}");
        Ok(format!("{} creates, {} reads", watched.saves, watched.reads.len()))
    });
}

fn watch(programs: &Programs, medium: Medium) -> Result<Watched> {
    let scratch = Scratch::new(medium)?;
    let (root, bundle) = (scratch.folder("root")?, scratch.folder("bundle")?);
    let log = scratch.path().join("agent.log");
    let view = View::of_one_hierarchy()?;
    // From where crun sees the files: what a process saw that is gone is known to those alone that see the same.
    let agent = Agent::start_by(view.command(&programs.agent), &[], &[(RUNTIME, &root)], &log, None)?;
    let crun = view.runtime(&programs.runtimes.crun);
    let mut reads: Vec<Call> = Vec::new();
    for _ in 0..CONTAINERS {
        let container = Container::start(&crun, &root, &bundle, &programs.runtimes.busybox)?;
        for _ in 0..2 {
            reads.push(container.call(&["state"], &[])?);
        }
    }
    Watched::finish(agent, RUNTIME, CONTAINERS, reads)
}

/// A view of the file systems in which crun runs: where both versions of the cgroups are mounted, a mount namespace in
/// which version 2 is not.
pub(super) struct View {
    /// It keeps the namespace; `None` where none is needed.
    keeper: Option<Child>,
}

impl View {
    const READY: Duration = Duration::from_secs(60);

    pub(super) fn of_one_hierarchy() -> Result<Self> {
        if !Path::new(BOTH).is_dir() {
            return Ok(Self { keeper: None });
        }
        let script = format!("umount {BOTH} && exec sleep infinity");
        let keeper = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", &script])
            .spawn()
            .context("cannot start unshare")?;
        let comm = PathBuf::from(format!("/proc/{}/comm", keeper.id()));
        let view = Self { keeper: Some(keeper) };
        let ready = until(Self::READY, || Ok((fs::read_to_string(&comm)?.trim() == "sleep").then_some(())))?;
        ready.with_context(|| format!("{BOTH} cannot be hidden"))?;
        Ok(view)
    }

    pub(super) fn runtime(&self, program: &Path) -> Runtime {
        Runtime::by(program, self.enter())
    }

    fn command(&self, program: &Path) -> Command {
        let words = self.enter();
        let Some((first, rest)) = words.split_first() else { return Command::new(program) };
        let mut command = Command::new(first);
        command.args(rest).arg(program);
        command
    }

    /// The words before a command that is to have this view; the process stays the same one.
    fn enter(&self) -> Vec<String> {
        let keeper = self.keeper.iter();
        keeper
            .flat_map(|keeper| {
                ["nsenter".to_owned(), format!("--mount=/proc/{}/ns/mnt", keeper.id()), "--".to_owned()]
            })
            .collect()
    }
}

impl Drop for View {
    fn drop(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            // It may have ended by itself.
            let _ = keeper.kill();
            let _ = keeper.wait();
        }
    }
}
