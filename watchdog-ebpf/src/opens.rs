//! A description came into being: whether it matters, and what is told of it. Every door to open leads here.

use watchdog_common::{
    ALIAS, CANARY_ROOT, COMM_LEN, Kind, LOCKED_DIRECTORY, LONG_NAME, OpenRecord, SHORT_NAME, UNKNOWN,
};

use crate::{
    aliases,
    emit::{self, Span},
    files,
    kernel::{self, Dentry, FMODE_CREATED, FMODE_PATH, FMODE_WRITE, File, Look},
    names::{self, Found},
    process,
    settings::{self, filter},
    turn::Turn,
};

/// How the end of a description comes to be known.
#[derive(Clone, Copy)]
pub(crate) enum Releases {
    /// Some are found out only when somebody asks.
    Asked,
    /// A hook sees each.
    Seen,
}

/// A file that matters was opened.
#[derive(Clone, Copy)]
pub(crate) struct Hit {
    pub(crate) file: File,
    pub(crate) dentry: Dentry,
    what: u8,
    pub(crate) mode: u32,
    found: Found,
    /// The process that opened it when nobody looked; 0 for the running one.
    holder: u32,
}

/// Whether a description may matter, be it on its way or there: by its name, or because it is open for writing beside
/// state files and so may be renamed over one.
#[inline(always)]
pub(crate) fn candidate(file: File) -> Option<Hit> {
    let (mode, dentry) = file.glance();
    candidate_of(file, mode, dentry)
}

/// The root below which a file of that mode and name matters.
#[inline(always)]
fn root_of(mode: u32, dentry: Dentry) -> Option<Found> {
    let names = match names::of_dentry(dentry) {
        Some(names) => names,
        None if mode & FMODE_WRITE != 0 => u32::MAX,
        None => return None,
    };
    names::root_of(dentry.parent(), names)
}

#[inline(always)]
fn candidate_of(file: File, mode: u32, dentry: Dentry) -> Option<Hit> {
    if let Some(found) = root_of(mode, dentry) {
        return Some(Hit { file, dentry, what: 0, mode, found, holder: 0 });
    }
    // A description that is on its way has no inode of its own yet.
    let (root, directory) = (aliases::root_of(dentry.inode())?, dentry.parent());
    Some(Hit { file, dentry, what: ALIAS, mode, found: Found { root, depth: 1, directory }, holder: 0 })
}

/// Remembers the file, when it is a state or lock file by its name and directory. True when it is one.
#[inline(always)]
pub(crate) fn remember(file: File) -> bool {
    let dentry = file.dentry();
    let found = names::of_dentry(dentry).and_then(|names| names::root_of(dentry.parent(), names));
    let Some(found) = found.filter(|_| file.inode().is_regular()) else { return false };
    aliases::remember(file.inode(), found.root);
    true
}

/// Begins to track a description that the process `holder` opened when nobody looked.
#[inline(always)]
pub(crate) fn take_over(file: File, holder: u64, releases: Releases) {
    // One after the other, so that none's stack stands on another's.
    if held_matters(file.0) == 0 {
        return;
    }
    let at = track_held(file.0, matches!(releases, Releases::Seen).into());
    if at != 0 {
        let _ = report_held(file.0, holder, at);
    }
}

/// Whether it is to be tracked. See [`track_locked_directory`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn held_matters(file: u64) -> u64 {
    let file = File(file);
    let (mode, inode) = (file.mode(), file.inode());
    if mode & FMODE_PATH != 0 || !inode.is_regular() {
        return 0;
    }
    let Some(hit) = candidate_of(file, mode, file.dentry()) else { return 0 };
    if hit.what == 0 {
        aliases::remember(inode, hit.found.root);
    }
    1
}

/// When it began to be tracked; 0 when it was before. See [`track_locked_directory`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn track_held(file: u64, releases_are_seen: u64) -> u64 {
    let file = File(file);
    if files::is_known(file) {
        return 0;
    }
    let asks = releases_are_seen == 0 && file.mode() & FMODE_WRITE != 0;
    let now = kernel::now();
    if files::track(file, now, file.inode(), file.dentry(), asks, Turn::One) { now } else { 0 }
}

/// Says so. See [`track_locked_directory`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_held(file: u64, holder: u64, opened: u64) -> u64 {
    let file = File(file);
    // Who created it is not known any more.
    let Some(hit) = candidate_of(file, file.mode() & !FMODE_CREATED, file.dentry()) else { return 0 };
    let size = file.inode().look().size;
    let hit = Hit { holder: holder as u32, ..hit };
    if !emit(hit, 0, size, Span { start: opened, end: opened }, opened) {
        files::set_reported(file, false);
    }
    0
}

/// Whether a new description matters.
#[inline(always)]
pub(crate) fn hit(file: File) -> Option<Hit> {
    let hit = candidate(file)?;
    let Hit { mode, found, .. } = hit;
    if mode & FMODE_PATH != 0 || !file.inode().is_regular() {
        return None;
    }
    if found.root != CANARY_ROOT && settings::is_agent((kernel::thread() >> 32) as u32) {
        // The same file at the same address: without a word, the agent's reads would pass for those of a
        // description that is gone.
        files::forget(file, kernel::now());
        return None;
    }
    Some(hit)
}

/// A description is about to be locked. That of a directory in which some runtime's lock guards state files matters from
/// now on, and no sooner: directories are opened all the time.
#[inline(always)]
pub(crate) fn locks(file: File, releases: Releases) {
    if filter!(locks) != 0 && guards(file.0) != 0 {
        // From here, because its stack and the next one's would be too much on one another.
        let now = kernel::now();
        process::introduce(Span { start: now, end: now });
        track_locked_directory(file.0, matches!(releases, Releases::Seen).into());
    }
}

/// Whether it is a directory whose lock guards state files, and that is not tracked yet. See [`track_locked_directory`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn guards(file: u64) -> u64 {
    let file = File(file);
    if !file.inode().is_directory() || file.mode() & FMODE_PATH != 0 || files::is_known(file) {
        return 0;
    }
    names::root_of_locked(file.dentry()).is_some().into()
}

/// A function of its own, with numbers alone for arguments, is verified once and not again wherever it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn track_locked_directory(file: u64, releases_are_seen: u64) -> u64 {
    let file = File(file);
    let (mode, dentry) = (file.mode(), file.dentry());
    let Some(found) = names::root_of_locked(dentry) else { return 0 };
    let (now, what) = (kernel::now(), LOCKED_DIRECTORY);
    let releases = if releases_are_seen == 0 { Releases::Asked } else { Releases::Seen };
    let hit = Hit { file, dentry, what, mode, found, holder: 0 };
    track_and_emit(hit, 0, UNKNOWN, Span { start: now, end: now }, releases, Turn::One);
    0
}

/// Begins to track the description and says so. `flags` are those that the caller gave, as far as they are known;
/// `size` is that at the span's end.
#[inline(always)]
pub(crate) fn report(hit: Hit, flags: u64, size: u64, span: Span, releases: Releases, turn: Turn) {
    process::introduce(span);
    if hit.what == 0 {
        aliases::remember(hit.file.inode(), hit.found.root);
    }
    track_and_emit(hit, flags, size, span, releases, turn);
}

#[inline(always)]
fn track_and_emit(hit: Hit, flags: u64, size: u64, span: Span, releases: Releases, turn: Turn) {
    let asks = matches!(releases, Releases::Asked) && hit.mode & FMODE_WRITE != 0;
    if !files::track(hit.file, span.end, hit.file.inode(), hit.dentry, asks, turn) {
        return;
    }
    if !emit(hit, flags, size, span, span.end) {
        files::set_reported(hit.file, false);
    }
}

/// Reports the open of a tracked description whose record found no room in the ring: as if it had been opened now, by
/// nobody who is known. One that has left the names that matter is not tracked any more.
#[inline(always)]
pub(crate) fn report_again(file: u64) {
    report_tracked(file);
}

/// A function of its own, with numbers alone for arguments, is verified once and not again wherever it is called.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn report_tracked(file: u64) -> u64 {
    let file = File(file);
    let Some(opened) = files::unreported(file) else { return 0 };
    // Member by member: a copy of the whole would not fit the stack.
    let (mode, dentry) = (file.mode(), file.dentry());
    let is_directory = file.inode().is_directory();
    let found = if is_directory { names::root_of_locked(dentry) } else { root_of(mode, dentry) };
    let Some(found) = found else {
        files::drop_unreported(file);
        return 0;
    };
    let what = if is_directory { LOCKED_DIRECTORY } else { 0 };
    // Who created the file is not known any more.
    let hit = Hit { file, dentry, what, mode: mode & !FMODE_CREATED, found, holder: 0 };
    let Look { size, at } = file.inode().look();
    let is_reported = emit(hit, 0, size, Span { start: at, end: at }, opened);
    files::set_reported(file, is_reported);
    0
}

/// Sends the record of an open, with as much room for names as it needs. False when there was none in the ring.
#[inline(always)]
fn emit(hit: Hit, flags: u64, size: u64, span: Span, opened: u64) -> bool {
    let short = SHORT_NAME as u32;
    if hit.found.depth == 2 {
        emit_with::<LONG_NAME, 3>(hit, flags, size, span, opened)
    } else if hit.dentry.name_len() >= short || hit.found.directory.name_len() >= short {
        emit_with::<LONG_NAME, 2>(hit, flags, size, span, opened)
    } else {
        emit_with::<SHORT_NAME, 2>(hit, flags, size, span, opened)
    }
}

/// An open record and `M` names in rooms of `N` bytes.
#[repr(C)]
struct OpenWith<const N: usize, const M: usize> {
    open: OpenRecord,
    names: [[u8; N]; M],
}

#[inline(always)]
fn emit_with<const N: usize, const M: usize>(
    hit: Hit,
    flags: u64,
    size: u64,
    span: Span,
    opened: u64,
) -> bool {
    let mut entry = emit::reserve!(OpenWith<N, M>, false);
    let record = entry.as_mut_ptr();
    let key = hit.file.inode().key();
    // SAFETY: the reservation is a whole record; names are written up to their NUL, where the agent stops reading.
    unsafe {
        emit::write_header(record, Kind::Open, 0, span);
        let open: *mut OpenRecord = &raw mut (*record).open;
        if hit.holder != 0 {
            (*open).header.pid = hit.holder;
            (*open).header.tid = hit.holder;
            (*open).header.comm = [0; COMM_LEN];
        }
        (*open).file = hit.file.0;
        (*open).opened = opened;
        if opened != span.end {
            emit::disown(open.cast());
        }
        (*open).ino = key.ino;
        (*open).dev = key.dev;
        (*open).generation = key.generation;
        (*open).size = size;
        (*open).mode = hit.mode;
        (*open).flags = flags as u32;
        (*open).root = hit.found.root;
        (*open).depth = hit.found.depth;
        (*open).what = hit.what;
        (*open).reserved = 0;
        let mut dentry = hit.dentry;
        for room in &mut (*record).names {
            dentry.copy_name(room);
            dentry = dentry.parent();
        }
    }
    entry.submit(0);
    true
}
