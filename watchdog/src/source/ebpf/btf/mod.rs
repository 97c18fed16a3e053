//! The running kernel's own type information (BTF): where a member lies in a struct, what a function takes.
//!
//! A lean scanner: one pass over the types, which keeps the ids of the names that were announced and a sparse index,
//! beside the raw bytes. Ask, keep the answers, drop it. The bytes are foreign: whatever they hold, the answer is a
//! value or a [`BtfError`], after a bounded amount of work.

mod error;
mod format;
mod member;
mod synthetic;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub use error::BtfError;
pub use synthetic::synthetic_btf;

use format::{Blob, raw};

/// Where the kernel shows its type information.
pub const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// Distribution kernels have 4 to 10 MiB of type information; more than this is no kernel's.
const MAX_BYTES: u64 = 64 << 20;

/// C promises 127 parameters, and programs can attach to functions with at most 12.
const MAX_PARAMS: u32 = 127;

/// What a name is looked up as. C keeps tags, typedefs and functions in different name spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `struct name { … }`, complete with its members.
    Struct,
    /// `typedef … name`; `btf_trace_<tracepoint>` is one.
    Typedef,
    /// A function that can be named in an attachment.
    Func,
}

impl Kind {
    fn raw(self) -> u8 {
        match self {
            Self::Struct => raw::STRUCT,
            Self::Typedef => raw::TYPEDEF,
            Self::Func => raw::FUNC,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Struct => "struct",
            Self::Typedef => "typedef",
            Self::Func => "function",
        })
    }
}

/// One parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// Its name; empty where the kernel recorded none. Lossy UTF-8.
    pub name: String,
    /// Its type.
    pub type_id: u32,
}

/// A kernel's type information, scanned.
#[derive(Debug)]
pub struct KernelBtf {
    blob: Blob,
    known: Vec<Known>,
}

/// The types that bear an announced name, in id order. Several structs may share one name.
#[derive(Debug)]
struct Known {
    kind: Kind,
    name: String,
    ids: Vec<u32>,
}

impl KernelBtf {
    /// Reads and scans the running kernel's.
    ///
    /// # Errors
    /// The file cannot be read, or holds what [`KernelBtf::scan`] refuses.
    pub fn load(announced: &[(Kind, &str)]) -> Result<Self, BtfError> {
        Self::scan(read(Path::new(KERNEL_BTF))?, announced)
    }

    /// Scans `bytes` in one pass and remembers where the announced names are.
    ///
    /// A name that was not announced can be asked for all the same; each such question costs a further pass.
    ///
    /// # Errors
    /// The bytes are not little-endian BTF, a section or type is cut off, or a type is of a kind whose length nobody
    /// tells.
    pub fn scan(bytes: Vec<u8>, announced: &[(Kind, &str)]) -> Result<Self, BtfError> {
        let mut blob = Blob::new(bytes)?;
        let known = collect(&mut blob, announced)?;
        Ok(Self { blob, known })
    }

    /// The lowest id of a type of this kind and name, which is also the one that aya takes.
    ///
    /// # Errors
    /// There is none, or the bytes are damaged.
    pub fn type_id(&self, kind: Kind, name: &str) -> Result<u32, BtfError> {
        let missing = || BtfError::NotFound { kind, name: name.to_owned() };
        self.ids(kind, name)?.first().copied().ok_or_else(missing)
    }

    /// Where a member lies, in bytes from the start of `struct structure`.
    ///
    /// `paths` are alternatives, best first, for members that were renamed between kernels. Each may be dotted
    /// (`f_path.dentry`) through members that are structs themselves; members of anonymous structs and unions are
    /// found by their own name, as in C. Of several structs with that name the first that has the member counts.
    ///
    /// # Errors
    /// No such struct or member, the member is a bit field, or the bytes are damaged.
    pub fn member_offset(&self, structure: &str, paths: &[&str]) -> Result<u32, BtfError> {
        let ids = self.ids(Kind::Struct, structure)?;
        if ids.is_empty() {
            return Err(BtfError::NotFound { kind: Kind::Struct, name: structure.to_owned() });
        }
        let mut search = member::Search::new(&self.blob, structure);
        for path in paths {
            for &id in ids.iter() {
                if let Some(offset) = search.offset(id, path)? {
                    return Ok(offset);
                }
            }
        }
        Err(BtfError::NoMember { structure: structure.to_owned(), member: paths.join(" or ") })
    }

    /// A function's parameters in order, without the `...` of a variadic one.
    ///
    /// # Errors
    /// No such function, or the bytes are damaged.
    pub fn func_params(&self, name: &str) -> Result<Vec<Param>, BtfError> {
        let id = self.type_id(Kind::Func, name)?;
        let prototype = self.blob.record(self.blob.record(id)?.referred)?;
        if prototype.kind != raw::FUNC_PROTO || prototype.vlen > MAX_PARAMS {
            return Err(BtfError::NoPrototype { name: name.to_owned() });
        }
        let mut params = Vec::with_capacity(prototype.vlen as usize);
        for [name, type_id] in self.blob.elements(&prototype) {
            // The type void in last place is how BTF writes the `...`.
            if type_id != 0 {
                let name = String::from_utf8_lossy(self.blob.name(name)?).into_owned();
                params.push(Param { name, type_id });
            }
        }
        Ok(params)
    }

    /// How many parameters a function takes.
    ///
    /// # Errors
    /// As [`KernelBtf::func_params`].
    pub fn func_param_count(&self, name: &str) -> Result<usize, BtfError> {
        self.func_params(name).map(|params| params.len())
    }

    fn ids(&self, kind: Kind, name: &str) -> Result<Cow<'_, [u32]>, BtfError> {
        if let Some(known) = self.known.iter().find(|known| known.kind == kind && known.name == name) {
            return Ok(Cow::Borrowed(&known.ids));
        }
        let mut ids = Vec::new();
        let mut position = self.blob.start();
        while let Some((id, record)) = self.blob.next(&mut position)? {
            if record.kind == kind.raw() && self.blob.name(record.name)? == name.as_bytes() {
                ids.push(id);
            }
        }
        Ok(Cow::Owned(ids))
    }
}

/// The one pass: checks that every type is whole, indexes them, and notes those with an announced name.
fn collect(blob: &mut Blob, announced: &[(Kind, &str)]) -> Result<Vec<Known>, BtfError> {
    let mut known: Vec<Known> = Vec::with_capacity(announced.len());
    let mut slots: HashMap<(u8, &[u8]), usize> = HashMap::with_capacity(announced.len());
    for &(kind, name) in announced {
        slots.entry((kind.raw(), name.as_bytes())).or_insert_with(|| {
            known.push(Known { kind, name: name.to_owned(), ids: Vec::new() });
            known.len() - 1
        });
    }
    let mut position = blob.start();
    loop {
        blob.mark(&position)?;
        let Some((id, record)) = blob.next(&mut position)? else { return Ok(known) };
        if matches!(record.kind, raw::STRUCT | raw::TYPEDEF | raw::FUNC)
            && let Some(&slot) = slots.get(&(record.kind, blob.name(record.name)?))
        {
            known[slot].ids.push(id);
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, BtfError> {
    let failed = |source| BtfError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let length = file.metadata().map_err(failed)?.len().min(MAX_BYTES);
    // One byte more than the file has lets the last read find the end without growing the buffer.
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0) + 1);
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(BtfError::TooLarge { limit: MAX_BYTES });
    }
    Ok(bytes)
}
