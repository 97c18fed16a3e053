//! The reference of the command line: made from its definition, and as new as that.
//!
//! `UPDATE_DOCS=1 cargo test --package watchdog --test reference` writes it anew.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::CommandFactory as _;
use watchdog::cli::Cli;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Holds the files of a folder that end so against what they should be.
#[track_caller]
fn fresh(folder: &Path, suffix: &str, expected: &BTreeMap<String, String>) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(folder).unwrap();
        for (name, text) in expected {
            fs::write(folder.join(name), text).unwrap();
        }
    }
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found: BTreeMap<String, String> = entries
        .filter(|path| path.file_name().unwrap().to_str().unwrap().ends_with(suffix))
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
        })
        .collect();
    let names = |all: &BTreeMap<String, String>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(expected), "UPDATE_DOCS=1 writes what is missing");
    for (name, text) in expected {
        assert!(found[name] == *text, "{name} is not what the program says; UPDATE_DOCS=1 writes it anew");
    }
}

#[test]
fn the_page_on_the_command_line_is_fresh() {
    let options = clap_markdown::MarkdownOptions::new()
        .title("The command line".to_owned())
        .show_footer(false)
        .show_table_of_contents(true);
    let text = clap_markdown::help_markdown_command_custom(&Cli::command(), &options);
    let text: String = text.trim_end().lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    fresh(&docs(), "CLI.md", &BTreeMap::from([("CLI.md".to_owned(), text)]));
}

#[test]
fn the_manual_pages_are_fresh() {
    let folder = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(Cli::command(), folder.path()).unwrap();
    let pages = fs::read_dir(folder.path()).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(path).unwrap())
    });
    // What says how help is had is no page of its own.
    let pages: BTreeMap<_, _> = pages.filter(|(name, _)| !name.contains("-help")).collect();
    assert!(pages.len() > 8 && pages.contains_key("state-watchdog-run.1"), "{:?}", pages.keys());
    fresh(&docs().join("man"), ".1", &pages);
}

fn completions(shell: &str) -> String {
    let program = env!("CARGO_BIN_EXE_state-watchdog");
    let Output { status, stdout, stderr } =
        Command::new(program).args(["completions", shell]).output().unwrap();
    assert!(status.success() && stderr.is_empty(), "{shell}");
    String::from_utf8(stdout).unwrap()
}

#[test]
fn every_shell_gets_completions_that_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let text = completions(shell);
        for command in Cli::command().get_subcommands() {
            assert!(text.contains(command.get_name()), "{shell}: {}", command.get_name());
        }
        assert!(text.contains("host-root"), "{shell}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_state-watchdog")).args(["completions", "csh"]).output();
    assert_eq!(output.unwrap().status.code(), Some(64));
}

#[test]
fn bash_completes_commands_options_and_their_values() {
    let script = completions("bash");
    let complete = |words: &[&str]| {
        let last = words.len() - 1;
        let asked = format!(
            "COMP_WORDS=({}); COMP_CWORD={last}; _state__watchdog state-watchdog '{}' '{}'; echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words[last],
            words[last - 1]
        );
        let mut bash = Command::new("bash")
            .args(["--norc", "-s"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        write!(bash.stdin.take().unwrap(), "{script}\n{asked}\n").unwrap();
        let output = bash.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete(&["state-watchdog", "sc"]), "scan");
    assert_eq!(complete(&["state-watchdog", "run", "--sour"]), "--source");
    assert_eq!(complete(&["state-watchdog", "run", "--source", "sys"]), "syscalls");
}
