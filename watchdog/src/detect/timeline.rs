//! Which complete versions of a file the bytes of a pass can have come from.

use super::reads::Pass;
use super::session::{Session, Writer};
use crate::model::{BootNanos, Span};

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
    steps: Vec<Step>,
    /// The writers that every version has in it: those that created the file, and those that had long finished.
    finished: Set,
    /// The writers that no version has in it.
    unbegun: Set,
}

type Set = u128;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    writers: Set,
    size: Option<u64>,
}

#[derive(Debug)]
struct Step {
    span: Span,
    range: (u64, u64),
    writer: Set,
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
    /// The versions around `sessions`. Those that the reader did not touch are there because their writers may have
    /// been at work together with those of the others.
    pub(super) fn new(sessions: &[(&Session, Part)]) -> Self {
        let mut writers: Vec<&Writer> = Vec::new();
        let mut steps = Vec::new();
        let (mut finished, mut unbegun): (Set, Set) = (0, 0);
        for (session, part) in sessions {
            let first = writers.len();
            for writer in &session.writers {
                let set = single(writers.len());
                match part {
                    Part::Touched if writer.creates => finished |= set,
                    Part::Touched => {}
                    Part::Before => finished |= set,
                    Part::After => unbegun |= set,
                }
                writers.push(writer);
            }
            steps.extend(session.changes.iter().filter_map(|change| {
                let writer = single(first + change.writer);
                Some(Step { span: change.span, range: change.range?, writer })
            }));
        }
        let last_size = sessions.last().and_then(|(session, _)| session.size_after);
        Self { versions: versions(&writers, last_size), steps, finished, unbegun }
    }

    /// True when all that the pass got can be one complete version.
    pub(super) fn admits(&self, pass: &Pass) -> bool {
        let Some(versions) = &self.versions else { return true };
        let (with, without) = self.order(pass);
        versions.iter().any(|version| {
            version.writers & with == with
                && version.writers & without == 0
                && (0..pass.calls.len()).all(|index| version.size_admits(pass, index))
        })
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
    /// on the same bytes.
    fn order(&self, pass: &Pass) -> (Set, Set) {
        let (mut with, mut without) = (self.finished, self.unbegun);
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

impl Version {
    fn size_admits(&self, pass: &Pass, index: usize) -> bool {
        match (pass.length(index), self.size) {
            (Some(length), Some(size)) => length.admits(size),
            _ => true,
        }
    }
}

/// A set of one writer; of none for one too many, whose versions are not told apart anyway.
fn single(writer: usize) -> Set {
    u32::try_from(writer).ok().and_then(|writer| Set::checked_shl(1, writer)).unwrap_or_default()
}

/// All versions that are possible.
fn versions(writers: &[&Writer], last_size: Option<u64>) -> Option<Vec<Version>> {
    if writers.len() > WRITERS {
        return None;
    }
    // What is possible changes only where a first operation returns or a last one is entered.
    let moments = writers.iter().flat_map(|writer| [writer.begun, writer.unfinished]);
    let mut moments: Vec<BootNanos> = moments.chain([BootNanos(0), BootNanos(u64::MAX)]).collect();
    moments.sort_unstable();
    moments.dedup();
    let mut versions: Vec<Version> = Vec::new();
    for at in moments {
        let (mut finished, mut free) = (0, Vec::new());
        let mut busy = false;
        for (index, writer) in writers.iter().enumerate() {
            match (writer.begun < at, writer.unfinished > at) {
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
            let set = chosen.fold(finished, |set, (_, writer)| set | writer);
            if versions.iter().all(|version| version.writers != set) {
                versions.push(Version { writers: set, size: size(writers, set, last_size) });
            }
        }
    }
    Some(versions)
}

/// The size of the version that has `set` in it, when it is known: as the last of them left it or as the first of the
/// others found it, if nobody else can have changed it by then.
fn size(writers: &[&Writer], set: Set, last_size: Option<u64>) -> Option<u64> {
    let inside = |index: usize| set & single(index) != 0;
    let of =
        |wanted: bool| writers.iter().enumerate().filter(move |(i, _)| inside(*i) == wanted).map(|(_, w)| *w);
    let left = of(true).max_by_key(|writer| writer.busy.end);
    let found = of(false).min_by_key(|writer| writer.busy.start);
    let Some(left) = left else { return found?.size_before };
    let alone = of(true).all(|other| {
        std::ptr::eq(other, left) || other.busy.end < left.busy.end || other.size_after == left.size_after
    });
    let size = if found.is_none() { left.size_after.or(last_size) } else { left.size_after };
    let size = size.filter(|_| !left.disturbed);
    let untouched = |size: u64| {
        of(false).all(|other| {
            // A truncation that was still under way shows itself by the size that it leaves.
            other.busy.start > left.busy.end
                || other.begun >= left.busy.end && other.truncates.is_some_and(|to| to != size)
        })
    };
    size.filter(|size| alone && untouched(*size)).or_else(|| {
        let found = found?;
        (left.busy.end < found.busy.start).then_some(found.size_before)?
    })
}
