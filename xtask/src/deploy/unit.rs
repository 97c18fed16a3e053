//! The systemd unit, judged by systemd.

use std::{fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::programs::output;
use crate::{
    scratch::Scratch,
    tools::{self, Cache},
};

const UNIT: &str = "deploy/systemd/state-watchdog.service";
/// Where the unit expects the agent.
const PROGRAM: &str = "/usr/local/bin/state-watchdog";
/// systemd's own score of exposure, in tenths: 100 is no protection at all. A service that sees the host's processes and
/// answers on the network cannot be at 0.
const LIMIT: u32 = 23;

/// An error when systemd finds fault, or finds it more exposed than it was.
pub(super) fn check(cache: &Cache, root: &Path, scratch: &Scratch) -> Result<String> {
    if !tools::has_program("systemd-analyze") {
        tools::installed(cache, &["systemd"])?;
    }
    let unit = fs::read_to_string(root.join(UNIT)).with_context(|| format!("cannot read {UNIT}"))?;
    ensure!(unit.contains(PROGRAM), "{UNIT} does not start {PROGRAM}");
    // systemd asks whether the program is there; this machine has the agent elsewhere, or nowhere.
    let copy = scratch.path().join("state-watchdog.service");
    fs::write(&copy, unit.replace(PROGRAM, "/bin/true"))?;
    let verify = Command::new("systemd-analyze").arg("verify").arg(&copy).output()?;
    let said = String::from_utf8_lossy(&verify.stderr);
    let own: Vec<&str> = said.lines().filter(|line| line.contains("state-watchdog")).collect();
    ensure!(verify.status.success() && own.is_empty(), "systemd-analyze verify: {}", said.trim());
    let report =
        output(Command::new("systemd-analyze").args(["security", "--offline=yes", "--no-pager"]).arg(&copy))?;
    let level = exposure(&report).context("systemd-analyze security names no level")?;
    ensure!(
        level <= LIMIT,
        "exposure level {}.{}, expected at most {}.{}",
        level / 10,
        level % 10,
        LIMIT / 10,
        LIMIT % 10
    );
    Ok(format!("exposure level {}.{} of 10", level / 10, level % 10))
}

/// The level in tenths.
fn exposure(report: &str) -> Option<u32> {
    let (_, rest) = report.split_once("Overall exposure level for ")?;
    let level = rest.split_once(": ")?.1.split_whitespace().next()?;
    let (whole, tenth) = level.split_once('.')?;
    Some(whole.parse::<u32>().ok()? * 10 + tenth.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_is_found_in_the_last_line() {
        assert_eq!(exposure("…\n\n→ Overall exposure level for a.service: 2.3 OK :-)\n"), Some(23));
        assert_eq!(exposure("→ Overall exposure level for a.service: 10.0 UNSAFE\n"), Some(100));
        assert_eq!(exposure("no such unit\n"), None);
    }
}
