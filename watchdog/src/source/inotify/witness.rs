//! A light watch on the same directories as another source: that something was modified, and nothing of readers.

use std::io;
use std::sync::Arc;

use ::inotify::{EventMask, WatchMask};

use super::queue::{Queue, Raw};
use super::watches::{News, Watches};
use super::{READS, limits};
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
    queue: Queue,
    watches: Watches,
    raw: Vec<Raw>,
    news: Vec<News>,
    refusal_said: bool,
}

impl Witness {
    /// Makes an inotify instance. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The user has too many instances already.
    pub fn new() -> io::Result<Self> {
        let queue = Queue::new().map_err(limits::explain)?;
        let watches = Watches::new(queue.watches(), INTEREST).without_parents();
        Ok(Self { queue, watches, raw: Vec::new(), news: Vec::new(), refusal_said: false })
    }

    /// Watches a root, and says which directories that makes.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn watch(&mut self, root: &RootSpec, out: &mut Vec<Sight>) -> io::Result<()> {
        let result = self.watches.add_root(root, &mut self.news).map_err(limits::explain);
        self.tell(out);
        result
    }

    /// Does not watch a root any more, and says which directories that ends.
    pub fn unwatch(&mut self, id: RootId, out: &mut Vec<Sight>) {
        self.watches.remove_root(id, &mut self.news);
        self.tell(out);
    }

    /// Waits until there is something to drain. Cancel-safe.
    ///
    /// # Errors
    /// The kernel's queue cannot be waited for.
    pub async fn filled(&mut self) -> io::Result<()> {
        self.queue.filled().await
    }

    /// Takes what is in the queue, a few reads of it at most.
    ///
    /// # Errors
    /// The kernel's queue cannot be read.
    pub fn drain(&mut self, out: &mut Vec<Sight>) -> io::Result<()> {
        for _ in 0..READS {
            if !self.queue.take(&mut self.raw)? {
                break;
            }
        }
        let mut raw = std::mem::take(&mut self.raw);
        for event in raw.drain(..) {
            if event.mask.contains(EventMask::Q_OVERFLOW) {
                tracing::debug!("the witness's queue overflowed");
                out.push(Sight::Lost(event.at));
                self.watches.rescan(&mut self.news);
            } else {
                self.watches.event(&event, &mut self.news);
            }
            self.tell(out);
        }
        self.raw = raw;
        Ok(())
    }

    fn tell(&mut self, out: &mut Vec<Sight>) {
        for news in self.news.drain(..) {
            match news {
                News::Begins(root, container) => out.push(Sight::Begins(root, container)),
                News::Ends(root, container) => out.push(Sight::Ends(root, container)),
                News::FoundEmpty(_) => {}
                News::Name { place, mask, cookie: _, between: (since, at) } => {
                    let span = Span::new(since, at);
                    if mask.contains(EventMask::MOVED_TO) {
                        out.push(Sight::Replaced(place, span));
                    } else if mask.contains(EventMask::CLOSE_WRITE) {
                        out.push(Sight::Closed(place, span));
                    } else if mask.intersects(EventMask::MODIFY | EventMask::CREATE) {
                        out.push(Sight::Modified(place, span));
                    }
                }
            }
        }
        if let Some((directories, error)) = self.watches.refused()
            && !std::mem::replace(&mut self.refusal_said, true)
        {
            tracing::warn!(directories, error, "the witness cannot watch all directories");
        }
    }
}
