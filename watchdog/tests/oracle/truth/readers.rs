//! What each description read, in passes, and what is to be concluded of it.

use std::collections::BTreeMap;

use watchdog::model::{EventOperation as Operation, OpenId, Pid, UNKNOWN_LENGTH, Verdict};

use super::changes::{Change, Facts, is_end, overlap};
use super::damaged;
use super::session::Session;
use super::sessions::{QUIET, Sessions, here};
use super::torn::torn;
use super::versions::{State, states};

/// What one description did in one pass, by the numbers of its events.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reader {
    pub(crate) inode: u64,
    pub(crate) opened: u64,
    pub(crate) reads: Vec<usize>,
    pub(crate) mapped: Option<u64>,
    pub(crate) released: Option<(u64, usize)>,
    /// It modified the file, too.
    pub(crate) modified: bool,
    pub(crate) reads_allowed: bool,
    /// Who called it, in any way.
    pub(crate) pids: Vec<Pid>,
}

/// What is to be concluded of one description.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) id: OpenId,
    /// The verdict, where the definitions leave one only; `Some(None)` is no verdict.
    pub(crate) verdict: Option<Option<Verdict>>,
    /// Some order of what happened makes it torn.
    pub(crate) may_be_torn: bool,
    /// Its bytes are those of one complete version of its time, which could be known of since then: since the operation
    /// that made it returned, or at once if somebody saw the file of that size.
    pub(crate) got_a_version: Option<u64>,
    /// Its bytes are those of no version, no call of it met an operation, and no two writers' operations met.
    pub(crate) certainly_torn: bool,
    /// When the last session that it touched had ended and it was released.
    pub(crate) due: Option<u64>,
    pub(crate) damaged: damaged::Expected,
    pub(crate) passes: usize,
    /// It modified the file, too.
    pub(crate) modified: bool,
    /// How many sessions it touched, or came soon after.
    pub(crate) touched: usize,
    /// A call of it met an operation that returned after the sessions that it touched had ended.
    pub(crate) met_unknown: bool,
    /// Its calls have no order, and are more than the engine has to remember then.
    pub(crate) without_order: bool,
}

/// What is to be concluded of all that read.
pub(crate) fn judge(facts: &Facts<'_>, sessions: &Sessions) -> Vec<Judged> {
    let mut judged = Vec::new();
    let mut known: BTreeMap<u64, Vec<State<'_>>> = BTreeMap::new();
    for (id, reader) in descriptions(facts, &sessions.all) {
        if !reader.reads_allowed {
            continue;
        }
        let clear = !sessions.unclear.contains(&reader.inode);
        let states =
            known.entry(reader.inode).or_insert_with(|| states(facts, &sessions.all, reader.inode, clear));
        let mut one = judge_reader(facts, (&sessions.all, clear), states, id, &reader);
        if !clear || !facts.played.sizes_shown {
            one.verdict = None;
            one.may_be_torn = true;
            one.certainly_torn = false;
            one.due = None;
            one.damaged.must = None;
        }
        judged.push(one);
    }
    judged
}

fn descriptions(facts: &Facts<'_>, sessions: &[Session]) -> BTreeMap<OpenId, Reader> {
    let mut readers: BTreeMap<OpenId, Reader> = BTreeMap::new();
    for number in 0..facts.events.len() {
        let event = facts.event(number);
        let mut by = |id: &OpenId| {
            let pids = &mut readers.entry(*id).or_default().pids;
            if event.actor.is_known() && !pids.contains(&event.actor.pid) {
                pids.push(event.actor.pid);
            }
        };
        match &event.operation {
            Operation::Open { id, inode, access, created, truncated, .. } => {
                by(id);
                let reader = readers.entry(*id).or_default();
                reader.modified = *created || *truncated;
                reader.inode = inode.ino;
                reader.opened = event.span.end.0;
                reader.reads_allowed = access.read;
            }
            Operation::Read { id, .. } => {
                by(id);
                readers.entry(*id).or_default().reads.push(number);
            }
            Operation::Map { id, .. } => {
                by(id);
                readers.entry(*id).or_default().mapped.get_or_insert(event.span.start.0);
            }
            Operation::Release { id } => {
                let reader = readers.entry(*id).or_default();
                // Another process that holds it may read while a close is under way.
                let ends = reader.reads.iter().map(|read| facts.event(*read).span.end.0);
                let read = ends.max().unwrap_or(0).min(event.span.end.0);
                reader.released = Some((event.span.start.0.max(read), number));
            }
            _ => {}
        }
    }
    let changes = sessions.iter().flat_map(|session| &session.changes);
    for change in changes.filter(|change| change.kind != "rename") {
        if let Some(reader) = change.writer.0.and_then(|id| readers.get_mut(&id)) {
            reader.modified = true;
        }
    }
    readers
}

/// Each call goes on where the one before ended, and none comes after an end-of-file; else another pass begins. `None`
/// where the calls have no order.
fn passes(facts: &Facts<'_>, reader: &Reader) -> Option<Vec<Vec<usize>>> {
    let mut passes: Vec<Vec<usize>> = Vec::new();
    let (mut next, mut over, mut last) = (0, true, None);
    for read in &reader.reads {
        let event = facts.event(*read);
        let Operation::Read { offset: Some(offset), returned, .. } = &event.operation else {
            return None;
        };
        if last.is_some_and(|last| last >= event.span.start) {
            return None;
        }
        if over || *offset != next {
            // What it skipped, or read on after an end of the file, is no whole reading of a version.
            if *offset != 0 {
                return None;
            }
            passes.push(Vec::new());
        }
        passes.last_mut().unwrap().push(*read);
        next = offset + returned;
        over = is_end(event);
        last = Some(event.span.end);
    }
    Some(passes)
}

fn judge_reader(
    facts: &Facts<'_>,
    (sessions, clear): (&[Session], bool),
    states: &[State<'_>],
    id: OpenId,
    reader: &Reader,
) -> Judged {
    let here = here(sessions, reader.inode);
    let (released, release) = reader.released.unwrap_or((u64::MAX, usize::MAX));
    let touches = |session: &&&Session| {
        let (start, end) = session.window();
        reader.opened.max(start) <= released.max(reader.opened).min(end)
    };
    let touched: Vec<&Session> = here.iter().filter(touches).copied().collect();
    let passes = passes(facts, reader);
    let ordered = passes.is_some();
    let passes = passes.unwrap_or_default();
    let single_pass = passes.len() == 1 || reader.reads.is_empty();
    // What it did behind a window, before the end was certain, may get it a verdict, too.
    let reached = here.iter().filter(|session| {
        let end = session.end.map_or(u64::MAX, |end| end.at.saturating_add(QUIET));
        reader.opened.max(session.start()) <= released.max(reader.opened).min(end)
    });
    let mut judged = Judged {
        id,
        verdict: None,
        may_be_torn: true,
        got_a_version: None,
        certainly_torn: false,
        due: None,
        damaged: damaged::Expected::anything(),
        passes: passes.len(),
        modified: reader.modified,
        touched: reached.count(),
        met_unknown: false,
        without_order: !ordered && reader.reads.len() > 32,
    };
    if reader.modified {
        return judged;
    }
    // A release that is found late may be found after the verdict was due.
    let found = reader.released.map_or(u64::MAX, |(_, number)| facts.event(number).span.end.0);
    let seems_open = here.iter().any(|session| {
        let due = session.end.map_or(u64::MAX, |end| end.window.saturating_add(2 * damaged::SECOND));
        session.window().0 > released.max(reader.opened) && session.window().0 <= found && due <= found
    });
    if seems_open {
        return judged;
    }
    judged.damaged = damaged::expected(facts, &here, states, reader, single_pass);
    // An end-of-file alone is like that of any empty version, of whatever time.
    let got_bytes = |reads: &[usize]| reads.iter().any(|read| !facts.bytes(*read).is_empty());
    // What was the same before the first read, or came to be so after the last one, was no version when it was read.
    let reading = |reads: &[usize]| {
        let span = |read: &usize| facts.event(*read).span;
        (reads.first().map_or(0, |read| span(read).start.0), reads.last().map_or(0, |read| span(read).end.0))
    };
    let fits = |state: &State<'_>, reads: &[usize]| matches(facts, state, reads);
    let got = |reads: &Vec<usize>| {
        let (from, to) = reading(reads);
        let known = states
            .iter()
            .filter(|state| if clear { state.is_version } else { state.is_version_anyway })
            .filter(|state| state.since <= to && state.until >= from)
            .filter(|state| matches_if(facts, state, reads, &|_| true))
            .map(|state| known_since(facts, state));
        known.min().filter(|_| got_bytes(reads))
    };
    if touched.is_empty() {
        // What nobody could judge, or nobody has ended yet, may be no version for who read it meanwhile.
        let near = here.iter().any(|session| {
            session.start() <= released.max(reader.opened)
                && session.end.is_none_or(|end| reader.opened <= end.at)
        });
        let whole = ordered
            && passes.iter().all(|reads| {
                let (from, to) = reading(reads);
                let mut states = states.iter().filter(|state| state.since <= to && state.until >= from);
                states.any(|state| state.is_version && fits(state, reads))
            });
        let excluded = states.iter().filter(|state| state.is_excluded).any(|state| {
            // In which order its calls were is not known of one with no passes.
            !ordered || passes.iter().any(|reads| fits(state, reads))
        });
        if whole || !near && !excluded {
            judged.verdict = Some(None);
            judged.may_be_torn = false;
        }
        return judged;
    }
    let got: Vec<Option<u64>> = passes.iter().map(got).collect();
    judged.got_a_version = got.iter().all(Option::is_some).then(|| got.into_iter().flatten().max()).flatten();

    let changes = || here.iter().flat_map(|session| &session.changes);
    let meets = |read: &usize| changes().any(|change| overlap(change.span, facts.event(*read).span));
    let apart = changes()
        .all(|one| changes().all(|other| one.writer == other.writer || !overlap(one.span, other.span)));
    let mapped = here.iter().any(|session| session.is_mapped());
    let unjudged = is_modified_unjudged(facts, &here, &touched, reader.inode);
    let ended = touched.iter().all(|session| session.end.is_some());
    // After a minute, what is incomplete has become what is damaged.
    let first_read = reader.reads.first().map_or(u64::MAX, |read| facts.event(*read).span.end.0);
    let gone_on = |session: &&Session| {
        let mut later = session.changes.iter().filter(|change| change.span.start.0 > first_read);
        later.any(|change| change.span.end.0 < first_read + 59 * damaged::SECOND)
    };
    let stalled = touched.iter().any(|session| session.stalled && !gone_on(session));
    let provable = apart && !unjudged && !mapped && facts.played.sizes_shown && ended && !stalled;
    let nothing_fits =
        |reads: &Vec<usize>| !states.iter().any(|state| state.may_be_version && fits(state, reads));
    let met_end = reader.reads.last().is_some_and(|read| is_end(facts.event(*read)));
    judged.certainly_torn = single_pass
        && (met_end || reader.released.is_some())
        && reader.mapped.is_none()
        && !reader.reads.is_empty()
        && provable
        && passes.iter().all(nothing_fits)
        && reader.reads.iter().all(|read| !meets(read));
    // What was modified under no name that counts is in no session, and nothing is proved against it.
    if !single_pass || mapped || unjudged || !facts.played.sizes_shown || stalled {
        return judged;
    }
    if ended && release != usize::MAX {
        let ends = touched.iter().filter_map(|session| session.end);
        judged.due = ends.map(|end| end.at).max().map(|at| at.max(facts.event(release).span.end.0));
    }
    // What is no version although nobody is at work is not followed by what can be known.
    let near = |state: &State<'_>| {
        touched.iter().any(|session| session.window().0 <= state.until && state.since <= session.window().1)
    };
    if states.iter().any(|state| state.is_excluded && near(state)) {
        return judged;
    }
    // Of a call that asked for nobody knows how much, nothing says whether it met the end.
    let vague = reader.reads.iter().any(|read| facts.bytes(*read).is_empty() && !is_end(facts.event(*read)));
    if vague {
        return judged;
    }
    let (must, may) = torn(facts, &here, reader);
    let by_order = facts.changes_of(reader.inode);
    let loose = passes.iter().any(|reads| {
        states.iter().any(|state| {
            state.may_be_version && matches(facts, state, reads)
                || state.may_be_whole && fits_in_order(facts, &by_order, state, reads)
        })
    });
    judged.may_be_torn = may && judged.got_a_version.is_none();
    // A version that an operation makes which returns after the verdict is due cannot be known of then.
    let last_end = touched.iter().filter_map(|session| session.end).map(|end| end.at).max().unwrap_or(0);
    let unknown = |number: usize| facts.event(number).span.end.0 > last_end;
    judged.met_unknown = reader.reads.iter().any(|read| facts.changes_met(*read, reader.inode).any(unknown));
    if !ended {
        return judged;
    }
    if may {
        if must && !loose && apart {
            judged.verdict = Some(Some(Verdict::Torn));
        }
        return judged;
    }
    let in_window = |start: u64, end: u64| {
        touched.iter().any(|session| {
            let window = session.window();
            start <= window.1 && window.0 <= end
        })
    };
    let read = reader.reads.iter().any(|read| {
        let span = facts.event(*read).span;
        in_window(span.start.0, span.end.0)
    });
    let mapped = reader.mapped.is_some_and(|at| in_window(at, released));
    judged.verdict = Some(Some(if read || mapped { Verdict::Overlapping } else { Verdict::Exposed }));
    judged
}

/// Every byte and every length of this pass is the content's.
pub(crate) fn matches(facts: &Facts<'_>, state: &State<'_>, reads: &[usize]) -> bool {
    // Of how much was asked for nothing may be known, and then nothing shows an end of the file.
    let shown = |read: usize| is_end(facts.event(read));
    matches_if(facts, state, reads, &shown)
}

/// The same, when these of the calls that returned nothing met the end of the file.
fn matches_if(
    facts: &Facts<'_>,
    state: &State<'_>,
    reads: &[usize],
    met_end: &dyn Fn(usize) -> bool,
) -> bool {
    let content = state.content;
    reads.iter().enumerate().all(|(index, read)| {
        let Operation::Read { offset: Some(offset), requested, returned, .. } = &facts.event(*read).operation
        else {
            return false;
        };
        let (start, end) = (usize::try_from(*offset).unwrap(), usize::try_from(offset + returned).unwrap());
        let last = index + 1 == reads.len() || facts.bytes(reads[index + 1]).is_empty();
        let vague = *requested == UNKNOWN_LENGTH;
        let same = if *returned == 0 {
            content.len() <= start || !met_end(*read)
        } else {
            content.get(start..end) == Some(facts.bytes(*read).as_slice())
        };
        same && (*returned == 0 || returned == requested || vague || !last || content.len() == end)
    })
}

/// By the order of calls and changes alone, every byte of this pass may be the content's, and its lengths are.
fn fits_in_order(facts: &Facts<'_>, changes: &[Change], state: &State<'_>, reads: &[usize]) -> bool {
    let size = state.content.len() as u64;
    reads.iter().enumerate().all(|(index, read)| {
        let event = facts.event(*read);
        let Operation::Read { offset: Some(offset), requested, returned, .. } = &event.operation else {
            return false;
        };
        let end = offset + returned;
        let last = index + 1 == reads.len() || facts.bytes(reads[index + 1]).is_empty();
        let ends = last && *returned > 0 && returned < requested && *requested != UNKNOWN_LENGTH;
        let length = if is_end(event) { size <= *offset } else { size >= end && (!ends || size == end) };
        let touches = |change: &&Change| change.own < end && *offset < change.to;
        length
            && changes.iter().filter(touches).all(|change| {
                if change.instant <= state.since {
                    change.span.start <= event.span.end
                } else {
                    change.span.end >= event.span.start
                }
            })
    })
}

/// Since when a version can be known of.
fn known_since(facts: &Facts<'_>, state: &State<'_>) -> u64 {
    let size = state.content.len() as u64;
    let seen =
        (0..facts.events.len()).any(|number| saw_size(facts, number, size, (state.since, state.until)));
    if seen {
        return 0;
    }
    let made = facts.events.iter().find(|happened| happened.instant == state.since);
    made.map_or(0, |made| made.event.span.end.0)
}

/// True when somebody looked at the size `between` these times and found it to be that.
fn saw_size(facts: &Facts<'_>, number: usize, size: u64, (from, until): (u64, u64)) -> bool {
    let event = facts.event(number);
    let (before, after) = match &event.operation {
        Operation::Open { size, .. } | Operation::Present { size, .. } => (None, *size),
        Operation::Read { size_before, size, .. } | Operation::Write { size_before, size, .. } => {
            (*size_before, *size)
        }
        Operation::Truncate { size_before, .. } => (*size_before, None),
        _ => (None, None),
    };
    let looks = [(event.span.start.0, before), (event.span.end.0, after)];
    looks.iter().any(|(at, seen)| *seen == Some(size) && (from..until).contains(at))
}

/// True when the file was changed under no name, in no session, since the first touched session began.
fn is_modified_unjudged(facts: &Facts<'_>, here: &[&Session], touched: &[&Session], inode: u64) -> bool {
    let from = touched.iter().map(|session| session.start()).min().unwrap();
    let judged = |number: usize| {
        here.iter().flat_map(|session| &session.changes).any(|change: &Change| change.event == number)
    };
    (0..facts.events.len()).any(|number| {
        facts.modified(number).is_some_and(|(known, _)| known == inode)
            && facts.event(number).span.end.0 >= from
            && !judged(number)
    })
}
