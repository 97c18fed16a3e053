//! The finding: one JSON object a line. Its names are a contract.

use serde::Serialize;

use crate::enrich::{Ancestor, Attribution, Pod};

/// One judged fact with its evidence. What is not known is left out.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// Unique among all findings of all runs.
    pub id: String,
    /// When it was so, RFC 3339 with nanoseconds.
    pub time: String,
    /// What kind of fact.
    pub kind: Kind,
    /// What is proved of a read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<&'static str>,
    /// How a write session ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'static str>,
    /// Which runtime.
    pub runtime: String,
    /// The runtime root, as the host names it.
    pub root: String,
    /// The state file, as the host names it.
    pub path: String,
    /// Which container.
    pub container_id: String,
    /// Which pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<Pod>,
    /// From which image the container was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Who wrote.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer: Option<ProcessView>,
    /// Who read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<ProcessView>,
    /// The write window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowView>,
    /// The read that shows it best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<ReadView>,
    /// How the reader ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit: Option<ExitView>,
    /// What the file held after the session: `valid`, `empty`, `truncated`, `invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aftermath: Option<&'static str>,
    /// How the version is damaged that was read: `empty`, `truncated`, `invalid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<&'static str>,
    /// Since when it has been so, RFC 3339 with nanoseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// A writing process was killed before it had closed the file, or left it damaged when it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writer_died: Option<bool>,
    /// How much is known of the least known process in it.
    pub attribution: Attribution,
    /// Where the events came from.
    pub source: &'static str,
    /// One sentence for a person.
    pub message: String,
}

/// The kinds of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A state file was written in place.
    NonatomicWrite,
    /// A reader got neither the old nor the new content.
    TornRead,
    /// A reader read inside a write window; tearing is not proved.
    OverlappingRead,
    /// A reader had the file open during a write window and read nothing.
    ExposedReader,
    /// A state file is damaged on disk.
    DamagedStateFile,
    /// A reader got a version that is damaged at rest.
    DamagedRead,
    /// How a torn or damaged reader's process ended.
    ReaderExit,
}

impl Kind {
    /// As JSON writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NonatomicWrite => "nonatomic_write",
            Self::TornRead => "torn_read",
            Self::OverlappingRead => "overlapping_read",
            Self::ExposedReader => "exposed_reader",
            Self::DamagedStateFile => "damaged_state_file",
            Self::DamagedRead => "damaged_read",
            Self::ReaderExit => "reader_exit",
        }
    }
}

/// A process in a finding.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessView {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Name.
    pub comm: String,
    /// Program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exe: Option<String>,
    /// Arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Real user id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// cgroup path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cgroup: Option<String>,
    /// Parent first, up to init.
    pub ancestors: Vec<Ancestor>,
    /// How this is known.
    pub attribution: Attribution,
}

/// A write window.
#[derive(Clone, Debug, Serialize)]
pub struct WindowView {
    /// Entry of the first modifying operation.
    pub start: String,
    /// End of the session.
    pub end: String,
    /// The time between.
    pub duration_ns: u64,
    /// The first modifying operations.
    pub operations: Vec<OperationView>,
    /// How many there were in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_count: Option<u64>,
}

/// A modifying operation.
#[derive(Clone, Debug, Serialize)]
pub struct OperationView {
    /// What it did.
    pub operation: &'static str,
    /// Entry, in nanoseconds after the window's start.
    pub after_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// By which process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// First byte that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How many bytes changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// Size afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// A read call, and all that its description read.
#[derive(Clone, Debug, Serialize)]
pub struct ReadView {
    /// When it returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u64>,
    /// How many bytes were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// How many came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returned: Option<u64>,
    /// The file's size when the call returned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_at_read: Option<u64>,
    /// The size before the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_before: Option<u64>,
    /// The size after the session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub final_size: Option<u64>,
    /// How many calls in a row are told as this one, if more than one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<u64>,
    /// Read calls of the description in all.
    pub calls: u64,
    /// Bytes that it got in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// How a torn or damaged reader ended.
#[derive(Clone, Debug, Serialize)]
pub struct ExitView {
    /// `success`, `failure` or `unknown`.
    pub result: &'static str,
    /// What it follows: `torn` or `damaged`.
    pub follows: &'static str,
    /// Its exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// The signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<u8>,
    /// The id of the torn read's finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub torn_read: Option<String>,
    /// The id of the damaged read's finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged_read: Option<String>,
}
