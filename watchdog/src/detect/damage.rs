//! Damaged reads: who read a version that is damaged at rest.
//!
//! Content is at rest from the return of the last modification until the next one is entered. A description whose last
//! pass lies within that time got this content and nothing else. If the agent found it damaged, the description got a
//! damaged version, and that is reported once: when it is released or has met the end, at the latest a minute after its
//! last call. While the session is open, a writer that goes on would make it torn, so it waits for the session's end, or
//! that minute.

use std::sync::Arc;

use super::description::Description;
use super::engine::Engine;
use super::exits::Waiting;
use super::file::File;
use super::limits::nanos;
use super::reads::Call;
use super::rest::Rest;
use super::session::Ending;
use super::table::Slot;
use crate::model::{BootNanos, Content, Damage, DamagedReadReport, Follows, Output, Span, Verdict};

/// What is to be done about one reader of a damaged content.
enum Finding {
    Nothing,
    Report,
    /// Not before this time.
    Wait(BootNanos),
}

impl Engine {
    /// The agent judged the content of a file that nobody has modified since.
    pub(super) fn note_rest(&mut self, slot: Slot, content: Content, size: u64, read: Span) {
        let by = self.last_actor(slot);
        let Some(file) = self.files.get_mut(slot) else { return };
        let Content::Damaged(damage) = content else {
            file.rest = None;
            return;
        };
        // What was unchanged since it was judged is so since then.
        let mapped = file.sessions().flat_map(|session| &session.writers).filter(|writer| writer.mapped);
        let stored = mapped.map(|writer| writer.busy.end).max().unwrap_or_default();
        let last = file.writing.last.max(file.unjudged).max(stored);
        let since = if last > BootNanos(0) { last } else { file.seen.min(read.start) };
        let Some(place) = file.state().cloned() else { return };
        let (since, by) = file.rest.as_ref().map_or((since, by), |rest| (rest.since, rest.by));
        file.rest = Some(Arc::new(Rest { damage, size, since, until: None, by, place }));
    }

    /// The agent's reading of a damaged content arrives when the next session has changed it: who read it before that got it
    /// all the same.
    pub(super) fn judge_late(
        &mut self,
        slot: Slot,
        (damage, size): (Damage, u64),
        read: Span,
        out: &mut Vec<Output>,
    ) {
        let Some(file) = self.files.get(slot) else { return };
        let Some(rest) = left_before(file, damage, size, read) else { return };
        for reader in self.readers_since(slot, rest.since) {
            self.judge_reader_of(slot, reader, &rest, out);
        }
    }

    /// Reports the readers of a damaged content for whom it is certain.
    pub(super) fn judge_damage(&mut self, slot: Slot, out: &mut Vec<Output>) {
        let Some(rest) = self.files.get(slot).and_then(|file| file.rest.clone()) else { return };
        for reader in self.readers_since(slot, rest.since) {
            self.judge_reader_of(slot, reader, &rest, out);
        }
    }

    /// Reports one of them.
    pub(super) fn judge_damaged_reader(&mut self, slot: Slot, reader: Slot, out: &mut Vec<Output>) {
        if let Some(rest) = self.files.get(slot).and_then(|file| file.rest.clone()) {
            self.judge_reader_of(slot, reader, &rest, out);
        }
    }

    fn judge_reader_of(&mut self, slot: Slot, reader: Slot, rest: &Rest, out: &mut Vec<Output>) {
        let (now, longest) = (self.now, nanos(self.limits.session_deadline));
        let Some(file) = self.files.get(slot) else { return };
        let Some(description) = self.descriptions.get(reader) else { return };
        if self.lost_since(description.known, description.opened.start) {
            return;
        }
        match finding(description, rest, file, now, longest) {
            Finding::Nothing => return,
            Finding::Wait(due) => return self.wake_file(slot, due),
            Finding::Report => {}
        }
        let report = report(description, rest, now);
        let waiting = Waiting {
            place: Arc::clone(&report.place),
            open: report.open,
            reader: report.reader,
            follows: Follows::Damaged,
            alive: description.opened.start,
            until: now.plus(nanos(self.limits.exit_wait)),
        };
        if let Some(description) = self.descriptions.get_mut(reader) {
            description.damaged = true;
        }
        out.push(Output::DamagedRead(Box::new(report)));
        self.ask_exit(waiting, out);
    }
}

/// Finds what an ended session had left when the agent read the file, although a later session has changed that since.
/// `None` when it is not certain that the reading met nothing else.
fn left_before(file: &File, damage: Damage, size: u64, read: Span) -> Option<Rest> {
    let mut pairs = file.sessions().zip(file.sessions().skip(1));
    let (left, next) = pairs.find(|(left, next)| left.last_event < read.start && read.end < next.start)?;
    let mapped = left.writers.iter().any(|writer| writer.mapped);
    let aside = left.last_event < file.unjudged && file.unjudged < next.start;
    if left.ending != Ending::Release || left.size_after != Some(size) || mapped || aside {
        return None;
    }
    let last = left.changes.iter().max_by_key(|change| change.span.end)?;
    let (since, until, place) = (left.last_event, Some(next.start), Arc::clone(&left.place));
    Some(Rest { damage, size, since, until, by: last.actor, place })
}

fn finding(description: &Description, rest: &Rest, file: &File, now: BootNanos, longest: u64) -> Finding {
    let torn = description.torn || description.verdict == Some(Verdict::Torn);
    if !description.is_reader() || description.damaged || description.distrusted || torn {
        return Finding::Nothing;
    }
    let Some(pass) = description.passes.last() else { return Finding::Nothing };
    let calls = &pass.calls;
    // Whether it got this content, its lengths say, as with any version.
    let fits = |index| pass.length(index).is_none_or(|length| length.admits(rest.size));
    let other = |size: Option<u64>| size.is_some_and(|size| size != rest.size);
    let disturbed = calls.iter().any(|call| other(call.size_before) || other(call.size));
    if disturbed || !(0..calls.len()).all(fits) {
        return Finding::Nothing;
    }
    let in_time = |call: &Call| rest.until.is_none_or(|until| call.span.end < until);
    let read = |call: &Call| call.requested > 0 && call.span.start > rest.since && in_time(call);
    let Some(last) = calls.last().filter(|_| calls.iter().all(read)) else { return Finding::Nothing };
    let due = last.span.end.plus(longest);
    // Behind a short read it may go on.
    let is_over = description.released.is_some() || last.is_end_of_file();
    match rest.until {
        None if due <= now || is_over && file.current.is_none() => Finding::Report,
        None => Finding::Wait(due),
        // What it reads later is another content.
        Some(_) if is_over => Finding::Report,
        Some(_) => Finding::Nothing,
    }
}

fn report(description: &Description, rest: &Rest, now: BootNanos) -> DamagedReadReport {
    let last = description.passes.last().and_then(|pass| pass.calls.last());
    DamagedReadReport {
        place: Arc::clone(&rest.place),
        inode: description.inode,
        open: description.id,
        reader: description.reader.unwrap_or(description.opener),
        damage: rest.damage,
        since: rest.since,
        by: rest.by,
        read: last.map(Call::report),
        read_calls: description.read_calls,
        bytes: description.bytes,
        size: rest.size,
        judged: now,
    }
}
