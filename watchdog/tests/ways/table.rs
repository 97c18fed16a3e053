//! The table in the docs.

use std::fmt::Write as _;

use crate::ways::WAYS;

/// What becomes of a way under a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A finding names the container.
    Seen,
    /// `events_lost_total` or `anomalies_total` grows.
    Counted,
    /// Nothing: `doctor`, `/status` and the docs say so.
    Blind,
}

/// The columns.
pub(crate) const SOURCES: [&str; 3] = ["vfs", "syscalls", "inotify"];

pub(crate) const BEGIN: &str = "<!-- begin ways: generated -->\n";
pub(crate) const END: &str = "<!-- end ways -->";

pub(crate) fn render() -> String {
    let mut table =
        String::from("| way to write or read a state file | vfs | syscalls | inotify |\n|---|---|---|---|\n");
    for way in WAYS {
        let cells = way.answers.map(|answer| match answer {
            Answer::Seen => "seen",
            Answer::Counted => "counted",
            Answer::Blind => "blind",
        });
        writeln!(table, "| {} | {} |", way.name, cells.join(" | ")).unwrap();
    }
    table
}
