//! How processes ended, and which torn readers wait to hear it.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Actor, BootNanos, ExitStatus, Follows, OpenId, Pid, Place, ReaderExit, ReaderResult};

/// The processes that ended of late, and the torn readers that have not ended yet.
#[derive(Debug, Default)]
pub(super) struct Exits {
    recent: FxHashMap<Pid, (BootNanos, ExitStatus)>,
    order: VecDeque<(BootNanos, Pid)>,
    waiting: VecDeque<Waiting>,
}

/// A torn reader whose process has not ended yet.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) place: Arc<Place>,
    pub(super) open: OpenId,
    pub(super) reader: Actor,
    /// An end before this was another process's.
    pub(super) alive: BootNanos,
    /// When to give up.
    pub(super) until: BootNanos,
}

impl Exits {
    /// Takes in a process's end. Answers the readers that waited for it.
    pub(super) fn ended(
        &mut self,
        pid: Pid,
        at: BootNanos,
        status: ExitStatus,
        room: usize,
    ) -> Vec<ReaderExit> {
        while self.order.len() >= room.max(1) {
            self.drop_oldest();
        }
        self.recent.insert(pid, (at, status));
        self.order.push_back((at, pid));
        let mut answers = Vec::new();
        if !self.waiting.is_empty() {
            self.waiting.retain(|waiting| {
                let its = waiting.reader.pid == pid && waiting.alive <= at;
                if its {
                    answers.push(waiting.answer(Some(status), at));
                }
                !its
            });
        }
        answers
    }

    /// Asks how a torn reader's process ended. Answers at once when it has; else the answer comes with its end or
    /// from [`Exits::give_up`]. Also answers for the oldest one that waits when there is no more room.
    pub(super) fn ask(&mut self, waiting: Waiting, room: usize) -> Option<ReaderExit> {
        if let Some(&(at, status)) = self.recent.get(&waiting.reader.pid)
            && at >= waiting.alive
        {
            return Some(waiting.answer(Some(status), at));
        }
        self.waiting.push_back(waiting);
        if self.waiting.len() <= room.max(1) {
            return None;
        }
        let oldest = self.waiting.pop_front()?;
        Some(oldest.answer(None, oldest.until))
    }

    /// Forgets ends before `oldest`.
    pub(super) fn forget(&mut self, oldest: BootNanos) {
        while self.order.front().is_some_and(|&(at, _)| at < oldest) {
            self.drop_oldest();
        }
    }

    /// Gives up one reader that has waited until `now`.
    pub(super) fn give_up(&mut self, now: BootNanos) -> Option<ReaderExit> {
        let waiting = self.waiting.pop_front_if(|waiting| waiting.until <= now)?;
        Some(waiting.answer(None, waiting.until))
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
            && self.recent.get(&pid).is_some_and(|&(known, _)| known == at)
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
            follows: Follows::Torn,
            reader: self.reader,
            result,
            status,
            at,
        }
    }
}
