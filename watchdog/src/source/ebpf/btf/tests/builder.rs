//! Writes BTF by hand, type by type, as the kernel's format document has it and not as the scanner reads it.

/// Types and names in the making.
#[derive(Clone)]
pub(super) struct Builder {
    types: Vec<u8>,
    strings: Vec<u8>,
    count: u32,
}

/// One member: name, type, offset word.
pub(super) type Member<'a> = (&'a str, u32, u32);

impl Builder {
    pub(super) fn new() -> Self {
        Self { types: Vec::new(), strings: vec![0], count: 0 }
    }

    pub(super) fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);
        offset
    }

    /// Any record: `info` is kind, flag and vlen as they stand in the bytes. Returns the type's id.
    pub(super) fn record(&mut self, name: &str, info: u32, referred: u32, body: &[u32]) -> u32 {
        let name = self.name(name);
        for word in [name, info, referred].iter().chain(body) {
            self.types.extend(word.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    pub(super) fn int(&mut self, name: &str, size: u32, bits: u32) -> u32 {
        self.record(name, 1 << 24, size, &[bits])
    }

    pub(super) fn pointer(&mut self, to: u32) -> u32 {
        self.record("", 2 << 24, to, &[])
    }

    pub(super) fn structure(&mut self, name: &str, members: &[Member<'_>]) -> u32 {
        self.composite(name, 4 << 24, members)
    }

    pub(super) fn union(&mut self, name: &str, members: &[Member<'_>]) -> u32 {
        self.composite(name, 5 << 24, members)
    }

    /// A struct whose member offsets carry the width of bit fields in their highest byte.
    pub(super) fn flagged(&mut self, name: &str, members: &[Member<'_>]) -> u32 {
        self.composite(name, 1 << 31 | 4 << 24, members)
    }

    pub(super) fn typedef(&mut self, name: &str, of: u32) -> u32 {
        self.record(name, 8 << 24, of, &[])
    }

    pub(super) fn constant(&mut self, of: u32) -> u32 {
        self.record("", 10 << 24, of, &[])
    }

    /// A function and, before it, its prototype.
    pub(super) fn function(&mut self, name: &str, params: &[(&str, u32)]) -> u32 {
        let mut body = Vec::new();
        for &(name, type_id) in params {
            body.extend([self.name(name), type_id]);
        }
        let prototype = self.record("", 13 << 24 | params.len() as u32, 0, &body);
        self.record(name, 12 << 24 | 1, prototype, &[])
    }

    /// The id that the next record will get, for types that refer forward or to themselves.
    pub(super) fn next_id(&self) -> u32 {
        self.count + 1
    }

    /// With the 24-byte header.
    pub(super) fn build(&self) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let header = [24, 0, types, types, strings];
        self.assemble(&header, &[])
    }

    /// With the 32-byte header of Linux 7.1 and a section that tells each kind's length: once, and per element.
    pub(super) fn build_with_layouts(&self, layouts: &[(u8, u8)]) -> Vec<u8> {
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let layouts: Vec<u8> = layouts.iter().flat_map(|&(once, each)| [once, each, 0, 0]).collect();
        let header = [32, 0, types, types, strings, types + strings, layouts.len() as u32];
        self.assemble(&header, &layouts)
    }

    fn assemble(&self, header: &[u32], layouts: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        bytes.extend(header.iter().flat_map(|word| word.to_le_bytes()));
        bytes.extend_from_slice(&self.types);
        bytes.extend_from_slice(&self.strings);
        bytes.extend_from_slice(layouts);
        bytes
    }

    fn composite(&mut self, name: &str, info: u32, members: &[Member<'_>]) -> u32 {
        let mut body = Vec::new();
        for &(name, type_id, offset) in members {
            body.extend([self.name(name), type_id, offset]);
        }
        self.record(name, info | members.len() as u32, 0, &body)
    }
}
