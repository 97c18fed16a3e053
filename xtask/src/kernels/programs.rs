//! What runs inside a machine: everything that it needs in one file each.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::{
    architecture::Architecture,
    build::{self, Profile},
    repository::Repository,
    tools::{self, Cache, Suite},
};

/// The agent's tests that are made for machines, and the benchmark that is.
const TESTS: [[&str; 2]; 3] = [["--test", "kernel"], ["--test", "inotify"], ["--test", "ways"]];
const EMPTY_DOORS: [&str; 2] = ["--bench", "empty_doors"];

/// Statically linked programs for one kind of processor.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    /// The agent.
    pub(crate) agent: PathBuf,
    /// Writers and readers.
    pub(crate) workload: PathBuf,
    /// The agent's own tests, by name.
    pub(crate) tests: Vec<(&'static str, PathBuf)>,
    /// Empty programs where the agent has its own.
    pub(crate) empty_doors: PathBuf,
    /// Everything else that a first program needs.
    pub(crate) busybox: PathBuf,
}

impl Programs {
    /// Builds them.
    pub(crate) fn get(repository: &Repository, cache: &Cache, architecture: Architecture) -> Result<Self> {
        let compiler = build::compiler(cache, architecture)?;
        let (agent, workload) = build::agent_and_workload(repository, cache, architecture, Profile::Checks)?;
        let cargo = || compiler.cargo(repository, architecture, "test", Profile::Checks);
        let tests = TESTS.map(|wanted| Ok((wanted[1], build_target(cargo(), wanted)?)));
        let tests = tests.into_iter().collect::<Result<_>>()?;
        let empty_doors = build_target(cargo(), EMPTY_DOORS)?;
        Ok(Self { agent, workload, tests, empty_doors, busybox: busybox(cache, architecture)? })
    }
}

/// A static busybox.
pub(super) fn busybox(cache: &Cache, architecture: Architecture) -> Result<PathBuf> {
    const PROGRAM: &str = "bin/busybox";
    const PACKAGE: &str = "busybox-static";
    if architecture.is_host() {
        return tools::unpacked(cache, PACKAGE, PROGRAM);
    }
    Ok(Suite::own_unpacked(cache, architecture, PACKAGE)?.join(PROGRAM))
}

/// One of cargo's messages; only those of test programs carry all that is asked for.
#[derive(Debug, Deserialize)]
struct Message {
    #[serde(default)]
    executable: Option<PathBuf>,
    #[serde(default)]
    target: Target,
}

#[derive(Debug, Default, Deserialize)]
struct Target {
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: Vec<String>,
}

fn build_target(mut cargo: Command, wanted: [&str; 2]) -> Result<PathBuf> {
    let mut child = cargo
        .args(["--package", "watchdog", "--no-run", "--message-format", "json-render-diagnostics"])
        .args(wanted)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let output = child.stdout.take().context("cargo has no standard output")?;
    let found = BufReader::new(output)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| executable(&line, wanted))
        .last();
    let status = child.wait()?;
    ensure!(status.success(), "cargo test --no-run ended with {status}");
    found.context("cargo built no test program")
}

fn executable(message: &str, [option, name]: [&str; 2]) -> Option<PathBuf> {
    let Message { executable, target } = serde_json::from_str(message).ok()?;
    let kind = option.trim_start_matches('-');
    executable.filter(|_| target.name == name && target.kind.iter().any(|one| one == kind))
}

/// The file's content, with its name in the error.
pub(super) fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_program_is_found_among_cargos_messages() {
        let test = |message: &str| executable(message, TESTS[0]);
        let message = |name: &str, kind: &str, file: &str| {
            format!(
                r#"{{"reason":"compiler-artifact","target":{{"name":"{name}","kind":["{kind}"]}},"executable":{file}}}"#
            )
        };
        assert_eq!(test(&message("kernel", "test", "\"/t/kernel-1\"")), Some("/t/kernel-1".into()));
        assert_eq!(test(&message("kernel", "test", "null")), None);
        assert_eq!(test(&message("state-watchdog", "bin", "\"/t/state-watchdog\"")), None);
        assert_eq!(test(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(test("not a message"), None);
    }
}
