//! io_uring calls the filesystem itself, past `vfs_read` and `vfs_write`.
//!
//! `struct io_kiocb` begins with the request's `struct kiocb` (5.10 to 7.2), so one address is both.

use watchdog_common::{IoKind, UNKNOWN};

use super::{
    operation::{self, Door, Given},
    visit::Visit,
};
use crate::{
    kernel::{File, read},
    settings::setting,
};

/// `io_read` or `io_write` tries a request.
#[inline(always)]
pub(super) fn begin(door: Door, visit: Visit, request: u64) {
    let file = File(read(request, setting!(offsets.kiocb_file)));
    operation::begin(door, visit, file, || {
        let position = request + u64::from(setting!(offsets.kiocb_pos));
        Given { position, requested: UNKNOWN, extra: read(position, 0) }
    });
}

/// `kiocb_done`: the request in hand has its result.
#[inline(always)]
pub(super) fn done(request: u64, result: i64) {
    if operation::is_within(Door::UringRead) {
        finish(Door::UringRead, IoKind::Read, request, result);
    } else if operation::is_within(Door::UringWrite) {
        finish(Door::UringWrite, IoKind::Write, request, result);
    }
}

#[inline(always)]
fn finish(door: Door, kind: IoKind, request: u64, result: i64) {
    let Some(mut operation) = operation::take(door) else { return };
    let matches = operation.position == request + u64::from(setting!(offsets.kiocb_pos));
    let least = if matches!(kind, IoKind::Read) { 0 } else { 1 };
    if matches && result >= least {
        operation.extra = 0;
        operation.requested = asked(request, result);
        operation::tell(kind, &operation, operation::offset(&operation, result), result);
    }
}

/// How much the request asks for, which is never less than what it got.
#[inline(always)]
fn asked(request: u64, result: i64) -> u64 {
    let at = setting!(offsets.uring_asked);
    if at == 0 {
        return UNKNOWN;
    }
    let asked = u64::from(read::<u32>(request, at));
    if asked < result as u64 { result as u64 } else { asked }
}

/// `io_read` or `io_write` returns. Without a result the request goes on elsewhere, and what this try has moved is
/// told now.
#[inline(always)]
pub(super) fn end(door: Door, visit: Visit, kind: IoKind) {
    let Some(mut operation) = operation::end(door, visit) else { return };
    let (from, to) = (operation.extra, read::<u64>(operation.position, 0));
    operation.extra = 0;
    // A request for the description's own position holds -1 until it was looked up.
    if (from as i64) >= 0 && to > from {
        operation::tell(kind, &operation, from, (to - from) as i64);
    }
}
