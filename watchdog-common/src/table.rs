//! Keys and values of the maps that the agent fills.

/// How many bytes of a name or path are compared: 32 of the pattern and the slash before.
pub const NAME_WINDOW: usize = 40;

/// How a [`Name`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NameShape {
    /// The whole name.
    Exact = 1,
    /// The name begins with it.
    Prefix = 2,
    /// The name ends with it.
    Suffix = 3,
}

/// A file name that matters, ready for word-wise comparison.
///
/// `words` and `mask` are the pattern's bytes as native words: right-aligned in the window for exact names and
/// suffixes, left-aligned for prefixes. The bytes that the mask leaves out are 0 in `words`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Name {
    /// The pattern's bytes.
    pub words: [u64; NAME_WINDOW / 8],
    /// Which bits of them count.
    pub mask: [u64; NAME_WINDOW / 8],
    /// Length of the pattern; 0 ends the list.
    pub len: u32,
    /// A [`NameShape`].
    pub shape: u8,
    /// The role's number as the agent knows it; carried through.
    pub role: u8,
    /// Keeps the size a multiple of 8.
    pub reserved: [u8; 2],
}

impl Name {
    /// How many names there can be.
    pub const MAX: u32 = 8;

    /// A pattern of `shape` with this text; `None` when it is empty or longer than 32 bytes.
    #[must_use]
    pub fn new(shape: NameShape, role: u8, text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > 32 {
            return None;
        }
        let start = if matches!(shape, NameShape::Prefix) { 0 } else { NAME_WINDOW - text.len() };
        let (mut bytes, mut mask) = ([0_u8; NAME_WINDOW], [0_u8; NAME_WINDOW]);
        bytes[start..start + text.len()].copy_from_slice(text);
        mask[start..start + text.len()].fill(0xff);
        let mut name = Self { len: text.len() as u32, shape: shape as u8, role, ..Self::default() };
        for (word, chunk) in name.words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_ne_bytes([
                chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
            ]);
        }
        for (word, chunk) in name.mask.iter_mut().zip(mask.chunks_exact(8)) {
            *word = u64::from_ne_bytes([
                chunk[0], chunk[1], chunk[2], chunk[3], chunk[4], chunk[5], chunk[6], chunk[7],
            ]);
        }
        Some(name)
    }
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
    /// How many directories lie between it and a state file.
    pub depth: u8,
    /// Bit i is set when name i matters below this root.
    pub names: u8,
}

/// Answer to [`crate::Command::Identify`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Identity {
    /// The file's identity.
    pub key: RootKey,
    /// Raised by every answer, so that an old one is not taken for a new one.
    pub serial: u64,
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
}

impl LossCounter {
    /// How many there are.
    pub const COUNT: u32 = 3;
}
