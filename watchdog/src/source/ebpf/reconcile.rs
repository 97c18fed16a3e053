//! The table of tracked descriptions against what is there.
//!
//! A record that finds no room in the ring leaves the agent and the probes with different ideas of what is open:
//!
//! - The release was lost: the agent asks after each description that it believes to be open, and is answered that
//!   nothing is tracked there. It hears of that once the ring is empty, because until then the record may be in there.
//! - The open was lost: the probes say how often that happened. The table is gone through, and each such description is
//!   reported once more.
//! - The agent forgot a description, or never knew it: the whole table is gone through from time to time, and what is gone
//!   leaves it. So it never fills with what nobody has open, and the gate closes.

use std::collections::{HashSet, VecDeque};

use aya::maps::{HashMap, MapData};
use watchdog_common::Tracked;

use super::control::Control;
use super::plain::Plain;
use crate::model::{BootNanos, EventOperation, FileEvent, OpenId};
use crate::source::Item;

/// What is under way of the comparison.
#[derive(Debug, Default)]
pub(super) struct Reconciliation {
    /// Descriptions of which no release came by, although the probes do not track them.
    missing: HashSet<OpenId>,
    /// Those that were said to be gone: a release that comes by later is theirs.
    gone: HashSet<OpenId>,
    gone_order: VecDeque<OpenId>,
    /// How many lost opens were seen to.
    reported: u64,
    /// What is left of the table to go through: to report once more, and to ask after.
    to_report: Vec<u64>,
    to_ask: Vec<u64>,
    /// What was lost when the table was last gone through.
    lost: u64,
    /// Something in this pass was gone.
    found: bool,
    next: BootNanos,
    pause: u64,
}

/// What the probes track.
pub(super) type Files = HashMap<MapData, u64, Plain<Tracked>>;

impl Reconciliation {
    /// So many descriptions are asked after at once: some hundred microseconds.
    const BATCH: usize = 256;
    /// Between two pieces.
    const PIECE: u64 = 20_000_000;
    /// Between two passes: at first, and at most when nothing is ever found.
    const FIRST_PAUSE: u64 = 1_000_000_000;
    const LONGEST_PAUSE: u64 = 60_000_000_000;
    /// So many are remembered that were said to be gone.
    const GONE: usize = 4_096;

    /// The agent asks after a description: says whether it may still be open.
    pub(super) fn ask(&mut self, open: OpenId, control: &Control) {
        if control.poll(open.file).is_some_and(|opened| opened != open.opened) {
            self.missing.insert(open);
        }
    }

    /// Something came out of the ring. True for the release of a description that was said to be gone before.
    pub(super) fn is_told(&mut self, item: &Item) -> bool {
        let Item::Event(FileEvent { operation: EventOperation::Release { id }, .. }) = item else {
            return false;
        };
        self.missing.remove(id);
        self.gone.remove(id)
    }

    /// The ring is empty: what is missing by now is gone.
    pub(super) fn take_missing(&mut self) -> Vec<OpenId> {
        let mut missing: Vec<OpenId> = self.missing.drain().collect();
        missing.sort_unstable();
        for &open in &missing {
            if self.gone_order.len() >= Self::GONE
                && let Some(oldest) = self.gone_order.pop_front()
            {
                self.gone.remove(&oldest);
            }
            self.gone.insert(open);
            self.gone_order.push_back(open);
        }
        missing
    }

    /// Does a piece of the work and returns when the next one is due. `lost` is what was lost so far, `tracked` how much
    /// the probes follow.
    pub(super) fn proceed(
        &mut self,
        now: BootNanos,
        (lost, tracked): (u64, u64),
        files: &Files,
        control: &Control,
    ) -> BootNanos {
        if lost > self.lost {
            (self.lost, self.pause) = (lost, 0);
            self.next = self.next.min(now);
        }
        let unreported = control.unreported();
        if unreported > self.reported && self.to_report.is_empty() {
            self.reported = unreported;
            self.to_report = addresses(files);
            self.to_report.retain(|file| files.get(file, 0).is_ok_and(|tracked| tracked.0.reported == 0));
        }
        if self.to_ask.is_empty() && self.next <= now {
            self.found = false;
            if tracked > 0 {
                self.to_ask = addresses(files);
            }
            self.end_pass(now);
        }
        for file in take(&mut self.to_report) {
            if control.poll(file).is_some_and(|opened| opened != 0) {
                control.report(file);
            }
        }
        for file in take(&mut self.to_ask) {
            self.found |= control.poll(file) == Some(0);
        }
        if self.found {
            self.pause = 0;
            self.end_pass(now);
        }
        let is_under_way = !self.to_report.is_empty() || !self.to_ask.is_empty();
        if is_under_way { now.plus(Self::PIECE) } else { self.next.min(now.plus(Self::FIRST_PAUSE)) }
    }

    fn end_pass(&mut self, now: BootNanos) {
        self.pause = (self.pause * 2).clamp(Self::FIRST_PAUSE, Self::LONGEST_PAUSE);
        self.next = now.plus(self.pause);
    }
}

/// The keys of the table. One that is taken out meanwhile lets the kernel begin anew, so some may come twice.
fn addresses(files: &Files) -> Vec<u64> {
    /// No more than the table holds.
    const MOST: usize = 16_384;
    let mut addresses: Vec<u64> = files.keys().take(MOST).filter_map(Result::ok).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

fn take(from: &mut Vec<u64>) -> Vec<u64> {
    from.split_off(from.len().saturating_sub(Reconciliation::BATCH))
}
