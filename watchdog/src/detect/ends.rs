//! How sessions begin and end, and what the agent's own reads say of what they left.

use std::sync::Arc;

use super::engine::Engine;
use super::judge::Occasion;
use super::limits::nanos;
use super::session::{Change, Check, Due, Ending, Origin, Session};
use super::table::Slot;
use crate::model::{
    Actor, BootNanos, CheckRequest, Content, EventOperation, InodeId, OpenId, Operation, Outcome, Output,
    Place, Span,
};

impl Session {
    pub(super) fn new(number: u64, known: u64, place: Arc<Place>, inode: InodeId, start: BootNanos) -> Self {
        Self {
            number,
            known,
            place,
            inode,
            start,
            end: None,
            ending: Ending::Release,
            certain: BootNanos(0),
            reported: false,
            checked: false,
            check: Check::Due,
            active: start,
            first_write: None,
            durable: None,
            origin: Origin::Existing,
            changes: Vec::new(),
            change_count: 0,
            writers: Vec::new(),
            size_before: None,
            size_after: None,
            obscure: false,
            guarded: true,
            intruded: false,
            writer_died: false,
            writer_exited: false,
            last_event: start,
        }
    }

    /// Ends it.
    pub(super) fn close(&mut self, at: BootNanos, ending: Ending, certain: BootNanos) {
        self.end = Some(at.max(self.last_event));
        self.ending = ending;
        self.certain = certain;
    }

    /// Something waits for the time at which its end is certain.
    pub(super) fn is_pending(&self) -> bool {
        !self.reported || self.certain > BootNanos(0)
    }

    /// Events were lost: what is known of it may not be all.
    pub(super) fn suspect(&mut self, loss: u64, lost_lately: bool, live: bool) {
        // Whether there was anything to cut off may be among what was lost. If there was not, a file that stands at no
        // name any more was no state file when it was written.
        let mut hollow = self.changes.iter().map(|change| {
            change.truncates.is_some_and(|to| change.size_before.is_none_or(|before| before == to))
        });
        let hollow = if live { hollow.all(|hollow| hollow) } else { hollow.next() == Some(true) };
        self.obscure |= self.known < loss || lost_lately && hollow;
    }

    /// True when what it left is no version although it has ended. `later` are the sessions behind it.
    ///
    /// What a new save, a cut or a missing judgement ended counts as a version, unless it is empty or one that modified
    /// it goes on with anything but a new start. What a release ended is one, unless it is empty, nobody could check it
    /// in time, and it was not meant to be empty.
    pub(super) fn left_no_version<'a>(&self, mut later: impl Iterator<Item = &'a Self> + Clone) -> bool {
        // The size at its end may be what a later one made of it, which had begun by then.
        let last = self.changes.iter().max_by_key(|change| change.span.end);
        let last = last.filter(|_| self.change_count == self.changes.len() as u64);
        let left = last.and_then(|change| change.size_after).or(self.size_after);
        let empty = left == Some(0);
        match self.ending {
            Ending::Quiet => false,
            Ending::Release | Ending::Emptied { .. } => {
                // Of an empty file, every write that finds it so is behind its end.
                let appends = |next: &Self| {
                    let first = next.changes.first();
                    first.is_some_and(|first| {
                        let mut others = next.changes.iter().skip(1);
                        first.is_write()
                            && first.size_before.is_none_or(|size| size == 0)
                            && others.all(|other| !other.span.meets(first.span))
                    })
                };
                // Through a mapping nothing need have been stored.
                let changes = |next: &Self| {
                    next.changes.first().is_some_and(|first| first.operation != Operation::Mmap)
                };
                let tainted = self.writers.iter().any(|writer| writer.killed || writer.failed);
                empty
                    && !self.checked
                    && later.next().is_some_and(|next| tainted && changes(next) || appends(next))
            }
            Ending::NewSave(_) | Ending::Unjudged | Ending::Cut => {
                let mut writers = self.writers.iter().filter_map(|writer| writer.description);
                empty || writers.any(|id| goes_on(id, later.clone()))
            }
        }
    }
}

/// True when the description's first modification in these sessions is no new start.
fn goes_on<'a>(id: OpenId, later: impl Iterator<Item = &'a Session>) -> bool {
    let own = later.flat_map(|session| {
        let its = move |change: &&Change| {
            session.writers.get(change.writer).is_some_and(|writer| writer.description == Some(id))
        };
        session.changes.iter().filter(its)
    });
    let mut own = own.skip_while(|change| change.operation == Operation::Mmap).take(2);
    match (own.next(), own.next()) {
        // A truncation to another size begins a save, if a write at the beginning comes next.
        (Some(first), None) if first.truncates.is_some_and(|to| to > 0) => false,
        (Some(first), next) => {
            let starts = |change: &Change| change.is_write() && change.offset == Some(0);
            let leads = first.truncates.is_some() && next.is_some_and(starts);
            !(first.empties() || starts(first) || leads)
        }
        (None, _) => false,
    }
}

impl Engine {
    /// The session's end: its report, and the verdicts that waited for it.
    pub(super) fn end_session(&mut self, slot: Slot, at: BootNanos, ending: Ending, out: &mut Vec<Output>) {
        self.confirm(slot, BootNanos(u64::MAX), out);
        let (loss, lost_lately) = (self.loss, self.lost_lately());
        let wait = nanos(self.limits.quiet);
        let Some(file) = self.file_mut(slot) else { return };
        let size = file.sizes.latest();
        let live = file.state().is_some();
        let inode = file.inode;
        let Some(session) = &mut file.current else { return };
        session.size_after = size;
        let asks = ending == Ending::Release;
        let ending = match ending {
            Ending::Release if size == Some(0) => Ending::Emptied { until: BootNanos(u64::MAX) },
            ending => ending,
        };
        let late = !matches!(ending, Ending::Quiet | Ending::Release);
        session.close(at, ending, if late { at.plus(wait) } else { BootNanos(0) });
        session.suspect(loss, lost_lately, live);
        session.reported = true;
        session.checked = ending == Ending::Quiet;
        let start = session.start;
        self.open_sessions.retain(|open| *open != inode);
        self.note_intruders(slot);
        let Some(file) = self.files.get_mut(slot) else { return };
        let Some(session) = file.current.take() else { return };
        let (report, number) = (session.report(), session.number);
        let asks = asks && report.outcome != Outcome::AtomicReplace;
        let request = CheckRequest { place: Arc::clone(&session.place), inode };
        file.quiet_since = file.quiet_since.max(session.end.unwrap_or_default());
        if session.is_complete_replace() {
            // It was a rename alone, and nobody can have read a file that was not complete.
            self.operations = self.operations.saturating_sub(session.changes.len());
        } else {
            self.ended.push_back((inode, number));
            file.keep(*session);
        }
        out.push(Output::Session(Box::new(report)));
        if asks && live {
            out.push(Output::Check(request));
        }
        for reader in self.readers_since(slot, start) {
            self.settle(reader, Occasion::SessionEnded, out);
        }
        self.judge_damage(slot, out);
        self.bound_past(slot, out);
        let horizon = nanos(self.limits.horizon).saturating_add(1);
        self.wake_file(slot, at.plus(if late { wait } else { horizon }));
        self.bound_sessions(out);
    }

    pub(super) fn start_session(&mut self, slot: Slot, place: Arc<Place>, start: BootNanos) {
        self.session_count += 1;
        let (number, known) = (self.session_count, self.event);
        let Some(file) = self.files.get_mut(slot) else { return };
        self.open_sessions.push(file.inode);
        file.current = Some(Box::new(Session::new(number, known, place, file.inode, start)));
    }

    /// What the last session left is changed: whether that was a version is certain now.
    pub(super) fn succeed(&mut self, slot: Slot, out: &mut Vec<Output>) {
        let Some(file) = self.files.get_mut(slot) else { return };
        let Some(start) = file.current.as_ref().map(|session| session.start) else { return };
        let Some(last) = file.past.back_mut() else { return };
        let Ending::Emptied { until } = &mut last.ending else { return };
        *until = start.min(*until);
        if last.certain == BootNanos(0) {
            return;
        }
        last.certain = self.now.min(last.certain);
        self.confirm(slot, self.now, out);
    }

    /// What is due of a file's open session.
    pub(super) fn look_at_session(&mut self, slot: Slot, at: BootNanos, out: &mut Vec<Output>) {
        let (quiet, longest) = (nanos(self.limits.quiet), nanos(self.limits.session_deadline));
        let mapped = self.is_stored_to(slot);
        let Some(file) = self.files.get_mut(slot) else { return };
        let inode = file.inode;
        let stands = file.state().is_some();
        let Some(session) = &mut file.current else { return };
        let Some((_, due)) = session.due(quiet, longest, mapped).filter(|(due, _)| *due <= at) else {
            return;
        };
        match due {
            Due::Check if stands => {
                session.check = Check::Asked(at);
                let place = Arc::clone(&session.place);
                out.push(Output::Check(CheckRequest { place, inode }));
            }
            Due::Check | Due::Unanswered => self.end_session(slot, at, Ending::Unjudged, out),
            Due::Cut => self.end_session(slot, at, Ending::Cut, out),
        }
    }

    /// The agent has read a state file.
    pub(super) fn content(&mut self, operation: &EventOperation, span: Span, out: &mut Vec<Output>) {
        let EventOperation::Content { place, inode, size, content } = operation else { return };
        let Some(inode) = inode.or_else(|| self.names.inode(place)) else { return };
        if self.files.is_untouched(&inode) && !matches!(content, Content::Damaged(_)) {
            return;
        }
        let Some(slot) = self.files.find(&inode) else { return };
        let (quiet, now, mapped) = (nanos(self.limits.quiet), self.now, self.is_stored_to(slot));
        let Some(file) = self.file_mut(slot) else { return };
        // A modification that met the reading, or a mapping through which stores are not seen: it says nothing.
        // Nor does one of another size than the file has, or of one that is in doubt: a modification is under way.
        let other = *content != Content::NotJudged && file.sizes.latest().is_some_and(|known| known != *size)
            || file.sizes.oldest_doubt().is_some();
        if span.start <= file.writing.last || span.start <= file.unjudged || mapped || other {
            if let Content::Damaged(damage) = *content {
                self.judge_late(slot, (damage, *size), span, out);
            }
            return;
        }
        let Some(session) = &mut file.current else {
            if *content != Content::NotJudged
                && let Some(last) = file.past.back_mut()
            {
                last.checked = true;
                last.certain = last.certain.min(now);
            }
            self.note_rest(slot, *content, *size, span);
            self.confirm(slot, self.now, out);
            return self.judge_damage(slot, out);
        };
        let asked = matches!(session.check, Check::Asked(_));
        if span.start < session.last_event.plus(quiet) {
            return;
        }
        match content {
            Content::Valid => {
                let last = session.last_event;
                self.end_session(slot, last, Ending::Quiet, out);
            }
            Content::Damaged(_) => {
                session.check = Check::Damaged;
                self.note_rest(slot, *content, *size, span);
                self.judge_damage(slot, out);
            }
            Content::NotJudged if asked => self.end_session(slot, span.end, Ending::Unjudged, out),
            Content::NotJudged => {}
        }
    }

    /// True when somebody has the file mapped, shared and writable: stores through that are not seen.
    pub(super) fn is_stored_to(&self, slot: Slot) -> bool {
        let live = self.files.get(slot).map(|file| file.live.as_slice()).unwrap_or_default();
        let stores = |slot: &Slot| {
            let mapping = self.descriptions.get(*slot).and_then(|description| description.mapped.as_ref());
            mapping.is_some_and(|mapping| mapping.stores)
        };
        live.iter().any(stores)
    }

    /// A write failed.
    pub(super) fn write_failed(&mut self, id: OpenId, span: Span, out: &mut Vec<Output>) {
        let Some((_, _, Some(file))) = self.touch(id, span, out) else { return };
        if let Some(file) = self.files.get_mut(file) {
            for session in file.sessions_mut() {
                session.write_failed(id);
            }
        }
    }

    /// Who modified a file last, if that is known.
    pub(super) fn last_actor(&self, slot: Slot) -> Actor {
        let Some(file) = self.files.get(slot) else { return Actor::UNKNOWN };
        let changes = file.sessions().flat_map(|session| &session.changes);
        let last = changes.max_by_key(|change| change.span.end);
        last.filter(|change| change.span.end == file.writing.last)
            .map_or(Actor::UNKNOWN, |change| change.actor)
    }
}
