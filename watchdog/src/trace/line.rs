//! Events and findings as aligned lines for a person. Pure.

use std::fmt::Write as _;

use crate::clock::WallClock;
use crate::model::{
    Access, Actor, BootNanos, EventOperation as Operation, ExitStatus, FileEvent, LockMode, LockOwner, Place,
    Role, Span, Target, UNKNOWN_LENGTH,
};
use crate::report::{Finding, Kind, clean, duration};

/// Whom a line is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Label {
    /// The runtime.
    pub(super) runtime: String,
    /// The container: its name where it is known, else its id.
    pub(super) container: String,
}

/// Writes lines.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) wall: WallClock,
    pub(super) colours: bool,
}

/// SGR codes.
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const DIM: &str = "2";

impl Writer {
    /// The heading, as wide as what follows.
    pub(super) fn heading(&self) -> String {
        let heading = columns("TIME (UTC)", "RUNTIME", "CONTAINER", "PROCESS", "OPERATION");
        self.paint(DIM, &(heading + "WHAT"))
    }

    /// `12:00:01.250000  youki  shop/web-0/app  runc[812]  read  0+512 got 0, size 0 (12 µs)`; `None` for what is no access.
    pub(super) fn event(&self, event: &FileEvent, label: &Label) -> Option<String> {
        let FileEvent { span, actor, lost: _, operation } = event;
        let (operation, what) = words(operation)?;
        let time = self.time(span.end);
        let line = columns(&time, &label.runtime, &label.container, &process(actor), operation);
        Some(line + &what + &took(*span))
    }

    /// `12:00:01.250000  youki  shop/web-0/app  >>> TORN READ: runc (pid 812) read 0 of …`.
    pub(super) fn finding(&self, finding: &Finding, label: &Label) -> String {
        let (colour, mark) = match finding.kind {
            Kind::NonatomicWrite => (YELLOW, "WRITTEN IN PLACE"),
            Kind::TornRead => (RED, "TORN READ"),
            Kind::OverlappingRead => (YELLOW, "OVERLAPPING READ"),
            Kind::ExposedReader => (YELLOW, "EXPOSED READER"),
            Kind::DamagedStateFile => (RED, "DAMAGED STATE FILE"),
            Kind::DamagedRead => (RED, "DAMAGED READ"),
            Kind::ReaderExit => (RED, "READER'S END"),
        };
        // To the microsecond, as events have it.
        let time = finding.time.get(11..26).unwrap_or(&finding.time);
        let Label { runtime, container } = label;
        let message = &finding.message;
        self.paint(colour, &format!("{time:<15}  {runtime:<10}  {container:<24}  >>> {mark}: {message}"))
    }

    /// Something is missing between the last line and the next.
    pub(super) fn lost(&self, at: BootNanos, count: u64) -> String {
        self.paint(RED, &format!("{:<15}  >>> {count} EVENTS LOST", self.time(at)))
    }

    fn time(&self, at: BootNanos) -> String {
        self.wall.rfc3339(at).get(11..26).unwrap_or_default().to_owned()
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

fn columns(time: &str, runtime: &str, container: &str, process: &str, operation: &str) -> String {
    format!("{time:<15}  {runtime:<10}  {container:<24}  {process:<22}  {operation:<9}  ")
}

fn process(actor: &Actor) -> String {
    if actor.is_known() {
        format!("{}[{}]", clean(&actor.comm.to_string()), actor.pid)
    } else {
        "-".to_owned()
    }
}

/// The operation's name, and what is told of it; `None` for what is no access.
fn words(operation: &Operation) -> Option<(&'static str, String)> {
    let name = operation.as_str();
    let what = match operation {
        Operation::Open { place, access, created, truncated, size, .. } => {
            let access = match access {
                Access { read: true, write: false } => " to read",
                Access { read: false, write: true } => " to write",
                Access { read: true, write: true } => " to read and write",
                Access { read: false, write: false } => "",
            };
            let created = if *created { ", created" } else { "" };
            let truncated = if *truncated { ", truncated" } else { "" };
            format!("{}{access}{created}{truncated}{}", file(place), sizes(*size, *size))
        }
        Operation::Read { offset, requested, returned, size_before, size, .. } => {
            let sizes = sizes(*size_before, *size);
            match *requested {
                UNKNOWN_LENGTH => sizes.trim_start_matches(", ").to_owned(),
                requested => format!("{}+{requested} got {returned}{sizes}", at(*offset)),
            }
        }
        Operation::Write { offset, length, size_before, size, .. } => {
            let length = if *length == UNKNOWN_LENGTH { "?".to_owned() } else { length.to_string() };
            format!("{}+{length}{}", at(*offset), sizes(*size_before, *size))
        }
        Operation::Truncate { target, to, size_before, .. } => {
            let name = match target {
                Target::Place(place) => format!("{} ", file(place)),
                Target::Open(_) | Target::Opening(_) => String::new(),
            };
            let from = size_before.map_or(String::new(), |size| format!(" from {size}"));
            format!("{name}to {to}{from}")
        }
        Operation::Map { shared, writable, .. } => match (shared, writable) {
            (true, true) => "shared and writable",
            (true, false) => "shared",
            (false, _) => "private",
        }
        .to_owned(),
        Operation::WriteFailed { .. } => String::new(),
        Operation::Sync { .. } | Operation::Release { .. } => String::new(),
        Operation::Lock { mode, owner, .. } => {
            let mode = match mode {
                LockMode::Shared => "shared",
                LockMode::Exclusive => "exclusive",
                LockMode::Unlocked => "given back",
            };
            let owner = match owner {
                LockOwner::Description => "",
                LockOwner::Process => ", of the process",
            };
            format!("{mode}{owner}")
        }
        Operation::Rename { from, to, exchange, still_open_for_writing, .. } => {
            let place = |place: &Option<std::sync::Arc<Place>>| {
                place.as_deref().map_or("another name".to_owned(), file)
            };
            let open = if *still_open_for_writing == Some(true) { ", still open for writing" } else { "" };
            let how = if *exchange { "exchanged with" } else { "to" };
            format!("{} {how} {}{open}", place(from), place(to))
        }
        Operation::Link { from, to, .. } => {
            format!("{} as {}", from.as_deref().map_or("another name".to_owned(), file), file(to))
        }
        Operation::Unlink { place, .. } => file(place),
        Operation::Exit { status } => match status {
            ExitStatus::Code(code) => format!("code {code}"),
            ExitStatus::Signal(signal) => format!("signal {signal}"),
        },
        Operation::Present { .. }
        | Operation::Content { .. }
        | Operation::MoveDirectory { .. }
        | Operation::Heartbeat => return None,
    };
    Some((name, what))
}

fn file(place: &Place) -> String {
    let role = match place.role {
        Role::State => "",
        Role::Temporary => " (temporary)",
        Role::Lock => " (lock)",
    };
    clean(&place.name) + role
}

fn at(offset: Option<u64>) -> String {
    offset.map_or("?".to_owned(), |offset| offset.to_string())
}

fn sizes(before: Option<u64>, after: Option<u64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before != after => format!(", size {before} to {after}"),
        (_, Some(size)) => format!(", size {size}"),
        (_, None) => String::new(),
    }
}

fn took(span: Span) -> String {
    let mut text = String::new();
    let nanos = span.end.since(span.start);
    // Writing to a String cannot fail.
    let _ = if nanos > 0 { write!(text, " ({})", duration(nanos)) } else { Ok(()) };
    text
}
