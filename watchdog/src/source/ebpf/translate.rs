//! From records to events: kernel numbers become words.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use watchdog_common::{
    ALIAS, EntryRecord, Header, IoKind, IoRecord, LOCKED_DIRECTORY, OpenRecord, PathKind, PathRecord,
    ProcessRecord, SHARED_MAPPING, SHORT_NAME, UNKNOWN,
};

use super::decode::{self, Names as OpenNames, Record};
use super::elsewhere::Directories;
use super::names::Names;
use super::paths::Reader;
use crate::model::{
    Access, Actor, BootNanos, Comm, EventOperation as Operation, ExitStatus, FileEvent, InodeId, LockMode,
    LockOwner, MAX_FILES, OpenId, Pid, Place, ProcessFacts, Role, RootId, Span, Target,
};
use crate::source::names::{Call, CallKind, Directory, Named};
use crate::source::{Item, NamePattern, guarded_by};

const FMODE_READ: u32 = 0x1;
const FMODE_WRITE: u32 = 0x2;
/// include/linux/fs.h, 4.19 to 7.2.
const FMODE_CREATED: u32 = 0x10_0000;
const RENAME_EXCHANGE: u64 = 2;
/// Why a record gave no event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discarded {
    /// It does not matter, as only the agent could tell.
    Irrelevant,
    /// What it did cannot be told.
    Unresolved,
    /// It makes no sense.
    Malformed,
}

/// Translates, and shares what repeats.
pub(super) struct Translator {
    pub(super) paths: Reader,
    pub(super) elsewhere: Directories,
    patterns: HashMap<u16, Vec<NamePattern>>,
    /// By a number that stands for the bytes of the name; nobody can foresee which.
    places: HashMap<u64, Arc<Place>>,
    numbers: RandomState,
    /// The last file's own name: most have the same.
    name: Arc<str>,
}

impl Translator {
    pub(super) fn new() -> Self {
        Self {
            paths: Reader::new(),
            elsewhere: Directories::default(),
            patterns: HashMap::new(),
            places: HashMap::new(),
            numbers: RandomState::new(),
            name: Arc::default(),
        }
    }

    /// Takes note of a root's patterns.
    pub(super) fn set_patterns(&mut self, root: RootId, patterns: &[NamePattern]) {
        self.patterns.insert(root.0, patterns.to_vec());
    }

    /// A root is not watched any more.
    pub(super) fn forget(&mut self, root: RootId) {
        self.paths.remove(root);
        self.patterns.remove(&root.0);
        self.places.retain(|_, place| place.root != root);
    }

    /// Translates one record; `lost_here` is what the agent itself could not keep so far.
    pub(super) fn item(&mut self, record: &Record<'_>, lost_here: u64) -> Result<Item, Discarded> {
        let (header, operation) = match record {
            Record::Process(process) => return Ok(Item::Process(Box::new(facts(process)))),
            Record::Open(open, names) => (&open.header, self.open(open, names)),
            Record::Io(io) => (&io.header, operation(io)?),
            // Its directories are found by the marks' events.
            Record::Path(_) => return Err(Discarded::Irrelevant),
            Record::Entry(entry) => (&entry.header, self.entry(entry)?),
            Record::Exit(exit) => (&exit.header, Operation::Exit { status: exit_status(exit.status) }),
        };
        Ok(Item::Event(FileEvent {
            span: Span::new(BootNanos(header.start), BootNanos(header.end)),
            actor: actor(header),
            lost: header.lost.saturating_add(lost_here),
            operation,
        }))
    }

    fn open(&mut self, open: &OpenRecord, names: &OpenNames<'_>) -> Operation {
        let container = match open.depth {
            0 => Vec::new(),
            1 => names.directory.to_vec(),
            _ => [names.outer, names.directory].join(&b'/'),
        };
        let (root, container) = self.elsewhere.located(open.root, container);
        let created = open.mode & FMODE_CREATED != 0;
        let patterns = self.patterns.get(&root).map_or(&[][..], Vec::as_slice);
        let role = if open.what == LOCKED_DIRECTORY { Role::Lock } else { Names::role(patterns, names.file) };
        let place = match role {
            // Which state file it is, the engine knows by its inode.
            _ if open.what == ALIAS => self.place(root, b"", names.file, Role::Temporary),
            Role::Lock => self.lock(open, root, names, container),
            role => self.place(root, &container, names.file, role),
        };
        Operation::Open {
            id: OpenId { file: open.file, opened: open.opened },
            inode: InodeId { dev: open.dev, ino: open.ino, generation: open.generation },
            place,
            access: Access { read: open.mode & FMODE_READ != 0, write: open.mode & FMODE_WRITE != 0 },
            created,
            truncated: !created && open.flags & libc::O_TRUNC as u32 != 0,
            size: known(open.size),
        }
    }

    /// What a lock guards: a state file beside the lock file, or whatever lies in a locked directory.
    fn lock(
        &mut self,
        open: &OpenRecord,
        root: u16,
        names: &OpenNames<'_>,
        container: Vec<u8>,
    ) -> Arc<Place> {
        let (container, name) = if open.what == LOCKED_DIRECTORY {
            let directory = match open.depth {
                0 => Vec::new(),
                1 => names.file.to_vec(),
                _ => [names.directory, names.file].join(&b'/'),
            };
            (self.elsewhere.located(open.root, directory).1, Vec::new())
        } else {
            let patterns = self.patterns.get(&root).map_or(&[][..], Vec::as_slice);
            (container, guarded_by(patterns, names.file))
        };
        // Not shared with the state file's own place, which another role tells apart.
        let lossy = |bytes: &[u8]| Arc::from(String::from_utf8_lossy(bytes).as_ref());
        let (container, name) = (lossy(&container), lossy(&name));
        Arc::new(Place { root: RootId(root), container, name, role: Role::Lock })
    }

    /// Reads a call by path, whose directories are still to be found.
    pub(super) fn call(&self, record: &PathRecord) -> Result<Call, Discarded> {
        let kind = match record.header.what {
            k if k == PathKind::Rename as u16 => {
                CallKind::Rename { exchange: record.argument & RENAME_EXCHANGE != 0 }
            }
            k if k == PathKind::Link as u16 => CallKind::Link,
            k if k == PathKind::Unlink as u16 => CallKind::Unlink,
            k if k == PathKind::Truncate as u16 => CallKind::Truncate(record.argument),
            _ => return Err(Discarded::Malformed),
        };
        let second = match kind {
            CallKind::Rename { .. } | CallKind::Link => Some(self.paths.second(record)),
            CallKind::Unlink | CallKind::Truncate(_) => None,
        };
        let span = Span::new(BootNanos(record.header.start), BootNanos(record.header.end));
        let first = if record.is_other == 0 {
            self.paths.first(record)
        } else {
            Named { name: None, directory: Directory::Elsewhere }
        };
        let (first, second) = (self.moved(first), second.map(|second| self.moved(second)));
        Ok(Call { kind, span, actor: actor(&record.header), first, second })
    }

    /// A directory that stands for a container's has the container's name.
    fn moved(&self, named: Named) -> Named {
        let Directory::Certain(root, below) = &named.directory else { return named };
        let (root, container) = self.elsewhere.located(root.0, below.as_bytes().to_vec());
        let container = String::from_utf8_lossy(&container).into();
        Named { directory: Directory::Certain(RootId(root), container), ..named }
    }

    /// The place of a name in a root.
    pub(super) fn place_of(&mut self, root: RootId, container: &str, name: &str) -> Arc<Place> {
        let patterns = self.patterns.get(&root.0).map_or(&[][..], Vec::as_slice);
        let role = Names::role(patterns, name.as_bytes());
        self.place(root.0, container.as_bytes(), name.as_bytes(), role)
    }

    fn entry(&mut self, entry: &EntryRecord) -> Result<Operation, Discarded> {
        let moved = Moved {
            argument: entry.argument,
            from: self.known_place(&entry.first),
            to: self.known_place(&entry.second),
            inode: Some(InodeId { dev: entry.dev, ino: entry.ino, generation: entry.generation }),
            size_before: Some(entry.size_before),
            still_open_for_writing: Some(entry.writers > 0),
        };
        moved.operation(entry.header.what)
    }

    /// The place that the probes found; `None` when it lies outside the roots.
    fn known_place(&mut self, place: &watchdog_common::Place) -> Option<Arc<Place>> {
        if place.is_below_root == 0 {
            return None;
        }
        let [file, directory, outer] = [0, 1, 2].map(|i| decode::text(&place.names[i]));
        if place.is_below_root == ALIAS {
            return Some(self.place(place.root, b"", file, Role::Temporary));
        }
        let container = match place.depth {
            0 => Vec::new(),
            1 => directory.to_vec(),
            _ => [outer, directory].join(&b'/'),
        };
        let (root, container) = self.elsewhere.located(place.root, container);
        let patterns = self.patterns.get(&root).map_or(&[][..], Vec::as_slice);
        let role = Names::role(patterns, file);
        Some(self.place(root, &container, file, role))
    }

    fn place(&mut self, root: u16, container: &[u8], name: &[u8], role: Role) -> Arc<Place> {
        let number = self.numbers.hash_one((root, container, name));
        if let Some(place) = self.places.get(&number) {
            return Arc::clone(place);
        }
        let container = String::from_utf8_lossy(container).into();
        if self.name.as_bytes() != name {
            self.name = String::from_utf8_lossy(name).into();
        }
        let place = Arc::new(Place { root: RootId(root), container, name: Arc::clone(&self.name), role });
        // A temporary's name seldom comes again.
        if role != Role::Temporary {
            // They are kept to be shared alone.
            if self.places.len() >= MAX_FILES {
                self.places.clear();
            }
            self.places.insert(number, Arc::clone(&place));
        }
        place
    }
}

/// What happened to one or two names, with what the probes know of the file.
struct Moved {
    argument: u64,
    from: Option<Arc<Place>>,
    to: Option<Arc<Place>>,
    inode: Option<InodeId>,
    size_before: Option<u64>,
    still_open_for_writing: Option<bool>,
}

impl Moved {
    fn operation(self, what: u16) -> Result<Operation, Discarded> {
        let Self { argument, from, to, inode, size_before, still_open_for_writing } = self;
        let matters =
            |place: &Option<Arc<Place>>| place.as_ref().is_some_and(|place| place.role != Role::Temporary);
        let irrelevant = Discarded::Irrelevant;
        match what {
            k if k == PathKind::Unlink as u16 => {
                Ok(Operation::Unlink { place: from.ok_or(irrelevant)?, inode })
            }
            k if k == PathKind::Truncate as u16 => {
                let target = Target::Place(from.ok_or(irrelevant)?);
                Ok(Operation::Truncate { target, inode, to: argument, size_before })
            }
            k if k == PathKind::Rename as u16 => {
                if !matters(&from) && !matters(&to) {
                    return Err(irrelevant);
                }
                let exchange = argument & RENAME_EXCHANGE != 0;
                Ok(Operation::Rename { from, to, inode, exchange, still_open_for_writing })
            }
            k if k == PathKind::Link as u16 => {
                let to = to.filter(|place| place.role != Role::Temporary).ok_or(irrelevant)?;
                Ok(Operation::Link { from, to, inode })
            }
            _ => Err(Discarded::Malformed),
        }
    }
}

fn actor(header: &Header) -> Actor {
    Actor { pid: Pid(header.pid), tid: header.tid, comm: Comm(header.comm) }
}

fn known(value: u64) -> Option<u64> {
    (value != UNKNOWN).then_some(value)
}

fn operation(io: &IoRecord) -> Result<Operation, Discarded> {
    let id = OpenId { file: io.file, opened: io.opened };
    let (offset, size_before, size) = (known(io.offset), known(io.size_before), known(io.size));
    let irrelevant = Err(Discarded::Irrelevant);
    Ok(match io.header.what {
        k if k == IoKind::Read as u16 => {
            // More buffers than the probe adds up: what came says how much was asked for, at least.
            let requested = known(io.requested).unwrap_or(io.result.max(1));
            if requested == 0 {
                return irrelevant;
            }
            Operation::Read { id, offset, requested, returned: io.result, size_before, size }
        }
        k if k == IoKind::Write as u16 && io.result == 0 => return irrelevant,
        k if k == IoKind::Write as u16 => {
            Operation::Write { id, offset, length: io.result, size_before, size }
        }
        k if k == IoKind::Truncate as u16 => {
            let target = if io.extra == 1 { Target::Opening(id) } else { Target::Open(id) };
            Operation::Truncate { target, inode: None, to: io.requested, size_before }
        }
        k if k == IoKind::Allocate as u16 => allocate(id, io)?,
        k if k == IoKind::Map as u16 => {
            let writable = io.extra & libc::PROT_WRITE as u64 != 0;
            Operation::Map { id, shared: io.extra & SHARED_MAPPING != 0, writable }
        }
        k if k == IoKind::Sync as u16 => Operation::Sync { id },
        k if k == IoKind::Flock as u16 => {
            let mode = match io.extra as i32 & !libc::LOCK_NB {
                libc::LOCK_SH => LockMode::Shared,
                libc::LOCK_EX => LockMode::Exclusive,
                libc::LOCK_UN => LockMode::Unlocked,
                _ => return irrelevant,
            };
            Operation::Lock { id, mode, owner: LockOwner::Description }
        }
        k if k == IoKind::RecordLock as u16 => {
            let mode = match io.extra as i32 {
                libc::F_RDLCK => LockMode::Shared,
                libc::F_WRLCK => LockMode::Exclusive,
                libc::F_UNLCK => LockMode::Unlocked,
                _ => return irrelevant,
            };
            let owner = if io.requested == 1 { LockOwner::Description } else { LockOwner::Process };
            Operation::Lock { id, mode, owner }
        }
        k if k == IoKind::WriteFailed as u16 => match io.extra as i32 {
            // What never reached the file, or is tried again.
            libc::EBADF | libc::EINVAL | libc::EAGAIN | libc::EINTR => return irrelevant,
            _ => Operation::WriteFailed { id },
        },
        k if k == IoKind::Release as u16 => Operation::Release { id },
        _ => return Err(Discarded::Malformed),
    })
}

/// fallocate changes content when it punches, zeroes, collapses or inserts, or makes the file longer.
fn allocate(id: OpenId, io: &IoRecord) -> Result<Operation, Discarded> {
    let mode = io.extra as i32;
    let (size_before, size) = (known(io.size_before), known(io.size));
    let (offset, length) = if mode & (libc::FALLOC_FL_COLLAPSE_RANGE | libc::FALLOC_FL_INSERT_RANGE) != 0 {
        (io.offset, u64::MAX)
    } else if mode & (libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_ZERO_RANGE) != 0 {
        (io.offset, io.requested)
    } else if size_before.is_none() || size.is_none() {
        return Err(Discarded::Unresolved);
    } else if io.size > io.size_before {
        (io.size_before, io.size - io.size_before)
    } else {
        return Err(Discarded::Irrelevant);
    };
    Ok(Operation::Write { id, offset: Some(offset), length, size_before, size })
}

/// As wait(2) gives it.
fn exit_status(status: u32) -> ExitStatus {
    match status & 0x7f {
        0 => ExitStatus::Code((status >> 8) as u8),
        signal => ExitStatus::Signal(signal as u8),
    }
}

/// The program's path as /proc would show it; `None` when it is cut.
fn exe(process: &ProcessRecord) -> Option<String> {
    let mut parts: Vec<&[u8]> = Vec::new();
    let mut is_whole = false;
    for room in &process.exe {
        match decode::text(room) {
            // A file in memory has one name and no directory.
            b"" => {
                is_whole |= parts.len() == 1;
                break;
            }
            // A mount on a mount's root, or the end.
            b"/" => is_whole = true,
            part if part.len() + 1 >= SHORT_NAME => return None,
            part => {
                is_whole = false;
                parts.push(part);
            }
        }
    }
    if parts.is_empty() || !is_whole {
        return None;
    }
    let mut path = String::new();
    for part in parts.iter().rev() {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(part));
    }
    if process.exe_is_deleted != 0 {
        path.push_str(" (deleted)");
    }
    Some(path)
}

fn facts(process: &ProcessRecord) -> ProcessFacts {
    let args = &process.args[..process.args.len().min(process.args_len as usize)];
    let count = process.ancestors.len().min(process.ancestor_count as usize);
    ProcessFacts {
        pid: Pid(process.header.pid),
        started: BootNanos(process.started),
        since: BootNanos(process.header.start),
        seen: BootNanos(process.header.end),
        program: process.program,
        exe: exe(process),
        comm: Comm(process.header.comm),
        uid: process.uid,
        cgroup_id: process.cgroup,
        args: args.to_vec(),
        args_cut: process.args_total > args.len() as u64,
        ancestors: process.ancestors[..count].iter().map(|a| (Pid(a.pid), Comm(a.comm))).collect(),
    }
}
