//! A process of another program, which is ended with whoever holds it.

use std::{fs, path::Path, process::Child, time::Duration};

use anyhow::{Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::deadline::until;

/// A process of a peer.
pub(super) struct Process(Child);

impl Process {
    pub(super) fn new(child: Child) -> Self {
        Self(child)
    }

    pub(super) fn still_runs(&mut self, log: &Path) -> Result<()> {
        if let Some(status) = self.0.try_wait()? {
            bail!("it ended with {status}: {}", said(log));
        }
        Ok(())
    }

    fn end(&mut self) {
        if let Some(pid) = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw)
            && matches!(self.0.try_wait(), Ok(None))
        {
            // As a person at a terminal would, so that it can detach what it attached; a daemon knows the other signal.
            for signal in [Signal::INT, Signal::TERM] {
                let _ = kill_process(pid, signal);
                if matches!(until(Duration::from_secs(5), || Ok(self.0.try_wait()?)), Ok(Some(_))) {
                    return;
                }
            }
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a program complains of: its last words, where nothing looks like a complaint.
pub(super) fn said(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let complains = |line: &&str| {
        let line = line.to_lowercase();
        ["unable", "cannot", "failed", "error"].iter().any(|word| line.contains(word))
    };
    lines().find(complains).or_else(|| lines().next_back()).unwrap_or("nothing").to_owned()
}
