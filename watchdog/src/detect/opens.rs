//! Descriptions: how they come, what they read, and how they go.

use std::sync::Arc;

use super::description::Description;
use super::engine::{Engine, anomaly};
use super::file::File;
use super::files::Untouched;
use super::judge::Occasion;
use super::limits::nanos;
use super::locks::Guarded;
use super::names::{Lesson, Standing};
use super::reads::{Call, Pass};
use super::session::{Ending, Origin};
use super::sizes::Doubt;
use super::table::Slot;
use super::writes::Modification;
use crate::model::{
    Actor, AnomalyKind, BootNanos, EventOperation, ExitStatus, InodeId, LockMode, LockOwner, OpenId,
    Operation, Output, Place, Role, Span, UNKNOWN_LENGTH,
};

/// What a process gets that touches a mapped page behind the file's end.
const SIGBUS: u8 = 7;

impl Engine {
    pub(super) fn open(
        &mut self,
        operation: &EventOperation,
        span: Span,
        actor: Actor,
        out: &mut Vec<Output>,
    ) {
        let EventOperation::Open { id, inode, place, access, created, truncated, size } = operation else {
            return;
        };
        self.close_before_reuse(*id, span, out);
        self.make_room_for_description(out);
        self.make_room_for_name(out);
        let origin = self.origin(place, *inode, span);
        let file = (place.role != Role::Lock).then(|| self.file(*inode, place, span, *created, out));
        let slot = self.descriptions.insert(
            *id,
            Description {
                id: *id,
                place: Arc::clone(place),
                inode: *inode,
                file,
                access: *access,
                opener: actor,
                opened: span,
                known: self.event,
                writes_known: (self.event, span.start),
                last_event: span.end,
                released: None,
                modified: false,
                mapped: None,
                passes: Vec::new(),
                passes_dropped: false,
                read_calls: 0,
                bytes: 0,
                reader: None,
                settled: 0,
                verdict: None,
                considered: 0,
                due: None,
                distrusted: false,
                damaged: false,
                torn: false,
            },
        );
        self.addresses.insert(id.file, *id);
        let Some(file) = file else { return };
        self.learn(place, file, span, *created);
        let Some(known) = self.file_mut(file) else { return };
        known.live.push(slot);
        let before = known.size_before(span.start);
        let surely = known.sizes.surely_cuts(span.start, 0);
        let emptied = *truncated
            && (!known.sizes.stood_at(0, span.start)
                || !known.is_unmodified()
                || known.sizes.awaits_truncation(span, 0));
        if *truncated && !emptied {
            known.note_idle(span, 0);
        }
        if *created || emptied {
            let operation = if *created { Operation::Create } else { Operation::OpenTruncate };
            let left = (emptied && known.is_left_by_truncation(0, span)).then_some(0);
            let modification = Modification {
                range: (!created && surely).then_some((0, u64::MAX)),
                size_before: if *created { None } else { before },
                size_after: size.or(left),
                truncates: (!created).then_some(0),
                origin: created.then_some(origin),
                ..Modification::new(operation, span, actor)
            };
            self.modify(file, Some(slot), modification, out);
        } else if let Some(size) = size {
            self.look_at_size(file, span.end, *size);
        }
    }

    pub(super) fn present(
        &mut self,
        place: &Arc<Place>,
        inode: Option<InodeId>,
        size: Option<u64>,
        span: Span,
        out: &mut Vec<Output>,
    ) {
        if place.role == Role::Lock {
            return;
        }
        self.make_room_for_name(out);
        let Some(inode) = inode else {
            self.names.found(place, None, span, false);
            return;
        };
        if !self.files.is_known(&inode) && self.names.get(place).is_none() {
            self.make_room_for_file(out);
            self.names.found(place, Some(inode), span, false);
            let place = Arc::clone(place);
            self.files.insert_untouched(inode, Untouched { place, seen: span.end, event: self.event, size });
            return;
        }
        let file = self.file(inode, place, span, false, out);
        self.learn(place, file, span, false);
        if let Some(size) = size {
            self.look_at_size(file, span.end, size);
        }
    }

    pub(super) fn read(
        &mut self,
        operation: &EventOperation,
        span: Span,
        actor: Actor,
        out: &mut Vec<Output>,
    ) {
        let EventOperation::Read { id, offset, requested, returned, size_before, size } = operation else {
            return;
        };
        let Some((slot, place, file)) = self.touch(*id, span, out) else { return };
        let Some(file) = file else { return };
        if self.descriptions.get(slot).is_some_and(|description| !description.access.read) {
            return anomaly(AnomalyKind::ImpossibleOperation, span.end, Some(&place), out);
        }
        for (at, size) in [(span.start, size_before), (span.end, size)] {
            if let Some(size) = size {
                self.look_at_size(file, at, *size);
            }
        }
        let page_size = self.limits.page;
        if let Some(offset) = offset
            && let Some(known) = self.file_mut(file)
        {
            let end = offset.saturating_add(*returned);
            let short = returned < requested && *requested < UNKNOWN_LENGTH;
            let unseen = size_before.is_none() && size.is_none() && short;
            let ended = unseen.then(|| known.sizes.end_of_file(span, end, *returned == 0)).flatten();
            let reached = || (*returned > 0).then(|| known.sizes.reached(span, end)).flatten();
            let got_all = returned == requested || *requested == UNKNOWN_LENGTH;
            let page = || page_got_whole(end, got_all, page_size);
            let doubt = ended.or_else(reached).map(|doubt| doubt.of_page(page()));
            self.doubt_size(file, doubt);
        }
        let call = Call {
            span,
            actor,
            offset: *offset,
            requested: *requested,
            returned: *returned,
            size_before: *size_before,
            size: *size,
            guarded: self.is_under_lock(file, Some(*id), actor, span, false),
            merged: 1,
        };
        self.add_call(slot, file, call, out);
        if self.files.get(file).is_some_and(|file| file.rest.is_some()) {
            self.judge_damaged_reader(file, slot, out);
        }
    }

    pub(super) fn lock(
        &mut self,
        id: OpenId,
        (mode, owner): (LockMode, LockOwner),
        span: Span,
        actor: Actor,
        out: &mut Vec<Output>,
    ) {
        let Some((slot, place, _)) = self.touch(id, span, out) else { return };
        let Some(description) = self.descriptions.get(slot) else { return };
        let guarded = match place.role {
            Role::Lock => Guarded::Place(Arc::clone(&place)),
            Role::State | Role::Temporary => Guarded::File(description.inode),
        };
        let oldest = BootNanos(self.now.0.saturating_sub(nanos(self.limits.horizon)));
        let kept =
            self.locks.note(guarded, (id, actor.pid), (mode, owner), span, (oldest, self.limits.locks));
        if !kept {
            anomaly(AnomalyKind::Evicted, span.end, Some(&place), out);
        }
    }

    pub(super) fn exit(&mut self, status: ExitStatus, at: BootNanos, actor: Actor, out: &mut Vec<Output>) {
        let answer = self.exits.ended(actor.pid, at, status, self.limits.exits);
        out.extend(answer.map(Output::ReaderExit));
        self.locks.exit(actor.pid, at);
        for inode in &self.open_sessions {
            if let Some(file) = self.files.find(inode).and_then(|slot| self.files.get_mut(slot)) {
                for session in file.sessions_mut() {
                    session.exit(actor.pid, status);
                }
            }
        }
        if status == ExitStatus::Signal(SIGBUS) {
            self.note_bus_error(actor.pid, at, out);
        }
    }

    pub(super) fn release(&mut self, id: OpenId, span: Span, out: &mut Vec<Output>) {
        match self.descriptions.find(&id) {
            Some(slot) if self.descriptions.get(slot).is_some_and(|known| known.released.is_none()) => {
                self.release_description(slot, span, out);
            }
            _ => anomaly(AnomalyKind::UnknownDescription, span.end, None, out),
        }
    }

    /// The end of a description: of the session, when it was the last that modified, and of its reads.
    pub(super) fn release_description(&mut self, slot: Slot, span: Span, out: &mut Vec<Output>) {
        let Some(description) = self.descriptions.get_mut(slot) else { return };
        let (id, file) = (description.id, description.file);
        // Several may hold it, and one may be in the middle of its close while another still reads.
        let read = description.calls().map(|call| call.span.end).max().unwrap_or_default();
        let read =
            read.max(description.mapped.as_ref().and_then(|mapping| mapping.bus_error).unwrap_or_default());
        let span = Span::new(span.start.max(read).min(span.end), span.end);
        description.end_pass();
        description.released = Some(span);
        description.last_event = description.last_event.max(span.end);
        if self.addresses.get(&id.file) == Some(&id) {
            self.addresses.remove(&id.file);
        }
        self.locks.release(id, span.start);
        let Some(file) = file else {
            self.descriptions.remove(&id);
            return;
        };
        let Some(known) = self.file_mut(file) else { return };
        known.live.retain(|&live| live != slot);
        known.retired.push_back(slot);
        let size = known.sizes.latest();
        let ended = known.release(id, span.end, size);
        let goes_on = known.current.is_some();
        self.retired.push_back((span.end.plus(nanos(self.limits.horizon)), id));
        if ended {
            self.end_session(file, span.end, Ending::Release, out);
        } else if goes_on {
            self.wake_file(file, span.end.plus(nanos(self.limits.quiet)));
        }
        self.settle(slot, Occasion::PassEnded, out);
        self.judge_damaged_reader(file, slot, out);
        self.bound_retired(file, out);
        self.drop_if_spent(file);
    }

    /// What stood at a name before `inode` was created there by an open in `span`.
    fn origin(&self, place: &Place, inode: InodeId, span: Span) -> Origin {
        let name = self.names.get(place);
        let before = match name {
            // A reader that opened the new file, or one that replaced it, returned before its creator did.
            Some(name) => name.vacant_within(span).unwrap_or_else(|| {
                let found_early =
                    name.standing == Standing::File(Some(inode)) && span.start <= name.changed.end;
                if found_early { name.before() } else { name.standing }
            }),
            None => Standing::Unknown,
        };
        match before {
            Standing::File(_) | Standing::Removed => Origin::Removed,
            Standing::Unknown if self.lost_lately() => Origin::Unclear,
            Standing::Unknown => Origin::Nothing,
        }
    }

    /// The file for an inode; a new one when it was not known, or when its number was given to a new file.
    pub(super) fn file(
        &mut self,
        inode: InodeId,
        place: &Arc<Place>,
        span: Span,
        created: bool,
        out: &mut Vec<Output>,
    ) -> Slot {
        if let Some(slot) = self.files.find(&inode) {
            let known_since = self.files.get(slot).map(|file| file.seen);
            if !created || known_since.is_some_and(|seen| span.start <= seen) {
                return slot;
            }
            self.recycle(slot, place, span.start, out);
        }
        self.make_room_for_file(out);
        self.files.insert(File::new(inode, span.end, self.event))
    }

    /// Notes that a file was found at a name.
    pub(super) fn learn(&mut self, place: &Arc<Place>, file: Slot, span: Span, created: bool) {
        let Some(inode) = self.files.get(file).map(|file| file.inode) else { return };
        let lesson = self.names.found(place, Some(inode), span, created);
        if let Lesson::Unexplained(old) | Lesson::Explained(old) = lesson
            && let Some(old) = old.and_then(|old| self.files.find(&old))
        {
            if let Some(old) = self.files.get_mut(old) {
                old.drop_name(place, span.end);
            }
            self.drop_if_spent(old);
        }
        if matches!(lesson, Lesson::Unexplained(_)) {
            self.wake_name(place, span.end.plus(nanos(self.limits.horizon)));
        }
        if lesson != Lesson::Stale
            && let Some(file) = self.files.get_mut(file)
        {
            file.add_name(place);
        }
    }

    /// Takes a look at a file's size, and remembers when nothing explains what it finds.
    pub(super) fn look_at_size(&mut self, slot: Slot, at: BootNanos, size: u64) {
        let doubt = self.file_mut(slot).and_then(|file| file.sizes.look(at, size));
        self.doubt_size(slot, doubt);
    }

    fn doubt_size(&mut self, slot: Slot, doubt: Option<Doubt>) {
        let horizon = nanos(self.limits.horizon);
        let (Some(file), Some(doubt)) = (self.files.get_mut(slot), doubt) else { return };
        let matters = file.state().is_some() || file.sessions().next().is_some();
        if let Some(doubt) = file.unexplained(doubt).filter(|_| matters) {
            file.sizes.doubt(doubt);
            self.wake_file(slot, doubt.to.plus(horizon));
        }
    }

    pub(super) fn is_under_lock(
        &self,
        file: Slot,
        id: Option<OpenId>,
        actor: Actor,
        span: Span,
        exclusive: bool,
    ) -> bool {
        !self.locks.is_empty()
            && self.files.get(file).is_some_and(|file| {
                self.locks.cover(file.inode, &file.names, (id, actor.pid), span, exclusive)
            })
    }

    /// The description of an operation. Says so when it is not known.
    pub(super) fn touch(
        &mut self,
        id: OpenId,
        span: Span,
        out: &mut Vec<Output>,
    ) -> Option<(Slot, Arc<Place>, Option<Slot>)> {
        let slot = self.descriptions.find(&id);
        let Some((slot, description)) = slot.and_then(|slot| Some((slot, self.descriptions.get_mut(slot)?)))
        else {
            anomaly(AnomalyKind::UnknownDescription, span.end, None, out);
            return None;
        };
        description.last_event = description.last_event.max(span.end);
        Some((slot, Arc::clone(&description.place), description.file))
    }

    /// A file, its sizes forgotten when they are from before a loss.
    pub(super) fn file_mut(&mut self, slot: Slot) -> Option<&mut File> {
        let (loss, event, at) = (self.loss, self.event, self.loss_at.unwrap_or_default());
        let file = self.files.get_mut(slot)?;
        if file.sizes_known < loss {
            file.sizes.forget(at);
            file.sizes_known = event;
        }
        file.touched = event;
        Some(file)
    }

    fn add_call(&mut self, slot: Slot, file: Slot, call: Call, out: &mut Vec<Output>) {
        let Some(description) = self.descriptions.get(slot) else { return };
        let left = description.passes.last().is_some_and(|pass| pass.is_left_by(&call));
        if left && description.due.is_some() {
            let over = self.files.get(file).and_then(|file| file.past.back()?.end);
            if over.is_none_or(|over| over < call.span.start) {
                if let Some(description) = self.descriptions.get_mut(slot) {
                    description.end_pass();
                }
                self.settle(slot, Occasion::PassEnded, out);
                self.settle(slot, Occasion::Due, out);
            }
        }
        let is_scarce = self.calls >= self.limits.calls;
        let room = if is_scarce { 1 } else { self.limits.calls_per_pass };
        let modified = self.files.get(file).map(|file| file.writing.last).unwrap_or_default();
        let most = self.limits.passes.max(1);
        let Some(description) = self.descriptions.get_mut(slot) else { return };
        description.reader = Some(call.actor);
        description.read_calls += 1;
        description.bytes = description.bytes.saturating_add(call.returned);
        let mut forgotten = None;
        if left || description.passes.is_empty() {
            description.end_pass();
            if description.passes.len() >= most {
                let oldest = description.passes.remove(0);
                description.passes_dropped = true;
                self.calls = self.calls.saturating_sub(oldest.calls.len());
                forgotten = oldest.calls.last().map(|call| call.span.end);
            }
            description.passes.push(Pass::default());
        }
        if let Some(pass) = description.passes.last_mut()
            && pass.add(call, room, is_scarce, modified)
        {
            self.calls += 1;
        }
        if let (Some(file), Some(at)) = (self.files.get_mut(file), forgotten) {
            file.forgotten = file.forgotten.max(Some(at));
        }
    }

    /// A description under the address of a new one was released, and that was not seen.
    fn close_before_reuse(&mut self, id: OpenId, span: Span, out: &mut Vec<Output>) {
        if let Some(old) = self.addresses.get(&id.file).copied()
            && let Some(slot) = self.descriptions.find(&old)
            && let Some(description) = self.descriptions.get(slot)
        {
            let place = Arc::clone(&description.place);
            let released = Span::new(description.last_event, span.start);
            anomaly(AnomalyKind::Reopened, span.end, Some(&place), out);
            self.release_description(slot, released, out);
        }
        if self.descriptions.find(&id).is_some() {
            self.drop_retired(id);
        }
    }
}

/// Where the page begins whose rest a call got, up to `end`, as if the file went on behind it: to the page's end, or as
/// much as was asked for, if that is known. So tmpfs answers when the file is cut to before that page between its two looks at the size
/// (`shmem_file_read_iter`, seen on 5.10, 6.1 and 6.12, not on 6.18 and 7.2). What lies behind the file's end is zeros.
fn page_got_whole(end: u64, got_all: bool, page_size: u64) -> Option<u64> {
    let page_size = page_size.max(1);
    let whole = got_all || end.is_multiple_of(page_size);
    whole.then(|| end.saturating_sub(1) / page_size * page_size)
}
