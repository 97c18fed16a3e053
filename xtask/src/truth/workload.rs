//! Runs one container's writer and readers.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde::de::DeserializeOwned;
use workload::{How, Style};

use super::compare::Truth;
use crate::deadline::ended;

/// No writer and no reader of a plan takes longer, on the busiest machine.
const LONGEST: Duration = Duration::from_secs(600);

/// One container's work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// How it is saved.
    pub(crate) how: How,
    /// How it is read.
    pub(crate) style: Style,
    /// How many saves.
    pub(crate) writes: u64,
    /// How many reads, each by a process of its own.
    pub(crate) reads: u64,
}

impl Plan {
    /// The container's id.
    pub(crate) fn container(&self) -> String {
        format!("{}-{}", self.how.as_str(), self.style.as_str())
    }

    /// The container's directory with its first version, made before anyone watches.
    pub(crate) fn prepare(&self, program: &Path, root: &Path) -> Result<()> {
        std::fs::create_dir_all(root.join(self.container()))?;
        let status = Command::new(program).arg("prepare").arg(self.file(root)).status()?;
        ensure!(status.success(), "cannot prepare {}", self.container());
        Ok(())
    }

    /// Starts the writer and the readers; `counters` is a folder outside of what is watched.
    pub(crate) fn start(&self, program: &Path, root: &Path, counters: &Path) -> Result<Running> {
        self.start_with(program, root, counters, &[])
    }

    /// The same with further options for the readers.
    pub(crate) fn start_with(
        &self,
        program: &Path,
        root: &Path,
        counters: &Path,
        options: &[&str],
    ) -> Result<Running> {
        let start = |task: &str, option: &str, value: &str, options: &[&str]| {
            Command::new(program)
                .args([task, option, value])
                .args(options)
                .arg("--file")
                .arg(self.file(root))
                .arg("--progress")
                .arg(counters.join(self.container()))
                .args(["--writes", &self.writes.to_string(), "--reads", &self.reads.to_string()])
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .map(Worker)
                .with_context(|| format!("cannot start {}", program.display()))
        };
        let readers = start("read", "--style", self.style.as_str(), options)?;
        let writer = start("write", "--how", self.how.as_str(), &[])?;
        Ok(Running { plan: *self, writer, readers })
    }

    fn file(&self, root: &Path) -> PathBuf {
        root.join(self.container()).join("state.json")
    }
}

/// A writer and its readers at work.
#[derive(Debug)]
pub(crate) struct Running {
    plan: Plan,
    writer: Worker,
    readers: Worker,
}

impl Running {
    /// Waits for both and gives what they recorded.
    pub(crate) fn finish(self) -> Result<Truth> {
        let Self { plan, writer, readers } = self;
        let container = plan.container();
        let of = container.clone();
        let reading = std::thread::spawn(move || readers.records(&format!("the readers of {of}")));
        let writes = writer.records(&format!("the writer of {container}"))?;
        let reads = reading.join().ok().context("the readers' records are lost")??;
        let truth = Truth { container: plan.container(), how: plan.how, writes, reads };
        ensure!(truth.writes.len() as u64 == plan.writes, "the writer recorded {} saves", truth.writes.len());
        ensure!(truth.reads.len() as u64 == plan.reads, "the readers recorded {} reads", truth.reads.len());
        Ok(truth)
    }
}

/// A process that ends with us.
#[derive(Debug)]
struct Worker(Child);

impl Worker {
    /// What it recorded, once it has ended; `what` names it in errors.
    fn records<T: DeserializeOwned + Send + 'static>(mut self, what: &str) -> Result<Vec<T>> {
        let output = self.0.stdout.take().with_context(|| format!("{what} has no standard output"))?;
        let records = std::thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            lines.map(|line| Ok(serde_json::from_str(&line?)?)).collect::<Result<Vec<T>>>()
        });
        let status = ended(&mut self.0, what, LONGEST)?;
        ensure!(status.success(), "{what} ended with {status}");
        records
            .join()
            .ok()
            .with_context(|| format!("the records of {what} are lost"))?
            .with_context(|| format!("a record of {what} is not readable"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Does nothing when it has already been waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
