//! One write session: what modified a live state file, from its first operation to its end.

use std::sync::Arc;

use super::sizes::Reach;
use crate::model::{
    Actor, BootNanos, Content, ExitStatus, InodeId, OpenId, Operation, OperationRecord, Outcome, Pid, Place,
    SessionReport, Span, UNKNOWN_LENGTH,
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
    pub(super) ending: Ending,
    /// When it is certain where it ended, and whether what it left is a version.
    pub(super) certain: BootNanos,
    /// Its report was given.
    pub(super) reported: bool,
    /// The agent judged what it left, before anybody changed that.
    pub(super) checked: bool,
    /// What the agent said of the file since the last modification, while the session is open.
    pub(super) check: Check,
    /// Since when it has been modified without a quiet time.
    pub(super) active: BootNanos,
    /// Where its first write began, and when.
    pub(super) first_write: Option<(BootNanos, Option<u64>)>,
    /// For a file that was renamed over the state file while it was still written: whether it was on disk by then.
    pub(super) durable: Option<bool>,
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
    pub(super) writer_exited: bool,
    pub(super) last_event: BootNanos,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The last description that modified the file was released.
    Release,
    /// As `Release`, but the file was empty. Whether that was a version is open until somebody checks it, modifies it, or a
    /// quiet time is over: `until` then.
    Emptied { until: BootNanos },
    /// A new save started, by operations in this span.
    NewSave(Span),
    /// Nobody modified the file for a while, and the agent found it valid.
    Quiet,
    /// Nobody modified the file for a while, and the agent could not judge it.
    Unjudged,
    /// It went on for too long.
    Cut,
}

/// What is known of the content since the last modification of an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing. The agent is asked when the session has been quiet for a while.
    Due,
    /// The agent was asked at this time.
    Asked(BootNanos),
    /// The content is damaged.
    Damaged,
}

/// What is due of an open session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// To ask the agent for a check.
    Check,
    /// To go on without its answer.
    Unanswered,
    /// To cut the session.
    Cut,
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
    /// Another file or nothing; the session's file was renamed over it while somebody had it open for writing.
    Renamed,
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
    /// It truncated the file to 0 and has not written since.
    pub(super) hollow: bool,
    /// A process that modified through it was killed before its release.
    pub(super) killed: bool,
    /// A write through it failed.
    pub(super) failed: bool,
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

    /// True when bytes were written.
    pub(super) fn is_write(&self) -> bool {
        matches!(self.operation, Operation::Overwrite | Operation::Append | Operation::Unknown)
    }

    /// True when it truncated the file to 0.
    pub(super) fn empties(&self) -> bool {
        self.truncates == Some(0)
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
            None if matches!(self.operation, Operation::Create | Operation::Mmap | Operation::Rename) => {
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

impl Writer {
    pub(super) fn new(description: Option<OpenId>, change: &Change, creates: bool) -> Self {
        Self {
            description,
            pids: vec![change.actor.pid],
            busy: change.span,
            unfinished: change.span.start,
            size_before: change.size_before,
            size_after: change.size_after,
            last: change.span,
            disturbed: change.is_disturbed(),
            creates,
            mapped: change.operation == Operation::Mmap,
            released: description.is_none(),
            hollow: description.is_some() && change.empties(),
            killed: false,
            failed: false,
        }
    }
}

impl Session {
    /// The write window so far. That of a session which ended otherwise than by a release ends with the last modification.
    pub(super) fn window(&self, now: BootNanos) -> Span {
        let end = match (self.end, self.ending) {
            (None, _) => now,
            (Some(end), Ending::Release | Ending::Emptied { .. }) => end,
            (Some(_), Ending::NewSave(_) | Ending::Quiet | Ending::Unjudged | Ending::Cut) => self.last_event,
        };
        Span::new(self.start, end)
    }

    /// From its start until what it left was replaced, or was known to stay.
    pub(super) fn reach(&self, now: BootNanos) -> Span {
        let end = match self.ending {
            Ending::Emptied { until } if !self.checked => until.min(now).max(self.end.unwrap_or(now)),
            _ => self.end.unwrap_or(now),
        };
        Span::new(self.start, end)
    }

    /// What is due next while it is open, and when. A file that is `mapped` to be stored to is never quiet.
    pub(super) fn due(&self, quiet: u64, longest: u64, mapped: bool) -> Option<(BootNanos, Due)> {
        let cut = (self.active.plus(longest), Due::Cut);
        match self.check {
            Check::Damaged => None,
            Check::Asked(at) => Some((at.plus(quiet), Due::Unanswered)),
            Check::Due if mapped => Some(cut),
            Check::Due => Some(cut.min((self.last_event.plus(quiet), Due::Check))),
        }
    }

    /// True when it is a rename alone: nobody modified the file any more.
    pub(super) fn is_complete_replace(&self) -> bool {
        self.origin == Origin::Renamed && self.change_count == 1
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
        if self.check == Check::Damaged {
            self.active = span.start;
        }
        self.check = Check::Due;
        if change.is_write() && self.first_write.is_none_or(|(at, _)| span.start < at) {
            self.first_write = Some((span.start, change.offset));
        }
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

    /// Counts those who have the file open for writing among its writers. Nobody known may be one of them: somebody has it
    /// open, and cannot be seen.
    pub(super) fn enlist(&mut self, descriptions: &[OpenId], rename: &Change) {
        for id in descriptions {
            self.writers.push(Writer::new(Some(*id), rename, true));
        }
        if descriptions.is_empty() {
            self.writers.push(Writer { released: false, ..Writer::new(None, rename, true) });
        }
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
            // Stores may have come until now.
            self.last_event = self.last_event.max(at);
            self.check = Check::Due;
        }
        true
    }

    /// Notes a release that came after the session's end.
    pub(super) fn release_late(&mut self, id: OpenId) {
        for writer in self.writers.iter_mut().filter(|writer| writer.description == Some(id)) {
            writer.released = true;
        }
    }

    /// Notes the end of a process. One that outlived the session did not die in it.
    pub(super) fn exit(&mut self, pid: Pid, status: ExitStatus) {
        let open = self.end.is_none();
        for writer in self.writers.iter_mut().filter(|writer| !writer.released && writer.pids.contains(&pid))
        {
            match status {
                ExitStatus::Signal(_) => {
                    self.writer_died |= open;
                    writer.killed = true;
                }
                ExitStatus::Code(_) => self.writer_exited |= open,
            }
        }
    }

    /// Notes a write that failed.
    pub(super) fn write_failed(&mut self, id: OpenId) {
        for writer in self.writers.iter_mut().filter(|writer| writer.description == Some(id)) {
            writer.failed = true;
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
            Origin::Renamed if self.is_complete_replace() => Outcome::AtomicReplace,
            _ if self.guarded && !self.intruded => Outcome::Guarded,
            Origin::Existing => Outcome::InPlace,
            Origin::Nothing => Outcome::CreatedInPlace,
            Origin::Removed => Outcome::Recreated,
            Origin::Renamed => Outcome::IncompleteReplace,
            Origin::Unclear => Outcome::Unknown,
        }
    }

    /// The report of an ended session.
    pub(super) fn report(&self) -> SessionReport {
        let outcome = self.outcome();
        let atomic = outcome == Outcome::AtomicReplace;
        let (created, operation) = match self.origin {
            Origin::Existing => (false, self.changes.first().map(|change| change.operation)),
            Origin::Renamed => (false, Some(Operation::Rename).filter(|_| !atomic)),
            Origin::Nothing | Origin::Removed | Origin::Unclear => (true, Some(Operation::Create)),
        };
        let window =
            if atomic { Span::new(self.start, self.last_event) } else { self.window(self.last_event) };
        SessionReport {
            place: Arc::clone(&self.place),
            inode: Some(self.inode),
            outcome,
            durable: self.durable.filter(|_| atomic),
            operation,
            writer: self.actor(),
            window,
            operations: if atomic { Vec::new() } else { self.records() },
            operation_count: if atomic { 0 } else { self.change_count },
            size_before: if created { Some(0) } else { self.size_before },
            size_after: self.size_after,
            writer_died: self.writer_died && !atomic,
            content: match (self.end, self.ending) {
                (Some(_), Ending::Quiet) => Some(Content::Valid),
                (Some(_), Ending::Unjudged) => Some(Content::NotJudged),
                (Some(_), Ending::Release | Ending::Emptied { .. } | Ending::NewSave(_) | Ending::Cut)
                | (None, _) => None,
            },
            writer_exited: self.writer_exited && !atomic,
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
            writer.hollow = change.empties() || writer.hollow && !change.is_write();
            writer.creates |= creates;
            writer.mapped |= change.operation == Operation::Mmap;
            if writer.pids.len() < PIDS && !writer.pids.contains(&change.actor.pid) {
                writer.pids.push(change.actor.pid);
            }
            return Some(index);
        }
        if let Some(index) =
            self.writers.iter().position(|writer| creates && description.is_none() && !writer.released)
        {
            return Some(index);
        }
        if description.is_none() && self.writers.len() > room.max(1) {
            return None;
        }
        if self.writers.is_empty() {
            self.writers.reserve_exact(1);
        }
        self.writers.push(Writer::new(description, change, creates));
        Some(self.writers.len() - 1)
    }
}
