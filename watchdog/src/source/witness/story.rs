//! What each of the two tells, as sessions and modifications. Pure.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::testimony::{Side, Testimony};
use crate::model::{
    BootNanos, EventOperation as Operation, FileEvent, OpenId, Place, Role, RootId, Span, Target,
};
use crate::source::inotify::Sight;

/// What the source tells: a session is a description that modified a state file, from its first modification to its
/// release, or a file that took over the name.
#[derive(Debug, Default)]
pub(super) struct SourceStory {
    writers: FxHashMap<OpenId, Writer>,
    lost: u64,
}

/// A description that may modify a file.
#[derive(Debug)]
struct Writer {
    /// Where the file stands now; `None` when it stands at no name any more, and so out of the witness's sight.
    place: Option<Arc<Place>>,
    /// Its first modification, and where that was.
    first: Option<(Arc<Place>, BootNanos)>,
}

impl SourceStory {
    /// At most so many descriptions are followed.
    const MAX: usize = 4_096;

    pub(super) fn event(&mut self, event: &FileEvent, now: BootNanos, testimony: &mut Testimony) {
        let span = event.span;
        if event.lost > self.lost {
            self.lost = event.lost;
            self.writers.clear();
            testimony.lost(span.end);
        }
        match &event.operation {
            Operation::Open { id, place, access, created, truncated, .. } => {
                if access.write || *truncated || *created {
                    self.open(*id, place, now, testimony);
                }
                if *created || *truncated {
                    self.modified(*id, span, testimony);
                }
            }
            Operation::Write { id, length, .. } if *length > 0 => self.modified(*id, span, testimony),
            Operation::Map { id, shared: true, writable: true } => self.modified(*id, span, testimony),
            Operation::Truncate { target: Target::Open(id) | Target::Opening(id), .. } => {
                self.modified(*id, span, testimony);
            }
            Operation::Truncate { target: Target::Place(place), .. } => {
                replaced(Side::Source, place, span, now, testimony);
            }
            Operation::Rename { from, to, exchange, .. } => {
                self.rename(from.as_ref(), to.as_ref(), *exchange);
                let far = from.as_ref().filter(|_| *exchange);
                for place in to.as_ref().into_iter().chain(far) {
                    replaced(Side::Source, place, span, now, testimony);
                }
            }
            Operation::Link { to, .. } => replaced(Side::Source, to, span, now, testimony),
            Operation::Unlink { place, .. } => self.detach(place),
            Operation::Release { id } => {
                if let Some((place, start)) = self.writers.remove(id).and_then(|writer| writer.first) {
                    testimony.session(Side::Source, &place, Span::new(start, span.end), now);
                }
            }
            Operation::Read { .. }
            | Operation::Write { .. }
            | Operation::WriteFailed { .. }
            | Operation::Map { .. }
            | Operation::Sync { .. }
            | Operation::Lock { .. }
            | Operation::Exit { .. }
            | Operation::Present { .. }
            | Operation::Content { .. }
            | Operation::Heartbeat => {}
            Operation::MoveDirectory { root, container, to } => {
                self.move_directory(*root, container, to.as_ref());
            }
        }
    }

    fn open(&mut self, id: OpenId, place: &Arc<Place>, now: BootNanos, testimony: &mut Testimony) {
        if self.writers.len() >= Self::MAX {
            self.writers.clear();
            testimony.lost(now);
        }
        if place.role != Role::Lock {
            self.writers.insert(id, Writer { place: Some(Arc::clone(place)), first: None });
        }
    }

    fn modified(&mut self, id: OpenId, span: Span, testimony: &mut Testimony) {
        let Some(writer) = self.writers.get_mut(&id) else { return };
        let Some(place) = &writer.place else { return };
        testimony.modified(Side::Source, place, span);
        if place.role == Role::State {
            let (_, first) = writer.first.get_or_insert_with(|| (Arc::clone(place), span.start));
            *first = span.start.min(*first);
        }
    }

    fn rename(&mut self, from: Option<&Arc<Place>>, to: Option<&Arc<Place>>, exchange: bool) {
        for writer in self.writers.values_mut() {
            let Some(place) = &writer.place else { continue };
            if Some(place) == from {
                writer.place = to.cloned();
            } else if Some(place) == to {
                writer.place = from.filter(|_| exchange).cloned();
            }
        }
    }

    fn move_directory(&mut self, root: RootId, container: &str, to: Option<&(RootId, Arc<str>)>) {
        for writer in self.writers.values_mut() {
            if let Some(place) = &writer.place
                && place.root == root
                && place.is_inside(container)
            {
                writer.place = to.and_then(|(root, to)| place.moved(container, (*root, to))).map(Arc::new);
            }
        }
    }

    fn detach(&mut self, place: &Arc<Place>) {
        for writer in self.writers.values_mut().filter(|writer| writer.place.as_ref() == Some(place)) {
            writer.place = None;
        }
    }
}

/// What the witness tells: a session goes from the first modification to the close-after-write.
#[derive(Debug, Default)]
pub(super) struct WitnessStory {
    open: FxHashMap<Arc<Place>, BootNanos>,
}

impl WitnessStory {
    /// At most so many files are being modified.
    const MAX: usize = 4_096;

    pub(super) fn sight(&mut self, sight: Sight, now: BootNanos, testimony: &mut Testimony) {
        match sight {
            Sight::Begins(root, container) => testimony.begins(root, container, now),
            Sight::Ends(root, container) => {
                self.open.retain(|place, _| place.root != root || place.container != container);
                testimony.ends(root, &container);
            }
            Sight::Lost(at) => {
                self.open.clear();
                testimony.lost(at);
            }
            Sight::Modified(place, span) => {
                testimony.modified(Side::Witness, &place, span);
                if place.role == Role::State {
                    if self.open.len() >= Self::MAX {
                        // A truncation by name has no close: what was left behind by those makes room.
                        self.open.clear();
                        testimony.lost(now);
                    }
                    self.open.entry(place).or_insert(span.start);
                }
            }
            Sight::Closed(place, span) => {
                testimony.modified(Side::Witness, &place, span);
                if let Some(start) = self.open.remove(&place) {
                    testimony.session(Side::Witness, &place, Span::new(start, span.end), now);
                }
            }
            Sight::Replaced(place, span) => {
                self.open.remove(&place);
                replaced(Side::Witness, &place, span, now, testimony);
            }
        }
    }
}

/// A modification that is a session of its own.
fn replaced(side: Side, place: &Arc<Place>, span: Span, now: BootNanos, testimony: &mut Testimony) {
    testimony.modified(side, place, span);
    testimony.session(side, place, span, now);
}
