//! How much the engine remembers, and for how long.

use std::time::Duration;

use crate::model::MAX_FILES;

/// Bounds on the engine's memory, in entries and in time, and what it takes for granted of the kernel.
///
/// Whatever is forgotten early to stay within a bound either cannot change a verdict any more or is said as an
/// anomaly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files (inodes) at once; also bounds the names.
    pub files: usize,
    /// Descriptions at once, open or remembered after their release.
    pub descriptions: usize,
    /// Released readers remembered per file.
    pub readers_per_file: usize,
    /// Ended sessions remembered per file.
    pub sessions_per_file: usize,
    /// Ended sessions remembered in all.
    pub sessions: usize,
    /// Modifying operations kept as evidence per session. The rest is counted, and its sizes are still known.
    pub operations_per_session: usize,
    /// Modifying operations kept as evidence in all.
    pub operations: usize,
    /// Read calls kept apart per pass; later ones are merged.
    pub calls_per_pass: usize,
    /// Read calls kept apart in all.
    pub calls: usize,
    /// Passes over the file kept per description.
    pub passes: usize,
    /// Locks remembered.
    pub locks: usize,
    /// Processes of which the end is remembered, and torn readers whose end is waited for.
    pub exits: usize,
    /// How long an operation may have been under way when it arrives and still meet everyone it could have touched.
    pub horizon: Duration,
    /// After how long without a modification the agent is asked to check the file of an open session, how long it may take
    /// to answer, and how long a call may have been under way when a new save starts.
    pub quiet: Duration,
    /// How long a session may go on, and how long a reader that stays open in the middle of a pass waits for its verdict.
    pub session_deadline: Duration,
    /// How long a torn reader's process is waited for.
    pub exit_wait: Duration,
    /// How long a removed name is remembered, so that its next file is `recreated`.
    pub removed_names: Duration,
    /// How long the kernel's pages are, in bytes: a read may get the rest of the one that the file's end lies in. Where they
    /// are longer, such a read is `unknown`.
    pub page: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            files: MAX_FILES,
            descriptions: 16_384,
            readers_per_file: 16_384,
            sessions_per_file: 1024,
            sessions: 4096,
            operations_per_session: 512,
            operations: 16384,
            calls_per_pass: 64,
            calls: 32768,
            passes: 4,
            locks: 1024,
            exits: 1024,
            horizon: Duration::from_secs(2),
            quiet: Duration::from_secs(2),
            session_deadline: Duration::from_secs(60),
            exit_wait: Duration::from_secs(10),
            removed_names: Duration::from_secs(600),
            page: 4096,
        }
    }
}

impl Limits {
    /// Names at once: a file has its own, and for a moment a temporary one; and there are those that were removed.
    pub(super) fn names(&self) -> usize {
        let files = self.files.max(1);
        files.saturating_add(files.div_ceil(6))
    }

    /// Bounds that are met soon, for tests of what is forgotten.
    #[must_use]
    pub fn tight() -> Self {
        Self {
            files: 4,
            descriptions: 6,
            readers_per_file: 3,
            sessions_per_file: 2,
            sessions: 5,
            operations_per_session: 3,
            operations: 12,
            calls_per_pass: 2,
            calls: 10,
            passes: 2,
            locks: 3,
            exits: 3,
            ..Self::default()
        }
    }
}

/// A duration in nanoseconds, as far as they count.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
