//! The object without what nobody reads at run time. The agent carries the object in its file; aya copies lines of source
//! with each function into every program that calls it, some 30 MiB at each start, and the kernel keeps them.

use object::{
    build::{
        Result,
        elf::{Builder, SectionData},
    },
    elf::SHT_STRTAB,
};

/// Debug information, and what would link type information again.
const UNREAD: [&[u8]; 3] = [b".debug_", b".rel.debug_", b".rel.BTF"];

pub(crate) fn slim(object: &[u8]) -> Result<Vec<u8>> {
    let mut builder = Builder::read(object)?;
    for section in &mut builder.sections {
        section.delete = UNREAD.iter().any(|unread| section.name.starts_with(unread));
        if section.name.as_slice() == b".BTF.ext"
            && let SectionData::Data(data) = &mut section.data
        {
            *data = without_lines(data).into();
        }
    }
    builder.delete_orphans();
    // LLVM keeps names of sections and of symbols in one table, which the builder wants apart.
    if !builder.sections.iter().any(|section| matches!(section.data, SectionData::SectionString)) {
        let names = builder.sections.add();
        names.name = b".shstrtab"[..].into();
        names.sh_type = SHT_STRTAB;
        names.data = SectionData::SectionString;
    }
    let mut slim = Vec::new();
    builder.write(&mut slim)?;
    Ok(slim)
}

/// Where the header of `.BTF.ext` (`struct btf_ext_header`) says how long it is itself, where the lines are, how long they
/// are, and where relocations are.
const HEADER_LEN: usize = 4;
const LINES: usize = 16;
const LINES_LEN: usize = 20;
const RELOCATIONS: usize = 24;

/// The section with no lines of source. Signatures of functions stand before them and stay.
fn without_lines(section: &[u8]) -> Vec<u8> {
    let mut section = section.to_vec();
    let word = |at: usize| {
        let bytes = section.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_ne_bytes(bytes)).ok()
    };
    let (Some(header), Some(lines), Some(len)) = (word(HEADER_LEN), word(LINES), word(LINES_LEN)) else {
        return section;
    };
    if header + lines + len == section.len() && header > RELOCATIONS {
        section[LINES_LEN..RELOCATIONS].fill(0);
        section.copy_within(LINES..LINES_LEN, RELOCATIONS);
        section.truncate(header + lines);
    }
    section
}
