//! Marks on the directories of another source: which names change, and that content was modified. Nothing of readers.

use std::io;
use std::sync::Arc;

use ::inotify::{EventMask, WatchMask};

use super::intake::{Intake, Taken};
use super::watches::{News, Watches};
use crate::model::{BootNanos, Place, RootId, Span};
use crate::source::names::{Change, DirectoryMove, NameEvent};
use crate::source::{Elsewhere, RootSpec};

/// Nothing that readers do.
const INTEREST: WatchMask = WatchMask::MODIFY
    .union(WatchMask::CLOSE_WRITE)
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE);

/// What the marks saw, for the cross-check.
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
    /// Events were lost.
    Lost(BootNanos),
}

/// What a mark tells.
#[derive(Debug)]
pub enum Mark {
    /// For the cross-check, and about the marks themselves.
    Sight(Sight),
    /// A name changed.
    Name(NameEvent),
    /// A directory was moved.
    Directory(DirectoryMove),
}

/// The marks.
pub struct Marks {
    intake: Intake,
    overflows: u64,
    refusal_said: bool,
}

impl Marks {
    /// Makes an inotify instance. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The user has too many instances already.
    pub fn new() -> io::Result<Self> {
        let intake = Intake::new(|watches| Watches::new(watches, INTEREST).for_marks())?;
        Ok(Self { intake, overflows: 0, refusal_said: false })
    }

    /// Marks a root and its directories, and says which these are.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn watch(&mut self, root: &RootSpec, out: &mut Vec<Mark>) -> io::Result<()> {
        let Self { intake, overflows, .. } = self;
        let result = intake.add_root(root, &mut |taken| tell(taken, overflows, out));
        self.say_refusal();
        result
    }

    /// Removes the marks of a root, and says which directories that ends.
    pub fn unwatch(&mut self, id: RootId, out: &mut Vec<Mark>) {
        let Self { intake, overflows, .. } = self;
        intake.remove_root(id, &mut |taken| tell(taken, overflows, out));
    }

    /// Marks a directory that stands for a container's.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn watch_elsewhere(&mut self, found: &Elsewhere<'_>, out: &mut Vec<Mark>) -> io::Result<()> {
        let Self { intake, overflows, .. } = self;
        intake.add_elsewhere(found, &mut |taken| tell(taken, overflows, out))
    }

    /// Removes its mark.
    pub fn leave_elsewhere(&mut self, place: &Place, out: &mut Vec<Mark>) {
        let Self { intake, overflows, .. } = self;
        intake.remove_elsewhere(place, &mut |taken| tell(taken, overflows, out));
    }

    /// Waits until there is something to drain. Cancel-safe.
    ///
    /// # Errors
    /// The kernel's queue cannot be waited for.
    pub async fn filled(&mut self) -> io::Result<()> {
        self.intake.filled().await
    }

    /// Takes all that was in the queue when it was called.
    ///
    /// # Errors
    /// The kernel's queue cannot be read.
    pub fn drain(&mut self, out: &mut Vec<Mark>) -> io::Result<()> {
        let Self { intake, overflows, .. } = self;
        let result = intake.drain_all(&mut |taken| tell(taken, overflows, out));
        self.say_refusal();
        result
    }

    /// Reads all roots again: directories that could not be watched may be by now.
    pub fn rescan(&mut self, out: &mut Vec<Mark>) {
        let Self { intake, overflows, .. } = self;
        intake.rescan(&mut |taken| tell(taken, overflows, out));
    }

    /// Notes whether a root answers: one that does not is not looked at.
    pub fn set_silent(&mut self, id: RootId, is_silent: bool, out: &mut Vec<Mark>) {
        let Self { intake, overflows, .. } = self;
        intake.set_silent(id, is_silent, &mut |taken| tell(taken, overflows, out));
    }

    /// How often the kernel's queue overflowed.
    #[must_use]
    pub fn overflows(&self) -> u64 {
        self.overflows
    }

    /// How many directories could not be watched when last tried, and why.
    #[must_use]
    pub fn refused(&self) -> Option<(u64, &str)> {
        self.intake.watches.refused()
    }

    fn say_refusal(&mut self) {
        if let Some((directories, error)) = self.intake.watches.refused()
            && !std::mem::replace(&mut self.refusal_said, true)
        {
            tracing::warn!(directories, error, "cannot watch all directories of state files");
        }
    }
}

fn tell(taken: Taken, overflows: &mut u64, out: &mut Vec<Mark>) {
    let sight = match taken {
        Taken::Lost(at) => {
            tracing::warn!("the queue of inotify events overflowed; reading all roots again");
            *overflows += 1;
            Sight::Lost(at)
        }
        Taken::News(News::Begins(root, container)) => Sight::Begins(root, container),
        Taken::News(News::Ends(root, container)) => Sight::Ends(root, container),
        Taken::News(News::FoundEmpty(_)) => return,
        Taken::News(News::Moved(directory)) => return out.push(Mark::Directory(directory)),
        Taken::News(News::Name { place, mask, cookie, between, nearest }) => {
            if let Some(change) = change(mask).filter(|_| nearest) {
                let place = Arc::clone(&place);
                out.push(Mark::Name(NameEvent { place, change, cookie, between }));
            }
            let span = Span::new(between.0, between.1);
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
    out.push(Mark::Sight(sight));
}

/// The kernel puts one of these into an event.
fn change(mask: EventMask) -> Option<Change> {
    [
        (EventMask::MOVED_FROM, Change::MovedFrom),
        (EventMask::MOVED_TO, Change::MovedTo),
        (EventMask::CREATE, Change::Created),
        (EventMask::DELETE, Change::Deleted),
        (EventMask::MODIFY, Change::Modified),
    ]
    .into_iter()
    .find_map(|(bit, change)| mask.contains(bit).then_some(change))
}
