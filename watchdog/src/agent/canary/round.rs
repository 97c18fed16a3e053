//! One proof: which of its events came, and when to stop waiting. Pure.

use std::collections::HashSet;

use super::super::millis;
use crate::model::{BootNanos, EventOperation, FileEvent, OpenId, Place, Target};
use crate::source::{CANARY, Proof, ProofResult};

/// A proof under way.
#[derive(Debug)]
pub(super) struct Round {
    began: BootNanos,
    proofs: &'static [Proof],
    seen: HashSet<Proof>,
    opens: HashSet<OpenId>,
    /// The source's loss total when it began.
    lost: u64,
    /// When the newest event of others happened: while that is before the round, the source is only late.
    reached: BootNanos,
}

impl Round {
    /// So long is waited for the events.
    const PATIENCE: u64 = millis(2_000);
    /// A source that is late gets so much.
    const LONGEST: u64 = millis(60_000);

    pub(super) fn new(began: BootNanos, proofs: &'static [Proof], lost: u64) -> Self {
        Self {
            began,
            proofs,
            seen: HashSet::new(),
            opens: HashSet::new(),
            lost,
            reached: BootNanos::default(),
        }
    }

    pub(super) fn deadline(&self) -> BootNanos {
        if self.is_complete() { self.began } else { self.began.plus(Self::PATIENCE) }
    }

    /// Takes an event of this round; false when it is somebody else's.
    pub(super) fn takes(&mut self, event: &FileEvent) -> bool {
        match proof(&event.operation, &self.opens) {
            Some(proof) => {
                if let EventOperation::Open { id, .. } = event.operation {
                    self.opens.insert(id);
                }
                if event.at() >= self.began {
                    self.seen.insert(proof);
                }
                true
            }
            None => {
                self.reached = self.reached.max(event.at());
                false
            }
        }
    }

    /// How it ended, if it did.
    pub(super) fn result(&self, now: BootNanos, lost: u64) -> Option<ProofResult> {
        if self.is_complete() {
            return Some(ProofResult::Seen);
        }
        let is_late = self.reached.0 > 0 && self.reached < self.began;
        if now < self.began.plus(if is_late { Self::LONGEST } else { Self::PATIENCE }) {
            return None;
        }
        let is_blind = [Proof::Open, Proof::Write]
            .iter()
            .filter(|proof| self.proofs.contains(proof))
            .all(|proof| !self.seen.contains(proof));
        Some(match () {
            () if lost > self.lost => ProofResult::Lost,
            () if is_blind => ProofResult::Missed,
            () => ProofResult::Partial,
        })
    }

    /// What did not come.
    pub(super) fn missing(&self) -> Vec<Proof> {
        self.proofs.iter().copied().filter(|proof| !self.seen.contains(proof)).collect()
    }

    fn is_complete(&self) -> bool {
        self.proofs.iter().all(|proof| self.seen.contains(proof))
    }
}

/// True for an event in the canary's nest by its name; late ones of an earlier round are nobody else's either.
pub(super) fn is_of_canary(event: &FileEvent) -> bool {
    let ours = |place: &Place| place.root == CANARY;
    match &event.operation {
        EventOperation::Open { place, .. }
        | EventOperation::Unlink { place, .. }
        | EventOperation::Present { place, .. }
        | EventOperation::Truncate { target: Target::Place(place), .. }
        | EventOperation::Link { to: place, .. } => ours(place),
        EventOperation::Rename { from, to, .. } => from.iter().chain(to).any(|place| ours(place)),
        _ => false,
    }
}

/// What an event of the canary's proves; `None` when it is not the canary's.
fn proof(operation: &EventOperation, opens: &HashSet<OpenId>) -> Option<Proof> {
    let ours = |place: &Place| place.root == CANARY;
    let of = |id: &OpenId, proof| opens.contains(id).then_some(proof);
    match operation {
        EventOperation::Open { place, .. } => ours(place).then_some(Proof::Open),
        EventOperation::Read { id, .. } => of(id, Proof::Read),
        EventOperation::Write { id, .. } => of(id, Proof::Write),
        EventOperation::Truncate { target: Target::Open(id), .. } => of(id, Proof::Truncate),
        EventOperation::Rename { from, to, .. } => {
            from.iter().chain(to).any(|place| ours(place)).then_some(Proof::Rename)
        }
        EventOperation::Unlink { place, .. } => ours(place).then_some(Proof::Unlink),
        EventOperation::Release { id } => of(id, Proof::Release),
        _ => None,
    }
}
