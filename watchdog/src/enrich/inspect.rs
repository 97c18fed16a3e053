//! A state file as a person wants it explained: the verdict, and what the parser said.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::content::{MAX_FILE, Opened, open, parse, read_all, verdict};
use crate::model::{Content, Damage};

/// What was found where a state file should be.
#[derive(Debug)]
pub struct Inspection {
    /// The verdict. What is no regular file is no state file either: `invalid`.
    pub content: Content,
    /// Its size.
    pub size: u64,
    /// When it was last modified.
    pub modified: Option<SystemTime>,
    /// What is wrong with it; `None` with a valid file.
    pub complaint: Option<Complaint>,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// In words.
    pub message: String,
    /// Line and column, where a parser found it; both begin at 1, and an empty file has column 0.
    pub position: Option<(usize, usize)>,
}

/// Reads and judges what stands at the path. A FIFO or a device is never opened, a symbolic link is not followed, no more
/// is read than a state file may have, and nothing here waits.
///
/// # Errors
/// Nothing stands there, or it cannot be read.
pub fn inspect(path: &Path) -> io::Result<Inspection> {
    Ok(examine(path)?.0)
}

/// The same, with the bytes that were read.
pub(super) fn examine(path: &Path) -> io::Result<(Inspection, Vec<u8>)> {
    let unread = |message: String, size, modified| {
        let complaint = Some(Complaint { message, position: None });
        (Inspection { content: Content::Damaged(Damage::Invalid), size, modified, complaint }, Vec::new())
    };
    let (file, metadata) = match open(path)? {
        Opened::File(file, metadata) => (file, metadata),
        Opened::Other(kind) => return Ok(unread(format!("{kind}, not a regular file"), 0, None)),
    };
    let modified = metadata.modified().ok();
    if metadata.len() > MAX_FILE {
        let message = format!("larger than {} MiB, not read", MAX_FILE >> 20);
        return Ok(unread(message, metadata.len(), modified));
    }
    let bytes = read_all(file, &metadata)?;
    let size = bytes.len() as u64;
    // It grew while it was read.
    if size > MAX_FILE {
        return Ok(unread(format!("larger than {} MiB", MAX_FILE >> 20), size, modified));
    }
    let parsed = parse(&bytes);
    let content = verdict(&bytes, parsed.as_ref().err());
    let complaint = parsed.err().map(|error| Complaint {
        message: error.to_string(),
        position: Some((error.line(), error.column())),
    });
    Ok((Inspection { content, size, modified, complaint }, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn said(path: &Path) -> (Content, u64, String) {
        let Inspection { content, size, complaint, .. } = inspect(path).unwrap();
        (content, size, complaint.map(|complaint| complaint.message).unwrap_or_default())
    }

    #[test]
    fn the_parser_is_quoted_with_the_position() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        for (bytes, content, message) in [
            ("{}", Content::Valid, ""),
            ("", Content::Damaged(Damage::Empty), "EOF while parsing a value at line 1 column 0"),
            (
                "{\"id\":\n\"a",
                Content::Damaged(Damage::Truncated),
                "EOF while parsing a string at line 2 column 2",
            ),
            ("{}}", Content::Damaged(Damage::Invalid), "trailing characters at line 1 column 3"),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(said(&path), (content, bytes.len() as u64, message.to_owned()));
        }
        assert_eq!(inspect(&path).unwrap().complaint.unwrap().position, Some((1, 3)));
    }

    #[test]
    fn a_huge_file_is_not_read_and_its_size_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let expected =
            (Content::Damaged(Damage::Invalid), 1 << 40, "larger than 16 MiB, not read".to_owned());
        assert_eq!(said(&path), expected);
    }

    #[test]
    fn what_is_no_regular_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&link, &link).unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for (path, kind) in [
            (link.as_path(), "a symbolic link, which is not followed"),
            (fifo.as_path(), "a FIFO"),
            (Path::new("/dev/zero"), "a device"),
            (folder.path(), "a directory"),
        ] {
            let message = format!("{kind}, not a regular file");
            assert_eq!(said(path), (Content::Damaged(Damage::Invalid), 0, message));
        }
        let gone = inspect(&folder.path().join("gone")).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
