//! The versions of a state file, and telling what a reader got of them.

use serde::{Deserialize, Serialize};

/// The smallest version.
const MIN_SIZE: usize = 5 * 1024;
/// Sizes repeat after this many versions; a prime, so that a fixed step visits all of them.
const SIZES: usize = 5003;
/// From one version to the next: neighbours never have the same size.
const STEP: usize = 37;
/// What an appending writer adds for each version: white space, so that the JSON stays whole.
pub const APPENDED: usize = 64;

const OPENING: &str = "{\"generation\":\"";
const DIGITS: usize = 10;

/// What a reader got, judged by its bytes alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// One complete version, or as much of one as the reader wanted.
    Complete,
    /// End-of-file at once.
    Empty,
    /// The beginning of a version, then end-of-file.
    Short,
    /// Not the beginning of any one version.
    Mixed,
    /// There was no file to open.
    Missing,
    /// Killed by SIGBUS: the file was cut short below a mapping.
    Killed,
}

impl Content {
    /// True for what no atomic writer ever shows to a reader.
    #[must_use]
    pub fn is_torn(self) -> bool {
        matches!(self, Self::Empty | Self::Short | Self::Mixed)
    }
}

/// A version: JSON of 5 to 10 KB that names its generation in every line.
#[must_use]
pub fn render(generation: u64) -> Vec<u8> {
    let size = MIN_SIZE + usize::try_from(generation).unwrap_or(usize::MAX).wrapping_mul(STEP) % SIZES;
    let mut text = format!("{OPENING}{generation:0DIGITS$}\",\"size\":{size},\"lines\":[");
    let closing = format!("\"],\"last\":\"{generation:0DIGITS$}\"}}");
    for line in 0.. {
        let next = format!("\"{generation:0DIGITS$}/{line:04}\",");
        if text.len() + next.len() + 1 + closing.len() > size {
            break;
        }
        text.push_str(&next);
    }
    text.push('"');
    while text.len() + closing.len() < size {
        text.push('.');
    }
    text.push_str(&closing);
    text.into_bytes()
}

/// What the bytes are, and of which generation; `end_of_file` says whether the reader met the end or chose to stop.
#[must_use]
pub fn classify(bytes: &[u8], end_of_file: bool) -> (Content, Option<u64>) {
    if bytes.is_empty() {
        return (Content::Empty, None);
    }
    let Some(generation) = generation(bytes) else {
        let opening = OPENING.as_bytes();
        let begins = bytes.iter().zip(opening).all(|(a, b)| a == b)
            && bytes.iter().skip(opening.len()).take(DIGITS).all(u8::is_ascii_digit)
            && bytes.len() < opening.len() + DIGITS;
        return (if begins { Content::Short } else { Content::Mixed }, None);
    };
    let version = render(generation);
    if let Some(behind) = bytes.strip_prefix(version.as_slice()) {
        let blank = behind.iter().all(|&byte| byte == b' ');
        return match behind.len() {
            0 => (Content::Complete, Some(generation)),
            // Only the appending writer leaves something behind its first version.
            length if generation == 0 && blank => {
                let whole = length % APPENDED == 0 || !end_of_file;
                let appended = Some((length / APPENDED) as u64);
                (if whole { Content::Complete } else { Content::Short }, appended)
            }
            _ => (Content::Mixed, Some(generation)),
        };
    }
    match version.starts_with(bytes) {
        true if end_of_file => (Content::Short, Some(generation)),
        true => (Content::Complete, Some(generation)),
        false => (Content::Mixed, Some(generation)),
    }
}

fn generation(bytes: &[u8]) -> Option<u64> {
    let digits = bytes.strip_prefix(OPENING.as_bytes())?.get(..DIGITS)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_json_of_distinct_sizes() {
        let sizes: std::collections::BTreeSet<usize> = (0..2000)
            .map(|generation| {
                let version = render(generation);
                serde_json::from_slice::<serde_json::Value>(&version).unwrap();
                version.len()
            })
            .collect();
        assert_eq!(sizes.len(), 2000);
        assert!(*sizes.first().unwrap() >= 5000 && *sizes.last().unwrap() <= 10_240);
    }

    #[test]
    fn a_whole_version_is_complete_whether_or_not_its_end_was_met() {
        for generation in [0, 1, 77, 4_999] {
            let version = render(generation);
            assert_eq!(classify(&version, true), (Content::Complete, Some(generation)));
            assert_eq!(classify(&version, false), (Content::Complete, Some(generation)));
        }
    }

    #[test]
    fn every_shorter_beginning_is_short_only_at_end_of_file() {
        let version = render(12);
        assert_eq!(classify(b"", true), (Content::Empty, None));
        for length in 1..version.len() {
            assert_eq!(classify(&version[..length], true).0, Content::Short, "{length}");
        }
        assert_eq!(classify(&version[..4096], false).0, Content::Complete);
    }

    #[test]
    fn two_versions_in_one_read_are_mixed_wherever_they_meet() {
        let (old, new) = (render(12), render(13));
        for seam in [1, 25, 26, 100, 512, 4096, old.len() - 1] {
            let mut bytes = old[..seam].to_vec();
            bytes.extend_from_slice(&new[seam.min(new.len())..]);
            if bytes != new {
                assert_eq!(classify(&bytes, true).0, Content::Mixed, "{seam}");
            }
        }
        let mut tail = new.clone();
        tail.extend_from_slice(b"]}");
        assert_eq!(classify(&tail, true).0, Content::Mixed);
        assert_eq!(classify(&[0; 4096], true).0, Content::Mixed);
    }

    #[test]
    fn an_appended_file_is_complete_at_every_seam_and_short_between() {
        let mut bytes = render(0);
        bytes.extend_from_slice(&[b' '; APPENDED]);
        assert_eq!(classify(&bytes, true), (Content::Complete, Some(1)));
        bytes.extend_from_slice(b"   ");
        assert_eq!(classify(&bytes, true).0, Content::Short);
        assert_eq!(classify(&bytes, false).0, Content::Complete);
    }
}
