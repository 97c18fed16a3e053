//! Probe verdicts to readiness. Pure.

use crate::source::ProbeStatus;

/// Whether the agent sees what it is there to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// No source is attached.
    NotReady,
    /// Events come, but some probes are missing: their operations are not seen.
    Degraded,
    /// All probes are attached.
    Ready,
}

impl Readiness {
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

/// Judges a source: `running` says whether its stream of events works.
#[must_use]
pub fn readiness(running: bool, probes: &[ProbeStatus]) -> Readiness {
    let attached = probes.iter().filter(|probe| probe.attached).count();
    match (running, attached) {
        (false, _) | (true, 0) => Readiness::NotReady,
        (true, n) if n < probes.len() => Readiness::Degraded,
        (true, _) => Readiness::Ready,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_the_probes() {
        use Readiness::{Degraded, NotReady, Ready};
        let probe = |attached| ProbeStatus { probe: "p", mechanism: "m", attached, reason: None };
        for (running, attached, expected) in [
            (false, &[][..], NotReady),
            (false, &[true][..], NotReady),
            (true, &[][..], NotReady),
            (true, &[false][..], NotReady),
            (true, &[false, true][..], Degraded),
            (true, &[true, true][..], Ready),
        ] {
            let probes: Vec<_> = attached.iter().map(|a| probe(*a)).collect();
            assert_eq!(readiness(running, &probes), expected, "{running} {attached:?}");
        }
    }
}
