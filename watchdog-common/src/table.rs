//! Keys and values of the maps that the agent fills.

/// How many bytes of a name or path are compared: 32 of the pattern and the slash before.
pub const NAME_WINDOW: usize = 40;

/// How a [`Name`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameShape {
    /// The whole name.
    Exact,
    /// The name begins with it.
    Prefix,
    /// The name ends with it.
    Suffix,
}

/// A window's bytes as native words.
pub type NameWords = [u64; NAME_WINDOW / 8];

/// A file name that matters, ready for word-wise comparison without a branch: kernels before 6.3 verify each branch of
/// a loop anew, and a pattern's shape is a mask here instead.
///
/// Two windows are compared: `head` begins with the file's name, `tail` ends with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Name {
    /// The pattern's bytes, where the masks have theirs.
    pub words: NameWords,
    /// Which bits of the head count: those of a prefix.
    pub head: NameWords,
    /// Which bits of the tail count: those of exact names and of suffixes.
    pub tail: NameWords,
    /// The byte of the tail before an exact name: in a path, a slash or nothing stands there.
    pub before: NameWords,
    /// The shortest name that can match; 0 ends the list.
    pub shortest: u32,
    /// The longest one.
    pub longest: u32,
}

impl Name {
    /// How many names there can be: one bit each in [`RootValue::names`].
    pub const MAX: u32 = u32::BITS;

    /// A place in the list that no name has now, with others behind it.
    pub const VACANT: Self = Self {
        words: [0; NAME_WINDOW / 8],
        head: [0; NAME_WINDOW / 8],
        tail: [0; NAME_WINDOW / 8],
        before: [0; NAME_WINDOW / 8],
        shortest: u32::MAX,
        longest: 0,
    };

    /// A pattern of `shape` with this text; `None` when it is empty or longer than 32 bytes.
    #[must_use]
    pub fn new(shape: NameShape, text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > 32 {
            return None;
        }
        let len = text.len();
        let start = if matches!(shape, NameShape::Prefix) { 0 } else { NAME_WINDOW - len };
        let (mut bytes, mut mask, mut before) = ([0; NAME_WINDOW], [0; NAME_WINDOW], [0; NAME_WINDOW]);
        bytes[start..start + len].copy_from_slice(text);
        mask[start..start + len].fill(0xff);
        if matches!(shape, NameShape::Exact) {
            before[start - 1] = 0xff;
        }
        let (mask, none) = (words(&mask), [0; NAME_WINDOW / 8]);
        let (head, tail) = if matches!(shape, NameShape::Prefix) { (mask, none) } else { (none, mask) };
        let shortest = len as u32;
        let longest = if matches!(shape, NameShape::Exact) { shortest } else { u32::MAX };
        let (words, before) = (words(&bytes), words(&before));
        Some(Self { words, head, tail, before, shortest, longest })
    }
}

fn words(bytes: &[u8; NAME_WINDOW]) -> NameWords {
    let mut words = [0; NAME_WINDOW / 8];
    for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        let &[a, b, c, d, e, f, g, h] = chunk else { continue };
        *word = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
    }
    words
}

/// A directory as the kernel identifies it: the key of the table of roots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct RootKey {
    /// `i_ino`.
    pub ino: u64,
    /// `s_dev`.
    pub dev: u32,
    /// `i_generation`.
    pub generation: u32,
}

/// What the probes know of a root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RootValue {
    /// The agent's number for it.
    pub root: u16,
    /// Bit d is set when state files lie d directories below it.
    pub depths: u8,
    /// Bit d is set when a directory d levels below it is locked to guard the state files in it; bit 0 is the root.
    pub locks: u8,
    /// Bit i is set when name i matters below this root.
    pub names: u32,
}

/// What the probes look at first, before any name or root: the sum of what the roots need that stand now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Filter {
    /// Bit n is set when a name of n bytes could match by its beginning or as a whole; bit 63 stands for all longer
    /// ones.
    pub lengths: u64,
    /// Has the bits of [`ending`] for names that could match by their end.
    pub endings: u64,
    /// Bit d is set when some root has state files at depth d.
    pub depths: u32,
    /// The same for directories that are locked.
    pub locks: u32,
}

/// The bit in [`Filter::endings`] of a name with these last four bytes.
#[inline(always)]
#[must_use]
pub const fn ending(last: u32) -> u64 {
    // Fibonacci hashing: the upper bits of the product depend on all bytes.
    1 << (last.wrapping_mul(0x9e37_79b1) >> 26)
}

/// What [`OpenRecord::what`](crate::OpenRecord::what) says of a directory that was locked; 0 stands for a file.
pub const LOCKED_DIRECTORY: u8 = 1;

/// The same of a state file that was opened by another name.
pub const ALIAS: u8 = 2;

/// The number of the agent's own root, in which the probes show what the agent does.
pub const CANARY_ROOT: u16 = u16::MAX;

/// Answer to [`crate::Command::Identify`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Identity {
    /// The file's identity.
    pub key: RootKey,
    /// 1 when the file is a state or lock file by its name and directory.
    pub is_named: u64,
    /// Raised by every answer, so that an old one is not taken for a new one.
    pub serial: u64,
}

/// What the probes answer to [`crate::Command::Poll`]; index into the `ANSWERS` array, which the agent reads by a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Answer {
    /// When the description that is tracked at the address was opened; 0 when none is.
    Opened = 0,
    /// Raised by every answer, so that an old one is not taken for a new one.
    Serial = 1,
    /// How often the record of an open found no room, although the description is tracked.
    Unreported = 2,
}

impl Answer {
    /// How many there are.
    pub const COUNT: u32 = 3;
}

/// A tracked open file description: a value of the `FILES` table, whose key is the address of its `struct file`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Tracked {
    /// When it was opened; with the address, its identity.
    pub opened: u64,
    /// When it was last seen alive.
    pub last: u64,
    /// Address of its inode: a reused `struct file` shows another one.
    pub inode: u64,
    /// Address of its dentry, for the same reason.
    pub dentry: u64,
    /// FMODE_READ and FMODE_WRITE, for the same reason.
    pub access: u64,
    /// The copies of the program that know of the open.
    pub turns: u64,
    /// How many calls of VFS functions on it have begun and not returned.
    pub calls: u64,
    /// 1 when the agent was sent the record of its open; 0 when the ring had no room for it.
    pub reported: u64,
}

/// What the probes count; index into the `LOSSES` array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum LossCounter {
    /// A record did not fit into the ring buffer.
    RingFull = 0,
    /// A table of descriptions or of calls in flight was full.
    TableFull = 1,
    /// A call of a 32-bit program that is not decoded.
    Compat = 2,
    /// A request of io_uring's on a file that matters, to a source that sees system calls alone.
    IoUring = 3,
    /// The return of a call on a description was not shown to any program.
    Missed = 4,
}

impl LossCounter {
    /// How many there are.
    pub const COUNT: u32 = 5;
}
