//! From events to words: those of `tests/scenarios`, without times. Processes, descriptions and inodes are called
//! by letters and numbers in the order in which they appear.

use std::fmt::Debug;

use watchdog::model::{
    Access, Actor, EventOperation as Operation, ExitStatus, FileEvent, InodeId, LockMode, LockOwner, OpenId,
    Pid, Place, Role, Target,
};

/// Who and what appeared so far.
#[derive(Default)]
pub(crate) struct Cast {
    processes: Vec<Pid>,
    threads: Vec<(Pid, u32)>,
    descriptions: Vec<OpenId>,
    inodes: Vec<InodeId>,
}

impl Cast {
    /// Names an event's process without telling the event.
    pub(crate) fn meet(&mut self, event: &FileEvent) {
        self.actor(&event.actor);
    }

    /// One event as a line.
    pub(crate) fn tell(&mut self, event: &FileEvent) -> String {
        let FileEvent { span: _, actor, lost: _, operation } = event;
        let actor = self.actor(actor);
        let words = match operation {
            Operation::Open { id, inode, place, access, created, truncated, size } => {
                assert!(!self.descriptions.contains(id), "{id:?} was opened twice");
                let access = match access {
                    Access { read: true, write: false } => "",
                    Access { read: true, write: true } => " rw",
                    Access { read: false, write: true } => " write-only",
                    Access { read: false, write: false } => " neither",
                };
                format!(
                    "open {} as {} ino={}{access}{}{}{}",
                    path(place),
                    self.description(*id),
                    self.inode(*inode),
                    if *created { " created" } else { "" },
                    if *truncated { " truncated" } else { "" },
                    sizes(*size, *size),
                )
            }
            Operation::Read { id, offset, requested, returned, size_before, size } => format!(
                "read {} {} {requested} got {returned}{}",
                self.description(*id),
                maybe(*offset),
                sizes(*size_before, *size),
            ),
            Operation::Write { id, offset, length, size_before, size } => {
                let length = if *length == u64::MAX { "all".to_owned() } else { length.to_string() };
                let sizes = sizes(*size_before, *size);
                format!("write {} {} {length}{sizes}", self.description(*id), maybe(*offset))
            }
            Operation::Truncate { target, inode: _, to, size_before } => {
                let target = match target {
                    Target::Open(id) | Target::Opening(id) => self.description(*id),
                    Target::Place(place) => path(place),
                };
                let from = size_before.map_or(String::new(), |from| format!(" from={from}"));
                format!("truncate {target} to {to}{from}")
            }
            Operation::Map { id, shared, writable } => {
                let shared = if *shared { "" } else { " private" };
                let writable = if *writable { " writable" } else { "" };
                format!("map {}{shared}{writable}", self.description(*id))
            }
            Operation::WriteFailed { id } => format!("write-failed {}", self.description(*id)),
            Operation::Sync { id } => format!("sync {}", self.description(*id)),
            Operation::Lock { id, mode, owner } => {
                let mode = match mode {
                    LockMode::Shared => "shared",
                    LockMode::Exclusive => "exclusive",
                    LockMode::Unlocked => "unlocked",
                };
                let owner = if *owner == LockOwner::Process { " process" } else { "" };
                format!("lock {} {mode}{owner}", self.description(*id))
            }
            Operation::Rename { from, to, inode: _, exchange, still_open_for_writing: _ } => {
                let place = |place: &Option<_>| place.as_deref().map_or("elsewhere".to_owned(), path);
                let exchange = if *exchange { " exchange" } else { "" };
                format!("rename {} to {}{exchange}", place(from), place(to))
            }
            Operation::Link { from, to, inode: _ } => {
                let from = from.as_deref().map_or("elsewhere".to_owned(), path);
                format!("link {from} to {}", path(to))
            }
            Operation::Unlink { place, inode: _ } => format!("unlink {}", path(place)),
            Operation::Release { id } => format!("release {}", self.description(*id)),
            Operation::Exit { status } => {
                // Whichever of its threads was the last.
                let process = actor.split('.').next().unwrap();
                return match status {
                    ExitStatus::Code(code) => format!("{process} exit {code}"),
                    ExitStatus::Signal(signal) => format!("{process} exit signal:{signal}"),
                };
            }
            Operation::MoveDirectory { container, to, root: _ } => {
                let to = to.as_ref().map_or("elsewhere", |(_, to)| to);
                format!("move-directory {container} to {to}")
            }
            Operation::Present { .. } | Operation::Content { .. } | Operation::Heartbeat => {
                panic!("no probe says {operation:?}")
            }
        };
        format!("{actor} {words}")
    }

    /// `p` is the case's own process, then come `q`, `r` …; `p.1` is a further thread of `p`. `-` is nobody, or the agent, which
    /// finds out that a description is gone when nobody else did.
    fn actor(&mut self, &Actor { pid, tid, comm: _ }: &Actor) -> String {
        // A mark knows nobody.
        if pid.0 == std::process::id() || pid == Actor::UNKNOWN.pid {
            return "-".to_owned();
        }
        let process = letter('p', index(&mut self.processes, pid));
        if tid == pid.0 {
            return process;
        }
        index(&mut self.threads, (pid, tid));
        let threads = self.threads.iter().filter(|(of, _)| *of == pid);
        format!("{process}.{}", threads.take_while(|(_, id)| *id != tid).count() + 1)
    }

    fn description(&mut self, id: OpenId) -> String {
        letter('f', index(&mut self.descriptions, id))
    }

    fn inode(&mut self, inode: InodeId) -> usize {
        index(&mut self.inodes, inode) + 1
    }
}

fn index<T: PartialEq + Debug>(known: &mut Vec<T>, one: T) -> usize {
    known.iter().position(|other| *other == one).unwrap_or_else(|| {
        known.push(one);
        known.len() - 1
    })
}

fn letter(first: char, index: usize) -> String {
    char::from_u32(u32::from(first) + u32::try_from(index).unwrap()).unwrap().to_string()
}

/// A file without a name has its inode number for one, which is left out.
fn path(place: &Place) -> String {
    let role = match place.role {
        Role::State => "",
        Role::Temporary => "tmp:",
        Role::Lock => "lock:",
    };
    let name = if place.name.starts_with('#') { "#" } else { &*place.name };
    let slash = if place.container.is_empty() { "" } else { "/" };
    format!("{role}{}{slash}{}", place.container.escape_debug(), name.escape_debug())
}

fn sizes(before: Option<u64>, after: Option<u64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) if before == after => format!(" size={after}"),
        (Some(before), Some(after)) => format!(" size={before}..{after}"),
        (None, Some(after)) => format!(" size=..{after}"),
        (_, None) => String::new(),
    }
}

fn maybe(offset: Option<u64>) -> String {
    offset.map_or("?".to_owned(), |offset| offset.to_string())
}
