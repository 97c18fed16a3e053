//! The format itself: header, sections, type records, names. Read as in the kernel's
//! `include/uapi/linux/btf.h` and `Documentation/bpf/btf.rst`.

use std::ffi::CStr;
use std::ops::Range;

use super::BtfError;

/// Kinds as they stand in the bytes. Numbers, not an enum: a later kernel may have more.
pub(super) mod raw {
    pub(in super::super) const INT: u8 = 1;
    pub(in super::super) const PTR: u8 = 2;
    pub(super) const ARRAY: u8 = 3;
    pub(in super::super) const STRUCT: u8 = 4;
    pub(in super::super) const UNION: u8 = 5;
    pub(super) const ENUM: u8 = 6;
    pub(super) const FWD: u8 = 7;
    pub(in super::super) const TYPEDEF: u8 = 8;
    pub(in super::super) const VOLATILE: u8 = 9;
    pub(in super::super) const CONST: u8 = 10;
    pub(in super::super) const RESTRICT: u8 = 11;
    pub(in super::super) const FUNC: u8 = 12;
    pub(in super::super) const FUNC_PROTO: u8 = 13;
    pub(super) const VAR: u8 = 14;
    pub(super) const DATASEC: u8 = 15;
    pub(super) const FLOAT: u8 = 16;
    pub(super) const DECL_TAG: u8 = 17;
    pub(in super::super) const TYPE_TAG: u8 = 18;
    pub(super) const ENUM64: u8 = 19;
}

/// `BTF_MAX_TYPE`: the highest id that the kernel accepts.
pub(super) const MAX_TYPE_ID: u32 = 0x000f_ffff;

/// The header up to and with the place of the strings, which every version has.
pub(super) const HEADER_LENGTH: usize = 24;

/// Every type begins with name, info, and size or type.
pub(super) const RECORD_LENGTH: usize = 12;

/// Longer than any symbol of the kernel (KSYM_NAME_LEN is 512), so that looking for a name's end is bounded.
const MAX_NAME: usize = 4096;

/// One mark per so many types keeps the index at a few KiB; finding a type skips half as many on average.
const STRIDE: u32 = 64;

/// The bytes, cut into sections.
#[derive(Clone, Debug)]
pub(super) struct Blob {
    bytes: Vec<u8>,
    types: Range<usize>,
    strings: Range<usize>,
    /// From Linux 7.1 on: how long each kind is.
    layout: Range<usize>,
    /// Where the types 1, 1 + STRIDE, 1 + 2 * STRIDE … begin.
    marks: Vec<u32>,
}

/// A place between two types.
#[derive(Clone, Debug)]
pub(super) struct Position {
    id: u32,
    at: usize,
}

/// One type, without what follows its first twelve bytes.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// Offset of its name.
    pub(super) name: u32,
    /// One of [`raw`], or a later kernel's.
    pub(super) kind: u8,
    /// `kind_flag`; in structs and unions: member offsets carry the width of bit fields.
    pub(super) flag: bool,
    /// How many elements follow; the linkage of functions.
    pub(super) vlen: u32,
    /// Size or type, whichever the kind has.
    pub(super) referred: u32,
    body: Range<usize>,
}

impl Blob {
    pub(super) fn new(bytes: Vec<u8>) -> Result<Self, BtfError> {
        match bytes.get(..4) {
            Some([0x9f, 0xeb, 1, _]) => {}
            Some([0x9f, 0xeb, version, _]) => return Err(BtfError::Version { version: *version }),
            Some([0xeb, 0x9f, ..]) => return Err(BtfError::ForeignEndianness),
            _ => return Err(BtfError::NotBtf),
        }
        let header: [u32; 5] = words(bytes.get(4..HEADER_LENGTH).ok_or(BtfError::NotBtf)?);
        let length = header[0] as usize;
        if length < HEADER_LENGTH || length > bytes.len() {
            return Err(BtfError::Header { length: header[0] });
        }
        let layout_header = if length >= HEADER_LENGTH + 8 {
            words(&bytes[HEADER_LENGTH..HEADER_LENGTH + 8])
        } else {
            [0, 0]
        };
        let section = |section, [offset, size]: [u32; 2]| {
            let start = length.checked_add(offset as usize);
            let end = start.and_then(|start| start.checked_add(size as usize));
            match (start, end) {
                (Some(start), Some(end)) if end <= bytes.len() => Ok(start..end),
                _ => Err(BtfError::Section { section }),
            }
        };
        let types = section("types", [header[1], header[2]])?;
        let strings = section("strings", [header[3], header[4]])?;
        let layout = section("layouts", layout_header)?;
        Ok(Self { bytes, types, strings, layout, marks: Vec::new() })
    }

    /// Before the first type. Id 0 is void and has no record.
    pub(super) fn start(&self) -> Position {
        Position { id: 1, at: self.types.start }
    }

    /// The type at `position`, which moves behind it; `None` at the end.
    pub(super) fn next(&self, position: &mut Position) -> Result<Option<(u32, Record)>, BtfError> {
        if position.at >= self.types.end {
            return Ok(None);
        }
        let id = position.id;
        if id > MAX_TYPE_ID {
            return Err(BtfError::TooManyTypes { limit: MAX_TYPE_ID });
        }
        let body = position.at + RECORD_LENGTH;
        let cut_off = BtfError::CutOff { id };
        let Some(head) = self.bytes[..self.types.end].get(position.at..body) else { return Err(cut_off) };
        let [name, info, referred] = words(head);
        // vlen has 16 bits and kind 5 before Linux 7.1, the bits between and above unused and zero.
        let (vlen, kind) = (info & 0x00ff_ffff, (info >> 24) as u8 & 0x7f);
        let (fixed, each) = self.layout_of(kind).ok_or(BtfError::UnknownKind { id, kind })?;
        let length = usize::from(fixed) + usize::from(each) * vlen as usize;
        if length > self.types.end - body {
            return Err(cut_off);
        }
        *position = Position { id: id + 1, at: body + length };
        let flag = info >> 31 == 1;
        Ok(Some((id, Record { name, kind, flag, vlen, referred, body: body..body + length })))
    }

    /// Makes the type at `position` quick to find again. To be called at each, in order.
    pub(super) fn mark(&mut self, position: &Position) -> Result<(), BtfError> {
        if (position.id - 1).is_multiple_of(STRIDE) {
            let at = u32::try_from(position.at).map_err(|_| BtfError::Section { section: "types" })?;
            self.marks.push(at);
        }
        Ok(())
    }

    pub(super) fn record(&self, id: u32) -> Result<Record, BtfError> {
        let missing = BtfError::NoType { id };
        let Some(index) = id.checked_sub(1) else { return Err(missing) };
        let slot = index / STRIDE;
        let Some(&at) = self.marks.get(slot as usize) else { return Err(missing) };
        let mut position = Position { id: slot * STRIDE + 1, at: at as usize };
        while let Some((found, record)) = self.next(&mut position)? {
            if found == id {
                return Ok(record);
            }
        }
        Err(missing)
    }

    /// What follows the record, in groups of `N` words.
    pub(super) fn elements<const N: usize>(&self, record: &Record) -> impl Iterator<Item = [u32; N]> {
        self.bytes[record.body.clone()].chunks_exact(4 * N).map(words)
    }

    /// A name without its NUL; empty for the anonymous.
    pub(super) fn name(&self, offset: u32) -> Result<&[u8], BtfError> {
        let strings = &self.bytes[self.strings.clone()];
        strings
            .get(offset as usize..)
            .and_then(|rest| CStr::from_bytes_until_nul(&rest[..rest.len().min(MAX_NAME)]).ok())
            .map(CStr::to_bytes)
            .ok_or(BtfError::Name { offset })
    }

    /// How many bytes follow a type's record: once, and per element.
    fn layout_of(&self, kind: u8) -> Option<(u8, u8)> {
        match kind {
            raw::PTR | raw::FWD | raw::TYPEDEF | raw::VOLATILE | raw::CONST | raw::RESTRICT => Some((0, 0)),
            raw::FUNC | raw::FLOAT | raw::TYPE_TAG => Some((0, 0)),
            raw::INT | raw::VAR | raw::DECL_TAG => Some((4, 0)),
            raw::ARRAY => Some((12, 0)),
            raw::ENUM | raw::FUNC_PROTO => Some((0, 8)),
            raw::STRUCT | raw::UNION | raw::DATASEC | raw::ENUM64 => Some((0, 12)),
            0 => None,
            later => {
                let entry = self.bytes[self.layout.clone()].chunks_exact(4).nth(later.into())?;
                Some((entry[0], entry[1]))
            }
        }
    }
}

/// Little-endian words; what is missing reads as zero.
fn words<const N: usize>(bytes: &[u8]) -> [u32; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}
