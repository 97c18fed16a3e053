//! Names come, go and change hands. The kernel knows the directories, so nothing is left to resolve.

use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_probe_read_kernel_buf};
use watchdog_common::{CANARY_ROOT, EntryRecord, Kind, LossCounter, PathKind, Place};

use super::operation::{Door, key};
use crate::{
    emit::{self, Span},
    kernel::{self, Dentry, Inode, read},
    maps::{BLANK, CHANGES},
    names::{self, Match},
    process,
    settings::{self, setting},
    turn::Turn,
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
pub(super) fn begin_rename(turn: Turn, data: u64) {
    begin(
        turn,
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
pub(super) fn begin_link(turn: Turn, from: u64, to: u64) {
    let (first, second) = (Dentry(from), Some(Dentry(to)));
    begin(turn, Given { door: Door::Link, kind: PathKind::Link, first, second, argument: 0 });
}

#[inline(always)]
pub(super) fn begin_unlink(turn: Turn, dentry: u64) {
    let first = Dentry(dentry);
    begin(turn, Given { door: Door::Unlink, kind: PathKind::Unlink, first, second: None, argument: 0 });
}

/// truncate(2): there is no description.
#[inline(always)]
pub(super) fn begin_truncate(turn: Turn, dentry: u64, size: u64) {
    let first = Dentry(dentry);
    let (door, kind) = (Door::TruncatePath, PathKind::Truncate);
    begin(turn, Given { door, kind, first, second: None, argument: size });
}

/// Remembers the names as they are before, when one of them is a state or lock file's.
#[inline(always)]
fn begin(turn: Turn, given: Given) {
    let Given { door, kind, first, second, argument } = given;
    let Some(root) = root_of(first).or_else(|| root_of(second?)) else { return };
    if root != CANARY_ROOT && settings::is_agent((kernel::thread() >> 32) as u32) {
        return;
    }
    let key = key(door);
    if is_begun(key, turn) {
        return;
    }
    let Some(blank) = BLANK.get(0) else { return };
    if CHANGES.insert(&key, blank, u64::from(BPF_ANY)).is_err() {
        return emit::count(LossCounter::TableFull);
    }
    let Some(change) = CHANGES.get_ptr_mut(&key) else { return };
    let inode = first.inode();
    let identity = inode.key();
    let look = inode.look();
    // SAFETY: the value belongs to the running thread's call until its return takes it out.
    unsafe {
        (*change).header.what = kind as u16;
        (*change).header.reserved = turn as u16;
        (*change).argument = argument;
        (*change).ino = identity.ino;
        (*change).dev = identity.dev;
        (*change).generation = identity.generation;
        (*change).size_before = look.size;
        // The inode's address rides along until the writers are counted at return.
        (*change).writers = inode.0 as i64;
        fill(&mut (*change).first, first);
        if let Some(second) = second {
            fill(&mut (*change).second, second);
        }
        (*change).header.start = look.at;
    }
    settings::gate_up();
}

/// Whether the other copy of the program has just begun the change.
#[inline(always)]
fn is_begun(key: u64, turn: Turn) -> bool {
    let Some(change) = CHANGES.get_ptr_mut(&key) else { return false };
    // SAFETY: the value belongs to the running thread's call until its return takes it out.
    let turns = unsafe { &mut (*change).header.reserved };
    let is_second = turn.is_second(u64::from(*turns));
    if is_second {
        *turns |= turn as u16;
    }
    is_second
}

/// A function that changes names returned.
#[inline(always)]
pub(super) fn end(door: Door, result: i64) {
    if settings::gate() == 0 {
        return;
    }
    let key = key(door);
    let Some(change) = CHANGES.get_ptr(&key) else { return };
    if result as i32 == 0 {
        tell(change);
    }
    if CHANGES.remove(&key).is_ok() {
        settings::gate_down();
    }
}

#[inline(always)]
fn tell(change: *const EntryRecord) {
    let end = kernel::now();
    process::introduce(end);
    let Some(mut entry) = emit::reserve::<EntryRecord>() else { return };
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is a whole record, all of it is copied from another; the call still holds its inode.
    unsafe {
        let room = &mut *record.cast::<[u8; size_of::<EntryRecord>()]>();
        let _ = bpf_probe_read_kernel_buf(change.cast(), room);
        let (what, start, inode) = ((*change).header.what, (*change).header.start, (*change).writers as u64);
        emit::write_header(record, Kind::Entry, what, Span { start, end });
        (*record).writers = i64::from(Inode(inode).writers());
    }
    entry.submit(0);
}

/// The root that the name lies under, when it is one that matters there.
#[inline(always)]
fn root_of(dentry: Dentry) -> Option<u16> {
    let Match { bit, .. } = names::of_dentry(dentry)?;
    Some(names::root_of(dentry.parent(), bit)?.root.root)
}

#[inline(always)]
fn fill(place: &mut Place, dentry: Dentry) {
    let Some(found) = names::root_of(dentry.parent(), u8::MAX) else { return };
    place.root = found.root.root;
    place.depth = found.root.depth;
    place.is_below_root = 1;
    let mut dentry = dentry;
    for room in &mut place.names {
        dentry.copy_name(room);
        dentry = dentry.parent();
    }
}
