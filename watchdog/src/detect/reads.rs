//! What one description read, as evidence.

use crate::model::{Actor, BootNanos, ReadCall, Span, UNKNOWN_LENGTH};

/// Reads that cover new ranges of the file: one attempt at its content. Going back starts a new pass.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) calls: Vec<Call>,
    /// Nothing follows: a short read at its end was the end of what the reader got.
    pub(super) over: bool,
}

/// One read call, or several merged into one that proves less.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) span: Span,
    pub(super) actor: Actor,
    pub(super) offset: Option<u64>,
    pub(super) requested: u64,
    pub(super) returned: u64,
    pub(super) size_before: Option<u64>,
    pub(super) size: Option<u64>,
    /// Under a lock.
    pub(super) guarded: bool,
    /// How many calls it stands for.
    pub(super) merged: u64,
}

/// How many times the room of a pass its calls may take when they cannot be merged without loss.
const MOST: usize = 4;

/// What a call says about the length of the content that it read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// It had at least this many bytes.
    AtLeast(u64),
    /// It ended here.
    Exactly(u64),
    /// It ended here or before.
    AtMost(u64),
}

impl Length {
    /// True when content of `size` bytes can have answered so.
    pub(super) fn admits(self, size: u64) -> bool {
        match self {
            Self::AtLeast(length) => size >= length,
            Self::Exactly(length) => size == length,
            Self::AtMost(length) => size <= length,
        }
    }
}

impl Call {
    /// The bytes it got, `None` when that was none or their place is not known.
    pub(super) fn range(&self) -> Option<(u64, u64)> {
        let offset = self.offset?;
        (self.returned > 0).then(|| (offset, offset.saturating_add(self.returned)))
    }

    /// True when the file had that size when the call began or returned.
    pub(super) fn saw(&self, size: u64) -> bool {
        self.size_before == Some(size) || self.size == Some(size)
    }

    /// As a report shows it.
    pub(super) fn report(&self) -> ReadCall {
        ReadCall {
            span: self.span,
            offset: self.offset,
            requested: self.requested,
            returned: self.returned,
            size_at_read: self.size,
            merged: self.merged,
        }
    }

    /// True when it met the end of a content of `size` bytes.
    pub(super) fn met_end(&self, size: u64) -> bool {
        self.is_end_of_file() || self.range().is_some_and(|(_, end)| end >= size)
    }

    /// Nothing came although something was asked for. Where it is not known how much was, the file was no longer than that
    /// before and after the call.
    pub(super) fn is_end_of_file(&self) -> bool {
        let ends = |size: Option<u64>| size.zip(self.offset).is_some_and(|(size, offset)| size <= offset);
        let asked = self.requested > 0 && self.requested < UNKNOWN_LENGTH;
        self.returned == 0 && (asked || self.requested > 0 && ends(self.size_before) && ends(self.size))
    }

    /// A short read is the end of the file, unless the size stood still behind it: then something else cut it.
    fn ends_short(&self, end: u64) -> bool {
        self.returned < self.requested
            && self.requested < UNKNOWN_LENGTH
            && match (self.size_before, self.size) {
                (Some(before), Some(after)) => before != after || after <= end,
                _ => true,
            }
    }

    /// True when the later call goes on just where this one ended.
    fn is_continued_by(&self, later: &Self) -> bool {
        self.offset.is_some() && self.range().map(|(_, end)| end) == later.offset && later.returned > 0
    }

    /// Takes in a later call. What remains is what is certain of both.
    fn merge(&mut self, later: &Self) {
        let contiguous = self.is_continued_by(later);
        self.merged = self.merged.saturating_add(later.merged);
        self.span = Span::new(self.span.start.min(later.span.start), self.span.end.max(later.span.end));
        self.guarded &= later.guarded;
        self.actor = later.actor;
        self.size = later.size;
        self.returned = self.returned.saturating_add(later.returned);
        self.requested = self.returned.saturating_add(later.requested.saturating_sub(later.returned));
        if !contiguous {
            self.offset = None;
        }
    }
}

impl Pass {
    /// True when `call` goes back over what this pass has read already.
    pub(super) fn is_left_by(&self, call: &Call) -> bool {
        let Some(start) = call.offset else { return false };
        let end = start.saturating_add(call.requested.max(call.returned));
        self.calls.iter().any(|known| match known.range() {
            Some((from, to)) => start < to && from < end,
            None => {
                known.is_end_of_file()
                    && known.offset.is_some_and(|offset| offset <= start)
                    && call.returned > 0
            }
        })
    }

    /// Adds a call. When the room for calls is used up, one that goes on where the last one ended is merged with it, unless
    /// the file was modified since that began: so little is lost, however small the calls are. An end-of-file is always
    /// kept apart. True when the call was.
    pub(super) fn add(&mut self, call: Call, room: usize, is_scarce: bool, modified: BootNanos) -> bool {
        let room = room.max(1);
        let kept = self.calls.len();
        if kept >= room
            && let Some(last) = self.calls.last_mut()
        {
            let undisturbed = last.is_continued_by(&call) && modified < last.span.start;
            let full = is_scarce || kept >= room.saturating_mul(MOST);
            let ends = call.is_end_of_file() && !last.is_end_of_file();
            if undisturbed || full && !ends {
                last.merge(&call);
                return false;
            }
        }
        self.calls.push(call);
        true
    }

    /// True when nothing follows: what was read behind an end-of-file would be another pass.
    pub(super) fn is_over(&self) -> bool {
        self.over || self.calls.last().is_some_and(Call::is_end_of_file)
    }

    /// From the first call's entry to the last one's return.
    pub(super) fn span(&self) -> Option<Span> {
        let start = self.calls.iter().map(|call| call.span.start).min()?;
        let end = self.calls.iter().map(|call| call.span.end).max()?;
        Some(Span::new(start, end))
    }

    /// What the call at `index` says about the length of the content.
    pub(super) fn length(&self, index: usize) -> Option<Length> {
        let call = self.calls.get(index)?;
        let tells = call.requested > 0 && call.requested < UNKNOWN_LENGTH || call.returned > 0;
        let offset = call.offset.filter(|_| tells || call.is_end_of_file())?;
        let end = offset.saturating_add(call.returned);
        if call.is_end_of_file() {
            Some(Length::AtMost(offset))
        } else if call.ends_short(end) && !self.goes_on(index, end) {
            Some(Length::Exactly(end))
        } else {
            Some(Length::AtLeast(end))
        }
    }

    /// A reader that goes on behind a short read, and gets more, does not take it for the end.
    fn goes_on(&self, index: usize, end: u64) -> bool {
        if !self.over && index + 1 == self.calls.len() {
            return true;
        }
        let later = self.calls.get(index + 1..).unwrap_or_default();
        later.iter().any(|call| call.range().is_some_and(|(from, _)| from >= end))
    }
}
