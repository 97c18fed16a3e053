//! What a storm did.

use serde::{Deserialize, Serialize};

/// Operations on state files by kind, as the agent counts events, and what was done beside them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// Opens.
    pub open: u64,
    /// Read calls.
    pub read: u64,
    /// Write calls.
    pub write: u64,
    /// Last closes.
    pub release: u64,
    /// Renames.
    pub rename: u64,
    /// Saves by replacing.
    pub atomic: u64,
    /// Saves in place.
    pub in_place: u64,
    /// Opens of a file that matters to nobody.
    pub unrelated: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Sent {
    /// Names of the operations, as the label `operation` of the agent's events has them.
    pub const OPERATIONS: [&'static str; 5] = ["open", "read", "write", "release", "rename"];

    /// The operations' counts, in the order of [`Sent::OPERATIONS`].
    #[must_use]
    pub fn counts(&self) -> [u64; 5] {
        [self.open, self.read, self.write, self.release, self.rename]
    }

    /// All operations on state files.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts().iter().sum()
    }
}
