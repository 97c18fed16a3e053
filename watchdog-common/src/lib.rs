//! What crosses the border between the probes and the agent: records, map values, settings. Nothing else.
//!
//! Every type is `repr(C)` without implicit padding; sizes are asserted here, once, for both sides.
#![no_std]

mod call;
mod control;
mod record;
mod settings;
mod table;

pub use call::{CALL_TABLE_LEN, Call};
pub use control::{COMMAND_MODE, Command, descriptor_argument, split_argument};
pub use record::{
    ANCESTORS, ARGS_LEN, Ancestor, COMM_LEN, EXE_PARTS, EntryRecord, ExitRecord, Header, IoKind, IoRecord,
    Kind, LONG_NAME, OpenRecord, PATH_LEN, PathBase, PathKind, PathRecord, Place, ProcessRecord,
    SHARED_MAPPING, SHORT_NAME, UNKNOWN,
};
pub use settings::{CAST, Offsets, RegisterOffsets, Settings};
pub use table::{
    ALIAS, Answer, CANARY_ROOT, Filter, Identity, LOCKED_DIRECTORY, LossCounter, NAME_WINDOW, Name,
    NameShape, NameWords, RootKey, RootValue, Tracked, ending,
};
