//! Calls by path: names come, go and change hands.
//!
//! System-call tracepoints show the path as text alone. A call matters when the last component does; the directory
//! is for the agent to resolve.

use aya_ebpf::helpers::{bpf_probe_read_kernel_buf, bpf_probe_read_user_str_bytes};
use watchdog_common::{
    CANARY_ROOT, Call, Kind, LossCounter, NAME_WINDOW, NameWords, PATH_LEN, PathBase, PathKind, PathRecord,
    RootKey,
};

use super::{entered, is_told};
use crate::{
    emit::{self, Span},
    kernel::{self, Dentry, File, at, read},
    maps::{PATHS, PathRoom},
    names, process,
    registers::Registers,
    settings::{self, setting},
    turn::Turn,
};

const AT_FDCWD: i32 = -100;
/// include/uapi/linux/fcntl.h.
const AT_SYMLINK_FOLLOW: u64 = 0x400;
const AT_EMPTY_PATH: u64 = 0x1000;
/// No path is longer, its NUL included (include/uapi/linux/limits.h).
const PATH_MAX: usize = 4096;
/// No name is longer (the same).
const NAME_MAX: u64 = 255;
/// An offset into a [`PathRoom`] that verifiers see to be bounded.
const MOST_IN_ROOM: u64 = (2 * PATH_LEN - 1) as u64;

/// Where a call's arguments stand.
struct Arguments {
    kind: PathKind,
    first: u64,
    first_dir: i32,
    second: u64,
    second_dir: i32,
    argument: u64,
}

#[inline(always)]
pub(super) fn exit(call: Call, registers: Registers, result: i64, turn: Turn) {
    if result != 0 {
        return;
    }
    let arguments = arguments(call, registers);
    let links = matches!(arguments.kind, PathKind::Link);
    // The name may be a link to the file, or be no name at all.
    if links && arguments.argument & (AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
        settings::set_linked();
    }
    let first_len = copy_path(arguments.first, 0, turn as u64) as i32;
    let second_len =
        if arguments.second == 0 { 0 } else { copy_path(arguments.second, 1, turn as u64) as i32 };
    let Some([first, second]) = rooms(turn as u64) else { return };
    // What is truncated may have another name than its path says.
    let is_other = !matters(first_len, turn as u64, 0) && !matters(second_len, turn as u64, 1);
    if is_other && !matches!(arguments.kind, PathKind::Truncate) {
        return;
    }
    if links {
        settings::set_linked();
    }
    if settings::is_agent((kernel::thread() >> 32) as u32) && !is_of_canary(first, arguments.first_dir) {
        return;
    }
    if matches!(arguments.kind, PathKind::Truncate) {
        settings::note_modification();
    }
    let end = kernel::now();
    let start = if let Some(start) = entered() {
        start
    } else {
        emit::count(LossCounter::TableFull);
        end
    };
    if is_told(turn) {
        return;
    }
    process::introduce(Span { start, end });
    let mut entry = emit::reserve!(PathRecord);
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is a whole record, and every field is written; the rooms are as long as the paths.
    unsafe {
        emit::write_header(record, Kind::Path, arguments.kind as u16, Span { start, end });
        (*record).argument = arguments.argument;
        let namespaces: u64 = read(kernel::task(), setting!(offsets.task_nsproxy));
        let mounts: u64 = read(namespaces, setting!(offsets.nsproxy_mnt));
        (*record).mount_namespace = read(mounts, setting!(offsets.mnt_inum));
        (*record).first_dir = arguments.first_dir;
        (*record).second_dir = arguments.second_dir;
        (*record).first_len = first_len;
        (*record).second_len = second_len;
        (*record).is_other = is_other.into();
        write_base(&mut (*record).first_base, first, arguments.first_dir);
        write_base(&mut (*record).second_base, second, arguments.second_dir);
        let root = Dentry::of_root_directory().inode().key();
        (*record).root_ino = root.ino;
        (*record).root_dev = root.dev;
        (*record).root_generation = root.generation;
        let _ = bpf_probe_read_kernel_buf(first.path.as_ptr(), &mut (*record).first);
        let _ = bpf_probe_read_kernel_buf(second.path.as_ptr(), &mut (*record).second);
    }
    entry.submit(0);
}

#[inline(always)]
fn arguments(call: Call, registers: Registers) -> Arguments {
    let argument = |n| registers.argument(n);
    let none = Arguments {
        kind: PathKind::Unlink,
        first: argument(0),
        first_dir: AT_FDCWD,
        second: 0,
        second_dir: AT_FDCWD,
        argument: 0,
    };
    match call {
        Call::Rename => Arguments { kind: PathKind::Rename, second: argument(1), ..none },
        Call::Link => Arguments { kind: PathKind::Link, second: argument(1), ..none },
        Call::Renameat | Call::Renameat2 | Call::Linkat => Arguments {
            kind: if matches!(call, Call::Linkat) { PathKind::Link } else { PathKind::Rename },
            first: argument(1),
            first_dir: argument(0) as i32,
            second: argument(3),
            second_dir: argument(2) as i32,
            // renameat has no fifth argument: its register holds whatever the caller left there.
            argument: if matches!(call, Call::Renameat) { 0 } else { argument(4) & 0xffff_ffff },
        },
        Call::Unlinkat => Arguments { first: argument(1), first_dir: argument(0) as i32, ..none },
        Call::Truncate => Arguments { kind: PathKind::Truncate, argument: argument(1), ..none },
        _ => none,
    }
}

/// Where this copy of the program keeps the two paths of a call on this CPU.
#[inline(always)]
fn rooms(turn: u64) -> Option<&'static mut [PathRoom; 2]> {
    let rooms = PATHS.get_ptr_mut(turn as u32 - 1)?;
    // SAFETY: the element is this CPU's own, and this copy of the program does not nest.
    Some(unsafe { &mut *rooms })
}

/// Copies a call's first (0) or second (1) path; its length with the NUL, or a negative error. Of a path that does not
/// fit its end is copied, which tells whether it matters, and the length is the whole room's.
///
/// A function of its own, with numbers alone for arguments, is verified once, and its loop stays out of the caller's,
/// in which a compiler may close it without a jump: verifiers up to 6.1 refuse that (`check_cfg`).
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn copy_path(address: u64, which: u64, turn: u64) -> i64 {
    let Some([first, second]) = rooms(turn) else { return 0 };
    copy_in(address, if which == 0 { first } else { second }).into()
}

#[inline(always)]
fn copy_in(address: u64, room: &mut PathRoom) -> i32 {
    const ROOM: i32 = PATH_LEN as i32;
    let mut from = address;
    for _ in 0..=PATH_MAX / (PATH_LEN - 1) {
        let length = copy_from(from, room);
        if length < 0 || (length < ROOM && from == address) {
            return length;
        }
        if length < ROOM {
            let length = copy_from(from + length as u64 - PATH_LEN as u64, room);
            return if length < 0 { length } else { ROOM };
        }
        from += PATH_LEN as u64 - 1;
    }
    ROOM
}

#[inline(always)]
fn copy_from(address: u64, room: &mut PathRoom) -> i32 {
    // SAFETY: reading user memory that is not there yields an error, not a fault.
    match unsafe { bpf_probe_read_user_str_bytes(address as *const u8, &mut room.path) } {
        Ok(path) => path.len() as i32 + 1,
        Err(error) => error,
    }
}

/// Whether the last component of a call's first (0) or second (1) path matches a name.
#[inline(always)]
fn matters(len: i32, turn: u64, which: u64) -> bool {
    if len < 0 {
        // The kernel could read it and we could not: the agent counts it as unresolved.
        return true;
    }
    if len < 2 {
        return false;
    }
    let len = len as u64 - 1;
    // The room begins with the zeros before the path, so this window ends with the path.
    if window_matches(turn << 1 | which, len, len, names::TAILS) != 0 {
        return true;
    }
    if !names::has_prefixes() {
        return false;
    }
    let last = last_component(turn << 1 | which, len);
    window_matches(turn << 1 | which, NAME_WINDOW as u64 + len - last, last, names::HEADS) != 0
}

/// 1 when the window that begins so far into a path's room holds a name that is no longer than `len`.
///
/// A function of its own, as [`copy_path`] is; the window lies in its own stack frame. It is told which room by number,
/// because verifiers take no pointer for an argument of such a function.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn window_matches(place: u64, start: u64, len: u64, heads: u64) -> u64 {
    let Some(room) = room(place) else { return 0 };
    let window: NameWords = at(room + (start & MOST_IN_ROOM));
    u64::from(names::of_window(&window, len, heads))
}

/// Returns the length of a path's last component: what follows its last slash. It looks at each byte alone, so only nodes
/// on which some name is matched by its beginning pay.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn last_component(place: u64, len: u64) -> u64 {
    let Some(room) = room(place) else { return 0 };
    for back in 0..NAME_MAX {
        if back >= len {
            return len;
        }
        let byte: u8 = at(room + ((NAME_WINDOW as u64 + len - 1 - back) & MOST_IN_ROOM));
        if byte == b'/' {
            return back;
        }
    }
    NAME_MAX
}

/// The address of a path's room; `place` is the copy of the program and which of the two paths it is.
#[inline(always)]
fn room(place: u64) -> Option<u64> {
    let [first, second] = rooms(place >> 1)?;
    Some(if place & 1 == 0 { core::ptr::from_mut(first) as u64 } else { core::ptr::from_mut(second) as u64 })
}

/// Where a relative path begins. It must be told now: the process may change its directory before the agent looks.
#[inline(always)]
fn write_base(base: &mut PathBase, room: &PathRoom, descriptor: i32) {
    base.is_below_root = 0;
    base.ino = 0;
    let Some(directory) = beginning(room, descriptor) else { return };
    let RootKey { ino, dev, generation } = directory.inode().key();
    base.ino = ino;
    base.dev = dev;
    base.generation = generation;
    directory.copy_name(&mut base.name);
    if let Some(found) = names::root_of(directory, u32::MAX) {
        base.root = found.root;
        base.depth = found.depth;
        base.is_below_root = 1;
    }
}

/// The directory in which a relative path begins.
#[inline(always)]
fn beginning(room: &PathRoom, descriptor: i32) -> Option<Dentry> {
    match (room.path[0], descriptor) {
        (b'/', _) => None,
        (_, AT_FDCWD) => Some(Dentry::of_working_directory()),
        _ => Some(File::of_descriptor(descriptor)?.dentry()),
    }
}

/// The agent names its own root's files relative to their directory.
#[inline(always)]
fn is_of_canary(room: &PathRoom, descriptor: i32) -> bool {
    let found = beginning(room, descriptor).and_then(|directory| names::root_of(directory, u32::MAX));
    found.is_some_and(|found| found.root == CANARY_ROOT)
}
