//! The sentence for a person.

use crate::enrich::Damage;
use crate::model::{
    ExitStatus, Follows, Outcome, ReadReport, ReaderExit, ReaderResult, SessionReport, Verdict,
};

/// A window that is shorter than this cannot be measured by looking.
const LOOKS: u64 = 1_000_000;

/// `youki (pid 800) rewrote container abc's state.json in place: for 265 µs readers could see part of it`.
pub(super) fn session(who: &str, file: &str, report: &SessionReport, died: bool) -> String {
    let did = match report.outcome {
        Outcome::CreatedInPlace => format!("created {file} under its final name"),
        Outcome::Recreated => format!("removed {file} and filled it again under its final name"),
        Outcome::IncompleteReplace => format!("renamed a file over {file} before it was complete"),
        Outcome::InPlace | Outcome::AtomicReplace | Outcome::Guarded | Outcome::Unknown => {
            format!("rewrote {file} in place")
        }
    };
    let window = report.window.end.since(report.window.start);
    // A source that sees no process knows no times but those at which it looked.
    let short = !report.writer.is_known() && window < LOOKS;
    let window = if short { format!("less than {}", duration(LOOKS)) } else { duration(window) };
    let died = if died { ", and ended before it was done" } else { "" };
    format!("{who} {did}{died}: for {window} readers could see part of it")
}

/// `runc (pid 812) read 0 of 5120 bytes of container abc's state.json while youki (pid 800) was rewriting it in place`.
pub(super) fn read(reader: &str, writer: &str, file: &str, report: &ReadReport) -> String {
    let bytes = report.bytes;
    let got = match (report.verdict, report.final_size) {
        (Verdict::Torn, Some(size)) if bytes < size => format!("read {bytes} of {size} bytes of {file}"),
        (Verdict::Torn, _) => format!("read {bytes} bytes, neither all old nor all new, of {file}"),
        (Verdict::Exposed, _) => format!("had {file} open"),
        (Verdict::Overlapping | Verdict::Guarded | Verdict::Unknown, _) => format!("read {file}"),
    };
    format!("{reader} {got} while {writer} was rewriting it in place")
}

/// `runc (pid 812) read container abc's state.json, which youki (pid 800) had left empty`.
pub(super) fn damaged_read(reader: &str, file: &str, damage: Damage, writer: Option<&str>) -> String {
    let state = state(damage);
    match writer {
        Some(writer) => format!("{reader} read {file}, which {writer} had left {state}"),
        None => format!("{reader} read {file}, which is {state} on disk"),
    }
}

/// `runc (pid 812), which had read a torn container abc's state.json, failed with exit 1`.
pub(super) fn reader_exit(reader: &str, file: &str, exit: &ReaderExit) -> String {
    let end = match (exit.result, exit.status) {
        (_, Some(ExitStatus::Code(0))) => "ended well all the same".to_owned(),
        (_, Some(ExitStatus::Code(code))) => format!("failed with exit {code}"),
        (_, Some(ExitStatus::Signal(signal))) => format!("was killed by signal {signal}"),
        (ReaderResult::Success, None) => "ended well all the same".to_owned(),
        (ReaderResult::Failure, None) => "failed".to_owned(),
        (ReaderResult::Unknown, None) => "was not seen to end".to_owned(),
    };
    match exit.follows {
        Follows::Torn => format!("{reader} got a torn read of {file} and {end}"),
        Follows::Damaged => format!("{reader} read a damaged {file} and {end}"),
    }
}

/// `container abc's state.json was left empty by youki (pid 800)`.
pub(super) fn damage(file: &str, damage: Damage, writer: Option<&str>, died: bool) -> String {
    let state = state(damage);
    match writer {
        Some(writer) if died => format!("{file} was left {state} by {writer}, which ended while writing it"),
        Some(writer) => format!("{file} was left {state} by {writer}"),
        None => format!("{file} is {state} on disk"),
    }
}

fn state(damage: Damage) -> &'static str {
    match damage {
        Damage::Empty => "empty",
        Damage::Truncated => "cut short",
        Damage::Invalid => "invalid",
    }
}

/// A duration as a person says it: `850 ns`, `265 µs`, `3.2 ms`, `1.50 s`.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn duration(nanos: u64) -> String {
    match nanos {
        0..1_000 => format!("{nanos} ns"),
        1_000..1_000_000 => format!("{} µs", nanos / 1_000),
        1_000_000..1_000_000_000 => format!("{:.1} ms", nanos as f64 / 1e6),
        _ => format!("{:.2} s", nanos as f64 / 1e9),
    }
}
