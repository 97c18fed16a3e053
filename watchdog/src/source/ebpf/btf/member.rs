//! Finding a member as a C compiler does: through anonymous structs and unions, along dotted paths.

use super::BtfError;
use super::format::{Blob, Record, raw};

/// The kernel's headers nest anonymous structs three or four deep, and typedefs not much deeper.
const MAX_DEPTH: u32 = 16;

/// Members looked at per question. The kernel's largest structs have a few hundred.
const MAX_VISITS: u32 = 1 << 16;

/// One question's search; its work is bounded over all paths and all structs of the name.
pub(super) struct Search<'a> {
    blob: &'a Blob,
    structure: &'a str,
    visits: u32,
}

/// A member that was found, in bits from the start of the struct that was searched.
struct Hit {
    bits: u64,
    width: u32,
    type_id: u32,
}

impl<'a> Search<'a> {
    pub(super) fn new(blob: &'a Blob, structure: &'a str) -> Self {
        Self { blob, structure, visits: MAX_VISITS }
    }

    /// Byte offset of the member at the end of `path` within the struct `id`; `None` when it has no such member.
    pub(super) fn offset(&mut self, id: u32, path: &str) -> Result<Option<u32>, BtfError> {
        let mut composite = self.blob.record(id)?;
        let mut total = 0;
        let mut names = path.split('.').peekable();
        while let Some(name) = names.next() {
            let Some(hit) = self.member(&composite, name.as_bytes(), MAX_DEPTH)? else { return Ok(None) };
            total += hit.bits;
            if names.peek().is_some() {
                match self.composite(hit.type_id)? {
                    Some(inner) => composite = inner,
                    None => return Ok(None),
                }
            } else if hit.width != 0 || total % 8 != 0 || self.is_narrow_integer(hit.type_id)? {
                let (structure, member) = (self.structure.to_owned(), path.to_owned());
                return Err(BtfError::BitField { structure, member });
            }
        }
        u32::try_from(total / 8).map(Some).map_err(|_| self.too_deep())
    }

    fn member(&mut self, composite: &Record, name: &[u8], depth: u32) -> Result<Option<Hit>, BtfError> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.too_deep())?;
        let blob = self.blob;
        for [name_at, type_id, offset] in blob.elements(composite) {
            self.visits = self.visits.checked_sub(1).ok_or_else(|| self.too_deep())?;
            let (bits, width) =
                if composite.flag { (offset & 0x00ff_ffff, offset >> 24) } else { (offset, 0) };
            let bits = u64::from(bits);
            let found = blob.name(name_at)?;
            if found == name {
                return Ok(Some(Hit { bits, width, type_id }));
            }
            if found.is_empty()
                && let Some(inner) = self.composite(type_id)?
                && let Some(hit) = self.member(&inner, name, depth)?
            {
                return Ok(Some(Hit { bits: bits + hit.bits, ..hit }));
            }
        }
        Ok(None)
    }

    /// The struct or union that a member's type is; `None` for pointers, integers and all else.
    fn composite(&self, id: u32) -> Result<Option<Record>, BtfError> {
        let record = self.stripped(id)?;
        Ok(record.filter(|record| matches!(record.kind, raw::STRUCT | raw::UNION)))
    }

    /// Before `kind_flag` (Linux 5.0) a bit field's type was an integer with fewer bits than its bytes have.
    fn is_narrow_integer(&self, id: u32) -> Result<bool, BtfError> {
        let Some(record) = self.stripped(id)?.filter(|record| record.kind == raw::INT) else {
            return Ok(false);
        };
        let [encoding] = self.blob.elements(&record).next().unwrap_or([0]);
        Ok(u64::from(encoding & 0xff) != u64::from(record.referred) * 8)
    }

    /// The type behind typedefs and qualifiers; `None` for void.
    fn stripped(&self, mut id: u32) -> Result<Option<Record>, BtfError> {
        for _ in 0..MAX_DEPTH {
            if id == 0 {
                return Ok(None);
            }
            let record = self.blob.record(id)?;
            match record.kind {
                raw::TYPEDEF | raw::VOLATILE | raw::CONST | raw::RESTRICT | raw::TYPE_TAG => {
                    id = record.referred;
                }
                _ => return Ok(Some(record)),
            }
        }
        Err(self.too_deep())
    }

    fn too_deep(&self) -> BtfError {
        BtfError::TooDeep { structure: self.structure.to_owned() }
    }
}
