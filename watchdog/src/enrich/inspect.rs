//! A state file as a person wants it explained: the verdict, and what the parser said.

use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::Identity;
use super::content::verdict;
use super::document::{Document, MAX_FILE, read_document};
use crate::files::{Directory, Gate, Kind};
use crate::model::{Content, Damage};

/// What was found where a state file should be.
#[derive(Debug)]
pub struct Inspection {
    /// The verdict. What is no regular file is no state file either: `invalid`. What is too large is not judged.
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

/// Reads and judges what stands at a path below a root. Links below the root are not followed, nothing but a regular
/// file is opened, and no more is read than a state file may have.
///
/// # Errors
/// Nothing stands there, or it cannot be read.
pub fn inspect(root: &Path, relative: &Path, gate: &dyn Gate) -> io::Result<Inspection> {
    Ok(examine(root, relative, gate)?.0)
}

/// The same, with what a valid file says of its container.
pub(super) fn examine(root: &Path, relative: &Path, gate: &dyn Gate) -> io::Result<(Inspection, Identity)> {
    let unread = |content, message: String, size, modified| {
        let complaint = Some(Complaint { message, position: None });
        (Inspection { content, size, modified, complaint }, Identity::default())
    };
    let name = relative.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let directory = Directory::open(root, gate)?.below(relative.parent().unwrap_or(Path::new("")))?;
    let node = directory.child(name)?;
    if node.kind() != Kind::File {
        let message = format!("{}, not a regular file", node.kind().name());
        return Ok(unread(Content::Damaged(Damage::Invalid), message, 0, None));
    }
    let (file, metadata) = node.open()?;
    let modified = metadata.modified().ok();
    if metadata.len() > MAX_FILE {
        let message = format!("larger than {} MiB, not read", MAX_FILE >> 20);
        return Ok(unread(Content::NotJudged, message, metadata.len(), modified));
    }
    let read = read_document(&file, gate);
    // Closing may wait for the file system, too.
    gate.again();
    drop(file);
    let Document { size, flaw, identity, is_too_large } = read?;
    // It grew while it was read.
    if is_too_large {
        let message = format!("larger than {} MiB, not read to its end", MAX_FILE >> 20);
        return Ok(unread(Content::NotJudged, message, size, modified));
    }
    let content = verdict(size, flaw.as_ref());
    let complaint =
        flaw.map(|flaw| Complaint { message: flaw.to_string(), position: Some((flaw.line, flaw.column)) });
    Ok((Inspection { content, size, modified, complaint }, identity))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ungated;
    use std::fs;

    fn inspected(path: &Path) -> io::Result<Inspection> {
        inspect(path.parent().unwrap(), Path::new(path.file_name().unwrap()), &Ungated)
    }

    fn said(path: &Path) -> (Content, u64, String) {
        let Inspection { content, size, complaint, .. } = inspected(path).unwrap();
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
        assert_eq!(inspected(&path).unwrap().complaint.unwrap().position, Some((1, 3)));
    }

    #[test]
    fn a_huge_file_is_not_read_and_its_size_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let expected = (Content::NotJudged, 1 << 40, "larger than 16 MiB, not read".to_owned());
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
        let gone = inspected(&folder.path().join("gone")).unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
