//! The source `inotify`: watches on the roots and the container directories. It needs no privilege, and knows neither
//! who did something nor where in the file. The one door to the crate of the same name.

#[cfg(feature = "fuzz")]
pub mod fuzz;
mod intake;
mod limits;
mod marks;
mod queue;
mod translate;
mod watches;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ::inotify::WatchMask;
use tokio::time::Instant;

use crate::clock::boot_now;
use crate::model::{FileEvent, OpenId, Place, RootId};
use crate::source::{
    Elsewhere, Item, LossReason, Losses, ProbeStatus, Proof, RootSpec, Source, SourceError, SourceKind,
};
use intake::{Intake, Taken};
pub use limits::Limits;
pub use marks::{Mark, Marks, Sight};
use translate::{Sign, Translator};
use watches::{News, Watches};

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

/// The source.
pub struct InotifySource {
    intake: Intake,
    translator: Translator,
    /// Events that were taken from the queue before they were asked for.
    ahead: Vec<FileEvent>,
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
            cause: cause.into(),
        };
        let intake = Intake::new(|watches| Watches::new(watches, INTEREST)).map_err(refused)?;
        Ok(Self { intake, translator: Translator::new(), ahead: Vec::new(), retry: None })
    }

    /// How many directories are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.intake.watches.count()
    }

    /// Does something with the watches, and translates what comes of it.
    fn with<T>(&mut self, act: impl FnOnce(&mut Intake, &mut dyn FnMut(Taken)) -> T) -> T {
        let Self { intake, translator, ahead, retry } = self;
        let result = act(intake, &mut |taken| match taken {
            Taken::Lost(at) => {
                tracing::warn!("the kernel's queue of inotify events overflowed; looking at all roots anew");
                translator.overflow(at, ahead);
                *retry = None;
            }
            Taken::News(news) => translate(news, translator, ahead),
        });
        self.plan_retry();
        result
    }

    /// Takes what is in the queue, a few reads of it at most.
    fn drain(&mut self) -> io::Result<()> {
        self.with(|intake, mut tell| intake.drain(&mut tell))
    }

    fn plan_retry(&mut self) {
        if self.retry.is_none()
            && let Some((directories, error)) = self.intake.watches.refused()
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
        let Some(due) = due else { return self.intake.filled().await };
        tokio::select! {
            filled = self.intake.filled() => filled,
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
                self.retry = None;
                self.with(|intake, mut tell| intake.rescan(&mut tell));
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
        let result = self.with(|intake, mut tell| intake.add_root(root, &mut tell));
        result.map_err(|cause| SourceError::Watch { path: root.path.clone(), cause: cause.into() })
    }

    fn set_silent(&mut self, id: RootId, is_silent: bool) {
        self.with(|intake, mut tell| intake.set_silent(id, is_silent, &mut tell));
    }

    fn unwatch(&mut self, id: RootId) {
        self.with(|intake, mut tell| intake.remove_root(id, &mut tell));
    }

    /// They are made up, and the translator ends each of them.
    fn has_descriptions(&self) -> bool {
        false
    }

    fn watch_elsewhere(&mut self, found: &Elsewhere<'_>) -> Result<(), SourceError> {
        let result = self.with(|intake, mut tell| intake.add_elsewhere(found, &mut tell));
        let path = found.place.container.to_string().into();
        result.map_err(|cause| SourceError::Watch { path, cause: cause.into() })
    }

    fn leave_elsewhere(&mut self, place: &Place) {
        self.with(|intake, mut tell| intake.remove_elsewhere(place, &mut tell));
    }

    /// There are no descriptions that the kernel could know of.
    fn poll_released(&mut self, _: &[OpenId]) -> Result<(), SourceError> {
        Ok(())
    }

    fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        losses.0[LossReason::QueueOverflow as usize] = self.translator.overflows();
        losses.0[LossReason::WatchLimit as usize] = self.intake.watches.refusals();
        losses
    }

    fn probes(&self) -> Vec<ProbeStatus> {
        let status = |probe, reason: Option<String>| ProbeStatus {
            probe,
            mechanism: "inotify",
            attached: reason.is_none(),
            reason,
        };
        let refused = self.intake.watches.refused();
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

fn translate(news: News, translator: &mut Translator, out: &mut Vec<FileEvent>) {
    match news {
        News::Name { place, mask, cookie, between, nearest: _ } => {
            translator.sign(&Sign { place, mask, cookie, at: between.1 }, out);
        }
        News::FoundEmpty(place) => translator.found_empty(&place, boot_now()),
        News::Begins(..) => {}
        News::Ends(root, container) => translator.forget(root, &container, boot_now(), out),
        News::Moved(directory) => translator.move_directory(directory, boot_now(), out),
    }
}

#[cfg(test)]
mod tests;
