//! Modifying operations, and the sessions that they make.

use std::sync::Arc;

use super::description::Mapping;
use super::engine::{Engine, anomaly};
use super::judge::Occasion;
use super::limits::nanos;
use super::session::{Change, Ending, Origin};
use super::sizes::Doubt;
use super::table::Slot;
use crate::model::{
    Actor, AnomalyKind, BootNanos, EventOperation, InodeId, OpenId, Operation, OperationRecord, Outcome,
    Output, Place, Role, SessionReport, Span, Target, UNKNOWN_LENGTH,
};

/// A modifying operation on a file, before it is known what session it belongs to.
#[derive(Clone, Debug)]
pub(super) struct Modification {
    pub(super) operation: Operation,
    pub(super) span: Span,
    pub(super) actor: Actor,
    pub(super) range: Option<(u64, u64)>,
    pub(super) offset: Option<u64>,
    pub(super) length: Option<u64>,
    pub(super) size_before: Option<u64>,
    pub(super) size_after: Option<u64>,
    /// The size that it set, when it is a truncation.
    pub(super) truncates: Option<u64>,
    /// What stood at the name before, when this created the file.
    pub(super) origin: Option<Origin>,
    /// It came through a description that cannot have done it, or that was not known.
    pub(super) strange: bool,
}

impl Modification {
    pub(super) fn new(operation: Operation, span: Span, actor: Actor) -> Self {
        Self {
            operation,
            span,
            actor,
            range: None,
            offset: None,
            length: None,
            size_before: None,
            size_after: None,
            truncates: None,
            origin: None,
            strange: false,
        }
    }
}

impl Engine {
    pub(super) fn write(
        &mut self,
        operation: &EventOperation,
        span: Span,
        actor: Actor,
        out: &mut Vec<Output>,
    ) {
        match operation {
            EventOperation::Write { id, offset, length, size_before, size } if *length > 0 => {
                let Some((slot, file, strange)) = self.modifier(*id, span, out) else { return };
                self.look_before(file, span, *size_before);
                let Some(known) = self.file_mut(file) else { return };
                let before = size_before.or_else(|| known.size_before(span.start));
                let behind = before.zip(*offset).is_some_and(|(before, offset)| offset >= before);
                let from = offset.map(|offset| before.map_or(offset, |before| offset.min(before)));
                let end = offset.map(|offset| offset.saturating_add(*length));
                let alone = known.sizes.latest() == before && known.is_at_rest(span);
                let grown = before.zip(end).filter(|_| alone && *length < UNKNOWN_LENGTH);
                let operation = match (offset, behind) {
                    (None, _) if *length == UNKNOWN_LENGTH => Operation::Unknown,
                    (_, true) => Operation::Append,
                    (_, false) => Operation::Overwrite,
                };
                let modification = Modification {
                    range: from.zip(end),
                    offset: *offset,
                    length: Some(*length),
                    size_before: before,
                    size_after: size.or(grown.map(|(before, end)| before.max(end))),
                    strange,
                    ..Modification::new(operation, span, actor)
                };
                self.modify(file, Some(slot), modification, out);
            }
            EventOperation::Write { id, .. } => {
                let _ = self.touch(*id, span, out);
            }
            EventOperation::Truncate { target, inode, to, size_before } => {
                let Some((slot, file, strange)) = self.truncated(target, *inode, span, out) else {
                    return report_faceless(target, *to, *size_before, span, actor, out);
                };
                self.look_before(file, span, *size_before);
                let Some(known) = self.file_mut(file) else { return };
                let before = size_before.or_else(|| known.size_before(span.start));
                // Longer or shorter at its entry, it was not that long already, unless others made it so by then.
                let surely =
                    size_before.is_some_and(|size| size != *to) || known.sizes.surely_cuts(span.start, *to);
                let still = known.is_unmodified()
                    && known.sizes.stood_at(*to, span.start)
                    && size_before.is_none_or(|size| size == *to);
                // What it was at entry it may not have been any more when others were at work.
                let as_it_was = *size_before == Some(*to) && known.is_at_rest(span);
                if (as_it_was || still) && !known.sizes.awaits_truncation(span, *to) {
                    known.note_idle(span, *to);
                    return;
                }
                // Whether a write that returned meanwhile came before or after it, its size does not say. If it is that
                // size already, it stays so.
                let alone = known.sizes.latest() == Some(*to) || known.is_left_by_truncation(*to, span);
                let modification = Modification {
                    range: surely.then_some((before.map_or(*to, |before| before.min(*to)), u64::MAX)),
                    size_before: before,
                    size_after: alone.then_some(*to),
                    truncates: Some(*to),
                    strange,
                    ..Modification::new(
                        match target {
                            Target::Opening(_) => Operation::OpenTruncate,
                            Target::Open(_) | Target::Place(_) => Operation::Truncate,
                        },
                        span,
                        actor,
                    )
                };
                self.modify(file, slot, modification, out);
            }
            _ => {}
        }
    }

    /// A description was mapped: how it is read through that is not seen, and if it is shared and writable, neither is how
    /// it is written.
    pub(super) fn map(
        &mut self,
        id: OpenId,
        writable: bool,
        span: Span,
        actor: Actor,
        out: &mut Vec<Output>,
    ) {
        let Some((slot, file, strange)) = (if writable {
            self.modifier(id, span, out)
        } else {
            self.touch(id, span, out).and_then(|(slot, _, file)| Some((slot, file?, false)))
        }) else {
            return;
        };
        if let Some(description) = self.descriptions.get_mut(slot) {
            let mapping = || Box::new(Mapping { since: span.start, stores: false, bus_error: None });
            description.mapped.get_or_insert_with(mapping).stores |= writable;
            description.reader.get_or_insert(actor);
        }
        if writable {
            let Some(known) = self.file_mut(file) else { return };
            let modification = Modification {
                size_before: known.size_before(span.start),
                // It changes no size, however long it took.
                size_after: known.sizes.latest(),
                strange,
                ..Modification::new(Operation::Mmap, span, actor)
            };
            self.modify(file, Some(slot), modification, out);
        }
    }

    pub(super) fn sync(&mut self, id: OpenId, span: Span, out: &mut Vec<Output>) {
        let file = self.touch(id, span, out).and_then(|(_, _, file)| file);
        if let Some(file) = file.and_then(|file| self.files.get_mut(file)) {
            file.writing.sync(span);
        }
    }

    /// A file's content changed: opens a session or continues the one that is open.
    pub(super) fn modify(
        &mut self,
        slot: Slot,
        by: Option<Slot>,
        modification: Modification,
        out: &mut Vec<Output>,
    ) {
        let span = modification.span;
        let event = self.event;
        let Some(file) = self.file_mut(slot) else { return };
        file.writing.modified(event, span);
        file.writing.mapped |= modification.operation == Operation::Mmap;
        file.rest = None;
        let size_after = modification.size_after;
        // An open by its name found the state file there, whatever has happened to the name since.
        let by_name = matches!(modification.operation, Operation::OpenTruncate | Operation::Create)
            && by.and_then(|by| self.descriptions.get(by)).is_some_and(|by| by.place.role == Role::State);
        let Some(file) = self.files.get_mut(slot) else { return };
        if file.state_since(span.start).is_none() && file.current.is_none() && !by_name {
            file.sizes.explain(span, modification.change().reach());
            file.sizes.set(span.end, size_after, 0);
            file.unjudged = file.unjudged.max(span.end);
            file.changed_aside = file.changed_aside.max(span.end);
            self.settle_waiting(slot, out);
            return;
        }
        let late = file.forgotten.is_some_and(|forgotten| span.start <= forgotten);
        self.join_saves(slot, span);
        let Some(file) = self.files.get_mut(slot) else { return };
        // Before anybody is judged: what was in doubt may be this.
        file.sizes.explain(span, modification.change().reach());
        let size_before = modification.size_before.or_else(|| file.size_before(span.start));
        let id = by.and_then(|by| self.descriptions.get(by)).map(|by| by.id);
        let save = file.current.as_ref().and_then(|session| {
            let change = modification.change();
            session.new_save(id, &change, size_before)
        });
        let fresh = file.current.is_none();
        if fresh && let Some(by) = by {
            // What it read before it became a writer is judged as a reader's.
            self.settle(by, Occasion::Forced, out);
        }
        if (fresh || save.is_some())
            && let Some(by) = by
        {
            self.trust_writer(by, &modification);
        }
        let Some(place) = self.session_place(slot, by, span.start) else { return };
        if late {
            anomaly(AnomalyKind::ArrivedTooLate, span.end, Some(&place), out);
        }
        let known_since = by
            .and_then(|by| self.descriptions.get(by))
            .map(|by| (by.id, by.writes_known.0, by.writes_known.1));
        let obscure = modification.strange
            || known_since.is_some_and(|(_, known, start)| self.lost_since(known, start));
        let description = by.and_then(|by| self.descriptions.get_mut(by));
        let released = description.is_none_or(|description| {
            description.modified = true;
            description.released.is_some()
        });
        let guarded = self.is_under_lock(slot, id, modification.actor, span, true);
        let room =
            if self.operations < self.limits.operations { self.limits.operations_per_session } else { 1 };
        if let Some(save) = save {
            self.start_save(slot, save, id, size_before, out);
        } else if fresh {
            self.start_session(slot, place, span.start);
        }
        let Some(file) = self.files.get_mut(slot) else { return };
        let mut change = modification.change();
        change.alone = file.unjudged < span.start;
        file.sizes.explain(span, change.reach());
        // Whoever changed the size meanwhile may not have returned yet.
        let seen = size_after.and_then(|size| file.sizes.changed_since(span, size, change.end()));
        let doubt = match (modification.operation, size_after) {
            // Others may have filled the file before its creator returned.
            (Operation::Create, Some(size)) => file.sizes.look(span.end, size),
            _ => {
                let least = change.truncates.map_or(0, |to| file.least_after_truncation(to, span));
                file.sizes.set(span.end, size_after, least);
                let made = change.truncates.or(change.size_before.max(change.end()));
                let disturbed = size_after
                    .filter(|_| change.is_disturbed())
                    .map(|size| Doubt::new(span.start, span.end, size, Some(size) < made));
                let doubt = seen.filter(|_| change.truncates.is_none()).or(disturbed);
                doubt.and_then(|doubt| doubt.without(span, change.reach()))
            }
        };
        let doubt = doubt.and_then(|doubt| file.unexplained(doubt));
        let doubtful = doubt.is_some();
        if let Some(doubt) = doubt {
            file.sizes.doubt(doubt);
        }
        let Some(session) = &mut file.current else { return };
        let kept = session.add(id, change, modification.origin.is_some(), room);
        if let Some(origin) = modification.origin {
            session.origin = origin;
        }
        session.obscure |= obscure;
        session.guarded &= guarded;
        if released && let Some(id) = id {
            session.release(id, span.end, size_after);
        }
        let complete = session.is_complete();
        self.operations += usize::from(kept);
        if fresh {
            self.succeed(slot, out);
        }
        self.settle_waiting(slot, out);
        if doubtful {
            self.wake_file(slot, span.end.plus(nanos(self.limits.horizon)));
        }
        if complete {
            self.end_session(slot, span.end, Ending::Release, out);
        } else {
            self.wake_file(slot, span.end.plus(nanos(self.limits.quiet)));
        }
    }

    /// A description that stayed open over a loss begins a save. What it did meanwhile belongs to a save before, if that was
    /// some time ago and this one begins where a save does; then all of this one is seen.
    fn trust_writer(&mut self, by: Slot, modification: &Modification) {
        let begins =
            modification.truncates == Some(0) || modification.range.is_some_and(|(from, _)| from == 0);
        let start = modification.span.start;
        let over = self.loss_at.is_none_or(|at| at.plus(nanos(self.limits.horizon)) < start);
        if begins
            && over
            && let Some(description) = self.descriptions.get_mut(by)
        {
            description.writes_known = (self.event, start);
        }
    }

    /// The name under which a session is reported: the one by which its first writer opened the file, when the file
    /// still stands there.
    fn session_place(&self, file: Slot, by: Option<Slot>, start: BootNanos) -> Option<Arc<Place>> {
        let file = self.files.get(file)?;
        let opened = by.and_then(|by| self.descriptions.get(by)).map(|by| &by.place);
        let current = file.current.as_ref().map(|session| &session.place);
        let opened = opened.filter(|place| file.names.contains(place) && file.state().is_some());
        let opened = opened.filter(|place| place.role == Role::State);
        let by_name = by.and_then(|by| self.descriptions.get(by)).map(|by| &by.place);
        opened.or_else(|| file.state_since(start)).or(current).or(by_name).cloned()
    }

    /// The description of a modifying operation and its file. A modification through one that is not known may have
    /// been to any file.
    fn modifier(&mut self, id: OpenId, span: Span, out: &mut Vec<Output>) -> Option<(Slot, Slot, bool)> {
        let Some((slot, place, file)) = self.touch(id, span, out) else {
            self.suspect_all(span.end);
            return None;
        };
        let strange = self.descriptions.get(slot).is_some_and(|description| !description.access.write);
        if strange {
            anomaly(AnomalyKind::ImpossibleOperation, span.end, Some(&place), out);
        }
        Some((slot, file?, strange))
    }

    /// The file that was truncated, and through which description.
    fn truncated(
        &mut self,
        target: &Target,
        inode: Option<InodeId>,
        span: Span,
        out: &mut Vec<Output>,
    ) -> Option<(Option<Slot>, Slot, bool)> {
        match target {
            Target::Open(id) | Target::Opening(id)
                if self.descriptions.find(id).is_some() || inode.is_none() =>
            {
                let (slot, file, strange) = self.modifier(*id, span, out)?;
                Some((Some(slot), file, strange))
            }
            Target::Open(_) | Target::Opening(_) => {
                anomaly(AnomalyKind::UnknownDescription, span.end, None, out);
                Some((None, self.files.find(&inode?)?, true))
            }
            Target::Place(place) => {
                let inode = inode.or_else(|| self.names.inode(place))?;
                self.make_room_for_name(out);
                let file = self.file(inode, place, span, false, out);
                self.learn(place, file, span, false);
                Some((None, file, false))
            }
        }
    }

    fn look_before(&mut self, file: Slot, span: Span, size: Option<u64>) {
        if let Some(size) = size {
            self.look_at_size(file, span.start, size);
        }
    }
}

/// A truncation by a state file's name, when it is not known which file stands there: a session of its own.
fn report_faceless(
    target: &Target,
    to: u64,
    size_before: Option<u64>,
    span: Span,
    actor: Actor,
    out: &mut Vec<Output>,
) {
    let Target::Place(place) = target else { return };
    if place.role != Role::State || size_before == Some(to) {
        return;
    }
    let operation = Operation::Truncate;
    let record = OperationRecord { operation, span, actor, offset: None, length: None, size: Some(to) };
    out.push(Output::Session(Box::new(SessionReport {
        place: Arc::clone(place),
        inode: None,
        outcome: Outcome::InPlace,
        durable: None,
        operation: Some(operation),
        writer: actor,
        window: span,
        operations: vec![record],
        operation_count: 1,
        size_before,
        size_after: Some(to),
        writer_died: false,
        content: None,
        writer_exited: false,
    })));
}

impl Modification {
    pub(super) fn change(&self) -> Change {
        Change {
            operation: self.operation,
            span: self.span,
            actor: self.actor,
            range: self.range,
            offset: self.offset,
            length: self.length,
            size_before: self.size_before,
            size_after: self.size_after,
            truncates: self.truncates,
            alone: true,
            writer: 0,
        }
    }
}
