//! BTF made up for aya, which wants a whole parsed BTF only to look up a few ids.

use std::collections::BTreeMap;

use super::format::{HEADER_LENGTH, MAX_TYPE_ID, RECORD_LENGTH, raw};
use super::{BtfError, Kind};

/// The smallest BTF in which each `(kind, name, id)` is found at its id.
///
/// `aya::Btf::parse` accepts it, and programs that are loaded with it name the running kernel's types, at a fraction
/// of the memory that the kernel's own BTF takes when parsed: nothing but the ids and names is true of it. Every id
/// in between is a nameless pointer, the type that aya keeps without allocating; so the cost grows with the highest
/// id, 72 bytes for each up to it in aya 0.14. `EbpfLoader::new` of that version parses the kernel's own BTF whatever
/// it is given afterwards, so the peak falls only where no loader is made.
///
/// # Errors
/// An id is 0, beyond the kernel's limit or given twice, or a name contains a NUL.
pub fn synthetic_btf(wanted: &[(Kind, &str, u32)]) -> Result<Vec<u8>, BtfError> {
    let mut strings = vec![0];
    let mut placed = BTreeMap::new();
    for &(kind, name, id) in wanted {
        let refuse = |reason| Err(BtfError::Unplaceable { name: name.to_owned(), id, reason });
        if id == 0 || id > MAX_TYPE_ID {
            return refuse("no type can have this id");
        }
        if name.contains('\0') {
            return refuse("the name contains a NUL");
        }
        let entry = [strings.len() as u32, u32::from(kind.raw()) << 24, 0];
        if placed.insert(id, entry).is_some() {
            return refuse("the id is taken");
        }
        strings.extend_from_slice(name.as_bytes());
        strings.push(0);
    }

    let count = placed.last_key_value().map_or(0, |(&id, _)| id);
    let types_length = count as usize * RECORD_LENGTH;
    let mut bytes = Vec::with_capacity(HEADER_LENGTH + types_length + strings.len());
    bytes.extend_from_slice(&[0x9f, 0xeb, 1, 0]);
    put(&mut bytes, &[HEADER_LENGTH as u32, 0, types_length as u32]);
    put(&mut bytes, &[types_length as u32, strings.len() as u32]);
    let filler = [0, u32::from(raw::PTR) << 24, 0];
    for id in 1..=count {
        put(&mut bytes, placed.get(&id).unwrap_or(&filler));
    }
    bytes.append(&mut strings);
    Ok(bytes)
}

fn put(bytes: &mut Vec<u8>, words: &[u32]) {
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
}
