//! One open file description and what it did.

use std::sync::Arc;

use super::reads::{Call, Pass};
use super::session::Session;
use super::table::Slot;
use crate::model::{Access, Actor, BootNanos, InodeId, OpenId, Place, Span, Verdict};

/// An open file description; kept for a while after its release, because a modification that was under way may
/// arrive later.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) id: OpenId,
    pub(super) place: Arc<Place>,
    pub(super) inode: InodeId,
    /// The file; `None` for a lock file.
    pub(super) file: Option<Slot>,
    pub(super) access: Access,
    pub(super) opener: Actor,
    pub(super) opened: Span,
    /// The event that opened it.
    pub(super) known: u64,
    /// The event and the time since which all that it modifies is seen: later than its open after a loss.
    pub(super) writes_known: (u64, BootNanos),
    pub(super) last_event: BootNanos,
    pub(super) released: Option<Span>,
    /// It modified a live state file.
    pub(super) modified: bool,
    /// It was mapped: its reads and stores are not seen.
    pub(super) mapped: Option<Box<Mapping>>,
    pub(super) passes: Vec<Pass>,
    /// Evidence of earlier passes was dropped.
    pub(super) passes_dropped: bool,
    pub(super) read_calls: u64,
    pub(super) bytes: u64,
    /// Who read last.
    pub(super) reader: Option<Actor>,
    /// Sessions up to this number are settled.
    pub(super) settled: u64,
    /// The worst verdict given since, if any, and the last session that was considered.
    pub(super) verdict: Option<Verdict>,
    pub(super) considered: u64,
    /// It is open still, a session that it touched has ended, and its verdict waits until then at most.
    pub(super) due: Option<BootNanos>,
    /// Its evidence contradicts what is known: nothing can be proved by it.
    pub(super) distrusted: bool,
    /// It is told that it read a damaged version.
    pub(super) damaged: bool,
    /// It is told that it was torn.
    pub(super) torn: bool,
}

/// A mapping of a description.
#[derive(Debug)]
pub(super) struct Mapping {
    /// Since when it may be there.
    pub(super) since: BootNanos,
    /// It is shared and writable.
    pub(super) stores: bool,
    /// A process that had it was killed by SIGBUS.
    pub(super) bus_error: Option<BootNanos>,
}

impl Description {
    /// The time during which it was certainly open.
    pub(super) fn life(&self, now: BootNanos) -> Span {
        Span::new(self.opened.end, self.released.map_or(now, |released| released.start))
    }

    /// True when it was certainly open within the session's window, or has read and was open by the time that the session's
    /// end was certain, and is not one of its writers.
    pub(super) fn touches(&self, session: &Session, now: BootNanos) -> bool {
        let life = self.life(now);
        let meets =
            life.meets(session.window(now)) || !self.passes.is_empty() && life.meets(session.reach(now));
        meets && !session.is_writer(self.id)
    }

    /// The time that its verdict is about: its life and the sessions that it touched since the last one.
    pub(super) fn concern<'a>(&self, sessions: impl Iterator<Item = &'a Session>, now: BootNanos) -> Span {
        let touched = sessions.filter(|session| session.number > self.settled && self.touches(session, now));
        touched.map(|session| session.window(now)).fold(self.life(now), |all, window| {
            Span::new(all.start.min(window.start), all.end.max(window.end))
        })
    }

    /// What it read so far is one attempt at the content, and that attempt is over.
    pub(super) fn end_pass(&mut self) {
        if let Some(pass) = self.passes.last_mut() {
            pass.over = true;
        }
    }

    /// True when its reads are judged at all.
    pub(super) fn is_reader(&self) -> bool {
        self.access.read && self.file.is_some()
    }

    /// All its read calls that are still kept.
    pub(super) fn calls(&self) -> impl Iterator<Item = &Call> {
        self.passes.iter().flat_map(|pass| &pass.calls)
    }

    /// How many calls it keeps.
    pub(super) fn kept_calls(&self) -> usize {
        self.passes.iter().map(|pass| pass.calls.len()).sum()
    }
}
