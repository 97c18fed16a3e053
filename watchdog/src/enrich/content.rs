//! What a state file holds: the verdict on its bytes.

use std::fs::{self, File, FileType, Metadata, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

#[cfg(doc)]
use super::inspect;
use super::inspect::{Inspection, examine};
use super::{Identity, identity};
use crate::model::{Content, Damage};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// More than this of a state file is never read.
pub(super) const MAX_FILE: u64 = 16 << 20;
/// Files up to this size are read in the agent's loop; larger ones beside it.
pub const SMALL_FILE: u64 = 64 << 10;

/// One reading of a state file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The verdict.
    pub content: Content,
    /// The size that was read.
    pub size: u64,
    /// Whom the container belongs to, as a valid file says.
    pub identity: Identity,
}

/// Reads and judges what stands at a state file's name, as [`inspect`] does; `None` when nothing can be read there.
#[must_use]
pub fn read_state_file(path: &Path) -> Option<Reading> {
    let (Inspection { content, size, .. }, bytes) = examine(path).ok()?;
    let identity = if content == Content::Valid { identity(&bytes) } else { Identity::default() };
    Some(Reading { content, size, identity })
}

/// The bytes of a regular file, at most one more than a state file may have; `None` when there is none to be read.
pub(super) fn read_regular(path: &Path) -> Option<Vec<u8>> {
    let Ok(Opened::File(file, metadata)) = open(path) else { return None };
    read_all(file, &metadata).ok()
}

/// What stands at a path.
pub(super) enum Opened {
    /// A regular file, opened to read.
    File(File, Metadata),
    /// Something that is never opened.
    Other(&'static str),
}

/// Opens a regular file, and nothing else.
pub(super) fn open(path: &Path) -> io::Result<Opened> {
    let kind = fs::symlink_metadata(path)?.file_type();
    if !kind.is_file() {
        return Ok(Opened::Other(name(kind)));
    }
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    // Another file may have taken the name since it was looked at.
    let kind = metadata.file_type();
    Ok(if kind.is_file() { Opened::File(file, metadata) } else { Opened::Other(name(kind)) })
}

fn name(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_symlink() {
        "a symbolic link, which is not followed"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// The file's bytes, and at most one more than a state file may have.
pub(super) fn read_all(file: File, metadata: &Metadata) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(MAX_FILE)).unwrap_or(0));
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Judges bytes.
#[must_use]
pub fn judge(bytes: &[u8]) -> Content {
    verdict(bytes, parse(bytes).err().as_ref())
}

/// Parses one JSON value and throws it away.
pub(super) fn parse(bytes: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice::<Skim>(bytes).map(|Skim| ())
}

/// The verdict on bytes of which the parser said this.
pub(super) fn verdict(bytes: &[u8], error: Option<&serde_json::Error>) -> Content {
    match error {
        None => Content::Valid,
        Some(_) if bytes.is_empty() => Content::Damaged(Damage::Empty),
        Some(error) if error.is_eof() => Content::Damaged(Damage::Truncated),
        Some(_) => Content::Damaged(Damage::Invalid),
    }
}

/// Any JSON value, checked and thrown away. Unlike `IgnoredAny` it keeps to the parser's limit of nesting, as
/// the runtimes' own decoders do.
struct Skim;

impl<'de> Deserialize<'de> for Skim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Skim {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_get_a_verdict() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let damaged = Content::Damaged;
        for (bytes, expected) in [
            (
                &b"{\"id\":\"abc\",\"pid\":-1,\"x\":[1.5,null,true,18446744073709551615]}\n"[..],
                Content::Valid,
            ),
            (b"\"text\"", Content::Valid),
            (b"", damaged(Damage::Empty)),
            (b"  \n", damaged(Damage::Truncated)),
            (b"{\"id\":\"ab", damaged(Damage::Truncated)),
            (b"{\"id\":", damaged(Damage::Truncated)),
            (b"{\"id\":\"\xc3", damaged(Damage::Truncated)),
            (b"{} {}", damaged(Damage::Invalid)),
            (b"{}}", damaged(Damage::Invalid)),
            (b"{\"id\":\"\xff\"}", damaged(Damage::Invalid)),
            (b"\0\0\0\0", damaged(Damage::Invalid)),
            (b"{id}", damaged(Damage::Invalid)),
            (deep.as_bytes(), damaged(Damage::Invalid)),
        ] {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
            assert_eq!(judge(bytes), expected, "{shown}");
        }
    }

    fn reading(content: Content, size: u64) -> Reading {
        Reading { content, size, identity: Identity::default() }
    }

    #[test]
    fn files_are_read_whole_and_never_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        assert_eq!(read_state_file(&path), None);
        fs::write(&path, "{}").unwrap();
        assert_eq!(read_state_file(&path), Some(reading(Content::Valid, 2)));
        File::create(&path).unwrap().set_len(MAX_FILE + 10).unwrap();
        let expected = reading(Content::Damaged(Damage::Invalid), MAX_FILE + 10);
        assert_eq!(read_state_file(&path), Some(expected));
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened_and_is_no_valid_state_file() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        fs::write(&target, "{}").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let expected = Some(reading(Content::Damaged(Damage::Invalid), 0));
        assert_eq!(read_state_file(&link), expected);
        assert_eq!(read_state_file(Path::new("/dev/zero")), expected);
        assert_eq!(read_state_file(folder.path()), expected);
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        // Opened for reading, a FIFO without a writer would block here for ever.
        assert_eq!(read_state_file(&fifo), expected);
    }
}
