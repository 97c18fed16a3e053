//! What is known of one inode.

use std::collections::VecDeque;
use std::sync::Arc;

use super::rest::Rest;
use super::session::{Change, Session};
use super::sizes::{Doubt, Reach, Sizes};
use super::table::Slot;
use crate::model::{BootNanos, InodeId, OpenId, Place, Role, Span};

/// How many truncations are remembered that found nothing to cut off.
const IDLE: usize = 4;

/// An inode that stands, or stood, at a name that matters.
#[derive(Debug)]
pub(super) struct File {
    pub(super) inode: InodeId,
    /// The names at which it stands.
    pub(super) names: Vec<Arc<Place>>,
    /// The last state file's name that it left, and when.
    left: Option<(BootNanos, Arc<Place>)>,
    /// When it was first seen.
    pub(super) seen: BootNanos,
    /// The event that last touched it.
    pub(super) touched: u64,
    /// The event at which its sizes were last known to be complete.
    pub(super) sizes_known: u64,
    pub(super) sizes: Sizes,
    pub(super) writing: Writing,
    /// When the last modification returned that was part of no session.
    pub(super) unjudged: BootNanos,
    /// The last truncations that found nothing to cut off as far as is known, and the size that they set.
    idle: Vec<(Span, u64)>,
    /// When the last of those returned that changed it for certain, under no name that counts.
    pub(super) changed_aside: BootNanos,
    /// Apart from the rest: most files have none.
    pub(super) current: Option<Box<Session>>,
    pub(super) past: VecDeque<Session>,
    /// Its content since the last modification is damaged.
    pub(super) rest: Option<Arc<Rest>>,
    /// The latest end of a session.
    pub(super) quiet_since: BootNanos,
    /// Its open descriptions.
    pub(super) live: Vec<Slot>,
    /// Its released readers, by release.
    pub(super) retired: VecDeque<Slot>,
    /// The latest release of a reader that is forgotten.
    pub(super) forgotten: Option<BootNanos>,
    /// A verdict waits until a change in size is explained.
    pub(super) waiting: bool,
    /// When its timer goes off.
    pub(super) timer: Option<BootNanos>,
}

/// How an inode was filled: tells whether an atomic replace by it is durable.
#[derive(Debug, Default)]
pub(super) struct Writing {
    /// The event with which it became known; `None` when its writing was not seen.
    pub(super) since: Option<u64>,
    pub(super) last: BootNanos,
    /// The first sync after the last modification.
    pub(super) synced: Option<Span>,
    /// Stores through a mapping cannot be seen.
    pub(super) mapped: bool,
}

impl Writing {
    /// Notes a modification.
    pub(super) fn modified(&mut self, event: u64, span: Span) {
        self.since.get_or_insert(event);
        self.last = self.last.max(span.end);
        self.synced = None;
    }

    /// Notes a sync. One that began before the last modification returned may have missed it.
    pub(super) fn sync(&mut self, span: Span) {
        if span.start >= self.last {
            self.synced.get_or_insert(span);
        }
    }
}

impl File {
    pub(super) fn new(inode: InodeId, seen: BootNanos, event: u64) -> Self {
        Self {
            inode,
            names: Vec::new(),
            left: None,
            seen,
            touched: event,
            sizes_known: event,
            sizes: Sizes::default(),
            writing: Writing::default(),
            unjudged: BootNanos(0),
            idle: Vec::new(),
            changed_aside: BootNanos(0),
            current: None,
            past: VecDeque::new(),
            rest: None,
            quiet_since: BootNanos(0),
            live: Vec::new(),
            retired: VecDeque::new(),
            forgotten: None,
            waiting: false,
            timer: None,
        }
    }

    /// The size before the session that an operation entered at `at` begins, when it is known.
    pub(super) fn size_before(&self, at: BootNanos) -> Option<u64> {
        if self.unjudged >= at { None } else { self.sizes.before(at) }
    }

    /// True when nobody has modified it in a session that is open. A rename over the state file modifies nothing.
    pub(super) fn is_unmodified(&self) -> bool {
        self.current.as_ref().is_none_or(|session| session.is_complete_replace())
    }

    /// Somebody has it open, or a session goes on.
    pub(super) fn is_in_use(&self) -> bool {
        !self.live.is_empty() || self.current.is_some()
    }

    /// Notes a truncation to `to` that found nothing to cut off, as far as is known. What was under way may have met it.
    pub(super) fn note_idle(&mut self, span: Span, to: u64) {
        self.unjudged = self.unjudged.max(span.end);
        if self.idle.len() >= IDLE {
            self.idle.remove(0);
        }
        self.idle.push((span, to));
    }

    /// The state file that it is now, when it is one.
    pub(super) fn state(&self) -> Option<&Arc<Place>> {
        self.names.iter().find(|place| place.role == Role::State)
    }

    pub(super) fn add_name(&mut self, place: &Arc<Place>) {
        if !self.names.contains(place) {
            // Most files have one name only.
            self.names.reserve_exact(1);
            self.names.push(Arc::clone(place));
        }
    }

    /// The file no longer stands at a name, by a change that had returned at `at`.
    pub(super) fn drop_name(&mut self, place: &Place, at: BootNanos) {
        if let Some(index) = self.names.iter().position(|name| **name == *place) {
            let name = self.names.remove(index);
            if name.role == Role::State {
                self.left = Some((at, name));
            }
        }
    }

    /// The state file that it was when an operation that began at `at` did.
    pub(super) fn state_since(&self, at: BootNanos) -> Option<&Arc<Place>> {
        let left = self.left.as_ref().filter(|(left, _)| at <= *left).map(|(_, place)| place);
        self.state().or(left)
    }

    /// Takes the oldest of the ended sessions. What they lay in is given back with the last: most files are at rest.
    pub(super) fn forget_session(&mut self) -> Option<Session> {
        let session = self.past.pop_front();
        if self.past.is_empty() {
            self.past = VecDeque::new();
        }
        session
    }

    /// Remembers a session that has ended.
    pub(super) fn keep(&mut self, session: Session) {
        // Most files see one session within the time that it is remembered.
        if self.past.is_empty() {
            self.past.reserve_exact(1);
        }
        self.past.push_back(session);
    }

    /// Notes the release of a description at which the file had `size`. True when the open session is complete by that.
    pub(super) fn release(&mut self, id: OpenId, at: BootNanos, size: Option<u64>) -> bool {
        // Where it modified again in a later session, it was not released without that.
        let in_current = self.current.as_ref().is_some_and(|session| session.is_writer(id));
        if !in_current && let Some(last) = self.past.iter_mut().rfind(|session| session.is_writer(id)) {
            last.release_late(id);
        }
        let current = self.current.as_mut();
        current.is_some_and(|session| session.release(id, at, size) && session.is_complete())
    }

    /// All remembered sessions, to be changed.
    pub(super) fn sessions_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.past.iter_mut().chain(self.current.as_deref_mut())
    }

    /// All remembered sessions, in order.
    pub(super) fn sessions(&self) -> impl DoubleEndedIterator<Item = &Session> + Clone {
        self.past.iter().chain(self.current.as_deref())
    }

    /// Everyone who has it open, or had a moment ago.
    pub(super) fn everyone(&self) -> Vec<Slot> {
        self.retired.iter().chain(&self.live).copied().collect()
    }

    /// True when no known modification was under way within `span`.
    pub(super) fn is_at_rest(&self, span: Span) -> bool {
        let mut changes = self.sessions().flat_map(|session| &session.changes);
        changes.all(|change| !change.span.meets(span))
    }

    /// True when the size is `to` after a truncation to that in `span`, whichever came first of it and the operations
    /// that it met.
    pub(super) fn is_left_by_truncation(&self, to: u64, span: Span) -> bool {
        self.unjudged < span.start
            && !self.sizes.doubts_more_than(span, Reach::truncation(to))
            && self.sessions().flat_map(|session| &session.changes).all(|change| {
                !change.span.meets(span)
                    || change.truncates.is_none() && change.end().is_some_and(|end| end <= to)
            })
    }

    /// How long the file is at least after a truncation to `to` in `span`: nothing that met it cut more.
    pub(super) fn least_after_truncation(&self, to: u64, span: Span) -> u64 {
        if self.unjudged >= span.start || self.sizes.doubts_more_than(span, Reach::truncation(to)) {
            return 0;
        }
        let changes = self.sessions().flat_map(|session| &session.changes);
        let met = changes.filter(|change| change.span.meets(span));
        met.filter_map(Change::cuts).fold(to, u64::min)
    }

    /// What is left of a doubt beside the known modifications, which can have made the change in size.
    pub(super) fn unexplained(&self, doubt: Doubt) -> Option<Doubt> {
        let known = self.sessions().flat_map(|session| {
            let dropped = session.change_count > session.changes.len() as u64;
            let writers = session.writers.iter().filter(move |_| dropped);
            let changes = session.changes.iter().map(|change| (change.span, change.reach()));
            changes.chain(writers.map(|writer| (writer.busy, Reach::ANY)))
        });
        let idle = self.idle.iter().map(|(span, to)| (*span, Reach::truncation(*to)));
        let left = |doubt: Option<Doubt>, (span, reach): (Span, Reach)| doubt?.without(span, reach);
        known.chain(idle).fold(Some(doubt).filter(|doubt| self.changed_aside <= doubt.from), left)
    }

    /// True when its content is what its only remembered session left, and that is no version: who reads it later, when the
    /// next session has begun, is judged by that.
    pub(super) fn holds_no_version(&self) -> bool {
        let last = self.past.back().filter(|_| self.past.len() == 1 && self.current.is_none());
        last.is_some_and(|last| !last.is_pending() && last.left_no_version(std::iter::empty()))
    }

    /// True when nothing is left that could matter.
    pub(super) fn is_spent(&self) -> bool {
        let sessions = self.current.is_none() && self.past.is_empty() || self.holds_no_version();
        self.names.is_empty() && self.live.is_empty() && self.retired.is_empty() && sessions
    }
}
