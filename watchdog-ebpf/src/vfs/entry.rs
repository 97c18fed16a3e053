//! Names come, go and change hands. The kernel knows the directories, so nothing is left to resolve.

use aya_ebpf::{
    bindings::{BPF_EXIST, BPF_NOEXIST},
    helpers::bpf_probe_read_kernel_buf,
};
use watchdog_common::{ALIAS, CANARY_ROOT, EntryRecord, Header, Kind, LossCounter, PathKind, Place};

use super::{
    operation::{Door, key},
    visit::Visit,
};
use crate::{
    aliases,
    emit::{self, Span},
    kernel::{self, Dentry, Inode, read},
    maps::{BLANK, CHANGES, Change},
    names, process,
    settings::{self, setting},
};

/// What an entry door knows.
#[derive(Clone, Copy)]
pub(super) struct Given {
    pub(super) door: Door,
    pub(super) kind: PathKind,
    pub(super) first: Dentry,
    pub(super) second: Option<Dentry>,
    pub(super) argument: u64,
}

#[inline(always)]
pub(super) fn begin_rename(visit: Visit, data: u64) {
    begin(
        visit,
        Given {
            door: Door::Rename,
            kind: PathKind::Rename,
            first: Dentry(read(data, setting!(offsets.rename_old_dentry))),
            second: Some(Dentry(read(data, setting!(offsets.rename_new_dentry)))),
            argument: u64::from(read::<u32>(data, setting!(offsets.rename_flags))),
        },
    );
}

#[inline(always)]
pub(super) fn begin_link(visit: Visit, from: u64, to: u64) {
    let (first, second) = (Dentry(from), Some(Dentry(to)));
    begin(visit, Given { door: Door::Link, kind: PathKind::Link, first, second, argument: 0 });
}

#[inline(always)]
pub(super) fn begin_unlink(visit: Visit, dentry: u64) {
    let first = Dentry(dentry);
    begin(visit, Given { door: Door::Unlink, kind: PathKind::Unlink, first, second: None, argument: 0 });
}

/// truncate(2): there is no description.
#[inline(always)]
pub(super) fn begin_truncate(visit: Visit, dentry: u64, size: u64) {
    let first = Dentry(dentry);
    let (door, kind) = (Door::TruncatePath, PathKind::Truncate);
    begin(visit, Given { door, kind, first, second: None, argument: size });
}

/// Remembers the names as they are before, when one of them is a state or lock file's.
#[inline(always)]
fn begin(visit: Visit, given: Given) {
    let Given { door, kind, first, second, argument } = given;
    let Some(root) = root_of(first).or_else(|| root_of(second?)).or_else(|| alias(kind, first)) else {
        return;
    };
    if matches!(kind, PathKind::Link) {
        aliases::remember(first.inode(), root);
        settings::set_linked();
    }
    if root != CANARY_ROOT && settings::is_agent((kernel::thread() >> 32) as u32) {
        return;
    }
    let key = key(door);
    let frame = visit.frame();
    let inode = first.inode();
    if is_begun(key, visit, frame, inode) {
        return;
    }
    let Some(blank) = BLANK.get(0) else { return };
    // The gate counts entries: one that was left behind, because its return was missed, is counted.
    if CHANGES.insert(&key, blank, u64::from(BPF_NOEXIST)).is_ok() {
        settings::gate_up();
    } else if CHANGES.insert(&key, blank, u64::from(BPF_EXIST)).is_ok() {
        emit::count(LossCounter::Missed);
    } else {
        return emit::count(LossCounter::TableFull);
    }
    let Some(change) = CHANGES.get_ptr_mut(&key) else { return };
    if matches!(kind, PathKind::Truncate) {
        settings::note_modification();
    }
    let identity = inode.key();
    let look = inode.look();
    // SAFETY: the value belongs to the running thread's call until its return takes it out.
    unsafe {
        (*change).turns = visit.turn as u64;
        (*change).frame = frame;
        (*change).inode = inode.0;
        let record = &mut (*change).record;
        record.header.what = kind as u16;
        record.argument = argument;
        record.ino = identity.ino;
        record.dev = identity.dev;
        record.generation = identity.generation;
        record.size_before = look.size;
        fill(&mut record.first, first);
        if let Some(second) = second {
            fill(&mut record.second, second);
        }
        record.header.start = look.at;
    }
}

/// Whether the other copy of the program has just begun the change, or the change is part of another, as in
/// [`operation`](super::operation).
#[inline(always)]
fn is_begun(key: u64, visit: Visit, frame: u64, inode: Inode) -> bool {
    let Some(change) = CHANGES.get_ptr_mut(&key) else { return false };
    // SAFETY: the value belongs to the running thread's call until its return takes it out.
    let change = unsafe { &mut *change };
    if visit.turn.is_second(change.turns) {
        change.turns |= visit.turn as u64;
        return true;
    }
    frame < change.frame && inode.filesystem() != Inode(change.inode).filesystem()
}

/// A function that changes names returned.
#[inline(always)]
pub(super) fn end(door: Door, visit: Visit, result: i64) {
    if settings::gate() == 0 {
        return;
    }
    let key = key(door);
    let Some(change) = CHANGES.get_ptr(&key) else { return };
    // SAFETY: the value belongs to the running thread's call until it is taken out below.
    let change = unsafe { &*change };
    if !visit.ends(change.frame) {
        return;
    }
    if result as i32 == 0 {
        if matches!(door, Door::TruncatePath) {
            settings::note_modification();
        }
        tell(change);
    }
    if CHANGES.remove(&key).is_ok() {
        settings::gate_down();
    }
}

/// A thread ends. The return of a change that it is in was shown to no program.
#[inline(always)]
pub(super) fn abandon(door: Door) {
    if CHANGES.remove(&key(door)).is_ok() {
        settings::gate_down();
        emit::count(LossCounter::Missed);
    }
}

#[inline(always)]
fn tell(change: &Change) {
    let end = kernel::now();
    process::introduce(Span { start: change.record.header.start, end });
    let mut entry = emit::reserve!(EntryRecord);
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is a whole record, all of it is copied from another; the call still holds its inode.
    unsafe {
        let room = &mut *record.cast::<[u8; size_of::<EntryRecord>()]>();
        let _ = bpf_probe_read_kernel_buf((&raw const change.record).cast(), room);
        let Header { what, start, .. } = change.record.header;
        emit::write_header(record, Kind::Entry, what, Span { start, end });
        (*record).writers = i64::from(Inode(change.inode).writers());
    }
    entry.submit(0);
}

/// The root of the state file that is truncated by another name.
#[inline(always)]
fn alias(kind: PathKind, dentry: Dentry) -> Option<u16> {
    matches!(kind, PathKind::Truncate).then(|| aliases::root_of(dentry.inode())).flatten()
}

/// The root that the name lies under, when it is one that matters there.
#[inline(always)]
fn root_of(dentry: Dentry) -> Option<u16> {
    let names = names::of_dentry(dentry)?;
    Some(names::root_of(dentry.parent(), names)?.root)
}

#[inline(always)]
fn fill(place: &mut Place, dentry: Dentry) {
    let Some(found) = names::root_of(dentry.parent(), u32::MAX) else {
        if let Some(root) = aliases::root_of(dentry.inode()) {
            place.root = root;
            place.is_below_root = ALIAS;
            dentry.copy_name(&mut place.names[0]);
        }
        return;
    };
    place.root = found.root;
    place.depth = found.depth;
    place.is_below_root = 1;
    let mut dentry = dentry;
    for room in &mut place.names {
        dentry.copy_name(room);
        dentry = dentry.parent();
    }
}
