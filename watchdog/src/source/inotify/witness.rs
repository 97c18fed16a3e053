//! A light watch on the same directories as another source: that something was modified, and nothing of readers.

use std::io;
use std::sync::Arc;

use ::inotify::{EventMask, WatchMask};

use super::intake::{Intake, Taken};
use super::watches::{News, Watches};
use crate::model::{BootNanos, Place, RootId, Span};
use crate::source::RootSpec;

/// Nothing that readers do.
const INTEREST: WatchMask =
    WatchMask::MODIFY.union(WatchMask::CLOSE_WRITE).union(WatchMask::CREATE).union(WatchMask::MOVED_TO);

/// What the witness saw.
#[derive(Debug)]
pub enum Sight {
    /// A directory of state files is watched from now on.
    Begins(RootId, Arc<str>),
    /// It is watched no longer.
    Ends(RootId, Arc<str>),
    /// Content was modified, or came into being, at this name within this time.
    Modified(Arc<Place>, Span),
    /// A writer closed the file within this time.
    Closed(Arc<Place>, Span),
    /// Another file took over the name within this time.
    Replaced(Arc<Place>, Span),
    /// Something was lost.
    Lost(BootNanos),
}

/// The watch.
pub struct Witness {
    intake: Intake,
    refusal_said: bool,
}

impl Witness {
    /// Makes an inotify instance. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The user has too many instances already.
    pub fn new() -> io::Result<Self> {
        let intake = Intake::new(|watches| Watches::new(watches, INTEREST).for_witness())?;
        Ok(Self { intake, refusal_said: false })
    }

    /// Watches a root, and says which directories that makes.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn watch(&mut self, root: &RootSpec, out: &mut Vec<Sight>) -> io::Result<()> {
        let result = self.intake.add_root(root, &mut |taken| tell(taken, out));
        self.say_refusal();
        result
    }

    /// Does not watch a root any more, and says which directories that ends.
    pub fn unwatch(&mut self, id: RootId, out: &mut Vec<Sight>) {
        self.intake.remove_root(id, &mut |taken| tell(taken, out));
    }

    /// Waits until there is something to drain. Cancel-safe.
    ///
    /// # Errors
    /// The kernel's queue cannot be waited for.
    pub async fn filled(&mut self) -> io::Result<()> {
        self.intake.filled().await
    }

    /// Takes what is in the queue, a few reads of it at most.
    ///
    /// # Errors
    /// The kernel's queue cannot be read.
    pub fn drain(&mut self, out: &mut Vec<Sight>) -> io::Result<()> {
        let result = self.intake.drain(&mut |taken| tell(taken, out));
        self.say_refusal();
        result
    }

    fn say_refusal(&mut self) {
        if let Some((directories, error)) = self.intake.watches.refused()
            && !std::mem::replace(&mut self.refusal_said, true)
        {
            tracing::warn!(directories, error, "the witness cannot watch all directories");
        }
    }
}

fn tell(taken: Taken, out: &mut Vec<Sight>) {
    let sight = match taken {
        Taken::Lost(at) => {
            tracing::debug!("the witness's queue overflowed");
            Sight::Lost(at)
        }
        Taken::News(News::Begins(root, container)) => Sight::Begins(root, container),
        Taken::News(News::Ends(root, container)) => Sight::Ends(root, container),
        Taken::News(News::FoundEmpty(_)) => return,
        Taken::News(News::Name { place, mask, cookie: _, between: (since, at) }) => {
            let span = Span::new(since, at);
            if mask.contains(EventMask::MOVED_TO) {
                Sight::Replaced(place, span)
            } else if mask.contains(EventMask::CLOSE_WRITE) {
                Sight::Closed(place, span)
            } else if mask.intersects(EventMask::MODIFY | EventMask::CREATE) {
                Sight::Modified(place, span)
            } else {
                return;
            }
        }
    };
    out.push(sight);
}
