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
    maps::Operation,
    settings::setting,
};

/// `io_read` or `io_write` tries a request.
#[inline(always)]
pub(super) fn begin(door: Door, visit: Visit, request: u64) {
    let file = File(read(request, setting!(offsets.kiocb_file)));
    operation::begin(door, visit, file, || {
        let position = request + u64::from(setting!(offsets.kiocb_pos));
        let at: u64 = read(position, 0);
        // A request for the description's own position holds -1 until that is looked up.
        let from = if at == u64::MAX { file.position() } else { at };
        Given { position, requested: UNKNOWN, extra: from }
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
    // A read that got less is tried again at once, and the result is the last try's alone (`io_read`, 5.10 to 7.2).
    let before = match kind {
        IoKind::Read => moved(&operation).saturating_sub(result.max(0)).max(0),
        _ => 0,
    };
    let total = if before > 0 { before + result.max(0) } else { result };
    let least = if matches!(kind, IoKind::Read) { 0 } else { 1 };
    if matches && total >= least {
        operation.extra = 0;
        operation.requested = asked(request, result, before);
        operation::tell(kind, &operation, operation::offset(&operation, total), total);
    }
}

/// How much the request asks for, which is never less than what it got; `before` is what it got from earlier tries.
#[inline(always)]
fn asked(request: u64, result: i64, before: i64) -> u64 {
    let at = setting!(offsets.uring_asked);
    if at == 0 {
        return UNKNOWN;
    }
    let asked = i64::from(read::<u32>(request, at));
    (asked.max(result) + before) as u64
}

/// `io_read` or `io_write` returns. Without a result the request goes on elsewhere, and what this try has moved is
/// told now.
#[inline(always)]
pub(super) fn end(door: Door, visit: Visit, kind: IoKind) {
    let Some(mut operation) = operation::end(door, visit) else { return };
    let (from, moved) = (operation.extra, moved(&operation));
    operation.extra = 0;
    // Such a write goes to the end before it moves anything (`generic_write_checks`).
    let is_sought = matches!(kind, IoKind::Write) && File(operation.file).appends();
    if moved > 0 && !is_sought {
        operation::tell(kind, &operation, from, moved);
    }
}

/// By how much the position has moved since the entry; it may still be -1.
#[inline(always)]
fn moved(operation: &Operation) -> i64 {
    read::<i64>(operation.position, 0) - operation.extra as i64
}
