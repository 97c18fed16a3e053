//! New saves: where one session ends because the next version is begun.
//!
//! A daemon keeps its state file open and saves again and again through one description, and a descriptor that leaked is
//! never released. So a session also ends when a new save starts. The rule stands in the module's documentation.
//!
//! A call that is under way at that time becomes known when it returns. If one meets the operations that began the new
//! save, there was no new save, and the two sessions become one again. Therefore a session that ended so is not reported
//! before that time is over.

use super::engine::Engine;
use super::judge::Occasion;
use super::limits::nanos;
use super::session::{Change, Ending, Session, Writer};
use super::table::Slot;
use crate::model::{BootNanos, OpenId, Output, Span, UNKNOWN_LENGTH};

/// A new save, before it has a session of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewSave {
    /// The truncation to another size that belongs to it, among the changes of the session that it ends.
    truncation: Option<usize>,
    /// From the first of its operations to the end of the one that showed it.
    pub(super) span: Span,
}

impl Session {
    /// The new save that `next`, made through `by`, starts. `size` is the file's size before it.
    pub(super) fn new_save(&self, by: Option<OpenId>, next: &Change, size: Option<u64>) -> Option<NewSave> {
        let empties = next.empties() && size != Some(0);
        let first_at_start =
            self.first_write.is_some_and(|(at, offset)| offset == Some(0) && at < next.span.start);
        let length = next.length.unwrap_or(UNKNOWN_LENGTH);
        let rewrites = first_at_start && next.is_write() && next.offset == Some(0) && length < UNKNOWN_LENGTH;
        if !empties && !rewrites || self.writers.iter().any(|writer| writer.hollow) {
            return None;
        }
        let truncation = if rewrites { self.truncation_before(by?, next.span) } else { None };
        let first =
            truncation.and_then(|index| self.changes.get(index)).map_or(next.span, |change| change.span);
        let span = Span::new(first.start, next.span.end);
        // Operations that were not kept are over by the time of the last one.
        let all_kept = self.change_count == self.changes.len() as u64;
        let others = self.changes.iter().enumerate().filter(|(index, _)| Some(*index) != truncation);
        let apart = |other: &Change| !other.span.meets(first) && !other.span.meets(next.span);
        let alone = others.fold(true, |alone, (_, other)| alone && apart(other));
        (alone && (all_kept || truncation.is_none() && self.last_event < next.span.start))
            .then_some(NewSave { truncation, span })
    }

    /// The truncation to another size than 0 by this description that nothing came between.
    fn truncation_before(&self, by: OpenId, next: Span) -> Option<usize> {
        let last = |(_, change): &(usize, &Change)| change.span.end;
        let (index, change) = self.changes.iter().enumerate().max_by_key(last)?;
        let its = self.writers.get(change.writer).is_some_and(|writer| writer.description == Some(by));
        let counts = change.truncates.is_some_and(|to| to > 0) && change.span.is_before(next);
        // A session does not consist of that alone.
        (its && counts && self.changes.len() > 1).then_some(index)
    }

    /// Takes out an operation that belongs to the next session.
    fn take_back(&mut self, index: usize) -> Option<Change> {
        if index >= self.changes.len() {
            return None;
        }
        let taken = self.changes.remove(index);
        self.change_count = self.change_count.saturating_sub(1);
        let own: Vec<&Change> = self.changes.iter().filter(|change| change.writer == taken.writer).collect();
        match (
            own.first(),
            own.iter().max_by_key(|change| change.span.end),
            self.writers.get_mut(taken.writer),
        ) {
            (Some(first), Some(last), Some(writer)) => {
                writer.busy = Span::new(first.span.start, last.span.end);
                writer.unfinished =
                    own.iter().map(|change| change.span.start).max().unwrap_or(first.span.start);
                writer.size_before = first.size_before;
                writer.size_after = last.size_after;
                writer.last = last.span;
                writer.disturbed = last.is_disturbed();
            }
            _ => {
                self.writers.remove(taken.writer);
                for change in self.changes.iter_mut().filter(|change| change.writer > taken.writer) {
                    change.writer -= 1;
                }
            }
        }
        // The size that a mapping's release found may be the next session's.
        for writer in self.writers.iter_mut() {
            if writer.mapped && writer.busy.end > taken.span.start {
                writer.size_after = None;
            }
        }
        // Stores through a mapping may have come until its release.
        let stored = self.writers.iter().filter(|writer| writer.mapped).map(|writer| writer.busy.end);
        let last = self.changes.iter().map(|change| change.span.end).chain(stored).max();
        self.last_event = last.unwrap_or(self.last_event);
        Some(taken)
    }

    /// Takes in the session that was thought to be the next one.
    fn merge(&mut self, next: Self, room: usize) {
        let dropped = next.change_count.saturating_sub(next.changes.len() as u64);
        for change in next.changes {
            let Some(writer) = next.writers.get(change.writer) else { continue };
            let creates = writer.creates && change.span == writer.busy;
            self.add(writer.description, change, creates, room);
        }
        self.change_count += dropped;
        for writer in next.writers {
            match self.writers.iter_mut().find(|known| known.description == writer.description) {
                Some(known) => known.take_end(&writer),
                None => self.writers.push(writer),
            }
        }
        self.end = next.end;
        self.ending = next.ending;
        self.certain = next.certain;
        self.size_after = next.size_after;
        self.last_event = self.last_event.max(next.last_event);
        self.check = next.check;
        self.active = next.active;
        self.obscure |= next.obscure;
        self.guarded &= next.guarded;
        self.intruded |= next.intruded;
        self.writer_died |= next.writer_died;
        self.writer_exited |= next.writer_exited;
    }
}

impl Writer {
    /// Takes over how the same description ended in the session that was thought to be the next one.
    fn take_end(&mut self, later: &Self) {
        self.released = later.released;
        self.hollow = later.hollow;
        self.killed |= later.killed;
        self.failed |= later.failed;
        self.mapped |= later.mapped;
        if later.busy.end >= self.busy.end {
            (self.busy.end, self.size_after, self.last) = (later.busy.end, later.size_after, later.last);
            (self.unfinished, self.disturbed) = (later.unfinished, later.disturbed);
        }
    }
}

impl Engine {
    /// Ends the session that is open, because a new save has begun, and begins the next one.
    pub(super) fn start_save(
        &mut self,
        slot: Slot,
        save: NewSave,
        by: Option<OpenId>,
        size: Option<u64>,
        out: &mut Vec<Output>,
    ) {
        self.note_intruders(slot);
        let (loss, lost_lately) = (self.loss, self.lost_lately());
        let (wait, at) = (nanos(self.limits.quiet), save.span.end);
        let Some(file) = self.files.get_mut(slot) else { return };
        let live = file.state().is_some();
        let Some(mut session) = file.current.take() else { return };
        let place = std::sync::Arc::clone(&session.place);
        let truncation = save.truncation.and_then(|index| session.take_back(index));
        session.size_after = truncation.as_ref().map_or(size, |change| change.size_before);
        session.close(at, Ending::NewSave(save.span), at.plus(wait));
        session.suspect(loss, lost_lately, live);
        let (inode, number) = (session.inode, session.number);
        if session.is_complete_replace() {
            out.push(Output::Session(Box::new(session.report())));
            self.operations = self.operations.saturating_sub(session.changes.len());
        } else {
            file.keep(*session);
            self.ended.push_back((inode, number));
        }
        self.open_sessions.retain(|open| *open != inode);
        self.start_session(slot, place, save.span.start);
        let room = self.limits.operations_per_session;
        if let Some(change) = truncation
            && let Some(session) = self.files.get_mut(slot).and_then(|file| file.current.as_mut())
        {
            session.add(by, change, false, room);
        }
        self.wake_file(slot, at.plus(wait));
        self.bound_past(slot, out);
        self.bound_sessions(out);
    }

    /// An operation in `span` has returned: where it met the start of a new save, there was none.
    pub(super) fn join_saves(&mut self, slot: Slot, span: Span) {
        let room = self.limits.operations_per_session;
        let Some(file) = self.files.get_mut(slot) else { return };
        let met = |session: &Session| {
            !session.reported && matches!(session.ending, Ending::NewSave(start) if start.meets(span))
        };
        while let Some(index) = file.past.iter().rposition(met) {
            if let Some(next) = file.past.remove(index + 1) {
                if let Some(session) = file.past.get_mut(index) {
                    session.merge(next, room);
                }
            } else if let (Some(next), Some(mut session)) = (file.current.take(), file.past.remove(index)) {
                session.merge(*next, room);
                file.current = Some(Box::new(session));
            } else {
                return;
            }
        }
    }

    /// Reports the sessions that ended by a new save, as far as that is certain at `now`, and gives the verdicts that
    /// waited.
    pub(super) fn confirm(&mut self, slot: Slot, now: BootNanos, out: &mut Vec<Output>) {
        let Some(file) = self.files.get_mut(slot) else { return };
        let mut since: Option<BootNanos> = None;
        for session in file.past.iter_mut().filter(|session| session.certain <= now && session.is_pending()) {
            if !session.reported {
                session.reported = true;
                out.push(Output::Session(Box::new(session.report())));
            }
            if let Ending::Emptied { until } = &mut session.ending {
                *until = session.certain.min(*until);
            }
            session.certain = BootNanos(0);
            since = Some(since.map_or(session.start, |since| since.min(session.start)));
        }
        let Some(since) = since else { return };
        for reader in self.readers_since(slot, since) {
            self.settle(reader, Occasion::SessionEnded, out);
        }
    }
}
