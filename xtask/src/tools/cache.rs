//! The folder that holds what was installed, and the logs of installing it.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use super::toolchain::BpfToolchain;

/// How much of a failed command's log is shown.
const TAIL_LINES: usize = 25;

/// The tools' folder: `$STATE_WATCHDOG_CACHE`, else `state-watchdog` in the user's cache folder.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Finds the folder and makes it.
    pub(crate) fn open() -> Result<Self> {
        let folder = BpfToolchain::cache().context("neither STATE_WATCHDOG_CACHE nor HOME is set")?;
        fs::create_dir_all(folder.join("logs"))
            .with_context(|| format!("cannot make the tools' folder {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs a long command with its output in a log, and says so in one line.
    pub(crate) fn run(&self, what: &str, command: &mut Command) -> Result<()> {
        let log = self.folder.join("logs").join(format!("{}.log", what.replace([' ', '/'], "-")));
        let output = fs::File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        print!("  {what} … ");
        std::io::stdout().flush()?;
        let start = Instant::now();
        let status = command
            .stdin(std::process::Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .status()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        if status.success() {
            println!("{:.0} s", start.elapsed().as_secs_f64());
            return Ok(());
        }
        println!("failed");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
        bail!("{what}: {status}; the end of {}:\n{}", log.display(), tail.join("\n"))
    }
}
