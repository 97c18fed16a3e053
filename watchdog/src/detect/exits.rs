//! How processes ended, and which torn readers wait to hear it.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Actor, BootNanos, ExitStatus, Follows, OpenId, Pid, Place, ReaderExit, ReaderResult};

/// The processes that ended of late, and the torn readers that have not ended yet.
#[derive(Debug, Default)]
pub(super) struct Exits {
    recent: FxHashMap<Pid, Ended>,
    order: VecDeque<(BootNanos, Pid)>,
    waiting: VecDeque<Waiting>,
    /// Processes that were answered for although they had not ended.
    given_up: VecDeque<Pid>,
}

/// A process that has ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    at: BootNanos,
    status: ExitStatus,
    /// It was answered for.
    answered: bool,
}

/// A torn reader whose process has not ended yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) place: Arc<Place>,
    pub(super) open: OpenId,
    pub(super) reader: Actor,
    pub(super) follows: Follows,
    /// An end before this was another process's.
    pub(super) alive: BootNanos,
    /// When to give up.
    pub(super) until: BootNanos,
}

impl Exits {
    /// Takes in a process's end. Answers the reader that waited for it.
    pub(super) fn ended(
        &mut self,
        pid: Pid,
        at: BootNanos,
        status: ExitStatus,
        room: usize,
    ) -> Option<ReaderExit> {
        while self.order.len() >= room.max(1) {
            self.drop_oldest();
        }
        self.recent.insert(pid, Ended { at, status, answered: false });
        self.order.push_back((at, pid));
        self.given_up.retain(|known| *known != pid);
        let its = |waiting: &Waiting| waiting.reader.pid == pid && waiting.alive <= at;
        let index = self.waiting.iter().position(its)?;
        let waiting = self.waiting.remove(index)?;
        if let Some(ended) = self.recent.get_mut(&pid) {
            ended.answered = true;
        }
        Some(waiting.answer(Some(status), at))
    }

    /// Asks how a reader's process ended: once for each process, and as that of a torn reader if it is both. Answers at
    /// once when it has ended; else the answer comes with its end or from [`Exits::give_up`]. Also answers for the oldest
    /// one that waits when there is no more room.
    pub(super) fn ask(&mut self, waiting: Waiting, room: usize) -> Option<ReaderExit> {
        if let Some(ended) = self.recent.get_mut(&waiting.reader.pid)
            && ended.at >= waiting.alive
        {
            let first = !std::mem::replace(&mut ended.answered, true);
            return first.then(|| waiting.answer(Some(ended.status), ended.at));
        }
        if self.given_up.contains(&waiting.reader.pid) {
            return None;
        }
        if let Some(known) = self.waiting.iter_mut().find(|known| known.reader.pid == waiting.reader.pid) {
            if waiting.follows > known.follows {
                *known = Waiting { until: known.until, ..waiting };
            }
            return None;
        }
        self.waiting.push_back(waiting);
        if self.waiting.len() <= room.max(1) {
            return None;
        }
        let oldest = self.waiting.pop_front()?;
        let at = oldest.until;
        Some(self.answer_unseen(&oldest, at, room))
    }

    /// Forgets ends before `oldest`.
    pub(super) fn forget(&mut self, oldest: BootNanos) {
        while self.order.front().is_some_and(|&(at, _)| at < oldest) {
            self.drop_oldest();
        }
    }

    /// Gives up one reader that has waited until `now`.
    pub(super) fn give_up(&mut self, now: BootNanos, room: usize) -> Option<ReaderExit> {
        let waiting = self.waiting.pop_front_if(|waiting| waiting.until <= now)?;
        let at = waiting.until;
        Some(self.answer_unseen(&waiting, at, room))
    }

    fn answer_unseen(&mut self, waiting: &Waiting, at: BootNanos, room: usize) -> ReaderExit {
        if waiting.reader.is_known() {
            if self.given_up.len() >= room.max(1) {
                self.given_up.pop_front();
            }
            self.given_up.push_back(waiting.reader.pid);
        }
        waiting.answer(None, at)
    }

    /// When the next reader is given up.
    pub(super) fn next(&self) -> Option<BootNanos> {
        Some(self.waiting.front()?.until)
    }

    pub(super) fn len(&self) -> usize {
        self.order.len() + self.waiting.len()
    }

    fn drop_oldest(&mut self) {
        if let Some((at, pid)) = self.order.pop_front()
            && self.recent.get(&pid).is_some_and(|known| known.at == at)
        {
            self.recent.remove(&pid);
        }
    }
}

impl Waiting {
    fn answer(&self, status: Option<ExitStatus>, at: BootNanos) -> ReaderExit {
        let result = match status {
            Some(ExitStatus::Code(0)) => ReaderResult::Success,
            Some(ExitStatus::Code(_) | ExitStatus::Signal(_)) => ReaderResult::Failure,
            None => ReaderResult::Unknown,
        };
        ReaderExit {
            place: Arc::clone(&self.place),
            open: self.open,
            follows: self.follows,
            reader: self.reader,
            result,
            status,
            at,
        }
    }
}
