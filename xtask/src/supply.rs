//! What the sources depend on: licences, versions, origins, and what is known to be wrong with any of it.

use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{
    repository::Repository,
    tally::Tally,
    tools::{CARGO_DENY, Cache},
};

/// What can be judged by the sources and the registry alone.
const JUDGED: [&str; 3] = ["licenses", "bans", "sources"];

/// What to do where GitHub cannot be reached.
const UNREACHED: &str = "the list of advisories is on GitHub, and that cannot be reached from here; with a copy of it: \
    git config --global url.COPY.insteadOf https://github.com/RustSec/advisory-db";

/// `deny.toml`, question by question.
pub(crate) fn check(repository: &Repository, cache: &Cache, tally: &mut Tally) {
    for what in JUDGED {
        tally.check(&format!("cargo deny: {what}"), || match deny(repository, cache, what)? {
            Answer::Good => Ok(String::new()),
            Answer::Bad(said) => bail!("{said}"),
        });
    }
}

/// Known vulnerabilities: the list of them lives on GitHub, which not every machine reaches.
pub(crate) fn check_advisories(repository: &Repository, cache: &Cache, tally: &mut Tally) {
    let name = "cargo deny: advisories";
    let answer = deny(repository, cache, "advisories");
    if let Ok(Answer::Bad(said)) = &answer
        && said.contains("failed to fetch advisory database")
    {
        return tally.skip(name, UNREACHED);
    }
    tally.check(name, || match answer? {
        Answer::Good => Ok(String::new()),
        Answer::Bad(said) => bail!("{said}"),
    });
}

/// What cargo-deny says.
enum Answer {
    Good,
    Bad(String),
}

fn deny(repository: &Repository, cache: &Cache, what: &str) -> Result<Answer> {
    let program = CARGO_DENY.program(cache)?;
    let output = Command::new(program)
        .args(["--color", "never", "--locked", "check", "--hide-inclusion-graph", what])
        .current_dir(repository.root())
        .output()
        .context("cannot start cargo-deny")?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Ok(if output.status.success() { Answer::Good } else { Answer::Bad(said) })
}
