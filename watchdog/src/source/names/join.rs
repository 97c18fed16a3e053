//! Joins calls with the changes of names that they made. Pure.
//!
//! The rules:
//! - A change happened in the directory that its mark names. A call never moves it elsewhere.
//! - A call may have made a change if the last components agree, the times meet, and what is known of the call's
//!   directory does not contradict the mark.
//! - A call whose directory is known claims its change at once. Any other call waits until no record is left to read:
//!   a call that fits better may still come.
//! - A call without a change did nothing in a watched directory. Where a directory was not watched when the call ran,
//!   the text decides, and where the text cannot, the call is counted as unresolved.
//! - A change that no call claims is reported without a process.
//! - Where the probes name the files themselves, changes only put the moves of directories in order.

mod beside;

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::pool::{Deed, Entry, MOST, Pool};
use super::{Directory, DirectoryMove, NameEvent, Named};
use crate::model::{Actor, BootNanos, EventOperation as Operation, Place, Role, RootId, Span, Target};

/// What a call by path did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// rename; `exchange` is RENAME_EXCHANGE.
    Rename {
        /// The two names were exchanged.
        exchange: bool,
    },
    /// link.
    Link,
    /// unlink.
    Unlink,
    /// truncate to this size.
    Truncate(u64),
}

/// A call by path that succeeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// What it did.
    pub kind: CallKind,
    /// From entry to return.
    pub span: Span,
    /// The thread that called.
    pub actor: Actor,
    /// Its only or first path.
    pub first: Named,
    /// Its second path.
    pub second: Option<Named>,
}

/// An operation whose names are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// From entry to return of the call; without a call, the time within which the change happened.
    pub span: Span,
    /// The thread that called.
    pub actor: Actor,
    /// What it did.
    pub operation: Operation,
}

/// Makes places of names; the same place for the same name.
pub type Places<'a> = &'a mut dyn FnMut(RootId, &str, &str) -> Arc<Place>;

/// The last directory agrees, or nothing contradicts: other calls may fit better.
const POSSIBLE: u8 = 1;
const LIKELY: u8 = 2;
/// The directory is known.
const SURE: u8 = MOST;

/// Puts calls and changes together.
#[derive(Debug, Default)]
pub struct Join {
    pool: Pool,
    /// Calls that are not sure of their change.
    waiting: VecDeque<Call>,
    /// Since when each directory is watched.
    watched: FxHashMap<(RootId, Arc<str>), BootNanos>,
    /// Directories that are watched since a short time.
    new: VecDeque<(BootNanos, RootId, Arc<str>)>,
    /// Files that came from an unwatched directory: inotify merges such events when nothing lies between them.
    arrivals: VecDeque<(Arc<Place>, (BootNanos, BootNanos))>,
    /// Events up to this time may be missing.
    lost_at: BootNanos,
    unresolved: u64,
    /// The probes name the files themselves.
    probes_name: bool,
}

impl Join {
    /// A call's record may come this long after the change.
    const PATIENCE: u64 = 300_000_000;
    /// Records of calls are read within this time.
    const NEW: u64 = 30_000_000_000;
    /// At most so many calls wait.
    const MAX_WAITING: usize = 1_024;
    const MAX_NEW: usize = 4_096;
    const MAX_ARRIVALS: usize = 64;

    /// How many calls could not be resolved so far.
    #[must_use]
    pub fn unresolved(&self) -> u64 {
        self.unresolved
    }

    /// Takes in a mark's event.
    pub fn change(&mut self, event: NameEvent, out: &mut Vec<Joined>) {
        if let Some(oldest) = self.pool.add(event) {
            self.unclaimed(&oldest, out);
        }
    }

    /// Takes in that a directory was moved.
    pub fn directory(&mut self, directory: DirectoryMove) {
        self.pool.add_move(directory);
    }

    /// An open created this file, and its own event comes next: its change is explained.
    pub fn created(&mut self, place: &Place, out: &mut Vec<Joined>) {
        let is_it = |entry: &Entry| match &entry.deed {
            Deed::Created(created) => (**created == *place).then_some(SURE),
            Deed::Moved(..) | Deed::Deleted(_) | Deed::Departed(_) => None,
        };
        let found = self.pool.best(is_it).map(|(index, _)| index);
        // In a directory that is not watched yet, the file was made after everything that the marks know.
        let end = found.unwrap_or(usize::MAX);
        if let Some(index) = found {
            self.pool.take(index);
        }
        self.depart(end, out);
    }

    /// Reports the moves of directories that happened before the change at `end`.
    fn depart(&mut self, end: usize, out: &mut Vec<Joined>) {
        while let Some(DirectoryMove { root, container, to, between }) = self.pool.take_move(end) {
            let operation = Operation::MoveDirectory { root, container, to };
            out.push(Joined { span: Span::new(between.0, between.1), actor: Actor::UNKNOWN, operation });
        }
    }

    /// A directory is watched from now on.
    pub fn begins(&mut self, root: RootId, container: Arc<str>, at: BootNanos) {
        while self.new.front().is_some_and(|(since, ..)| at.since(*since) > Self::NEW)
            || self.new.len() >= Self::MAX_NEW
        {
            self.new.pop_front();
        }
        self.new.push_back((at, root, Arc::clone(&container)));
        self.watched.insert((root, container), at);
    }

    /// A directory is watched no longer.
    pub fn ends(&mut self, root: RootId, container: &Arc<str>) {
        self.watched.remove(&(root, Arc::clone(container)));
    }

    /// A root is watched no longer: nothing that waits in it matters.
    pub fn forget(&mut self, root: RootId) {
        self.pool.forget(root);
        self.watched.retain(|(other, _), _| *other != root);
        self.new.retain(|(_, other, _)| *other != root);
        self.arrivals.retain(|(place, _)| place.root != root);
    }

    /// Events up to this time may be missing.
    pub fn lost(&mut self, at: BootNanos) {
        self.lost_at = at;
        self.pool.clear();
        self.arrivals.clear();
    }

    /// Takes in a call. All events of marks that were queued before its return were taken in already.
    pub fn call(&mut self, call: Call, places: Places<'_>, out: &mut Vec<Joined>) {
        if let CallKind::Truncate(size) = call.kind {
            return self.truncate(&call, size, places, out);
        }
        match self.best(&call) {
            Some((index, SURE)) => {
                let entry = self.pool.take(index);
                self.depart(index, out);
                // Calls that wait may be older, and nothing better can come for them.
                self.settle(places, out);
                if let Some(entry) = entry {
                    self.claim(entry, call, places, out);
                }
            }
            Some(_) => {
                self.waiting.push_back(call);
                if self.waiting.len() > Self::MAX_WAITING {
                    self.settle(places, out);
                }
            }
            None => self.unmatched(&call, places, out),
        }
    }

    /// There is no record left to read: calls that wait take what fits, and changes that waited long enough are
    /// reported without a process.
    pub fn idle(&mut self, now: BootNanos, places: Places<'_>, out: &mut Vec<Joined>) {
        self.settle(places, out);
        self.depart(usize::MAX, out);
        let before = BootNanos(now.0.saturating_sub(Self::PATIENCE));
        while let Some(entry) = self.pool.expire(before) {
            self.unclaimed(&entry, out);
        }
        while self.arrivals.front().is_some_and(|(_, between)| between.1 < before) {
            self.arrivals.pop_front();
        }
        if self.pool.len() == 0 {
            self.pool.shrink();
        }
    }

    /// When [`Self::idle`] has something to do.
    #[must_use]
    pub fn due(&self) -> Option<BootNanos> {
        self.pool.oldest().map(|oldest| oldest.plus(Self::PATIENCE + 1))
    }

    fn settle(&mut self, places: Places<'_>, out: &mut Vec<Joined>) {
        while let Some(call) = self.waiting.pop_front() {
            match self.best(&call).and_then(|(index, _)| self.pool.take(index)) {
                Some(entry) => self.claim(entry, call, places, out),
                None => self.unmatched(&call, places, out),
            }
        }
    }

    fn best(&self, call: &Call) -> Option<(usize, u8)> {
        self.pool.best(|entry| if entry.may_be_of(call.span) { self.score(entry, call) } else { None })
    }

    /// How well a change fits a call; `None` when the call did not make it.
    fn score(&self, entry: &Entry, call: &Call) -> Option<u8> {
        match (&call.kind, &entry.deed) {
            (CallKind::Rename { .. }, Deed::Moved(from, to)) => {
                let from = self.side(from.as_ref(), &call.first, call.span)?;
                let to = self.side(to.as_ref(), call.second.as_ref()?, call.span)?;
                Some(from.min(to))
            }
            (CallKind::Link, Deed::Created(place)) => {
                self.side(Some(place), call.second.as_ref()?, call.span)
            }
            (CallKind::Unlink, Deed::Deleted(place)) => self.side(Some(place), &call.first, call.span),
            _ => None,
        }
    }

    /// How well one of a call's paths fits the name at which something changed; no name stands for an unwatched
    /// directory.
    fn side(&self, place: Option<&Arc<Place>>, named: &Named, span: Span) -> Option<u8> {
        let Some(place) = place else {
            let is_watched = match &named.directory {
                Directory::Certain(root, container) | Directory::Textual(root, container) => {
                    self.covers(*root, container, span)
                }
                Directory::Elsewhere | Directory::Named(_) | Directory::Unknown => false,
            };
            return (!is_watched).then_some(SURE);
        };
        if named.name.as_ref().is_some_and(|name| *name != place.name) {
            return None;
        }
        let is_here =
            |root: &RootId, container: &Arc<str>| *root == place.root && *container == place.container;
        match &named.directory {
            Directory::Elsewhere => None,
            Directory::Certain(root, container) => is_here(root, container).then_some(SURE),
            Directory::Textual(root, container) if is_here(root, container) => Some(SURE),
            // That directory is watched, and shows nothing of this call.
            Directory::Textual(root, container) if self.covers(*root, container, span) => None,
            Directory::Textual(..) | Directory::Unknown => Some(POSSIBLE),
            Directory::Named(name) => {
                let is_last = place.container.rsplit('/').next() == Some(&**name);
                Some(if is_last && !name.is_empty() { LIKELY } else { POSSIBLE })
            }
        }
    }

    /// Returns whether the marks show whatever happened in a directory during `span`.
    fn covers(&self, root: RootId, container: &Arc<str>, span: Span) -> bool {
        let since = self.watched.get(&(root, Arc::clone(container)));
        span.start > self.lost_at && since.is_some_and(|since| *since < span.start)
    }

    fn claim(&mut self, entry: Entry, call: Call, places: Places<'_>, out: &mut Vec<Joined>) {
        let Call { kind, span, actor, first, second } = call;
        let between = entry.between;
        let operation = match (kind, entry.deed) {
            (CallKind::Rename { exchange }, Deed::Moved(from, to)) => {
                if exchange {
                    self.take_way_back(from.as_ref(), to.as_ref());
                }
                if from.is_none()
                    && let Some(to) = &to
                {
                    self.remember_arrival(to, between);
                }
                let from = from.or_else(|| Self::unwatched(&first, places));
                let to = to.or_else(|| Self::unwatched(second.as_ref()?, places));
                rename(from, to, exchange)
            }
            (CallKind::Link, Deed::Created(to)) => {
                let from = Self::origin(&first, second.as_ref(), &to, places);
                Some(Operation::Link { from, to, inode: None })
            }
            (_, Deed::Deleted(place)) => Some(Operation::Unlink { place, inode: None }),
            _ => None,
        };
        out.extend(operation.map(|operation| Joined { span, actor, operation }));
    }

    /// The name in a directory below a root that no mark shows, which is so because it was not watched yet.
    fn unwatched(named: &Named, places: Places<'_>) -> Option<Arc<Place>> {
        match &named.directory {
            Directory::Certain(root, container) | Directory::Textual(root, container) => {
                Some(places(*root, container, named.name.as_ref()?))
            }
            Directory::Elsewhere | Directory::Named(_) | Directory::Unknown => None,
        }
    }

    /// Where a link's file has its other name, as far as the text tells.
    fn origin(first: &Named, second: Option<&Named>, to: &Place, places: Places<'_>) -> Option<Arc<Place>> {
        let is_same = second.is_some_and(|second| second.directory == first.directory);
        match (&first.directory, &first.name) {
            (Directory::Named(_), Some(name)) if is_same => Some(places(to.root, &to.container, name)),
            _ => Self::unwatched(first, places),
        }
    }

    /// An exchange is two renames; the second goes back.
    fn take_way_back(&mut self, from: Option<&Arc<Place>>, to: Option<&Arc<Place>>) {
        let is_back = |entry: &Entry| match &entry.deed {
            Deed::Moved(old, new) if old.as_ref() == to && new.as_ref() == from => Some(SURE),
            _ => None,
        };
        if let Some((index, _)) = self.pool.best(is_back) {
            self.pool.take(index);
        }
    }

    fn remember_arrival(&mut self, to: &Arc<Place>, between: (BootNanos, BootNanos)) {
        if self.arrivals.len() >= Self::MAX_ARRIVALS {
            self.arrivals.pop_front();
        }
        self.arrivals.push_back((Arc::clone(to), between));
    }

    /// The marks show nothing of a call.
    fn unmatched(&mut self, call: &Call, places: Places<'_>, out: &mut Vec<Joined>) {
        let span = call.span;
        let mut is_open = false;
        let mut side = |named: &Named| match &named.directory {
            Directory::Certain(root, container) | Directory::Textual(root, container) => {
                let name = named.name.as_ref()?;
                let place = places(*root, container, name);
                (!self.covers(*root, container, span) || self.has_merged(&place, call)).then_some(place)
            }
            Directory::Named(name) => {
                is_open |= self.may_be_new(name, span);
                None
            }
            Directory::Elsewhere | Directory::Unknown => None,
        };
        let first = side(&call.first);
        let second = call.second.as_ref().and_then(side);
        let operation = match call.kind {
            CallKind::Rename { exchange } => rename(first, second, exchange),
            CallKind::Link => second.filter(|to| to.role != Role::Temporary).map(|to| {
                let from = Self::origin(&call.first, call.second.as_ref(), &to, places);
                Operation::Link { from, to, inode: None }
            }),
            CallKind::Unlink => first.map(|place| Operation::Unlink { place, inode: None }),
            CallKind::Truncate(to) => first.map(|place| truncate(place, to)),
        };
        match operation {
            Some(operation) => {
                // The directory is not watched yet: it was made after everything that the marks know.
                self.depart(usize::MAX, out);
                out.push(Joined { span, actor: call.actor, operation });
            }
            None if is_open => self.unresolved += 1,
            None => {}
        }
    }

    /// Returns whether the kernel merged the call's event with that of a call before.
    fn has_merged(&self, to: &Arc<Place>, call: &Call) -> bool {
        let meets =
            |between: &(BootNanos, BootNanos)| call.span.start <= between.1 && between.0 <= call.span.end;
        matches!(call.kind, CallKind::Rename { .. })
            && self.arrivals.iter().any(|(place, between)| place == to && meets(between))
    }

    /// Returns whether a directory of this name came to be watched only when a call in `span` had begun.
    fn may_be_new(&self, name: &str, span: Span) -> bool {
        let is_it = |container: &str| !name.is_empty() && container.rsplit('/').next() == Some(name);
        self.new.iter().rev().any(|(since, _, container)| *since >= span.start && is_it(container))
    }

    fn truncate(&mut self, call: &Call, size: u64, places: Places<'_>, out: &mut Vec<Joined>) {
        if call.first.name.is_none() && call.first.directory == Directory::Elsewhere {
            // By a name that says nothing: a link's, or a descriptor's.
            let is_state = |place: &Arc<Place>| place.role == Role::State;
            self.unresolved += u64::from(self.pool.modified(None, call.span).any(is_state));
            return;
        }
        let name = call.first.name.clone();
        let mut best: Option<(u8, Arc<Place>)> = None;
        for place in self.pool.modified(name.as_deref(), call.span) {
            if let Some(score) = self.side(Some(place), &call.first, call.span)
                && best.as_ref().is_none_or(|(most, _)| score > *most)
            {
                best = Some((score, Arc::clone(place)));
            }
        }
        match best {
            Some((SURE, place)) => {
                let operation = truncate(place, size);
                out.push(Joined { span: call.span, actor: call.actor, operation });
            }
            // A writer may have modified the file, and the call another one.
            Some((LIKELY, _)) => self.unresolved += 1,
            // What the call did, if it did it here, the cross-check misses.
            Some(_) | None => self.unmatched(call, places, out),
        }
    }

    /// Reports a change that no call claimed.
    fn unclaimed(&mut self, entry: &Entry, out: &mut Vec<Joined>) {
        if self.probes_name {
            return;
        }
        let operation = match &entry.deed {
            // Opens tell what they create.
            Deed::Created(_) => return,
            Deed::Moved(from, to) => rename(from.clone(), to.clone(), false),
            Deed::Deleted(place) => Some(Operation::Unlink { place: Arc::clone(place), inode: None }),
            Deed::Departed(_) => None,
        };
        let Some(operation) = operation else { return };
        let is_outdated = match &entry.deed {
            Deed::Moved(from, to) => [from, to].into_iter().flatten().any(|place| self.pool.concerns(place)),
            Deed::Created(place) | Deed::Deleted(place) => self.pool.concerns(place),
            Deed::Departed(_) => false,
        };
        if is_outdated {
            // The order is lost.
            self.unresolved += 1;
            return;
        }
        let (since, at) = entry.between;
        out.push(Joined { span: Span::new(since, at), actor: Actor::UNKNOWN, operation });
    }
}

fn rename(from: Option<Arc<Place>>, to: Option<Arc<Place>>, exchange: bool) -> Option<Operation> {
    let matters =
        |place: &Option<Arc<Place>>| place.as_ref().is_some_and(|place| place.role != Role::Temporary);
    let inode = None;
    let still_open_for_writing = None;
    (matters(&from) || matters(&to)).then_some(Operation::Rename {
        from,
        to,
        inode,
        exchange,
        still_open_for_writing,
    })
}

fn truncate(place: Arc<Place>, to: u64) -> Operation {
    Operation::Truncate { target: Target::Place(place), inode: None, to, size_before: None }
}

#[cfg(test)]
mod tests;
