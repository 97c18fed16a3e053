//! The words of the product as types: what happened to a state file, who did it, and what we conclude.
//!
//! Pure data. Nothing in here reads a clock, a file or a socket, and nothing imports from the rest of the crate.

mod anomaly;
mod bytes;
mod content;
mod event;
mod finding;
mod ids;
mod process;

pub use anomaly::{Anomaly, AnomalyKind};
pub use content::{Content, Damage};
pub use event::{
    Access, Actor, ExitStatus, FileEvent, LockMode, LockOwner, MAX_FILES, Operation as EventOperation, Place,
    Role, Target, UNKNOWN_LENGTH,
};
pub use finding::{
    CheckRequest, DamagedReadReport, Follows, Operation, OperationRecord, Outcome, Output, ReadCall,
    ReadReport, ReaderExit, ReaderResult, SessionReport, Verdict,
};
pub use ids::{BootNanos, Comm, InodeId, OpenId, Pid, RootId, Span};
pub use process::ProcessFacts;
