//! Proof of life: the agent touches a state file of its own and looks whether the source shows it.
//!
//! Attached probes can still be mute: another tool may have detached them, the kernel may skip them, a table may have
//! been emptied. Nothing but an event that should have come tells.

mod nest;
mod round;

use crate::config::Config;
use crate::model::{BootNanos, FileEvent, Role};
use crate::profile::Profile;
use crate::source::{Depths, NamePattern, Proof, ProofResult, RootSpec, Shape};
use nest::Nest;
use round::Round;

use super::millis;

/// What the last proof said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vitality {
    /// There was none yet.
    Unproved,
    /// Every kind of event came.
    Alive,
    /// These did not come, the others did.
    Partial(Vec<Proof>),
    /// The source shows neither opens nor writes.
    Mute,
    /// There is no place to try it, or nothing to try.
    Untested(String),
}

/// The canary.
#[derive(Debug)]
pub(super) struct Canary {
    nest: Option<Nest>,
    proofs: &'static [Proof],
    round: Option<Round>,
    vitality: Vitality,
    period: u64,
    next: BootNanos,
    failures: u32,
}

impl Canary {
    /// What is not clear is tried again so soon.
    const AGAIN: u64 = millis(200);
    /// A source is mute when it missed so many in a row.
    const PATIENCE: u32 = 2;

    /// A canary for a source that can show `proofs`, in a nest that looks like one of the configured roots.
    pub(super) fn new(config: &Config, proofs: &'static [Proof]) -> Self {
        let nest = if proofs.is_empty() {
            Err("this source has no proof of life".to_owned())
        } else {
            let usual = |profile: &&Profile| {
                let is_whole = |name: &NamePattern| name.role == Role::State && name.shape == Shape::Exact;
                (!profile.names.iter().any(is_whole), profile.depths != Depths::only(1))
            };
            let profile = config.roots.iter().map(|root| &*root.profile).min_by_key(usual);
            profile.ok_or_else(|| "no root is configured".to_owned()).and_then(Nest::build)
        };
        let (nest, vitality) = match nest {
            Ok(nest) => (Some(nest), Vitality::Unproved),
            Err(reason) => (None, Vitality::Untested(reason)),
        };
        let period = u64::try_from(config.canary_period.as_nanos()).unwrap_or(u64::MAX);
        Self { nest, proofs, round: None, vitality, period, next: BootNanos::default(), failures: 0 }
    }

    /// The root to watch, if there is a nest.
    pub(super) fn root(&self) -> Option<RootSpec> {
        self.nest.as_ref().map(Nest::root)
    }

    /// Gives the proofs up, for a reason.
    pub(super) fn give_up(&mut self, reason: String) {
        tracing::warn!(reason, "no proof of life can be had from the source");
        (self.nest, self.round, self.vitality) = (None, None, Vitality::Untested(reason));
    }

    pub(super) fn vitality(&self) -> &Vitality {
        &self.vitality
    }

    /// Takes an event that the canary made; true when it is one.
    pub(super) fn takes(&mut self, event: &FileEvent) -> bool {
        self.round.as_mut().is_some_and(|round| round.takes(event)) || round::is_of_canary(event)
    }

    /// When to look next.
    pub(super) fn next(&self) -> Option<BootNanos> {
        self.nest.as_ref()?;
        Some(self.round.as_ref().map_or(self.next, Round::deadline))
    }

    /// Ends a round that is over and says how, begins one that is due. `lost` is the source's loss total.
    pub(super) fn tick(&mut self, now: BootNanos, lost: u64) -> Option<ProofResult> {
        let result = self.round.as_ref().and_then(|round| round.result(now, lost));
        if let Some(result) = result
            && let Some(round) = self.round.take()
        {
            self.conclude(result, &round, now);
        }
        if self.round.is_none() && self.next <= now {
            self.sing(lost);
        }
        result
    }

    fn sing(&mut self, lost: u64) {
        let Some(nest) = &self.nest else { return };
        // The round is there before the first event can come.
        let before = crate::clock::boot_now();
        match nest.sing() {
            Ok(()) => self.round = Some(Round::new(before, self.proofs, lost)),
            Err(error) => self.give_up(format!("cannot write in {}: {error}", nest.directory().display())),
        }
    }

    fn conclude(&mut self, result: ProofResult, round: &Round, now: BootNanos) {
        let wait = match result {
            ProofResult::Seen | ProofResult::Partial => self.period,
            ProofResult::Missed | ProofResult::Lost => Self::AGAIN,
        };
        self.next = now.plus(wait);
        self.failures = if result == ProofResult::Missed { self.failures + 1 } else { 0 };
        match result {
            ProofResult::Seen => self.vitality = Vitality::Alive,
            ProofResult::Partial => self.vitality = Vitality::Partial(round.missing()),
            ProofResult::Missed if self.failures >= Self::PATIENCE => self.vitality = Vitality::Mute,
            ProofResult::Missed | ProofResult::Lost => {}
        }
    }
}

#[cfg(test)]
mod tests;
