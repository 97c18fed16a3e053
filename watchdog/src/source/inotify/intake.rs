//! The way from the kernel's queue to news of names, for the source and for the witness.

use std::io;

use ::inotify::EventMask;

use super::limits;
use super::queue::{Queue, Raw};
use super::watches::{News, Watches};
use crate::model::{BootNanos, Place, RootId};
use crate::source::{Elsewhere, RootSpec};

/// How many reads of the queue one turn takes at most, so that the agent's loop turns.
const READS: usize = 8;

/// As many reads take the longest queue that `fs.inotify.max_queued_events` is usually set to.
const ALL_READS: usize = 256;

/// Room for so much news is kept.
const USUAL_NEWS: usize = 64;

/// What comes out.
pub(super) enum Taken {
    /// The queue overflowed. All directories are looked at anew, and what that shows follows.
    Lost(BootNanos),
    /// What happened, or was found.
    News(News),
}

/// An inotify instance and its watches.
pub(super) struct Intake {
    pub(super) queue: Queue,
    pub(super) watches: Watches,
    raw: Vec<Raw>,
    news: Vec<News>,
}

impl Intake {
    /// Makes an instance. Must run inside a tokio runtime.
    pub(super) fn new(watches: impl FnOnce(::inotify::Watches) -> Watches) -> io::Result<Self> {
        let queue = Queue::new().map_err(limits::explain)?;
        let watches = watches(queue.watches());
        Ok(Self { queue, watches, raw: Vec::new(), news: Vec::new() })
    }

    /// Waits until there is something to drain. Cancel-safe.
    pub(super) async fn filled(&mut self) -> io::Result<()> {
        self.queue.filled().await
    }

    /// Takes what is in the queue, a few reads of it at most.
    pub(super) fn drain(&mut self, tell: &mut impl FnMut(Taken)) -> io::Result<()> {
        self.read(READS, tell)
    }

    /// Takes at least what is in the queue now.
    pub(super) fn drain_all(&mut self, tell: &mut impl FnMut(Taken)) -> io::Result<()> {
        self.read(ALL_READS, tell)
    }

    fn read(&mut self, reads: usize, tell: &mut impl FnMut(Taken)) -> io::Result<()> {
        for _ in 0..reads {
            if !self.queue.take(&mut self.raw)? {
                break;
            }
            let mut raw = std::mem::take(&mut self.raw);
            for event in raw.drain(..) {
                self.take(&event, tell);
            }
            self.raw = raw;
        }
        self.watches.departed(&mut self.news);
        self.spread(tell);
        Ok(())
    }

    /// Takes in one event.
    pub(super) fn take(&mut self, event: &Raw, tell: &mut impl FnMut(Taken)) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            tell(Taken::Lost(event.at));
            self.watches.departed(&mut self.news);
            self.watches.rescan(&mut self.news);
        } else {
            self.watches.event(event, &mut self.news);
        }
        self.spread(tell);
    }

    /// Looks at all roots anew.
    pub(super) fn rescan(&mut self, tell: &mut impl FnMut(Taken)) {
        self.watches.rescan(&mut self.news);
        self.spread(tell);
    }

    /// Notes whether a root answers.
    pub(super) fn set_silent(&mut self, id: RootId, is_silent: bool, tell: &mut impl FnMut(Taken)) {
        self.watches.set_silent(id, is_silent, &mut self.news);
        self.spread(tell);
    }

    /// Watches a root.
    pub(super) fn add_root(&mut self, root: &RootSpec, tell: &mut impl FnMut(Taken)) -> io::Result<()> {
        let result = self.watches.add_root(root, &mut self.news).map_err(limits::explain);
        self.spread(tell);
        result
    }

    /// Does not watch a root any more.
    pub(super) fn remove_root(&mut self, id: RootId, tell: &mut impl FnMut(Taken)) {
        self.watches.remove_root(id, &mut self.news);
        self.spread(tell);
    }

    /// Watches what stands elsewhere.
    pub(super) fn add_elsewhere(
        &mut self,
        found: &Elsewhere<'_>,
        tell: &mut impl FnMut(Taken),
    ) -> io::Result<()> {
        let result = self.watches.add_elsewhere(found, &mut self.news).map_err(limits::explain);
        self.spread(tell);
        result
    }

    /// Does not watch it any more.
    pub(super) fn remove_elsewhere(&mut self, place: &Place, tell: &mut impl FnMut(Taken)) {
        self.watches.remove_elsewhere(place, &mut self.news);
        self.spread(tell);
    }

    fn spread(&mut self, tell: &mut impl FnMut(Taken)) {
        self.news.drain(..).map(Taken::News).for_each(tell);
        // A look at all roots brings thousands at once, and seldom.
        self.news.shrink_to(USUAL_NEWS);
    }
}
