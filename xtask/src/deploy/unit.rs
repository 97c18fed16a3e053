//! The systemd unit, judged by systemd.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::programs::output;
use crate::{
    scratch::Scratch,
    tools::{self, Cache},
};

const UNIT: &str = "deploy/systemd/state-watchdog.service";
/// What the agent calls; raising a limit is left to systemd.
const PROFILE: &str = "deploy/seccomp/state-watchdog.json";
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

/// An error unless the unit lets through every call that the seccomp profile allows: under that, the agent is run.
pub(super) fn check_filter(root: &Path) -> Result<String> {
    let unit = fs::read_to_string(root.join(UNIT))?;
    let mut let_through = members("@default")?;
    for rule in unit.lines().filter_map(|line| line.strip_prefix("SystemCallFilter=")) {
        let (taken_away, words) = rule.strip_prefix('~').map_or((false, rule), |words| (true, words));
        for word in words.split_whitespace() {
            for call in members(word)? {
                if taken_away {
                    let_through.remove(&call)
                } else {
                    let_through.insert(call)
                };
            }
        }
    }
    let profile: Value = serde_json::from_str(&fs::read_to_string(root.join(PROFILE))?)?;
    let groups = profile["syscalls"].as_array().context("a profile without calls")?;
    let names = groups.iter().filter_map(|group| group["names"].as_array()).flatten();
    let wanted: BTreeSet<&str> =
        names.filter_map(Value::as_str).filter(|name| *name != "setrlimit").collect();
    let refused: Vec<&&str> = wanted.iter().filter(|name| !let_through.contains(**name)).collect();
    ensure!(refused.is_empty(), "the unit refuses {refused:?}");
    Ok(format!("{} calls of {}", wanted.len(), let_through.len()))
}

/// The calls of a group, or the call itself.
fn members(word: &str) -> Result<BTreeSet<String>> {
    if !word.starts_with('@') {
        return Ok(BTreeSet::from([word.to_owned()]));
    }
    let listing = output(Command::new("systemd-analyze").args(["syscall-filter", "--no-pager", word]))?;
    let mut calls = BTreeSet::new();
    // Below the group's own name, with its explanation behind a hash.
    for name in
        listing.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        calls.extend(members(name)?);
    }
    Ok(calls)
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
