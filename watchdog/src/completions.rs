//! Completions for shells, made from the definition of the command line.

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use crate::cli::Cli;

/// The script that a shell is to source.
#[must_use]
pub fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "state-watchdog", &mut script);
    // clap_complete 4.6 gives the hyphen in a program's name two spellings in bash, and nothing behind a command is completed.
    String::from_utf8_lossy(&script).replace("state__subcmd__watchdog", "state__watchdog")
}
