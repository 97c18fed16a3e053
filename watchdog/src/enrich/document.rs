//! A JSON document of any size, read within a fixed memory.

use std::fs::File;
use std::io::{self, Read as _};

use super::Identity;
use super::extract::Extract;
use crate::files::Gate;
use crate::json::{Flaw, Parser};

/// More than this of a file is never read.
pub(super) const MAX_FILE: u64 = 16 << 20;
/// To read more than this takes longer than others should wait.
const LARGE: u64 = 256 << 10;
/// So much of it is held at once.
const BUFFER: usize = 64 << 10;

/// A document that was read, and whose it is.
pub(super) struct Document {
    /// The bytes that were read.
    pub(super) size: u64,
    /// Why it is none.
    pub(super) flaw: Option<Flaw>,
    /// Empty where there is a flaw.
    pub(super) identity: Identity,
    /// It holds more than is ever read.
    pub(super) is_too_large: bool,
}

/// Reads a document piece by piece, and no further than it is one.
pub(super) fn read_document(mut file: &File, gate: &dyn Gate) -> io::Result<Document> {
    let (mut parser, mut extract) = (Parser::default(), Extract::default());
    let mut buffer = vec![0; BUFFER];
    let mut size = 0;
    if file.metadata()?.len() > LARGE {
        gate.heavy()?;
    }
    let flaw = loop {
        gate.again();
        let read = file.read(&mut buffer);
        gate.pass();
        let count = match read {
            Ok(0) => break parser.finish(&mut extract).err(),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        size += count as u64;
        if size > MAX_FILE {
            return Ok(Document { size, flaw: None, identity: Identity::default(), is_too_large: true });
        }
        if let Err(flaw) = parser.feed(&buffer[..count], &mut extract) {
            // The rest cannot mend it.
            gate.again();
            size = size.max(file.metadata()?.len());
            break Some(flaw);
        }
    };
    let identity = if flaw.is_none() { Identity::of(extract) } else { Identity::default() };
    Ok(Document { size, flaw, identity, is_too_large: false })
}
