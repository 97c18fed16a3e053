//! Whole documents: what one description wrote alone is a version, whatever others have begun.
//!
//! Two programs truncate the same file, then both write. A reader that comes after the first of them has written its whole
//! document got a version, although the other one is in the middle of its save. The rule: the content that one description
//! wrote alone, from offset 0 to the file's end, and that it released later without modifying again, not killed and without
//! a failed write. Others may have modified before its first write, or after its last one.
//!
//! Each operation of the others lies before the first write, behind the last operation, or, where they met, on either side.
//! One that can lie on neither side was in between: the description did not write alone.

use super::reads::Pass;
use super::session::{Change, Writer};
use crate::model::{BootNanos, Span};

/// A modification as one reader's verdict needs it.
#[derive(Debug)]
pub(super) struct Act<'a> {
    pub(super) change: &'a Change,
    /// By which of the writers.
    pub(super) writer: usize,
    /// The bytes that it certainly changed.
    pub(super) range: Option<(u64, u64)>,
}

/// A document that one description wrote alone.
#[derive(Debug)]
pub(super) struct Whole {
    size: u64,
    steps: Vec<Step>,
}

/// A modification, and on which side of the document it can lie.
#[derive(Debug)]
struct Step {
    span: Span,
    range: (u64, u64),
    may_precede: bool,
    may_follow: bool,
}

/// All documents among these writers, each with whether all that it did is known, in the order of their sessions.
pub(super) fn find(writers: &[(&Writer, bool)], acts: &[Act<'_>]) -> Vec<Whole> {
    let candidates = writers.iter().enumerate().filter(|(index, (writer, known_all))| {
        let again = writers.iter().skip(index + 1).any(|(later, _)| later.description == writer.description);
        let ends_well = writer.released && !writer.killed && !writer.failed && !writer.mapped;
        *known_all && ends_well && writer.description.is_some() && !again
    });
    candidates.filter_map(|(index, _)| whole(index, acts)).collect()
}

fn whole(writer: usize, acts: &[Act<'_>]) -> Option<Whole> {
    let mut own: Vec<&Change> =
        acts.iter().filter(|act| act.writer == writer).map(|act| act.change).collect();
    in_order_of_effect(&mut own);
    let (from, size) = document(&own)?;
    let (first, last) = (own.get(from)?.span, own.last()?.span);
    // If the file was longer than the document, it was whole only once somebody had cut it to just that length.
    let cut = |act: &Act<'_>| {
        act.writer != writer && act.change.truncates == Some(size) && act.change.span.end >= last.start
    };
    if own.last()?.size_after.is_some_and(|left| left != size) && !acts.iter().any(cut) {
        return None;
    }
    let mut steps = Vec::new();
    for act in acts {
        let span = act.change.span;
        let own = act.writer == writer;
        let may_precede = own || span.start <= first.end;
        let may_follow = !own && span.end >= last.start;
        let Some(range) = act.range else { continue };
        if !may_precede && !may_follow {
            return None;
        }
        steps.push(Step { span, range, may_precede, may_follow });
    }
    Some(Whole { size, steps })
}

/// Of two writes that met, the one that begins first in the file came first: processes that share a description write one
/// after the other, each where the other ended.
fn in_order_of_effect(own: &mut [&Change]) {
    for end in 1..own.len() {
        for index in (1..=end).rev() {
            let (Some(before), Some(after)) = (own.get(index - 1), own.get(index)) else { return };
            let shared = before.is_write() && after.is_write() && before.span.meets(after.span);
            if !shared || after.offset.is_none() || after.offset >= before.offset {
                break;
            }
            own.swap(index - 1, index);
        }
    }
}

/// Where the writing from offset 0 to the end begins among a description's operations, and how long it became. What a
/// truncation added has to be written over.
fn document(own: &[&Change]) -> Option<(usize, u64)> {
    // From which operation on, how far it is written without a gap, and how long it is.
    let mut found: Option<(usize, u64, u64)> = None;
    let mut before: Option<&Change> = None;
    for (index, change) in own.iter().enumerate() {
        if before.is_some_and(|before| before.span.meets(change.span) && !may_meet(before, change)) {
            return None;
        }
        before = Some(change);
        found = match (change.truncates, change.offset, change.end(), found) {
            (Some(to), .., Some((from, written, _))) if to > 0 => Some((from, written.min(to), to)),
            (Some(_), ..) => None,
            (None, Some(0), Some(end), None) if change.is_write() => Some((index, end, end)),
            (None, Some(offset), Some(end), Some((from, written, size)))
                if change.is_write() && offset <= written =>
            {
                Some((from, written.max(end), size.max(end)))
            }
            (None, ..) if change.is_write() => None,
            (None, ..) => found,
        };
    }
    found.filter(|(_, written, size)| written == size).map(|(from, _, size)| (from, size))
}

/// True when two operations of one description leave the same, whichever came first: two processes that share it write
/// one behind the other's end, or one cuts nothing of what the other writes.
fn may_meet(before: &Change, after: &Change) -> bool {
    let cuts_nothing = |cut: &Change, write: &Change| {
        write.is_write() && write.end().is_some_and(|end| cut.truncates.is_some_and(|to| to >= end))
    };
    let behind =
        before.is_write() && after.is_write() && before.end().is_some() && before.end() == after.offset;
    behind || cuts_nothing(before, after) || cuts_nothing(after, before)
}

impl Whole {
    /// True when all that the pass got can be this document.
    pub(super) fn admits(&self, pass: &Pass) -> bool {
        // What a pass without bytes met was the end of what was there at that time.
        let got_bytes = pass.calls.iter().any(|call| call.returned > 0);
        let begun = pass.calls.first().map_or(BootNanos(0), |call| call.span.start);
        let in_order = self.steps.iter().all(|step| {
            let meets = |(from, to): (u64, u64)| step.range.0 < to && from < step.range.1;
            let mut calls = pass.calls.iter().filter(|call| call.range().is_some_and(meets));
            let follows = |call: &super::reads::Call| step.span.is_before(call.span);
            let precedes = |call: &super::reads::Call| call.span.is_before(step.span);
            (step.may_precede || got_bytes || step.span.end >= begun)
                && calls
                    .all(|call| (step.may_precede || !follows(call)) && (step.may_follow || !precedes(call)))
        });
        in_order
            && (0..pass.calls.len())
                .all(|index| pass.length(index).is_none_or(|length| length.admits(self.size)))
    }
}
