//! What the loop tells the pages.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use crate::clock::boot_now;
use crate::health::Readiness;
use crate::metrics::Metrics;
use crate::privilege::Held;
use crate::recent::Recent;
use crate::source::BlindSpot;

/// The loop writes it, the pages read it.
pub struct Shared {
    /// All metrics.
    pub metrics: Metrics,
    recent: Mutex<Recent>,
    status: Mutex<Status>,
    turned: AtomicU64,
}

/// The answer of `/status`.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Which version this is.
    pub version: &'static str,
    /// Whether it sees what it is there to see.
    pub readiness: Readiness,
    /// Where events come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<&'static str>,
    /// What that source can never tell.
    pub blind_spots: &'static [BlindSpot],
    /// Why the better sources do not run.
    pub refused_sources: BTreeMap<&'static str, String>,
    /// What became of the last try to see the agent's own writes.
    pub proof_of_life: ProofView,
    /// The probes and their verdicts.
    pub probes: Vec<ProbeView>,
    /// What is watched.
    pub roots: Vec<RootView>,
    /// What was lost, by reason.
    pub losses: BTreeMap<&'static str, u64>,
    /// What the agent may do.
    pub capabilities: Held,
    /// Tells two configurations apart.
    pub configuration_hash: String,
    /// What came of the last SIGHUP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_reload: Option<ReloadView>,
}

/// A probe in the status.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeView {
    /// What it watches.
    pub probe: &'static str,
    /// How it is attached.
    pub mechanism: &'static str,
    /// It is attached.
    pub attached: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The proof of life in the status.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProofView {
    /// `unproved`, `alive`, `partial`, `mute` or `untested`.
    pub verdict: &'static str,
    /// Operations that were not seen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<&'static str>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The last reload of the configuration in the status.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReloadView {
    /// `applied`, `unchanged` or `refused`.
    pub result: &'static str,
    /// When.
    pub time: String,
    /// Why it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Settings that the file has changed and that are taken over at the next start.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub needs_restart: Vec<&'static str>,
}

/// A configured root in the status.
#[derive(Clone, Debug, Serialize)]
pub struct RootView {
    /// Which runtime.
    pub runtime: String,
    /// As configured.
    pub root: String,
    /// The directories that stand there now.
    pub directories: Vec<String>,
}

impl Status {
    /// Before anything is attached.
    #[must_use]
    pub fn starting(configuration_hash: String) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            readiness: Readiness::NotReady,
            source: None,
            blind_spots: &[],
            refused_sources: BTreeMap::new(),
            proof_of_life: ProofView { verdict: "unproved", ..ProofView::default() },
            probes: Vec::new(),
            roots: Vec::new(),
            losses: BTreeMap::new(),
            capabilities: Held::read(),
            configuration_hash,
            configuration_reload: None,
        }
    }
}

impl Shared {
    /// The loop counts as stuck when it has not turned for so long; it turns at least once a second.
    const STUCK: u64 = 15 * 1_000_000_000;

    /// Before anything has happened.
    #[must_use]
    pub fn new(metrics: Metrics, status: Status) -> Self {
        let turned = AtomicU64::new(boot_now().0);
        Self { metrics, recent: Mutex::default(), status: Mutex::new(status), turned }
    }

    /// The last findings.
    pub fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The status.
    pub fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop says that it turned.
    pub fn turned(&self, now: crate::model::BootNanos) {
        self.turned.store(now.0, Ordering::Relaxed);
    }

    /// True while the loop turns.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        boot_now().0.saturating_sub(self.turned.load(Ordering::Relaxed)) < Self::STUCK
    }
}
