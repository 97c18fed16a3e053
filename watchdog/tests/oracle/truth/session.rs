//! One write session, and how it is compared.

use std::collections::BTreeSet;

use watchdog::model::{Damage, OpenId, Outcome, Output, Span};

use super::changes::Change;

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    Release,
    NewSave,
    /// The content was found valid.
    Valid,
    /// Nobody could say what the content is.
    NotJudged,
    Cut,
}

/// A session's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End {
    pub(crate) why: Why,
    /// When it was decided.
    pub(crate) at: u64,
    /// The end of its window.
    pub(crate) window: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) inode: u64,
    pub(crate) changes: Vec<Change>,
    pub(crate) end: Option<End>,
    pub(super) origin: Outcome,
    pub(super) open: BTreeSet<OpenId>,
    /// When its first write began, and where.
    pub(super) first_write: Option<(Span, u64)>,
    /// Who truncated to 0 and has not written since.
    pub(super) unwritten: BTreeSet<OpenId>,
    pub(super) mapped: BTreeSet<OpenId>,
    pub(super) died: bool,
    /// Since its last modification it was found to be so.
    pub(crate) damage: Option<(Damage, u64)>,
    /// It has been quiet and damaged at some time.
    pub(crate) stalled: bool,
    /// Since when it is modified without having been quiet.
    pub(super) busy: u64,
    /// When a mapping of it was released.
    pub(super) unmapped: u64,
}

/// A session, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ended {
    pub(crate) inode: u64,
    pub(crate) outcome: &'static str,
    pub(crate) operation: Option<&'static str>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) count: u64,
    pub(crate) writer_died: bool,
    pub(crate) durable: Option<bool>,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Option<Self> {
        let Output::Session(report) = output else { return None };
        let incomplete = report.outcome == Outcome::IncompleteReplace;
        Some(Self {
            inode: report.inode.map_or(0, |inode| inode.ino),
            outcome: report.outcome.as_str(),
            operation: report.operation.map(|operation| operation.as_str()),
            start: report.window.start.0,
            end: report.window.end.0,
            count: if incomplete { 0 } else { report.operation_count },
            writer_died: report.writer_died,
            durable: report.durable.filter(|_| !incomplete),
        })
    }
}

impl Session {
    pub(super) fn new(inode: u64) -> Self {
        Self {
            inode,
            changes: Vec::new(),
            end: None,
            origin: Outcome::InPlace,
            open: BTreeSet::new(),
            first_write: None,
            unwritten: BTreeSet::new(),
            mapped: BTreeSet::new(),
            died: false,
            damage: None,
            stalled: false,
            busy: 0,
            unmapped: 0,
        }
    }

    pub(crate) fn start(&self) -> u64 {
        self.changes.iter().map(|change| change.span.start.0).min().unwrap()
    }

    /// When the last of its modifications returned.
    pub(crate) fn last(&self) -> u64 {
        self.changes.iter().map(|change| change.span.end.0).max().unwrap().max(self.unmapped)
    }

    pub(crate) fn window(&self) -> (u64, u64) {
        (self.start(), self.end.map_or(u64::MAX, |end| end.window))
    }

    pub(crate) fn is_mapped(&self) -> bool {
        self.changes.iter().any(|change| change.kind == "mmap")
    }

    pub(super) fn take(&mut self, change: Change) {
        if change.is_write() {
            let write = (change.span, change.own);
            let first = self
                .first_write
                .map_or(write, |first| if first.0.start < change.span.start { first } else { write });
            self.first_write = Some(first);
        }
        if let Some(id) = change.writer.0 {
            self.open.insert(id);
            if change.is_write() {
                self.unwritten.remove(&id);
            }
            if change.truncates_to() == Some(0) {
                self.unwritten.insert(id);
            }
            if change.kind == "mmap" {
                self.mapped.insert(id);
            }
        }
        if self.changes.is_empty() || self.damage.take().is_some() {
            self.busy = change.span.start.0;
        }
        self.changes.push(change);
    }

    pub(super) fn ended(&self) -> Ended {
        let first = self.changes.iter().min_by_key(|change| change.span.start.0).unwrap();
        let incomplete = self.origin == Outcome::IncompleteReplace;
        let operation = match self.origin {
            Outcome::InPlace => first.kind,
            Outcome::IncompleteReplace => "rename",
            _ => "create",
        };
        Ended {
            inode: self.inode,
            outcome: self.origin.as_str(),
            operation: Some(operation),
            start: self.start(),
            end: self.end.map_or(0, |end| end.window),
            count: if incomplete { 0 } else { self.changes.len() as u64 },
            writer_died: self.died,
            durable: None,
        }
    }
}
