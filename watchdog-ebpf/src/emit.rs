//! The one way out: records into the ring buffer, and what could not be handed over into the counters.

use watchdog_common::{COMM_LEN, Header, IoKind, IoRecord, Kind, LossCounter};

use crate::{atomic, kernel, maps::LOSSES};

/// When an operation entered and returned.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// Counts something that did not reach the agent.
#[inline(always)]
pub(crate) fn count(counter: LossCounter) {
    count_all(counter, 1);
}

/// Counts so many of them.
#[inline(always)]
pub(crate) fn count_all(counter: LossCounter, how_many: u64) {
    if let Some(total) = LOSSES.get_ptr_mut(counter as u32) {
        // SAFETY: an array element is aligned and lives as long as the map.
        unsafe { atomic::add(total, how_many) };
    }
}

/// Room for a record; where there is none, the loss is counted and the function is left.
///
/// In place, so that the pointer is asked once whether it is null: verifiers up to 6.1 take a second question for open
/// (`reg_type_not_null`) and then miss a record that was never reserved.
macro_rules! reserve {
    ($record:ty $(, $result:expr)?) => {
        match $crate::maps::EVENTS.reserve::<$record>(0) {
            Some(entry) => entry,
            None => {
                $crate::emit::count(::watchdog_common::LossCounter::RingFull);
                return $($result)?;
            }
        }
    };
}
pub(crate) use reserve;

/// Writes the header of a record by the running thread, with which the record begins. To be done after [`reserve!`],
/// so that it counts every loss before the record's place in the ring; in place, because 512 bytes of stack are all
/// that a program and the functions that it calls have together.
///
/// # Safety
///
/// `record` must be valid for writes.
#[inline(always)]
pub(crate) unsafe fn write_header<T>(record: *mut T, kind: Kind, what: u16, span: Span) {
    let header = record.cast::<Header>();
    let thread = kernel::thread();
    // SAFETY: every record begins with its header.
    unsafe {
        (*header).kind = kind as u16;
        (*header).size = size_of::<T>() as u16;
        (*header).what = what;
        (*header).reserved = 0;
        (*header).start = span.start;
        (*header).end = span.end;
        let lost = total(LossCounter::RingFull) + total(LossCounter::TableFull);
        // An open by a 32-bit program is left out: nothing that was told depends on it.
        (*header).lost = lost + total(LossCounter::IoUring) + total(LossCounter::Missed);
        (*header).pid = (thread >> 32) as u32;
        (*header).tid = thread as u32;
        kernel::copy_comm(&mut (*header).comm);
    }
}

/// Takes the running thread's name off a record that it sends for another, which nobody knows any more.
///
/// # Safety
///
/// `header` must be valid for writes.
#[inline(always)]
pub(crate) unsafe fn disown(header: *mut Header) {
    // SAFETY: see the caller.
    unsafe {
        (*header).pid = 0;
        (*header).tid = 0;
        (*header).comm = [0; COMM_LEN];
    }
}

/// What an I/O record says beside its header and description.
#[derive(Clone, Copy)]
pub(crate) struct Io {
    pub(crate) file: u64,
    pub(crate) opened: u64,
    pub(crate) offset: u64,
    pub(crate) requested: u64,
    pub(crate) result: u64,
    pub(crate) size_before: u64,
    pub(crate) size: u64,
    pub(crate) extra: u64,
}

/// Emits an operation on a tracked description.
#[inline(always)]
pub(crate) fn io(kind: IoKind, span: Span, io: Io) {
    let mut entry = reserve!(IoRecord);
    let Io { file, opened, offset, requested, result, size_before, size, extra } = io;
    let record = entry.as_mut_ptr();
    // SAFETY: the reservation is a whole record, and every field is written.
    unsafe {
        write_header(record, Kind::Io, kind as u16, span);
        (*record).file = file;
        (*record).opened = opened;
        (*record).offset = offset;
        (*record).requested = requested;
        (*record).result = result;
        (*record).size_before = size_before;
        (*record).size = size;
        (*record).extra = extra;
    }
    entry.submit(0);
}

#[inline(always)]
fn total(counter: LossCounter) -> u64 {
    LOSSES.get(counter as u32).copied().unwrap_or(0)
}
