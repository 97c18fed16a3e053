//! Names that move: renames, links and unlinks, and the atomic replaces among them.

use std::sync::Arc;

use super::engine::Engine;
use super::limits::nanos;
use super::names::Standing;
use super::session::Origin;
use super::table::Slot;
use super::writes::Modification;
use crate::model::{
    Actor, EventOperation, InodeId, OpenId, Operation, Outcome, Output, Place, Role, SessionReport, Span,
};

/// A rename over a state file's name.
#[derive(Clone, Copy, Debug)]
struct Renaming {
    span: Span,
    actor: Actor,
    size_before: Option<u64>,
    durable: Option<bool>,
}

impl Engine {
    pub(super) fn rename(
        &mut self,
        operation: &EventOperation,
        span: Span,
        actor: Actor,
        out: &mut Vec<Output>,
    ) {
        match operation {
            EventOperation::Rename { from, to, inode, exchange, still_open_for_writing } => {
                let (from, to) = (names_files(from.as_ref()), names_files(to.as_ref()));
                let moved = inode.or_else(|| self.names.inode(from?));
                let old = to.and_then(|to| self.stood_before(to, moved, span));
                if !exchange && moved.is_some() && old == moved {
                    // Two names of one file: rename does nothing.
                    return;
                }
                if *exchange {
                    if let Some(to) = to {
                        self.take_over(to, (moved, old), span, actor, *still_open_for_writing, out);
                    }
                    if let Some(from) = from {
                        let old = if to.is_some() { old } else { None };
                        self.take_over(from, (old, moved), span, actor, None, out);
                    }
                    return;
                }
                if let Some(to) = to {
                    self.take_over(to, (moved, old), span, actor, *still_open_for_writing, out);
                }
                if let Some(from) = from {
                    self.vacate(from, moved, span, out);
                }
            }
            EventOperation::Link { from, to, inode } => {
                let moved = inode.or_else(|| self.names.inode(from.as_ref()?));
                if let Some(to) = names_files(Some(to)) {
                    self.take_over(to, (moved, None), span, actor, None, out);
                }
            }
            EventOperation::Unlink { place, inode } => {
                if let Some(place) = names_files(Some(place)) {
                    self.vacate(place, *inode, span, out);
                }
            }
            _ => {}
        }
    }

    /// A file took over a name. At a state file's name that is an atomic replace.
    fn take_over(
        &mut self,
        to: &Arc<Place>,
        (moved, old): (Option<InodeId>, Option<InodeId>),
        span: Span,
        actor: Actor,
        still_open_for_writing: Option<bool>,
        out: &mut Vec<Output>,
    ) {
        self.make_room_for_name(out);
        let before = old.and_then(|old| self.files.find(&old));
        let size_before = before.and_then(|slot| self.file_mut(slot)).and_then(|file| file.sizes.latest());
        if let Some(slot) = before
            && old != moved
        {
            if let Some(file) = self.files.get_mut(slot) {
                file.drop_name(to, span.end);
            }
            self.drop_if_spent(slot);
        }
        self.names.set(to, Standing::File(moved), span);
        let slot = moved.map(|moved| self.file(moved, to, span, false, out));
        if let Some(file) = slot.and_then(|slot| self.files.get_mut(slot)) {
            file.add_name(to);
        }
        if to.role != Role::State {
            return;
        }
        let durable = slot.and_then(|slot| self.is_durable(slot, span));
        let writers = slot.map(|slot| self.writers_of(slot)).unwrap_or_default();
        let written = still_open_for_writing.unwrap_or(!writers.is_empty());
        if let Some(slot) = slot.filter(|_| written)
            && self.files.get(slot).is_some_and(|file| file.current.is_none())
        {
            return self.await_rest(slot, to, &writers, Renaming { span, actor, size_before, durable }, out);
        }
        let size_after = slot.and_then(|slot| self.file_mut(slot)).and_then(|file| file.sizes.latest());
        out.push(Output::Session(Box::new(SessionReport {
            place: Arc::clone(to),
            inode: moved,
            outcome: Outcome::AtomicReplace,
            durable,
            operation: None,
            writer: actor,
            window: span,
            operations: Vec::new(),
            operation_count: 0,
            size_before,
            size_after,
            writer_died: false,
            content: None,
            writer_exited: false,
        })));
    }

    /// Somebody still has a file open for writing that took over a state file's name. Whether it was complete, shows when
    /// that one is done: until then it is a session, which begins with the rename.
    fn await_rest(
        &mut self,
        slot: Slot,
        to: &Arc<Place>,
        writers: &[OpenId],
        renaming: Renaming,
        out: &mut Vec<Output>,
    ) {
        let Renaming { span, actor, size_before, durable } = renaming;
        self.start_session(slot, Arc::clone(to), span.start);
        let (room, quiet) = (self.limits.operations_per_session, nanos(self.limits.quiet));
        let size = self.file_mut(slot).and_then(|file| file.sizes.latest());
        let Some(session) = self.files.get_mut(slot).and_then(|file| file.current.as_mut()) else { return };
        let modification = Modification {
            size_before,
            size_after: size,
            ..Modification::new(Operation::Rename, span, actor)
        };
        (session.origin, session.durable, session.guarded) = (Origin::Renamed, durable, false);
        let change = modification.change();
        session.enlist(writers, &change);
        session.add(writers.first().copied(), change, true, room);
        self.operations += 1;
        for writer in writers {
            if let Some(description) =
                self.descriptions.find(writer).and_then(|slot| self.descriptions.get_mut(slot))
            {
                description.modified = true;
            }
        }
        self.wake_file(slot, span.end.plus(quiet));
        self.bound_sessions(out);
    }

    /// A name was removed, by unlink or by a rename away from it.
    fn vacate(&mut self, place: &Arc<Place>, inode: Option<InodeId>, span: Span, out: &mut Vec<Output>) {
        let known = self.names.inode(place);
        let recreated = self.names.get(place).is_some_and(|name| {
            // A reader or a creator that found the next file returned before this did.
            matches!(name.standing, Standing::File(_))
                && match (inode, known) {
                    (Some(inode), Some(known)) => inode != known && span.start <= name.changed.end,
                    _ => name.doubt().is_some_and(|doubt| !span.is_before(doubt.between)),
                }
        });
        if let Some(file) = inode.and_then(|inode| self.files.find(&inode)) {
            if let Some(file) = self.files.get_mut(file) {
                file.drop_name(place, span.end);
            }
            self.drop_if_spent(file);
        }
        if recreated {
            if let Some(name) = self.names.get_mut(place) {
                name.explain(span);
                name.may_be(Standing::Removed, span.end);
            }
            if let Some(session) = known
                .and_then(|known| self.files.find(&known))
                .and_then(|slot| self.files.get_mut(slot))
                .and_then(|file| file.current.as_mut())
                && session.origin != Origin::Existing
            {
                session.origin = Origin::Removed;
            }
            return;
        }
        if let Some(file) = known.and_then(|known| self.files.find(&known)) {
            if let Some(file) = self.files.get_mut(file) {
                file.drop_name(place, span.end);
            }
            self.drop_if_spent(file);
        }
        if place.role == Role::State {
            self.make_room_for_name(out);
            self.names.set(place, Standing::Removed, span);
            self.wake_name(place, span.end.plus(nanos(self.limits.removed_names)));
        } else {
            self.names.remove(place);
        }
    }

    /// Which file a rename in `span` displaced from a name. A reader may have found the new one there, and returned,
    /// before the rename did.
    fn stood_before(&self, to: &Place, moved: Option<InodeId>, span: Span) -> Option<InodeId> {
        let name = self.names.get(to)?;
        let standing = match name.standing {
            Standing::File(known) if known == moved && moved.is_some() && span.start <= name.changed.end => {
                name.before()
            }
            standing => standing,
        };
        standing.inode()
    }

    /// Who has the file open for writing.
    fn writers_of(&self, file: Slot) -> Vec<OpenId> {
        let live = self.files.get(file).map(|file| file.live.as_slice()).unwrap_or_default();
        let descriptions = live.iter().filter_map(|slot| self.descriptions.get(*slot));
        descriptions
            .filter(|description| description.access.write)
            .map(|description| description.id)
            .collect()
    }

    /// Whether the file's content was on disk before it took over a name.
    fn is_durable(&self, slot: Slot, span: Span) -> Option<bool> {
        let writing = &self.files.get(slot)?.writing;
        let seen = writing.since.is_some_and(|since| since >= self.loss) && !writing.mapped;
        seen.then(|| writing.synced.is_some_and(|synced| synced.end <= span.start))
    }
}

/// A lock file's place names the state file that it guards, not itself.
fn names_files(place: Option<&Arc<Place>>) -> Option<&Arc<Place>> {
    place.filter(|place| place.role != Role::Lock)
}
