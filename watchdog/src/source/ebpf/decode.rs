//! From the ring buffer's bytes to records. The bytes are foreign: a wrong size or kind is refused, never trusted.

use watchdog_common::{
    EntryRecord, ExitRecord, Header, IoRecord, Kind, LONG_NAME, OpenRecord, PathRecord, ProcessRecord,
    SHORT_NAME,
};
use zerocopy::FromBytes;

/// A record, borrowed from the ring.
#[derive(Debug)]
pub enum Record<'a> {
    /// A process was seen for the first time.
    Process(&'a ProcessRecord),
    /// A description came into being.
    Open(&'a OpenRecord, Names<'a>),
    /// Something happened through a description.
    Io(&'a IoRecord),
    /// Something happened by path.
    Path(&'a PathRecord),
    /// Something happened to a directory entry.
    Entry(&'a EntryRecord),
    /// A process ended.
    Exit(&'a ExitRecord),
}

/// The names behind an open record, without their NULs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// The file's.
    pub file: &'a [u8],
    /// Its directory's.
    pub directory: &'a [u8],
    /// That of the directory above; empty unless the root's depth is 2.
    pub outer: &'a [u8],
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than a header, or not aligned.
    #[error("no header in {0} bytes")]
    Header(usize),
    /// No such kind.
    #[error("record of unknown kind {0}")]
    Kind(u16),
    /// Not the size of its kind.
    #[error("record of kind {kind} with {size} bytes")]
    Size {
        /// The kind.
        kind: u16,
        /// The size.
        size: usize,
    },
}

/// Reads one record.
///
/// # Errors
/// The bytes are not a whole record of a known kind.
pub fn record(bytes: &[u8]) -> Result<Record<'_>, Malformed> {
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Malformed::Header(bytes.len()))?;
    let kind = header.kind;
    let wrong_size = Malformed::Size { kind, size: bytes.len() };
    // The ring rounds sizes up for itself, never in what it tells, so a record is exactly as long as it says.
    if usize::from(header.size) != bytes.len() {
        return Err(wrong_size);
    }
    match kind {
        k if k == Kind::Process as u16 => whole(bytes).map(Record::Process),
        k if k == Kind::Open as u16 => OpenRecord::ref_from_prefix(bytes)
            .ok()
            .and_then(|(open, rest)| Some(Record::Open(open, names(rest)?))),
        k if k == Kind::Io as u16 => whole(bytes).map(Record::Io),
        k if k == Kind::Path as u16 => whole(bytes).map(Record::Path),
        k if k == Kind::Entry as u16 => whole(bytes).map(Record::Entry),
        k if k == Kind::Exit as u16 => whole(bytes).map(Record::Exit),
        _ => return Err(Malformed::Kind(kind)),
    }
    .ok_or(wrong_size)
}

fn whole<T: FromBytes + zerocopy::KnownLayout + zerocopy::Immutable>(bytes: &[u8]) -> Option<&T> {
    T::ref_from_bytes(bytes).ok()
}

fn names(bytes: &[u8]) -> Option<Names<'_>> {
    let room = match bytes.len() {
        length if length == 2 * SHORT_NAME => SHORT_NAME,
        length if length == 2 * LONG_NAME || length == 3 * LONG_NAME => LONG_NAME,
        _ => return None,
    };
    let mut rooms = bytes.chunks_exact(room).map(text);
    Some(Names { file: rooms.next()?, directory: rooms.next()?, outer: rooms.next().unwrap_or_default() })
}

/// What stands before the first NUL.
pub(super) fn text(room: &[u8]) -> &[u8] {
    room.split(|&byte| byte == 0).next().unwrap_or_default()
}
