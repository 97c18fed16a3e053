//! Recordings: what findings rest on as JSON lines, written by `record`, judged anew by `replay`.
//!
//! The first line is a [`Header`], every further one a [`Step`]. A recording holds all that the agent took in, what it read
//! of processes and files included, so a replay needs nothing but the recording and comes to the same findings.

mod judge;
mod lines;
mod record;
mod replay;
mod scribe;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::agent::Step;
use crate::model::{BootNanos, Place};
use crate::report::FileFacts;
use crate::source::SourceKind;

pub use judge::Judge;
pub use lines::{BadRecording, Lines};
pub use record::{RecordError, record};
pub use replay::{Replayed, judge, replay, words};
pub use scribe::Scribe;

/// The format that this version writes and reads.
pub const FORMAT: u32 = 1;

/// The first line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format: [`FORMAT`].
    pub state_watchdog_recording: u32,
    /// The version of the agent that wrote it.
    pub version: String,
    /// The kernel's release.
    pub kernel: String,
    /// Where the first agent's events come from; another source that takes over begins with a step of its own.
    pub source: SourceKind,
    /// When the first agent began, in nanoseconds since boot.
    pub started: BootNanos,
    /// The wall time of the moment of boot, in nanoseconds since the epoch.
    pub boot_unix_ns: u64,
    /// Roots and profiles: the resolved configuration as TOML.
    pub configuration: String,
}

impl Header {
    /// The first agent's beginning.
    #[must_use]
    pub fn begin(&self) -> Step<'static> {
        let Self { source, started, boot_unix_ns, .. } = *self;
        Step::Begin { source, started, boot_unix_ns }
    }
}

/// What was last told of each file. Writer and reader forget at the same point, so a fact that was written once need not be
/// written again.
#[derive(Debug, Default)]
struct Told(HashMap<Place, FileFacts>);

impl Told {
    const MAX: usize = 4_096;

    /// Notes facts; true when they were not known.
    fn note(&mut self, place: &Place, facts: &FileFacts) -> bool {
        if self.0.get(place) == Some(facts) {
            return false;
        }
        if self.0.len() >= Self::MAX {
            self.0.clear();
        }
        self.0.insert(place.clone(), facts.clone());
        true
    }

    fn get(&self, place: &Place) -> Option<&FileFacts> {
        self.0.get(place)
    }
}
