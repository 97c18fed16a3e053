//! One reading of a state file by the agent.

use std::path::Path;

#[cfg(doc)]
use super::inspect;
use super::inspect::{Inspection, examine};
use super::{Content, Identity};
use crate::clock::boot_now;
use crate::files::Gate;
use crate::model::Span;

/// One reading of a state file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The verdict.
    pub content: Content,
    /// The size that was read.
    pub size: u64,
    /// Whom the container belongs to, as a valid file says.
    pub identity: Identity,
    /// From before it was opened until after its last byte was read.
    pub span: Span,
}

/// Reads and judges what stands at a state file's name, as [`inspect`] does; `None` when nothing can be read there.
#[must_use]
pub fn read_state_file(root: &Path, relative: &Path, gate: &dyn Gate) -> Option<Reading> {
    let start = boot_now();
    let (Inspection { content, size, .. }, identity) = examine(root, relative, gate).ok()?;
    Some(Reading { content, size, identity, span: Span::new(start, boot_now()) })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::super::document::MAX_FILE;
    use super::*;
    use crate::enrich::Damage;
    use crate::files::Ungated;

    fn read(folder: &Path, name: &str) -> Option<(Content, u64, Identity)> {
        let reading = read_state_file(folder, Path::new(name), &Ungated)?;
        Some((reading.content, reading.size, reading.identity))
    }

    #[test]
    fn files_are_read_whole_and_never_too_much() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        let reading = |content, size| Some((content, size, Identity::default()));
        assert_eq!(read(folder.path(), "state.json"), None);
        fs::write(&path, "{}").unwrap();
        assert_eq!(read(folder.path(), "state.json"), reading(Content::Valid, 2));
        File::create(&path).unwrap().set_len(MAX_FILE).unwrap();
        assert_eq!(read(folder.path(), "state.json"), reading(Content::Damaged(Damage::Invalid), MAX_FILE));
        File::create(&path).unwrap().set_len(MAX_FILE + 10).unwrap();
        let expected = reading(Content::NotJudged, MAX_FILE + 10);
        assert_eq!(read(folder.path(), "state.json"), expected);
    }

    #[test]
    fn what_is_no_regular_file_is_not_opened_and_is_no_valid_state_file() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("target"), "{}").unwrap();
        std::os::unix::fs::symlink("target", folder.path().join("link")).unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        fs::create_dir(folder.path().join("directory")).unwrap();
        let expected = Some((Content::Damaged(Damage::Invalid), 0, Identity::default()));
        // Opened for reading, a FIFO without a writer would block here for ever.
        for name in ["link", "fifo", "directory"] {
            assert_eq!(read(folder.path(), name), expected, "{name}");
        }
        assert_eq!(read(Path::new("/dev"), "zero"), expected);
    }

    #[test]
    fn a_container_directory_that_became_a_link_leads_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        fs::create_dir_all(at("foreign")).unwrap();
        fs::create_dir_all(at("root")).unwrap();
        fs::write(at("foreign/state.json"), r#"{"annotations":{"io.kubernetes.pod.name":"x"}}"#).unwrap();
        std::os::unix::fs::symlink("../foreign", at("root/abc")).unwrap();
        assert!(read_state_file(&at("root"), Path::new("abc/state.json"), &Ungated).is_none());
    }
}
