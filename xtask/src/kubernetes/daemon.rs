//! A part of the cluster that runs until it is asked to end.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::until;

const STOP: Duration = Duration::from_secs(60);
/// How much of a log is shown.
const TAIL_LINES: usize = 12;
const TAIL_COLUMNS: usize = 300;

/// A process and its log; asked to end when it is dropped.
pub(super) struct Daemon {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it with its log in `folder`.
    pub(super) fn start(name: &'static str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, child, log })
    }

    /// An error when it has ended by itself.
    pub(super) fn runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("{} ended with {status}: {}", self.name, self.log_end()),
            None => Ok(()),
        }
    }

    /// The last lines of its log, under its name.
    pub(super) fn log_end(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<String> = text.lines().map(|line| line.chars().take(TAIL_COLUMNS).collect()).collect();
        format!("{} says:\n{}", self.name, lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
    }

    fn end(&mut self) -> Result<()> {
        if self.child.try_wait()?.is_none() {
            let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
            kill_process(pid.context("no such process id")?, Signal::TERM)?;
            until(STOP, || Ok(self.child.try_wait()?))?.context("it does not stop")?;
        }
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("{} is killed: {error:#}", self.name);
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
