//! Events out of any bytes.

use std::sync::Arc;

use arbitrary::{Result, Unstructured};
use watchdog::model::{
    Access, Actor, BootNanos, Comm, Content, Damage, EventOperation as Operation, ExitStatus, FileEvent,
    InodeId, LockMode, LockOwner, OpenId, Pid, Place, Role, RootId, Span, Target,
};

/// A story of few files and few processes, so that they meet, with now and then a number beyond all sense.
pub(crate) struct Story<'a> {
    bytes: Unstructured<'a>,
    now: u64,
    lost: u64,
}

impl<'a> Story<'a> {
    pub(crate) fn new(bytes: Unstructured<'a>) -> Self {
        Self { bytes, now: 1, lost: 0 }
    }

    /// The next event, until the bytes are used up.
    pub(crate) fn next(&mut self) -> Option<FileEvent> {
        if self.bytes.is_empty() { None } else { self.event().ok() }
    }

    fn event(&mut self) -> Result<FileEvent> {
        let step: u8 = self.bytes.arbitrary()?;
        // Steps of nanoseconds for order, of seconds for the engine's deadlines.
        let unit = if step & 0x80 == 0 { 1 } else { 1 << 30 };
        self.now = self.now.saturating_add(u64::from(step & 0x7f) * unit);
        self.lost = self.lost.saturating_add(u64::from(step == 0x7f));
        let back: u8 = self.bytes.arbitrary()?;
        let span = match back {
            0xff => Span { start: BootNanos(self.number()?), end: BootNanos(self.number()?) },
            _ => Span { start: BootNanos(self.now.saturating_sub(back.into())), end: BootNanos(self.now) },
        };
        let pid = self.bytes.int_in_range(0..=3)?;
        let actor = Actor { pid: Pid(pid), tid: pid, comm: Comm::new("any") };
        Ok(FileEvent { span, actor, lost: self.lost, operation: self.operation()? })
    }

    fn operation(&mut self) -> Result<Operation> {
        Ok(match self.bytes.int_in_range(0..=15)? {
            0 => Operation::Open {
                id: self.id()?,
                inode: self.inode()?,
                place: self.place()?,
                access: Access { read: self.bytes.arbitrary()?, write: self.bytes.arbitrary()? },
                created: self.bytes.arbitrary()?,
                truncated: self.bytes.arbitrary()?,
                size: self.maybe_number()?,
            },
            1 => Operation::Read {
                id: self.id()?,
                offset: self.maybe_number()?,
                requested: self.number()?,
                returned: self.number()?,
                size_before: self.maybe_number()?,
                size: self.maybe_number()?,
            },
            2 => Operation::Write {
                id: self.id()?,
                offset: self.maybe_number()?,
                length: self.number()?,
                size_before: self.maybe_number()?,
                size: self.maybe_number()?,
            },
            3 => {
                let target = match self.bytes.int_in_range(0..=2)? {
                    0 => Target::Open(self.id()?),
                    1 => Target::Opening(self.id()?),
                    _ => Target::Place(self.place()?),
                };
                let (inode, to) = (self.maybe_inode()?, self.number()?);
                Operation::Truncate { target, inode, to, size_before: self.maybe_number()? }
            }
            4 => {
                let [shared, writable] = self.bytes.arbitrary()?;
                Operation::Map { id: self.id()?, shared, writable }
            }
            5 => Operation::Sync { id: self.id()? },
            6 => {
                let mode =
                    *self.bytes.choose(&[LockMode::Shared, LockMode::Exclusive, LockMode::Unlocked])?;
                let owner = *self.bytes.choose(&[LockOwner::Description, LockOwner::Process])?;
                Operation::Lock { id: self.id()?, mode, owner }
            }
            7 => Operation::Rename {
                from: self.maybe_place()?,
                to: self.maybe_place()?,
                inode: self.maybe_inode()?,
                exchange: self.bytes.arbitrary()?,
                still_open_for_writing: self.bytes.arbitrary()?,
            },
            8 => {
                let (from, to) = (self.maybe_place()?, self.place()?);
                Operation::Link { from, to, inode: self.maybe_inode()? }
            }
            9 => Operation::Unlink { place: self.place()?, inode: self.maybe_inode()? },
            10 => Operation::Release { id: self.id()? },
            11 => Operation::Exit { status: ExitStatus::Code(self.bytes.arbitrary()?) },
            12 => {
                let (place, inode) = (self.place()?, self.maybe_inode()?);
                Operation::Present { place, inode, size: self.maybe_number()? }
            }
            13 => Operation::WriteFailed { id: self.id()? },
            14 => {
                let content = *self.bytes.choose(&[
                    Content::Valid,
                    Content::Damaged(Damage::Empty),
                    Content::Damaged(Damage::Truncated),
                    Content::Damaged(Damage::Invalid),
                    Content::NotJudged,
                ])?;
                let (place, inode, size) = (self.place()?, self.maybe_inode()?, self.number()?);
                Operation::Content { place, inode, size, content }
            }
            _ => Operation::Heartbeat,
        })
    }

    fn place(&mut self) -> Result<Arc<Place>> {
        let container = format!("c{}", self.bytes.int_in_range(0..=3)?).into();
        let role = *self.bytes.choose(&[Role::State, Role::State, Role::Temporary, Role::Lock])?;
        Ok(Arc::new(Place { root: RootId(0), container, name: "state.json".into(), role }))
    }

    fn maybe_place(&mut self) -> Result<Option<Arc<Place>>> {
        if self.bytes.arbitrary()? { self.place().map(Some) } else { Ok(None) }
    }

    fn id(&mut self) -> Result<OpenId> {
        Ok(OpenId { file: self.bytes.int_in_range(0..=5)?, opened: self.bytes.int_in_range(0..=2)? })
    }

    fn inode(&mut self) -> Result<InodeId> {
        Ok(InodeId { dev: 1, ino: self.bytes.int_in_range(0..=5)?, generation: 0 })
    }

    fn maybe_inode(&mut self) -> Result<Option<InodeId>> {
        if self.bytes.arbitrary()? { self.inode().map(Some) } else { Ok(None) }
    }

    fn number(&mut self) -> Result<u64> {
        let small: u8 = self.bytes.arbitrary()?;
        Ok(match small {
            0xff => u64::MAX,
            0xfe => self.bytes.arbitrary()?,
            _ => u64::from(small % 32),
        })
    }

    fn maybe_number(&mut self) -> Result<Option<u64>> {
        if self.bytes.arbitrary()? { self.number().map(Some) } else { Ok(None) }
    }
}
