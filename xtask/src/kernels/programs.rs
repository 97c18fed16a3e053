//! What runs inside a machine: everything that it needs in one file each.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{
    catalogue::Architecture,
    compiler::{Compiler, target},
    cross,
};
use crate::{
    repository::Repository,
    tools::{self, Cache},
};

/// The agent's tests that are made for machines, and the benchmark that is.
const TESTS: [[&str; 2]; 2] = [["--test", "kernel"], ["--test", "inotify"]];
const EMPTY_DOORS: [&str; 2] = ["--bench", "empty_doors"];

/// Built in less time than the released ones; the probes are the same in all profiles.
const PROFILE: &str = "machine";
/// As users get it.
const RELEASE: &str = "release";

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
        let triple = architecture.triple();
        let compiler = compiler(cache, architecture)?;
        let cargo = |task: &str| compiler.cargo(repository, architecture, task, PROFILE);
        println!("  build the static programs for {triple}");
        let status = cargo("build").args(["--package", "watchdog", "--package", "workload"]).status()?;
        ensure!(status.success(), "cargo build ended with {status}");
        let tests = TESTS.map(|wanted| Ok((wanted[1], build_target(cargo("test"), wanted)?)));
        let tests = tests.into_iter().collect::<Result<_>>()?;
        let empty_doors = build_target(cargo("test"), EMPTY_DOORS)?;
        let built = target(repository).join(triple).join(PROFILE);
        Ok(Self {
            agent: built.join("state-watchdog"),
            workload: built.join("watchdog-workload"),
            tests,
            empty_doors,
            busybox: compiler.busybox,
        })
    }
}

/// The agent as it is released, linked statically.
pub(crate) fn released_agent(
    repository: &Repository,
    cache: &Cache,
    architecture: Architecture,
) -> Result<PathBuf> {
    let mut cargo = compiler(cache, architecture)?.cargo(repository, architecture, "build", RELEASE);
    cache.run(
        &format!("build the static agent for {}", architecture.debian()),
        cargo.args(["--package", "watchdog"]),
    )?;
    Ok(target(repository).join(architecture.triple()).join(RELEASE).join("state-watchdog"))
}

/// Finds or installs what building for `architecture` needs.
pub(super) fn compiler(cache: &Cache, architecture: Architecture) -> Result<Compiler> {
    if !architecture.is_host() {
        return cross::compiler(cache, architecture);
    }
    let busybox = tools::unpacked(cache, "busybox-static", "bin/busybox")?;
    Ok(Compiler { busybox, environment: Vec::new(), flags: String::new() })
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
