//! Why a question about the kernel's types has no answer.

use std::io;
use std::path::PathBuf;

use super::Kind;

/// What went wrong with the kernel's type information.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BtfError {
    /// The file could not be read; a kernel built without CONFIG_DEBUG_INFO_BTF has none.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Longer than any kernel's.
    #[error("type information is larger than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
    /// It does not begin with BTF's magic number.
    #[error("no BTF magic number at the start of the type information")]
    NotBtf,
    /// It was made for a machine of the other byte order.
    #[error("type information is big-endian, only little-endian is supported")]
    ForeignEndianness,
    /// A format version that nobody has defined yet.
    #[error("BTF version {version} is not supported")]
    Version {
        /// The version found.
        version: u8,
    },
    /// The header is shorter than the oldest one, or longer than the file.
    #[error("BTF header length {length} is impossible")]
    Header {
        /// The length that the header claims.
        length: u32,
    },
    /// A section's place, as the header has it, is not within the file.
    #[error("the {section} lie outside the type information")]
    Section {
        /// Which section.
        section: &'static str,
    },
    /// More types than an id can number.
    #[error("more than {limit} types")]
    TooManyTypes {
        /// The kernel's own limit.
        limit: u32,
    },
    /// A type's record reaches beyond the section.
    #[error("type {id} is cut off")]
    CutOff {
        /// Which type.
        id: u32,
    },
    /// A kind from a future kernel that does not say how long it is, so what follows cannot be found.
    #[error("type {id} is of the unknown kind {kind}")]
    UnknownKind {
        /// Which type.
        id: u32,
        /// Its kind.
        kind: u8,
    },
    /// A reference to a type that is not there.
    #[error("type {id} does not exist")]
    NoType {
        /// The dangling id.
        id: u32,
    },
    /// No name ends where one was said to be.
    #[error("no name at offset {offset} of the strings")]
    Name {
        /// Where the name was said to be.
        offset: u32,
    },
    /// This kernel has no such type.
    #[error("no {kind} {name} in this kernel")]
    NotFound {
        /// As what it was looked up.
        kind: Kind,
        /// Its name.
        name: String,
    },
    /// The struct has no such member.
    #[error("no member {member} in struct {structure}")]
    NoMember {
        /// Which struct.
        structure: String,
        /// The member, or its alternatives.
        member: String,
    },
    /// The member is a bit field and has no byte offset.
    #[error("member {member} of struct {structure} is a bit field")]
    BitField {
        /// Which struct.
        structure: String,
        /// The member.
        member: String,
    },
    /// Types refer to each other deeper or wider than C code does, probably in a circle.
    #[error("struct {structure} nests too deep to be searched")]
    TooDeep {
        /// Which struct.
        structure: String,
    },
    /// What a function refers to is no prototype, or one with more parameters than C knows.
    #[error("function {name} has no usable prototype")]
    NoPrototype {
        /// Which function.
        name: String,
    },
    /// A synthetic blob cannot have this name at this id.
    #[error("cannot place {name} at type id {id}: {reason}")]
    Unplaceable {
        /// The name.
        name: String,
        /// The id.
        id: u32,
        /// Why not.
        reason: &'static str,
    },
}
