//! A description came into being: whether it matters, and what is told of it. Every door to open leads here.

use watchdog_common::{CANARY_ROOT, Kind, LONG_NAME, OpenRecord, SHORT_NAME};

use crate::{
    emit::{self, Span},
    files,
    kernel::{self, Dentry, FMODE_PATH, FMODE_WRITE, File},
    names::{self, Found, Match},
    process, settings,
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
    role: u8,
    pub(crate) mode: u32,
    found: Found,
}

/// Whether a new description matters: by its name, or because it is open for writing beside state files and so may
/// be renamed over one.
#[inline(always)]
pub(crate) fn hit(file: File) -> Option<Hit> {
    let dentry = file.dentry();
    let name = names::of_dentry(dentry);
    let mode = file.mode();
    let Match { bit, role } = match name {
        Some(name) => name,
        None if mode & FMODE_WRITE != 0 => Match { bit: u8::MAX, role: 0 },
        None => return None,
    };
    let found = names::root_of(dentry.parent(), bit)?;
    if mode & FMODE_PATH != 0 || !file.inode().is_regular() {
        return None;
    }
    if found.root.root != CANARY_ROOT && settings::is_agent((kernel::thread() >> 32) as u32) {
        // The same file at the same address: without a word, the agent's reads would pass for those of a
        // description that is gone.
        files::forget(file, kernel::now());
        return None;
    }
    Some(Hit { file, dentry, role, mode, found })
}

/// A first look at a description that is about to be opened.
#[inline(always)]
pub(crate) fn may_matter(file: File) -> bool {
    let dentry = file.dentry();
    let bit = match names::of_dentry(dentry) {
        Some(name) => name.bit,
        None if file.mode() & FMODE_WRITE != 0 => u8::MAX,
        None => return false,
    };
    names::root_of(dentry.parent(), bit).is_some()
}

/// Begins to track the description and says so. `flags` are those that the caller gave, as far as they are known;
/// `size` is that at the span's end.
#[inline(always)]
pub(crate) fn report(hit: Hit, flags: u64, size: u64, span: Span, releases: Releases, turn: Turn) {
    process::introduce(span.end);
    let asks = matches!(releases, Releases::Asked) && hit.mode & FMODE_WRITE != 0;
    if !files::track(hit.file, span.end, hit.file.inode(), hit.dentry, asks, turn) {
        return;
    }
    let short = SHORT_NAME as u32;
    if hit.found.root.depth == 2 {
        emit_with::<LONG_NAME, 3>(hit, flags, size, span);
    } else if hit.dentry.name_len() >= short || hit.found.directory.name_len() >= short {
        emit_with::<LONG_NAME, 2>(hit, flags, size, span);
    } else {
        emit_with::<SHORT_NAME, 2>(hit, flags, size, span);
    }
}

/// An open record and `M` names in rooms of `N` bytes.
#[repr(C)]
struct OpenWith<const N: usize, const M: usize> {
    open: OpenRecord,
    names: [[u8; N]; M],
}

#[inline(always)]
fn emit_with<const N: usize, const M: usize>(hit: Hit, flags: u64, size: u64, span: Span) {
    let Some(mut entry) = emit::reserve::<OpenWith<N, M>>() else { return };
    let record = entry.as_mut_ptr();
    let key = hit.file.inode().key();
    // SAFETY: the reservation is a whole record; names are written up to their NUL, where the agent stops reading.
    unsafe {
        emit::write_header(record, Kind::Open, 0, span);
        let open: *mut OpenRecord = &raw mut (*record).open;
        (*open).file = hit.file.0;
        (*open).opened = span.end;
        (*open).ino = key.ino;
        (*open).dev = key.dev;
        (*open).generation = key.generation;
        (*open).size = size;
        (*open).mode = hit.mode;
        (*open).flags = flags as u32;
        (*open).root = hit.found.root.root;
        (*open).depth = hit.found.root.depth;
        (*open).role = hit.role;
        (*open).reserved = 0;
        let mut dentry = hit.dentry;
        for room in &mut (*record).names {
            dentry.copy_name(room);
            dentry = dentry.parent();
        }
    }
    entry.submit(0);
}
