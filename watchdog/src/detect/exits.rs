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
    /// Processes that were answered for: who was alive by this time is one of them. That is the end of time for one that had
    /// not ended.
    answered: FxHashMap<Pid, BootNanos>,
    answered_order: VecDeque<Pid>,
}

/// A process that has ended.
#[derive(Clone, Copy, Debug)]
struct Ended {
    at: BootNanos,
    status: ExitStatus,
    /// Who was alive by this time was answered for.
    answered: Option<BootNanos>,
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
            self.drop_oldest(room);
        }
        let answered = self.answered.remove(&pid).map(|until| until.min(at));
        self.recent.insert(pid, Ended { at, status, answered });
        self.order.push_back((at, pid));
        let its = |waiting: &Waiting| waiting.reader.pid == pid && waiting.alive <= at;
        let index = self.waiting.iter().position(its)?;
        let waiting = self.waiting.remove(index)?;
        if let Some(ended) = self.recent.get_mut(&pid) {
            ended.answered = Some(at);
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
            let first = ended.answered.is_none_or(|answered| answered < waiting.alive);
            ended.answered = Some(ended.at);
            return first.then(|| waiting.answer(Some(ended.status), ended.at));
        }
        if self.answered.get(&waiting.reader.pid).is_some_and(|until| waiting.alive <= *until) {
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
    pub(super) fn forget(&mut self, oldest: BootNanos, room: usize) {
        while self.order.front().is_some_and(|&(at, _)| at < oldest) {
            self.drop_oldest(room);
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
            self.remember(waiting.reader.pid, BootNanos(u64::MAX), room);
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

    fn drop_oldest(&mut self, room: usize) {
        if let Some((at, pid)) = self.order.pop_front()
            && self.recent.get(&pid).is_some_and(|known| known.at == at)
            && let Some(ended) = self.recent.remove(&pid)
            && let Some(until) = ended.answered
        {
            self.remember(pid, until, room);
        }
    }

    fn remember(&mut self, pid: Pid, until: BootNanos, room: usize) {
        if self.answered.insert(pid, until).is_none() {
            self.answered_order.push_back(pid);
        }
        while self.answered_order.len() > room.max(1)
            && let Some(oldest) = self.answered_order.pop_front()
        {
            self.answered.remove(&oldest);
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
