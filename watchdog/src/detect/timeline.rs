//! Which complete versions of a file the bytes of a pass can have come from.

use super::reads::{Length, Pass};
use super::session::{Change, Ending, Session, Writer};
use super::wholes::{self, Act, Whole};
use crate::model::{BootNanos, Operation, Span};

/// More writers than this around one description, and nothing is proved about it.
const WRITERS: usize = 128;
/// More writers than this whose order among themselves is open, and nothing is proved either.
const FREE: usize = 4;

/// The versions of a file around some of its sessions, and the modifying operations between them.
///
/// A version is the content at a moment at which no writer was at work: each had finished its last operation or not
/// begun its first. So it is the set of writers that had finished. Operations are intervals, and what counts is what
/// is possible: a writer may have finished from the entry of its last operation on, and may not have begun until the
/// return of its first.
#[derive(Debug)]
pub(super) struct Timeline {
    /// `None` when there is too much to tell apart.
    versions: Option<Vec<Version>>,
    /// Documents that one description wrote alone while others were at work.
    wholes: Vec<Whole>,
    steps: Vec<Step>,
    /// When each writer had begun for certain.
    begun: Vec<BootNanos>,
    /// The writers that every version has in it: those that created the file, and those that had long finished.
    finished: Set,
    /// Those of them that had long finished.
    over: Set,
    /// The writers that no version has in it.
    unbegun: Set,
}

type Set = u128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    writers: Set,
    size: Option<u64>,
    /// It is at least that long.
    least: u64,
    /// Or it is as long as its last write made it, if somebody saw it so before that returned.
    written: Option<(u64, BootNanos)>,
}

#[derive(Debug)]
struct Step {
    span: Span,
    range: (u64, u64),
    writer: Set,
}

/// A writer with what it did.
#[derive(Debug)]
struct Worker<'a> {
    writer: &'a Writer,
    /// When it had begun for certain.
    begun: BootNanos,
    /// When it had not finished for certain.
    unfinished: BootNanos,
    /// Its last operation may have changed nothing, so that it may have finished before.
    ends_unsure: bool,
    changes: Vec<&'a Change>,
    /// `changes` is all that it did.
    known_all: bool,
}

/// What a session is to the reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The reader was open in it.
    Touched,
    /// It was over before.
    Before,
    /// It began afterwards.
    After,
}

impl Timeline {
    /// The versions around `sessions`, in their order. Those that the reader did not touch are there because their writers
    /// may have been at work together with those of the others. `void` says of a session that has ended that what it left
    /// is no version.
    pub(super) fn new(sessions: &[(&Session, Part)], void: impl Fn(&Session) -> bool) -> Self {
        let mut workers: Vec<Worker<'_>> = Vec::new();
        let mut steps = Vec::new();
        let mut acts = Vec::new();
        let mut voids: Vec<(Set, usize)> = Vec::new();
        let (mut finished, mut unbegun, mut over): (Set, Set, Set) = (0, 0, 0);
        for (session, part) in sessions {
            let first = workers.len();
            for writer in &session.writers {
                let set = single(workers.len());
                match part {
                    Part::Touched if writer.creates => finished |= set,
                    Part::Touched => {}
                    Part::Before => {
                        finished |= set;
                        over |= if writer.creates { 0 } else { set };
                    }
                    Part::After => unbegun |= set,
                }
                let known_all = session.change_count == session.changes.len() as u64;
                // What is stored through a mapping after a new save has begun belongs to that one.
                let unfinished = match session.ending {
                    Ending::NewSave(save) => writer.unfinished.min(save.start),
                    _ => writer.unfinished,
                };
                // Once all that it did has returned, a writer that may have changed nothing has finished as well.
                workers.push(Worker {
                    writer,
                    begun: writer.busy.end,
                    unfinished,
                    ends_unsure: false,
                    changes: Vec::new(),
                    known_all,
                });
            }
            for change in &session.changes {
                let index = first + change.writer;
                let certain = changes_for_certain(change, sessions);
                if let Some(worker) = workers.get_mut(index) {
                    worker.changes.push(change);
                    worker.begun = if certain { worker.begun.min(change.span.end) } else { worker.begun };
                }
                let range = certain_range(change, sessions).filter(|_| certain);
                if let Some(range) = range {
                    steps.push(Step { span: change.span, range, writer: single(index) });
                }
                acts.push(Act { change, writer: index, range });
            }
            if void(session) {
                let own = (first..workers.len()).fold(0, |own, index| own | single(index));
                voids.push((own, workers.len()));
            }
        }
        let writers: Vec<(&Writer, bool)> =
            workers.iter().map(|worker| (worker.writer, worker.known_all)).collect();
        let wholes = wholes::find(&writers, &acts);
        for worker in workers.iter_mut().filter(|worker| worker.known_all && !worker.writer.mapped) {
            worker.find_end(sessions);
        }
        let last_size = sessions.last().and_then(|(session, _)| session.size_after);
        let begun = workers.iter().map(|worker| worker.begun).collect();
        let mut versions = versions(&workers, last_size);
        for (own, next) in voids {
            // It was there until one of a later session had finished.
            let later = (next..workers.len()).fold(0, |later, index| later | single(index));
            // No more than that is an empty one that some of its writers left.
            let left = |version: &Version| {
                let emptied = version.size == Some(0) && version.writers & own != 0;
                (version.writers & own == own || emptied) && version.writers & later == 0
            };
            if let Some(versions) = &mut versions {
                versions.retain(|version| !left(version));
            }
        }
        Self { versions, wholes, steps, begun, finished, over, unbegun }
    }

    /// True when all that the pass got can be one complete version.
    pub(super) fn admits(&self, pass: &Pass) -> bool {
        let Some(versions) = &self.versions else { return true };
        let (with, without) = self.order(pass);
        versions.iter().any(|version| {
            version.writers & with == with
                && version.writers & without == 0
                && (0..pass.calls.len()).all(|index| version.size_admits(pass, index))
        }) || self.wholes.iter().any(|whole| whole.admits(pass))
    }

    /// The call that shows best why no version admits the pass: the last whose length no version has.
    pub(super) fn witness(&self, pass: &Pass) -> Option<usize> {
        let versions = self.versions.as_ref()?;
        (0..pass.calls.len()).rev().find(|&index| {
            let possible = |version: &&Version| {
                version.writers & self.finished == self.finished && version.writers & self.unbegun == 0
            };
            !versions.iter().filter(possible).any(|version| version.size_admits(pass, index))
        })
    }

    /// The writers that a version must have in it, and those that it must not, for the order of calls and operations
    /// on the same bytes, and for when the pass began.
    fn order(&self, pass: &Pass) -> (Set, Set) {
        // A pass without bytes shows a length alone. The version before a writer that had begun before the first call was
        // gone by then. Bytes show by themselves whether that content came back.
        let got_bytes = pass.calls.iter().any(|call| call.returned > 0);
        let gone = if got_bytes { self.finished & !self.over } else { self.finished };
        let (mut with, mut without) = (gone, self.unbegun);
        if let Some(first) = pass.calls.first().filter(|_| !got_bytes) {
            let begun = self.begun.iter().enumerate().filter(|(_, begun)| **begun < first.span.start);
            with = begun.fold(with, |with, (writer, _)| with | single(writer));
        }
        for call in &pass.calls {
            let Some((from, to)) = call.range() else { continue };
            for step in self.steps.iter().filter(|step| step.range.0 < to && from < step.range.1) {
                if step.span.is_before(call.span) {
                    with |= step.writer;
                } else if call.span.is_before(step.span) {
                    without |= step.writer;
                }
            }
        }
        (with, without)
    }
}

/// False for a mapping, through which nothing need have been stored, and for a truncation that may have found the file
/// just that long already.
fn changes_for_certain(change: &Change, sessions: &[(&Session, Part)]) -> bool {
    let Some(to) = change.truncates else { return change.operation != Operation::Mmap };
    let may_come_to = |other: &Change| match other.truncates {
        Some(size) => size == to,
        None if other.operation == Operation::Create => to == 0,
        None => {
            change.size_before.is_some_and(|before| before < to) && other.end().is_none_or(|end| end >= to)
        }
    };
    change.range.is_some()
        && change.size_before != Some(to)
        && sessions
            .iter()
            .flat_map(|(session, _)| &session.changes)
            .all(|other| std::ptr::eq(other, change) || !may_come_to(other) || !other.span.meets(change.span))
}

/// The bytes that a change certainly changed. The size that it found at its entry counts only if nobody else can have
/// changed it by then.
fn certain_range(change: &Change, sessions: &[(&Session, Part)]) -> Option<(u64, u64)> {
    let (from, to) = change.range?;
    let met = sessions
        .iter()
        .flat_map(|(session, _)| &session.changes)
        .any(|other| !std::ptr::eq(other, change) && other.span.meets(change.span));
    let own = change.truncates.or(change.offset).filter(|_| met);
    Some((own.unwrap_or(from), to))
}

impl Version {
    fn size_admits(&self, pass: &Pass, index: usize) -> bool {
        match (pass.length(index), self.size) {
            (Some(length), Some(size)) => {
                let call = pass.calls.get(index);
                let seen = |size, until| call.is_some_and(|call| call.saw(size) && call.span.start < until);
                let written = |(size, until)| length.admits(size) && seen(size, until);
                length.admits(size) || self.written.is_some_and(written)
            }
            (Some(Length::Exactly(length) | Length::AtMost(length)), None) => length >= self.least,
            _ => true,
        }
    }
}

/// A set of one writer; of none for one too many, whose versions are not told apart anyway.
fn single(writer: usize) -> Set {
    u32::try_from(writer).ok().and_then(|writer| Set::checked_shl(1, writer)).unwrap_or_default()
}

/// All versions that are possible.
fn versions(workers: &[Worker<'_>], last_size: Option<u64>) -> Option<Vec<Version>> {
    if workers.len() > WRITERS {
        return None;
    }
    // What is possible changes only where a first operation returns or a last one is entered.
    let moments = workers.iter().flat_map(|worker| [worker.begun, worker.unfinished]);
    let mut moments: Vec<BootNanos> = moments.chain([BootNanos(0), BootNanos(u64::MAX)]).collect();
    moments.sort_unstable();
    moments.dedup();
    let mut versions: Vec<Version> = Vec::new();
    for at in moments {
        let (mut finished, mut free, mut busy) = (0, Vec::new(), false);
        for (index, worker) in workers.iter().enumerate() {
            match (worker.begun < at, worker.unfinished > at) {
                (true, true) => busy = true,
                (true, false) => finished |= single(index),
                (false, true) => {}
                (false, false) => free.push(single(index)),
            }
        }
        if busy {
            continue;
        }
        if free.len() > FREE {
            return None;
        }
        for choice in 0..1_usize << free.len() {
            let chosen = free.iter().enumerate().filter(|(bit, _)| choice >> bit & 1 == 1);
            let set = chosen.fold(finished, |set, (_, worker)| set | worker);
            if versions.iter().all(|version| version.writers != set) {
                versions.push(Version {
                    writers: set,
                    size: size(workers, set, last_size),
                    least: least(workers, set),
                    written: written(workers, set),
                });
            }
        }
    }
    Some(versions)
}

/// The size of the version that has `set` in it, when it is known: what its last operation made of it, or as the last
/// of them left it or as the first of the others found it, if nobody else can have changed it by then.
fn size(workers: &[Worker<'_>], set: Set, last_size: Option<u64>) -> Option<u64> {
    let of = |wanted: bool| {
        let all = workers.iter().enumerate();
        all.filter(move |(index, _)| (set & single(*index) != 0) == wanted).map(|(_, worker)| worker)
    };
    let found = of(false).map(|worker| worker.writer).min_by_key(|writer| writer.busy.start);
    let Some(worker) = of(true).max_by_key(|worker| worker.writer.busy.end) else {
        return found?.size_before;
    };
    let left = worker.writer;
    let meets_aside = worker.last().is_some_and(|last| !last.alone);
    if worker.ends_unsure || meets_aside {
        return None;
    }
    let others = || of(true).map(|worker| worker.writer).filter(|other| !std::ptr::eq(*other, left));
    let meets_last = |span: Span| span.meets(left.last);
    let met = !worker.known_all
        || worker.changes.iter().filter(|change| meets_last(change.span)).count() > 1
        || others().any(|other| meets_last(other.busy));
    if !met && let Some(size) = worker.last_size() {
        return Some(size);
    }
    let last = others().all(|other| other.busy.end < left.busy.end || other.size_after == left.size_after);
    let size = if found.is_none() { left.size_after.or(last_size) } else { left.size_after };
    // A size that is someone else's doing is right if it is that of one of the set.
    size.filter(|size| {
        last && (met || !left.disturbed) && of(false).all(|other| other.leaves_alone(left, *size))
    })
    .or_else(|| {
        let found = found?;
        (left.busy.end < found.busy.start).then_some(found.size_before)?
    })
}

/// Where the write ended that returned last, when it met a truncation of the set: that cut the file first, if the file was
/// seen to be that long. That it was found to have another size in the end may be the doing of somebody not known yet.
fn written(workers: &[Worker<'_>], set: Set) -> Option<(u64, BootNanos)> {
    let within = || workers.iter().enumerate().filter(|(index, _)| set & single(*index) != 0);
    let (_, worker) = within().max_by_key(|(_, worker)| worker.writer.busy.end)?;
    let last = worker.last()?;
    let end = last.end().filter(|end| last.cuts().is_none() && last.size_before > Some(*end))?;
    let changes = || within().flat_map(|(_, worker)| &worker.changes);
    let longer =
        |cut: &Change| changes().any(|other| other.end() > Some(end) && cut.span.is_before(other.span));
    let meets = |change: &Change| change.span.meets(last.span);
    changes().any(|cut| cut.truncates.is_some() && meets(cut) && !longer(cut)).then_some((end, last.span.end))
}

/// At least how long the version is that has `set` in it, when a truncation returned last: nothing that met it cut more.
fn least(workers: &[Worker<'_>], set: Set) -> u64 {
    let within = workers.iter().enumerate().filter(|(index, _)| set & single(*index) != 0);
    let Some((_, worker)) = within.max_by_key(|(_, worker)| worker.writer.busy.end) else { return 0 };
    let Some((last, to)) = worker.last().and_then(|last| Some((last, last.truncates?))) else { return 0 };
    let meets = |change: &Change| change.span.meets(last.span);
    let outside = workers.iter().enumerate().filter(|(index, _)| set & single(*index) == 0);
    // If it found the file just that long, others may have made it so after the version.
    let unsure =
        worker.ends_unsure && outside.flat_map(|(_, worker)| &worker.changes).any(|change| meets(change));
    if unsure || !last.alone || !workers.iter().all(|worker| worker.known_all) {
        return 0;
    }
    let met = workers.iter().flat_map(|worker| &worker.changes).filter(|change| meets(change));
    met.filter_map(|change| change.cuts()).fold(to, u64::min)
}

impl<'a> Worker<'a> {
    /// The operation that returned last, as far as it is known.
    fn last(&self) -> Option<&'a Change> {
        self.changes.iter().copied().find(|change| change.span == self.writer.last)
    }

    /// A truncation that may have found nothing to cut off need not be waited for.
    fn find_end(&mut self, sessions: &[(&Session, Part)]) {
        let counts = |change: &&&Change| change.truncates.is_none() || changes_for_certain(change, sessions);
        let started = self.changes.iter().filter(counts).map(|change| change.span.start).max();
        let last = self.changes.iter().max_by_key(|change| change.span.end);
        self.ends_unsure = started.is_some() && last.is_some_and(|last| !counts(&last));
        self.unfinished = started.unwrap_or(self.writer.busy.start);
    }

    /// What its last operation made of the size that it found, if nobody of the version met it. Whoever else was under
    /// way then comes after the version.
    fn last_size(&self) -> Option<u64> {
        let last = self.last().filter(|last| last.alone)?;
        match last.truncates {
            Some(to) => Some(to),
            None if last.cuts().is_some() => None,
            None => Some(last.size_before?.max(last.end()?)),
        }
    }

    /// True when this one, which begins after the version that `left` finished, cannot have had a part in the `size`
    /// that was seen at that one's last return. Of what it did by then, only what did not return before that one's
    /// last operation can have come after the version; and a truncation shows itself by the size that it sets.
    fn leaves_alone(&self, left: &Writer, size: u64) -> bool {
        self.writer.busy.start > left.busy.end
            || self.known_all
                && self.changes.iter().all(|change| {
                    change.span.end < left.unfinished
                        || change.span.start > left.busy.end
                        || change.truncates.is_some_and(|to| to != size)
                })
    }
}
