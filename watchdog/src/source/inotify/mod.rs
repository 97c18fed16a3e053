//! The source `inotify`: watches on the roots and the container directories. It needs no privilege, and knows neither
//! who did something nor where in the file. The one door to the crate of the same name.

#[cfg(feature = "fuzz")]
pub mod fuzz;
mod limits;
mod queue;
mod translate;
mod watches;
mod witness;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::inotify::{EventMask, WatchMask};
use tokio::time::Instant;

use crate::clock::boot_now;
use crate::model::{FileEvent, OpenId, Place, RootId};
use crate::source::{
    Item, LossReason, Losses, ProbeStatus, Proof, RootSpec, Source, SourceError, SourceKind,
};
pub use limits::Limits;
use queue::{Queue, Raw};
use translate::{Sign, Translator};
use watches::{News, Watches};
pub use witness::{Sight, Witness};

/// What is asked of a directory that holds state files.
const INTEREST: WatchMask = WatchMask::OPEN
    .union(WatchMask::ACCESS)
    .union(WatchMask::MODIFY)
    .union(WatchMask::CLOSE)
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE);

/// After so long, directories that could not be watched are tried again.
const RETRY: Duration = Duration::from_secs(10);

/// How many reads of the queue one turn takes at most, so that the agent's loop turns.
const READS: usize = 8;

/// The source.
pub struct InotifySource {
    queue: Queue,
    watches: Watches,
    translator: Translator,
    /// Events that were taken from the queue before they were asked for.
    ahead: Vec<FileEvent>,
    raw: Vec<Raw>,
    news: Vec<News>,
    retry: Option<Instant>,
}

impl InotifySource {
    /// Makes an inotify instance. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The user has too many instances already.
    pub fn new() -> Result<Self, SourceError> {
        let refused = |cause: io::Error| SourceError::Kernel {
            what: "making an inotify instance",
            cause: limits::explain(cause).into(),
        };
        let queue = Queue::new().map_err(refused)?;
        let watches = Watches::new(queue.watches(), INTEREST);
        Ok(Self {
            queue,
            watches,
            translator: Translator::new(),
            ahead: Vec::new(),
            raw: Vec::new(),
            news: Vec::new(),
            retry: None,
        })
    }

    /// How many directories are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.watches.count()
    }

    /// Takes what is in the queue, a few reads of it at most.
    fn drain(&mut self) -> io::Result<()> {
        for _ in 0..READS {
            if !self.queue.take(&mut self.raw)? {
                break;
            }
            let mut raw = std::mem::take(&mut self.raw);
            for event in raw.drain(..) {
                self.take(&event);
            }
            self.raw = raw;
        }
        Ok(())
    }

    /// Takes in one event.
    fn take(&mut self, event: &Raw) {
        if event.mask.contains(EventMask::Q_OVERFLOW) {
            tracing::warn!("the kernel's queue of inotify events overflowed; looking at all roots anew");
            self.translator.overflow(event.at, &mut self.ahead);
            self.rescan();
        } else {
            self.watches.event(event, &mut self.news);
        }
        self.translate();
    }

    fn translate(&mut self) {
        let mut news = std::mem::take(&mut self.news);
        for news in news.drain(..) {
            match news {
                News::Name { place, mask, cookie, between } => {
                    self.translator.sign(&Sign { place, mask, cookie, at: between.1 }, &mut self.ahead);
                }
                News::FoundEmpty(place) => self.translator.found_empty(&place, boot_now()),
                News::Begins(..) => {}
                News::Ends(root, container) => {
                    self.translator.forget(root, &container, boot_now(), &mut self.ahead);
                }
            }
        }
        self.news = news;
        self.plan_retry();
    }

    fn rescan(&mut self) {
        self.retry = None;
        self.watches.rescan(&mut self.news);
        self.plan_retry();
    }

    fn plan_retry(&mut self) {
        if self.retry.is_none()
            && let Some((directories, error)) = self.watches.refused()
        {
            tracing::warn!(directories, error, "directories cannot be watched; trying again");
            self.retry = Some(Instant::now() + RETRY);
        }
    }

    /// Waits for the queue to fill, or for something to be due.
    async fn wait(&mut self) -> io::Result<()> {
        let now = boot_now();
        let flush = self.translator.next_flush();
        let flush = flush.map(|due| Instant::now() + Duration::from_nanos(due.since(now)));
        let due = [flush, self.retry].into_iter().flatten().min();
        let Some(due) = due else { return self.queue.filled().await };
        tokio::select! {
            filled = self.queue.filled() => filled,
            () = tokio::time::sleep_until(due) => Ok(()),
        }
    }
}

impl Source for InotifySource {
    fn kind(&self) -> SourceKind {
        SourceKind::Inotify
    }

    async fn read(&mut self, out: &mut Vec<Item>) -> Result<(), SourceError> {
        let failed = |cause| SourceError::Read { source_kind: SourceKind::Inotify, cause };
        loop {
            self.drain().map_err(failed)?;
            if self.retry.is_some_and(|due| due <= Instant::now()) {
                self.rescan();
                self.translate();
            }
            self.translator.flush(boot_now(), &mut self.ahead);
            if !self.ahead.is_empty() {
                out.extend(self.ahead.drain(..).map(Item::Event));
                return Ok(());
            }
            self.wait().await.map_err(failed)?;
        }
    }

    fn watch(&mut self, root: &RootSpec) -> Result<(), SourceError> {
        let result = self.watches.add_root(root, &mut self.news);
        self.translate();
        result.map_err(|cause| SourceError::Watch {
            path: root.path.clone(),
            cause: limits::explain(cause).into(),
        })
    }

    fn unwatch(&mut self, id: RootId) {
        self.watches.remove_root(id, &mut self.news);
        self.translate();
    }

    /// There are no descriptions that the kernel could know of.
    fn poll_released(&mut self, _: &[OpenId]) -> Result<(), SourceError> {
        Ok(())
    }

    fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        losses.0[LossReason::QueueOverflow as usize] = self.translator.overflows();
        losses.0[LossReason::WatchLimit as usize] = self.watches.refusals();
        losses
    }

    fn probes(&self) -> Vec<ProbeStatus> {
        let status = |probe, reason: Option<String>| ProbeStatus {
            probe,
            mechanism: "inotify",
            attached: reason.is_none(),
            reason,
        };
        let refused = self.watches.refused();
        let refused = refused.map(|(count, error)| format!("{count} directories cannot be watched: {error}"));
        vec![status("queue", None), status("directories", refused)]
    }

    /// Reads show in write windows alone, and a truncation is a modification like any other.
    fn proofs(&self) -> &'static [Proof] {
        &[Proof::Open, Proof::Write, Proof::Rename, Proof::Unlink, Proof::Release]
    }

    /// What is in the queue by now is not ours; what comes next may be.
    fn reads_itself(&mut self, place: &Arc<Place>) {
        // An error comes back when the queue is read again.
        let _ = self.drain();
        self.translator.own_read(place, boot_now());
    }
}

#[cfg(test)]
mod tests;
