//! What the engine could not explain.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{BootNanos, Place};

/// One thing that the engine could not explain, or could not keep. Counted, never a panic, never silence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Which kind.
    pub kind: AnomalyKind,
    /// When.
    pub at: BootNanos,
    /// Which file, when known.
    pub place: Option<Arc<Place>>,
}

/// The closed set of anomalies; also the label values of `anomalies_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnomalyKind {
    /// The loss total rose: something is missing between two events.
    EventsLost,
    /// An operation through a description whose open was never seen.
    UnknownDescription,
    /// A description was opened twice without a release between.
    Reopened,
    /// Another file stands at a name than the one that we knew there, and no rename, link or unlink was seen.
    ReplacedUnseen,
    /// A file's size is not what the operations seen so far can explain.
    SizeUnexplained,
    /// An operation impossible on its description: a write through one that was opened read-only, or a read
    /// through a write-only one.
    ImpossibleOperation,
    /// A file took over the state file's name while someone still had it open for writing.
    RenamedWhileWritten,
    /// An operation arrived that started before everything that is still remembered.
    ArrivedTooLate,
    /// A bounded table was full and something had to be forgotten.
    Evicted,
    /// A session was given up at its deadline, its end never seen.
    DeadlinePassed,
    /// The source told of a session, and the witness that watches the same directory saw nothing of it.
    SessionUnwitnessed,
    /// The witness saw a session of which the source told nothing.
    SessionMissed,
}

impl AnomalyKind {
    /// All kinds, in label order.
    pub const ALL: [Self; 12] = [
        Self::EventsLost,
        Self::UnknownDescription,
        Self::Reopened,
        Self::ReplacedUnseen,
        Self::SizeUnexplained,
        Self::ImpossibleOperation,
        Self::RenamedWhileWritten,
        Self::ArrivedTooLate,
        Self::Evicted,
        Self::DeadlinePassed,
        Self::SessionUnwitnessed,
        Self::SessionMissed,
    ];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EventsLost => "events_lost",
            Self::UnknownDescription => "unknown_description",
            Self::Reopened => "reopened",
            Self::ReplacedUnseen => "replaced_unseen",
            Self::SizeUnexplained => "size_unexplained",
            Self::ImpossibleOperation => "impossible_operation",
            Self::RenamedWhileWritten => "renamed_while_written",
            Self::ArrivedTooLate => "arrived_too_late",
            Self::Evicted => "evicted",
            Self::DeadlinePassed => "deadline_passed",
            Self::SessionUnwitnessed => "session_unwitnessed",
            Self::SessionMissed => "session_missed",
        }
    }
}
