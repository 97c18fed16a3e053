//! One write session: what modified a live state file, from the first operation to the last release.

use std::sync::Arc;

use super::sizes::Reach;
use crate::model::{
    Actor, BootNanos, InodeId, OpenId, Operation, OperationRecord, Outcome, Pid, Place, SessionReport, Span,
    UNKNOWN_LENGTH,
};

/// How many processes are remembered per modifying description.
const PIDS: usize = 8;

/// Most sessions have an operation that empties and one that fills: as many as there is room for at once. A list that
/// grows by itself takes more than a session's whole memory.
const USUAL_CHANGES: usize = 2;

/// A write session, open while `end` is `None`.
#[derive(Debug)]
pub(super) struct Session {
    /// Counts up over all sessions of the engine, in the order in which they became known.
    pub(super) number: u64,
    /// The event that made it known.
    pub(super) known: u64,
    pub(super) place: Arc<Place>,
    pub(super) inode: InodeId,
    pub(super) start: BootNanos,
    pub(super) end: Option<BootNanos>,
    pub(super) origin: Origin,
    /// The kept operations by start; the first one is always kept.
    pub(super) changes: Vec<Change>,
    pub(super) change_count: u64,
    pub(super) writers: Vec<Writer>,
    pub(super) size_before: Option<u64>,
    pub(super) size_after: Option<u64>,
    /// Something in it was not seen: its outcome is `unknown`, and so are the verdicts on its readers.
    pub(super) obscure: bool,
    /// Every modifying operation was under an exclusive lock.
    pub(super) guarded: bool,
    /// Someone read within the window and held no lock.
    pub(super) intruded: bool,
    pub(super) writer_died: bool,
    pub(super) last_event: BootNanos,
}

/// What stood at the name before a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// The file that the session changed.
    Existing,
    /// Nothing.
    Nothing,
    /// A file that was removed before this one was created.
    Removed,
    /// Nothing that we know of, but events were lost not long ago.
    Unclear,
}

/// One modifying operation.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) operation: Operation,
    pub(super) span: Span,
    pub(super) actor: Actor,
    /// The bytes that are certainly other ones since, `None` when that is not certain of any.
    pub(super) range: Option<(u64, u64)>,
    pub(super) offset: Option<u64>,
    pub(super) length: Option<u64>,
    pub(super) size_before: Option<u64>,
    pub(super) size_after: Option<u64>,
    /// The size that it set, when it is a truncation.
    pub(super) truncates: Option<u64>,
    /// No modification that is part of no session met it.
    pub(super) alone: bool,
    /// Through which of the session's writers.
    pub(super) writer: usize,
}

/// A description that modified the file, or one truncation by path.
#[derive(Debug)]
pub(super) struct Writer {
    /// The description, `None` for a truncation by path.
    pub(super) description: Option<OpenId>,
    pub(super) pids: Vec<Pid>,
    /// From the start of its first modifying operation to the end of its last.
    pub(super) busy: Span,
    /// When its last operation was entered.
    pub(super) unfinished: BootNanos,
    pub(super) size_before: Option<u64>,
    pub(super) size_after: Option<u64>,
    /// The operation that returned last.
    pub(super) last: Span,
    /// `size_after`, from that operation's return, is not the size that it left.
    pub(super) disturbed: bool,
    /// It created the file.
    pub(super) creates: bool,
    /// It holds a writable mapping: it may modify until it is released.
    pub(super) mapped: bool,
    pub(super) released: bool,
}

impl Change {
    /// True when the size at its return is someone else's doing, and not what it made of the size at its entry.
    pub(super) fn is_disturbed(&self) -> bool {
        let Some(size) = self.size_after else { return false };
        match (self.truncates, self.cuts(), self.end(), self.size_before) {
            (Some(to), ..) => size != to,
            (None, None, Some(end), Some(before)) => size != end.max(before),
            (None, None, Some(end), None) => size < end,
            (None, Some(_), ..) | (None, None, None, _) => false,
        }
    }

    /// Where a write ended.
    pub(super) fn end(&self) -> Option<u64> {
        Some(self.offset?.saturating_add(self.length?))
    }

    /// What it can have made of the size.
    pub(super) fn reach(&self) -> Reach {
        match self.truncates {
            Some(to) => Reach::truncation(to),
            // Nobody saw the file before it was created, and a mapping does not change its size.
            None if matches!(self.operation, Operation::Create | Operation::Mmap) => {
                Reach { least: None, range: (0, 0) }
            }
            None => Reach {
                least: self.cuts(),
                range: (self.offset.unwrap_or(0), self.end().unwrap_or(u64::MAX)),
            },
        }
    }

    /// To what size it can have cut the file.
    pub(super) fn cuts(&self) -> Option<u64> {
        self.truncates.or((self.length == Some(UNKNOWN_LENGTH)).then_some(0))
    }
}

impl Session {
    /// The write window so far.
    pub(super) fn window(&self, now: BootNanos) -> Span {
        Span::new(self.start, self.end.unwrap_or(now))
    }

    /// True when every description that modified the file is released.
    pub(super) fn is_complete(&self) -> bool {
        self.writers.iter().all(|writer| writer.released)
    }

    /// True when the description modified the file in this session.
    pub(super) fn is_writer(&self, id: OpenId) -> bool {
        self.writers.iter().any(|writer| writer.description == Some(id))
    }

    /// Adds an operation, as evidence when there is room for it. True when it was kept.
    pub(super) fn add(
        &mut self,
        description: Option<OpenId>,
        mut change: Change,
        creates: bool,
        room: usize,
    ) -> bool {
        let span = change.span;
        let first = self.changes.first().is_none_or(|known| span.start < known.span.start);
        if first {
            self.start = span.start;
            self.size_before = change.size_before;
        }
        self.last_event = self.last_event.max(span.end);
        self.change_count += 1;
        let Some(index) = self.writer(description, &change, creates, room) else {
            self.obscure = true;
            return false;
        };
        change.writer = index;
        let keep = first || self.changes.len() < room.max(1);
        if keep {
            if self.changes.is_empty() {
                self.changes.reserve_exact(USUAL_CHANGES);
            }
            let at = self.changes.partition_point(|known| known.span.start <= span.start);
            self.changes.insert(at, change);
        }
        keep
    }

    /// Notes the release of a description at which the file had `size`. True when it was one of the session's writers.
    pub(super) fn release(&mut self, id: OpenId, at: BootNanos, size: Option<u64>) -> bool {
        let Some(writer) = self.writers.iter_mut().find(|writer| writer.description == Some(id)) else {
            return false;
        };
        writer.released = true;
        if writer.mapped {
            writer.busy.end = writer.busy.end.max(at);
            writer.unfinished = writer.busy.end;
            writer.size_after = size;
            writer.disturbed = false;
        }
        true
    }

    /// Notes the end of a process.
    pub(super) fn exit(&mut self, pid: Pid) {
        if self.writers.iter().any(|writer| !writer.released && writer.pids.contains(&pid)) {
            self.writer_died = true;
        }
    }

    /// The first operation's actor.
    pub(super) fn actor(&self) -> Actor {
        self.changes.first().map(|change| change.actor).unwrap_or_default()
    }

    /// The first operations as evidence.
    pub(super) fn records(&self) -> Vec<OperationRecord> {
        let first = self.changes.iter().take(SessionReport::MAX_OPERATIONS);
        first
            .map(|change| OperationRecord {
                operation: change.operation,
                span: change.span,
                actor: change.actor,
                offset: change.offset,
                length: change.length.filter(|length| *length < UNKNOWN_LENGTH),
                size: change.size_after,
            })
            .collect()
    }

    /// How it ended.
    pub(super) fn outcome(&self) -> Outcome {
        match self.origin {
            _ if self.obscure => Outcome::Unknown,
            _ if self.guarded && !self.intruded => Outcome::Guarded,
            Origin::Existing => Outcome::InPlace,
            Origin::Nothing => Outcome::CreatedInPlace,
            Origin::Removed => Outcome::Recreated,
            Origin::Unclear => Outcome::Unknown,
        }
    }

    /// The report of an ended session.
    pub(super) fn report(&self) -> SessionReport {
        let created = self.origin != Origin::Existing;
        SessionReport {
            place: Arc::clone(&self.place),
            inode: Some(self.inode),
            outcome: self.outcome(),
            durable: None,
            operation: if created {
                Some(Operation::Create)
            } else {
                self.changes.first().map(|change| change.operation)
            },
            writer: self.actor(),
            window: self.window(self.last_event),
            operations: self.records(),
            operation_count: self.change_count,
            size_before: if created { Some(0) } else { self.size_before },
            size_after: self.size_after,
            writer_died: self.writer_died,
            writer_exited: false,
        }
    }

    fn writer(
        &mut self,
        description: Option<OpenId>,
        change: &Change,
        creates: bool,
        room: usize,
    ) -> Option<usize> {
        let span = change.span;
        let known =
            description.and_then(|id| self.writers.iter().position(|writer| writer.description == Some(id)));
        if let Some(index) = known {
            let writer = self.writers.get_mut(index)?;
            if span.start < writer.busy.start {
                writer.busy.start = span.start;
                writer.size_before = change.size_before;
            }
            writer.unfinished = writer.unfinished.max(span.start);
            if span.end >= writer.busy.end {
                writer.busy.end = span.end;
                writer.size_after = change.size_after;
                writer.disturbed = change.is_disturbed();
                writer.last = span;
            }
            writer.creates |= creates;
            writer.mapped |= change.operation == Operation::Mmap;
            if writer.pids.len() < PIDS && !writer.pids.contains(&change.actor.pid) {
                writer.pids.push(change.actor.pid);
            }
            return Some(index);
        }
        if description.is_none() && self.writers.len() > room.max(1) {
            return None;
        }
        if self.writers.is_empty() {
            self.writers.reserve_exact(1);
        }
        self.writers.push(Writer {
            description,
            pids: vec![change.actor.pid],
            busy: span,
            unfinished: span.start,
            size_before: change.size_before,
            size_after: change.size_after,
            last: span,
            disturbed: change.is_disturbed(),
            creates,
            mapped: change.operation == Operation::Mmap,
            released: description.is_none(),
        });
        Some(self.writers.len() - 1)
    }
}
