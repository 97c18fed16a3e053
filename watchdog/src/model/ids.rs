//! Identities and times as the kernel gives them, each in a type of its own so that they cannot be mixed up.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bytes;

/// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`, `bpf_ktime_get_boot_ns`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BootNanos(pub u64);

impl BootNanos {
    /// The time `nanos` later, at the end of time at the latest.
    #[must_use]
    pub fn plus(self, nanos: u64) -> Self {
        Self(self.0.saturating_add(nanos))
    }

    /// How long after `earlier` this is, in nanoseconds; 0 when it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time from an operation's entry into the kernel to its return.
///
/// Two operations whose spans overlap have no order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Span {
    /// Entry.
    pub start: BootNanos,
    /// Return; never before `start`.
    pub end: BootNanos,
}

impl Span {
    /// A span; an `end` before `start` is moved up to it.
    #[must_use]
    pub fn new(start: BootNanos, end: BootNanos) -> Self {
        Self { start, end: end.max(start) }
    }

    /// True when all of this span lies before all of `other`. Touching spans have no order.
    #[must_use]
    pub fn is_before(self, other: Self) -> bool {
        self.end < other.start
    }

    /// True when neither lies before the other: they have no order.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        !self.is_before(other) && !other.is_before(self)
    }
}

/// An open file description: the kernel object behind file descriptors, shared by dup and fork.
///
/// `file` is the address of the kernel's `struct file`, which is reused; `opened` tells the uses apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OpenId {
    /// Address of the `struct file`.
    pub file: u64,
    /// When the open returned, in nanoseconds since boot.
    pub opened: u64,
}

/// An inode, with the generation that tells reuses of its number apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InodeId {
    /// The filesystem's device number as the kernel keeps it (`s_dev`).
    pub dev: u32,
    /// Inode number.
    pub ino: u64,
    /// `i_generation`; 0 where the filesystem keeps none.
    pub generation: u32,
}

/// A process (thread group) as the initial pid namespace numbers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pid(pub u32);

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Index of a runtime root in the agent's table of roots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RootId(pub u16);

/// A thread's name as the kernel keeps it: at most 15 bytes, then NUL. Foreign bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Comm(pub [u8; 16]);

impl Comm {
    /// A name from text, cut to 15 bytes.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut bytes = [0; 16];
        let length = text.len().min(15);
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        Self(bytes)
    }
}

/// As a text without the NULs behind it, where it is one; else as the bytes that it is.
impl Serialize for Comm {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let length = self.0.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes::serialize(&self.0[..length], serializer)
    }
}

impl<'de> Deserialize<'de> for Comm {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = bytes::deserialize(deserializer)?;
        let mut bytes = [0; 16];
        let room = bytes.get_mut(..text.len());
        let room = room.ok_or_else(|| serde::de::Error::custom("a thread's name has at most 16 bytes"))?;
        room.copy_from_slice(&text);
        Ok(Self(bytes))
    }
}

/// Control characters and bytes that are not UTF-8 are written as escapes, so a name cannot forge a log line.
impl fmt::Display for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.0.iter().position(|&b| b == 0).unwrap_or(self.0.len());
        for chunk in self.0[..length].utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Comm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}
