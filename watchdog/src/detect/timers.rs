//! What is to be looked at again, and when.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::model::{BootNanos, InodeId, Place};

/// Timers by time; those of the same time in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Entry>>,
    set: u64,
}

/// What is to be looked at. What is due there, if anything still is, is for the reader to find out.
#[derive(Clone, Debug)]
pub(super) enum Timer {
    /// A file's session, its readers that stay open, and its changes in size that nothing explains.
    File(InodeId),
    /// A name: whether its change was explained, and whether to remember its removal.
    Name(Arc<Place>),
}

#[derive(Debug)]
struct Entry {
    at: BootNanos,
    order: u64,
    timer: Timer,
}

impl Timers {
    /// Sets a timer. `armed` is when the last one for the same thing goes off: a later one is not needed, because
    /// what is due is looked at anew then.
    pub(super) fn set(&mut self, armed: &mut Option<BootNanos>, at: BootNanos, timer: Timer) {
        // The end of time does not pass: what is due then would be due again for ever.
        if at == BootNanos(u64::MAX) || armed.is_some_and(|armed| armed <= at) {
            return;
        }
        *armed = Some(at);
        self.set += 1;
        self.heap.push(Reverse(Entry { at, order: self.set, timer }));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<BootNanos> {
        Some(self.heap.peek()?.0.at)
    }

    /// Takes one that is due.
    pub(super) fn due(&mut self, now: BootNanos) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.timer)
    }

    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Entry {}
