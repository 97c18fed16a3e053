//! Probe verdicts to readiness. Pure.

use crate::source::ProbeStatus;

/// Whether the agent sees what it is there to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// No source is attached, or it shows nothing.
    NotReady,
    /// Events come, but some probes are missing or mute: their operations are not seen.
    Degraded,
    /// All probes are attached, and their events come.
    Ready,
}

impl Readiness {
    /// All of them, in label order.
    pub const ALL: [Self; 3] = [Self::Ready, Self::Degraded, Self::NotReady];

    /// The label value.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::NotReady => "not_ready",
            Self::Degraded => "degraded",
            Self::Ready => "ready",
        }
    }

    /// True when events come at all.
    #[must_use]
    pub fn is_serving(self) -> bool {
        self != Self::NotReady
    }

    /// As `/readyz` says it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotReady => "not ready",
            Self::Degraded => "degraded",
            Self::Ready => "ready",
        }
    }
}

/// What a proof of life says of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It shows what it should, or that cannot be tried.
    Proved,
    /// It shows a part.
    Partial,
    /// Nothing was seen of it yet, or nothing comes any more.
    Unproved,
}

/// Judges a source.
#[must_use]
pub fn readiness(life: Life, probes: &[ProbeStatus]) -> Readiness {
    let attached = probes.iter().filter(|probe| probe.attached).count();
    match (life, attached) {
        (Life::Unproved, _) | (_, 0) => Readiness::NotReady,
        (Life::Proved, n) if n == probes.len() => Readiness::Ready,
        (Life::Proved | Life::Partial, _) => Readiness::Degraded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_the_probes() {
        use Readiness::{Degraded, NotReady, Ready};
        let probe = |attached| ProbeStatus { probe: "p", mechanism: "m", attached, reason: None };
        for (life, attached, expected) in [
            (Life::Unproved, &[][..], NotReady),
            (Life::Unproved, &[true][..], NotReady),
            (Life::Proved, &[][..], NotReady),
            (Life::Proved, &[false][..], NotReady),
            (Life::Partial, &[false][..], NotReady),
            (Life::Proved, &[false, true][..], Degraded),
            (Life::Partial, &[true, true][..], Degraded),
            (Life::Proved, &[true, true][..], Ready),
        ] {
            let probes: Vec<_> = attached.iter().map(|a| probe(*a)).collect();
            assert_eq!(readiness(life, &probes), expected, "{life:?} {attached:?}");
        }
    }
}
