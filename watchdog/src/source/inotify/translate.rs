//! From inotify's masks to the events of the model. Pure.
//!
//! inotify tells the order of what happened at a name, and nothing of who did it, through which description, or where
//! in the file. So descriptions and inodes are made up here: one writer from the first modification to the
//! close-after-write, and within that time one reader after another.

use std::sync::Arc;

use ::inotify::EventMask;
use rustc_hash::FxHashMap;

use crate::model::{
    Access, Actor, BootNanos, EventOperation as Operation, FileEvent, InodeId, OpenId, Place, Role, RootId,
    Span, UNKNOWN_LENGTH,
};
use crate::source::names::DirectoryMove;

/// What one inotify event says of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sign {
    /// The name.
    pub(super) place: Arc<Place>,
    /// What happened.
    pub(super) mask: EventMask,
    /// Joins the two halves of a rename.
    pub(super) cookie: u32,
    /// When it was read.
    pub(super) at: BootNanos,
}

/// Remembers what is under way at each name.
#[derive(Debug)]
pub(super) struct Translator {
    files: FxHashMap<Arc<Place>, File>,
    /// First halves of renames.
    moves: Vec<Move>,
    /// The last rename between two names that matter: if the next one goes back, the two were exchanged.
    last_move: Option<(Arc<Place>, Arc<Place>)>,
    numbers: u64,
    overflows: u64,
    last: BootNanos,
}

/// What is known of a name.
#[derive(Debug, Default)]
struct File {
    /// The file that stands there, by a number of our own.
    inode: Option<InodeId>,
    /// It was created then, and not closed after a write since.
    created: Option<BootNanos>,
    /// The name's last file was deleted then: who still has that open is told by the same name.
    deleted: Option<BootNanos>,
    /// It was modified, and not closed after a write since. Of a temporary file, also: it was created by an open, and not
    /// closed after a write since.
    writer: Option<OpenId>,
    /// Someone reads while it is being modified.
    reader: Option<OpenId>,
    /// We read it ourselves since then, and our own close has not come by.
    own: Option<BootNanos>,
}

#[derive(Debug)]
struct Move {
    cookie: u32,
    from: Arc<Place>,
    /// Who still had the moved file open for writing.
    writer: Option<OpenId>,
    at: BootNanos,
}

impl Translator {
    /// At most so many names are remembered.
    const MAX_FILES: usize = 32_768;
    /// A rename's second half follows its first at once, or it goes where nobody looks.
    const MOVE: u64 = 20_000_000;
    /// The first modification of a created file comes within this time, or is another's.
    const CREATION: u64 = 10_000_000_000;
    /// Our own read of a file is over by then.
    const OWN: u64 = 1_000_000_000;
    /// Device number of the made-up inodes: no real one is that large.
    const DEVICE: u32 = u32::MAX;

    pub(super) fn new() -> Self {
        Self {
            files: FxHashMap::default(),
            moves: Vec::new(),
            last_move: None,
            numbers: 0,
            overflows: 0,
            last: BootNanos(0),
        }
    }

    /// How often the kernel's queue overflowed.
    pub(super) fn overflows(&self) -> u64 {
        self.overflows
    }

    /// Takes in what happened at a name, and adds to `out` what that means.
    pub(super) fn sign(&mut self, sign: &Sign, out: &mut Vec<FileEvent>) {
        let Sign { place, mask, cookie, at } = sign;
        if place.role == Role::Lock {
            return;
        }
        // Someone is at the old name of a rename again, so its second half went elsewhere.
        if let Some(index) = self.moves.iter().position(|first| first.from == *place) {
            let first = self.moves.remove(index);
            self.moved_away(&first, out);
        }
        let at = self.tick(*at);
        // The kernel puts one of these into an event.
        if mask.contains(EventMask::MOVED_FROM) {
            self.moved_from(place, *cookie, at, out);
        } else if mask.contains(EventMask::MOVED_TO) {
            self.moved_to(place, *cookie, at, out);
        } else {
            self.last_move = None;
            match place.role {
                Role::State => self.state(place, *mask, at, out),
                Role::Temporary | Role::Lock => self.temporary(place, *mask, at),
            }
        }
    }

    /// Takes in that an empty file stands in a directory that has just come into being: its creation was missed.
    pub(super) fn found_empty(&mut self, place: &Arc<Place>, at: BootNanos) {
        let at = self.tick(at);
        if let Some(file) = self.file(place)
            && file.writer.is_none()
        {
            file.created.get_or_insert(at);
        }
    }

    /// Takes in that we are about to read the file ourselves.
    pub(super) fn own_read(&mut self, place: &Arc<Place>, at: BootNanos) {
        if let Some(file) = self.file(place) {
            file.own = Some(at);
        }
    }

    fn own_read_over(&mut self, place: &Arc<Place>) {
        let Some(file) = self.files.get_mut(place) else { return };
        file.own = None;
        if file.inode.is_none() && file.created.is_none() {
            self.files.remove(place);
        }
    }

    /// The kernel dropped events: whatever was under way is given up.
    pub(super) fn overflow(&mut self, at: BootNanos, out: &mut Vec<FileEvent>) {
        let at = self.tick(at);
        self.overflows += 1;
        self.moves.clear();
        self.last_move = None;
        out.push(self.event(at, Operation::Heartbeat));
        let mut open: Vec<(Arc<Place>, OpenId)> = Vec::new();
        for (place, file) in &mut self.files {
            (file.created, file.own) = (None, None);
            let ends = [file.reader.take(), file.writer.take()];
            open.extend(ends.into_iter().flatten().map(|id| (Arc::clone(place), id)));
        }
        open.sort_by_key(|(_, id)| *id);
        for (_, id) in open {
            let at = self.tick(at);
            out.push(self.event(at, Operation::Release { id }));
        }
    }

    /// Gives up first halves of renames whose second half went elsewhere.
    pub(super) fn flush(&mut self, now: BootNanos, out: &mut Vec<FileEvent>) {
        while let Some(first) = self.moves.first()
            && first.at.plus(Self::MOVE) <= now
        {
            let first = self.moves.remove(0);
            self.moved_away(&first, out);
        }
    }

    /// When [`Self::flush`] has something to do.
    pub(super) fn next_flush(&self) -> Option<BootNanos> {
        self.moves.first().map(|first| first.at.plus(Self::MOVE))
    }

    /// A directory is gone, and its names with it.
    pub(super) fn forget(&mut self, root: RootId, container: &str, at: BootNanos, out: &mut Vec<FileEvent>) {
        let inside = |place: &Place| place.root == root && *place.container == *container;
        let mut places: Vec<Arc<Place>> =
            self.files.keys().filter(|place| inside(place)).map(Arc::clone).collect();
        places.sort_by(|a, b| a.name.cmp(&b.name));
        for place in places {
            let at = self.tick(at);
            self.end_session(&place, at, out);
            self.files.remove(&place);
        }
    }

    /// A directory was moved. Its files get new numbers where they are seen next.
    pub(super) fn move_directory(
        &mut self,
        directory: DirectoryMove,
        at: BootNanos,
        out: &mut Vec<FileEvent>,
    ) {
        let DirectoryMove { root, container, to: _, between: _ } = directory;
        let at = self.tick(at);
        out.push(self.event(at, Operation::MoveDirectory { root, container, to: None }));
    }

    fn state(&mut self, place: &Arc<Place>, mask: EventMask, at: BootNanos, out: &mut Vec<FileEvent>) {
        let known = self.files.get(place);
        let (writer, reader) = known.map_or((None, None), |file| (file.writer, file.reader));
        let created = known.and_then(|file| file.created).filter(|since| at.since(*since) < Self::CREATION);
        let own = known.is_some_and(|file| file.own.is_some_and(|since| at.since(since) < Self::OWN));
        if mask.contains(EventMask::CREATE) {
            self.end_session(place, at, out);
            if let Some(file) = self.file(place) {
                let (own, deleted) = (file.own, file.deleted);
                *file = File { created: Some(at), own, deleted, ..File::default() };
            }
        } else if mask.contains(EventMask::MODIFY) {
            let writer = writer.or_else(|| self.begin(place, created, at, out));
            if let Some(id) = writer {
                let at = self.tick(at);
                let (length, size) = (UNKNOWN_LENGTH, None);
                out.push(
                    self.event(at, Operation::Write { id, offset: None, length, size_before: None, size }),
                );
            }
        } else if mask.contains(EventMask::CLOSE_WRITE) {
            if writer.is_none() && created.is_some() {
                self.begin(place, created, at, out);
            }
            self.end_session(place, at, out);
            if let Some(file) = self.files.get_mut(place) {
                file.created = None;
            }
        } else if mask.contains(EventMask::ACCESS) {
            if writer.is_some() && !own {
                self.read(place, reader, at, out);
            } else if writer.is_none()
                && let Some(file) = self.files.get_mut(place)
                && file.deleted.is_none_or(|since| at.since(since) >= Self::CREATION)
            {
                // It has content that nobody was seen to write: it was linked there.
                file.created = None;
            }
        } else if mask.contains(EventMask::CLOSE_NOWRITE) {
            if own {
                self.own_read_over(place);
            } else if writer.is_some() {
                self.close_reader(place, reader, at, out);
            }
        } else if mask.contains(EventMask::DELETE) {
            self.end_session(place, at, out);
            if let Some(file) = self.file(place) {
                *file = File { deleted: Some(at), ..File::default() };
            }
            let at = self.tick(at);
            out.push(self.event(at, Operation::Unlink { place: Arc::clone(place), inode: None }));
        }
    }

    /// Of a temporary file it matters whether it is closed when it takes over the state file's name. A link is created, too,
    /// but nobody opens it.
    fn temporary(&mut self, place: &Arc<Place>, mask: EventMask, at: BootNanos) {
        let created = self.files.get(place).is_some_and(|file| file.created.is_some());
        if mask.contains(EventMask::CREATE) {
            if let Some(file) = self.file(place) {
                *file = File { created: Some(at), ..File::default() };
            }
        } else if mask.contains(EventMask::MODIFY) || mask.contains(EventMask::OPEN) && created {
            let id = self.open_id(at);
            if let Some(file) = self.file(place) {
                file.writer.get_or_insert(id);
            }
        } else if mask.intersects(EventMask::CLOSE_WRITE | EventMask::DELETE) {
            self.files.remove(place);
        }
    }

    fn moved_from(&mut self, from: &Arc<Place>, cookie: u32, at: BootNanos, out: &mut Vec<FileEvent>) {
        let writer = self.files.get(from).filter(|_| from.role == Role::Temporary);
        let writer = writer.and_then(|file| file.writer);
        if from.role == Role::State {
            self.end_session(from, at, out);
        }
        self.files.remove(from);
        self.moves.push(Move { cookie, from: Arc::clone(from), writer, at });
    }

    fn moved_to(&mut self, to: &Arc<Place>, cookie: u32, at: BootNanos, out: &mut Vec<FileEvent>) {
        let first = self.moves.iter().position(|first| first.cookie == cookie);
        let first = first.map(|index| self.moves.remove(index));
        let still_open_for_writing = first.as_ref().map(|first| first.writer.is_some());
        let writer = first.as_ref().and_then(|first| Some((Arc::clone(&first.from), first.writer?)));
        let from = first.map(|first| first.from);
        if to.role == Role::State {
            self.end_session(to, at, out);
        }
        self.files.remove(to);
        let back = from.as_ref().zip(self.last_move.as_ref());
        let exchanged = back.is_some_and(|(from, (last_from, last_to))| from == last_to && to == last_from);
        self.last_move = from.clone().map(|from| (from, Arc::clone(to)));
        let inode = writer.and_then(|(from, id)| self.take_along(&from, to, id, at, out));
        let at = self.tick(at);
        out.push(self.event(
            at,
            Operation::Rename {
                // The first rename of an exchange has told already what stands there now.
                from: from.filter(|_| !exchanged),
                to: Some(Arc::clone(to)),
                inode,
                exchange: false,
                still_open_for_writing,
            },
        ));
    }

    /// A file is renamed before its writer is done. So that what comes is known to be that one's, it is opened under the old
    /// name, and goes on under the new one.
    fn take_along(
        &mut self,
        from: &Arc<Place>,
        to: &Arc<Place>,
        writer: OpenId,
        at: BootNanos,
        out: &mut Vec<FileEvent>,
    ) -> Option<InodeId> {
        if to.role != Role::State {
            if let Some(file) = self.file(to) {
                file.writer = Some(writer);
            }
            return None;
        }
        self.numbers += 1;
        let inode = InodeId { dev: Self::DEVICE, ino: self.numbers, generation: 0 };
        let file = self.file(to)?;
        (file.inode, file.writer) = (Some(inode), Some(writer));
        let at = self.tick(at);
        let open = Operation::Open {
            id: writer,
            inode,
            place: Arc::clone(from),
            access: Access { read: false, write: true },
            created: false,
            truncated: false,
            size: None,
        };
        out.push(self.event(at, open));
        Some(inode)
    }

    fn moved_away(&mut self, first: &Move, out: &mut Vec<FileEvent>) {
        if first.from.role != Role::State {
            return;
        }
        let at = self.tick(first.at);
        out.push(self.event(
            at,
            Operation::Rename {
                from: Some(Arc::clone(&first.from)),
                to: None,
                inode: None,
                exchange: false,
                still_open_for_writing: None,
            },
        ));
    }

    /// The first modification: a writer comes into being.
    fn begin(
        &mut self,
        place: &Arc<Place>,
        created: Option<BootNanos>,
        at: BootNanos,
        out: &mut Vec<FileEvent>,
    ) -> Option<OpenId> {
        self.numbers += 1;
        let fresh = InodeId { dev: Self::DEVICE, ino: self.numbers, generation: 0 };
        let id = self.open_id(at);
        let file = self.file(place)?;
        file.writer = Some(id);
        let inode = *file.inode.get_or_insert(fresh);
        let open = Operation::Open {
            id,
            inode,
            place: Arc::clone(place),
            access: Access { read: false, write: true },
            created: created.is_some(),
            truncated: false,
            size: None,
        };
        let span = Span::new(created.unwrap_or(at), at);
        out.push(FileEvent { span, ..self.event(at, open) });
        Some(id)
    }

    fn read(&mut self, place: &Arc<Place>, reader: Option<OpenId>, at: BootNanos, out: &mut Vec<FileEvent>) {
        let Some(id) = reader.or_else(|| self.open_reader(place, at, out)) else { return };
        let at = self.tick(at);
        out.push(self.event(
            at,
            Operation::Read {
                id,
                offset: None,
                requested: UNKNOWN_LENGTH,
                returned: 0,
                size_before: None,
                size: None,
            },
        ));
    }

    fn open_reader(&mut self, place: &Arc<Place>, at: BootNanos, out: &mut Vec<FileEvent>) -> Option<OpenId> {
        let id = self.open_id(at);
        let file = self.files.get_mut(place)?;
        file.reader = Some(id);
        let open = Operation::Open {
            id,
            inode: file.inode?,
            place: Arc::clone(place),
            access: Access { read: true, write: false },
            created: false,
            truncated: false,
            size: None,
        };
        out.push(self.event(at, open));
        Some(id)
    }

    /// A reader that left no read behind met the end of the file at once, or read outside of the window.
    fn close_reader(
        &mut self,
        place: &Arc<Place>,
        reader: Option<OpenId>,
        at: BootNanos,
        out: &mut Vec<FileEvent>,
    ) {
        let Some(id) = reader.or_else(|| self.open_reader(place, at, out)) else { return };
        if let Some(file) = self.files.get_mut(place) {
            file.reader = None;
        }
        let at = self.tick(at);
        out.push(self.event(at, Operation::Release { id }));
    }

    fn end_session(&mut self, place: &Arc<Place>, at: BootNanos, out: &mut Vec<FileEvent>) {
        let Some(file) = self.files.get_mut(place) else { return };
        let ends = [file.reader.take(), file.writer.take()];
        for id in ends.into_iter().flatten() {
            let at = self.tick(at);
            out.push(self.event(at, Operation::Release { id }));
        }
    }

    fn file(&mut self, place: &Arc<Place>) -> Option<&mut File> {
        if self.files.len() >= Self::MAX_FILES && !self.files.contains_key(place) {
            // What is not under way can be learnt anew.
            self.files.retain(|_, file| file.writer.is_some());
            if self.files.len() >= Self::MAX_FILES {
                return None;
            }
        }
        Some(self.files.entry(Arc::clone(place)).or_default())
    }

    fn open_id(&mut self, at: BootNanos) -> OpenId {
        self.numbers += 1;
        OpenId { file: self.numbers, opened: at.0 }
    }

    /// Events that were read together have one time; a nanosecond apart, they keep their order.
    fn tick(&mut self, at: BootNanos) -> BootNanos {
        self.last = at.max(self.last.plus(1));
        self.last
    }

    fn event(&self, at: BootNanos, operation: Operation) -> FileEvent {
        FileEvent { span: Span::new(at, at), actor: Actor::UNKNOWN, lost: self.overflows, operation }
    }
}

#[cfg(test)]
mod tests;
