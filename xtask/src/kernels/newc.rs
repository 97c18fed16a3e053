//! An archive in the format that a kernel unpacks at boot: cpio's "newc" (Documentation/driver-api/early-userspace/
//! buffer-format.rst). Written here because device nodes then need neither root nor another program.

use std::fmt::Write as _;

/// What the last entry is called.
const TRAILER: &str = "TRAILER!!!";

const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// The archive as far as it has been written.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A folder; those above it must have been added before.
    pub(crate) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER | 0o755, (0, 0), &[]);
    }

    /// A file that can be run.
    pub(crate) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE | 0o755, (0, 0), content);
    }

    /// A file that is read.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.entry(path, FILE | 0o644, (0, 0), content);
    }

    /// A character device.
    pub(crate) fn device(&mut self, path: &str, major: u32, minor: u32) {
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[]);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        let path = path.trim_start_matches('/');
        self.entries += 1;
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(path.len() + 1).unwrap_or(u32::MAX);
        let links = 1;
        // Inode, mode, user, group, links, time, size, device (major, minor), the same of the node, length of the
        // name, checksum.
        let numbers = [self.entries, mode, 0, 0, links, 0, size, 0, 0, device.0, device.1, name_size, 0];
        let mut header = String::from("070701");
        for number in numbers {
            // Writing to a string cannot fail.
            let _ = write!(header, "{number:08x}");
        }
        self.bytes.extend_from_slice(header.as_bytes());
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_header_name_and_content_each_padded_to_four_bytes() {
        let mut archive = Archive::default();
        archive.file("/a/bc", b"hello");
        let bytes = archive.finish();
        let header = "070701\
            00000001000081a4000000000000000000000001000000000000000500000000000000000000000000000000\
            0000000500000000";
        assert_eq!(header.len(), 110);
        assert!(bytes.starts_with(format!("{header}a/bc\0\0").as_bytes()), "{}", bytes.escape_ascii());
        let rest = &bytes[116..];
        assert!(rest.starts_with(b"hello\0\0\x00070701"), "{}", rest.escape_ascii());
        assert!(bytes.ends_with(b"TRAILER!!!\0\0\0\0"), "{}", bytes.escape_ascii());
        assert_eq!(bytes.len() % 4, 0);
    }
}
