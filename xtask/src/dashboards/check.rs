//! The rules before Prometheus's own judge.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{UPDATE, rendered};
use crate::{
    repository::Repository,
    tally::Tally,
    tools::{self, Cache},
};

/// Where Prometheus is taken from: from 3.0 on it says what is doubtful in an expression.
const CHOICES: [(&str, &[&str]); 2] = [
    ("forky", &["prometheus", "promtool", "prometheus-alertmanager"]),
    ("trixie", &["prometheus", "prometheus-alertmanager"]),
];

/// A program of the newest Prometheus that runs here, or of its Alertmanager.
pub(crate) fn prometheus_program(cache: &Cache, name: &str) -> Result<PathBuf> {
    let program = tools::released(cache, "prometheus-released", &CHOICES)?.join("usr/bin").join(name);
    ensure!(program.is_file(), "Debian's packages of Prometheus hold no {name}");
    Ok(program)
}

/// Checks the rendered rules, and runs their unit tests.
pub(crate) fn check_rules(repository: &Repository, cache: &Cache, tally: &mut Tally) {
    let mut promtool = None;
    tally.check("promtool is there", || {
        promtool = Some(prometheus_program(cache, "promtool")?);
        Ok(String::new())
    });
    let Some(promtool) = promtool else { return };
    for file in rendered() {
        let path = repository.root().join("dashboards").join(file.path);
        if fs::read_to_string(&path).unwrap_or_default() != file.content {
            tally.check(file.path, || bail!("it is stale: {UPDATE}"));
        }
        if file.path.starts_with("rules/tests/") {
            tally.check(&format!("promtool test rules {}", file.path), || {
                run(&promtool, &["test", "rules"], &path)
            });
        } else if file.path.starts_with("rules/") {
            tally.check(&format!("promtool check rules {}", file.path), || {
                run(&promtool, &["check", "rules", "--lint=all", "--lint-fatal"], &path)
            });
        }
    }
}

/// The last line of what it says; all of it when it complains.
fn run(promtool: &Path, arguments: &[&str], file: &Path) -> Result<String> {
    let output = Command::new(promtool)
        .args(arguments)
        .arg(file)
        .output()
        .with_context(|| format!("cannot start {}", promtool.display()))?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout).trim(),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    ensure!(output.status.success(), "{said}");
    Ok(said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default().to_owned())
}
