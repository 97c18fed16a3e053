//! Which contents are versions: complete ones, by the moments at which things really happened.

use std::collections::{BTreeMap, BTreeSet};

use watchdog::model::{Content, EventOperation as Operation, ExitStatus, OpenId};

use super::changes::{Change, Facts, Writer, overlap};
use super::session::{End, Session, Why};
use super::sessions::{QUIET, here};
use crate::oracle::played::Bytes;

/// A content of a file from one effect on it to the next.
#[derive(Clone, Debug)]
pub(crate) struct State<'a> {
    pub(crate) since: u64,
    pub(crate) until: u64,
    pub(crate) content: &'a Bytes,
    /// A reader that got it is not torn, whatever else is so.
    pub(crate) is_version: bool,
    /// The same if nobody can tell where one save ends and another begins.
    pub(crate) is_version_anyway: bool,
    /// The definitions leave room to take it for a version.
    pub(crate) may_be_version: bool,
    /// One description wrote all of it, or may have, whatever others had begun.
    pub(crate) may_be_whole: bool,
    /// Nobody was at work, and yet it is none, or was one for a while only.
    pub(crate) is_excluded: bool,
}

/// The contents of an inode in their order.
pub(crate) fn states<'a>(facts: &Facts<'a>, sessions: &[Session], inode: u64, clear: bool) -> Vec<State<'a>> {
    let Some(history) = facts.played.contents.get(&inode) else { return Vec::new() };
    let here = here(sessions, inode);
    let changes = facts.changes_of(inode);
    let moments: BTreeSet<u64> = history.iter().map(|(since, _)| *since).collect();
    let saves = Saves::of(&here, &changes, &moments, clear);
    let mut states = Vec::new();
    for (index, (since, content)) in history.iter().enumerate() {
        let until = history.get(index + 1).map_or(u64::MAX, |(until, _)| *until);
        let ended = here
            .iter()
            .filter(|session| last_effect(session).is_some_and(|last| (*since..until).contains(&last)));
        let is_at_rest = |saves: &[Times]| {
            let ends = saves.iter().map(|(_, last)| *last).filter(|last| (*since..until).contains(last));
            let mut moments = ends.chain([*since]);
            moments.any(|at| saves.iter().all(|times| is_outside(*times, at)))
        };
        let mut is_version = is_at_rest(&saves.sessions);
        let mut may_be = is_at_rest(&saves.writers);
        let rests = is_version;
        let mut anyway = is_at_rest(&saves.merged);
        for session in ended {
            match possible(facts, session, &here, &changes, (last_effect(session).unwrap(), until)) {
                // A possible version, empty: none at all.
                Possible::Surely if content.is_empty() => (is_version, may_be) = (false, false),
                Possible::Perhaps if content.is_empty() => is_version = false,
                Possible::Surely | Possible::Perhaps if goes_on(session, &changes) => is_version = false,
                _ => {}
            }
        }
        let whole = alone(facts, &changes, &here, content, (*since, until));
        match whole {
            Alone::Yes => (is_version, anyway) = (true, true),
            Alone::Perhaps => may_be = true,
            Alone::No => {}
        }
        may_be |= is_version;
        anyway &= is_version;
        let is_version_anyway = anyway;
        let is_excluded = rests && !is_version;
        states.push(State {
            since: *since,
            until,
            content,
            is_version,
            is_version_anyway,
            may_be_version: may_be,
            may_be_whole: !matches!(whole, Alone::No),
            is_excluded,
        });
    }
    states
}

/// From the first to the last moment at which somebody was at work.
type Times = (u64, u64);

fn is_outside((first, last): Times, at: u64) -> bool {
    at < first || at >= last
}

struct Saves {
    /// Each session's.
    sessions: Vec<Times>,
    /// Each session's together with those that began by a new save before it ended; all of them where it is not clear.
    merged: Vec<Times>,
    /// Those of each writer in each session, and of what writers did outside of any.
    writers: Vec<Times>,
}

impl Saves {
    fn of(here: &[&Session], changes: &[Change], moments: &BTreeSet<u64>, clear: bool) -> Self {
        let mut sessions = BTreeMap::new();
        let mut writers: BTreeMap<(usize, Writer), Times> = BTreeMap::new();
        let note = |times: &mut Times, at: u64| *times = (times.0.min(at), times.1.max(at));
        for (index, session) in here.iter().enumerate() {
            for change in &session.changes {
                // What takes over a name was not to be seen before.
                let at = if change.kind == "rename" { 0 } else { change.instant };
                note(sessions.entry(index).or_insert((u64::MAX, 0)), at);
                // A truncation that finds nothing to cut off begins nobody's save.
                let changes_nothing = change.truncates_to().is_some() && !moments.contains(&change.instant);
                if changes_nothing && saves_later(change, session) {
                    continue;
                }
                note(writers.entry((index, change.writer)).or_insert((u64::MAX, 0)), at);
            }
        }
        let judged: BTreeSet<usize> =
            here.iter().flat_map(|session| &session.changes).map(|change| change.event).collect();
        for change in changes.iter().filter(|change| !judged.contains(&change.event)) {
            note(writers.entry((usize::MAX, change.writer)).or_insert((u64::MAX, 0)), change.instant);
        }
        // What was done outside of any session, as under another name, is a save of somebody, too.
        let unjudged = writers.iter().filter(|((index, _), _)| *index == usize::MAX).map(|(_, times)| *times);
        let mut merged: Vec<Times> = Vec::new();
        for (index, times) in &sessions {
            let before = index.checked_sub(1).and_then(|before| here[before].end);
            let meets = |end: End| !clear || end.why == Why::NewSave || here[*index].start() <= end.window;
            match merged.last_mut().filter(|_| before.is_some_and(meets)) {
                Some(before) => *before = (before.0.min(times.0), before.1.max(times.1)),
                None => merged.push(*times),
            }
        }
        let unjudged: Vec<Times> = unjudged.collect();
        merged.extend(&unjudged);
        if !clear {
            // Nor is it clear then which of them were outside of any.
            let all = merged.iter().copied().reduce(|all, times| (all.0.min(times.0), all.1.max(times.1)));
            merged = all.into_iter().collect();
        }
        let sessions = sessions.into_values().chain(unjudged).collect();
        Self { sessions, merged, writers: writers.into_values().collect() }
    }
}

/// The same writer modifies the file in this session after that.
fn saves_later(change: &Change, session: &Session) -> bool {
    session.changes.iter().any(|other| other.writer == change.writer && other.instant > change.instant)
}

fn last_effect(session: &Session) -> Option<u64> {
    session.changes.iter().map(|change| change.instant).max()
}

enum Possible {
    Surely,
    Perhaps,
    No,
}

/// Whether what a session left is no more than a possible version.
fn possible(
    facts: &Facts<'_>,
    session: &Session,
    here: &[&Session],
    changes: &[Change],
    (since, until): (u64, u64),
) -> Possible {
    let Some(end) = session.end else { return Possible::No };
    // What changes nothing leaves it as it is.
    let next = changes.iter().find(|change| change.instant == until);
    // A check that comes before the release is seen, or one that meets a call, counts or does not.
    let perhaps_checked = is_checked(facts, session.inode, since, until).is_some();
    let surely_checked = is_checked(facts, session.inode, since.max(end.at), until) == Some(true);
    match end.why {
        Why::Valid => Possible::No,
        Why::NewSave | Why::Cut if perhaps_checked => Possible::Perhaps,
        Why::NewSave | Why::Cut | Why::NotJudged => Possible::Surely,
        Why::Release => {
            let Some(next) = next.filter(|_| !surely_checked) else { return Possible::No };
            // Verdicts wait for what comes next no longer than a quiet time.
            if perhaps_checked || next.span.end.0 > end.at.saturating_add(QUIET) {
                return Possible::Perhaps;
            }
            let killed = session.changes.iter().any(|change| {
                change.writer.0.is_some_and(|id| is_killed(facts, changes, id) || is_failed(facts, id))
            });
            let begins = here.iter().any(|other| {
                other
                    .changes
                    .iter()
                    .min_by_key(|change| change.instant)
                    .is_some_and(|c| c.event == next.event)
            });
            let size = facts.size(session.inode, since);
            match () {
                () if killed => Possible::Surely,
                () if !begins => Possible::Perhaps,
                () if next.is_write() && next.own == size => Possible::Surely,
                () if next.is_write() && next.own > size => Possible::Perhaps,
                () => Possible::No,
            }
        }
    }
}

/// Whether the agent read the file between these times and could judge it, and if so, whether no modifying call met one
/// of the readings.
fn is_checked(facts: &Facts<'_>, inode: u64, from: u64, to: u64) -> Option<bool> {
    let readings = facts.events.iter().filter_map(|happened| match &happened.event.operation {
        Operation::Content { inode: Some(known), content, .. } => {
            let span = happened.event.span;
            let within = span.start.0 > from && span.end.0 < to;
            (known.ino == inode && *content != Content::NotJudged && within).then_some(span)
        }
        _ => None,
    });
    let unmet = readings.map(|span| {
        let mut modifying =
            (0..facts.events.len()).filter(|number| facts.modified_inode(*number) == Some(inode));
        !modifying.any(|number| overlap(facts.event(number).span, span))
    });
    unmet.max()
}

/// A process that wrote through it was killed before it was released.
fn is_killed(facts: &Facts<'_>, changes: &[Change], id: OpenId) -> bool {
    let released = facts.released(id).unwrap_or(usize::MAX);
    facts.events.iter().enumerate().any(|(number, happened)| {
        matches!(happened.event.operation, Operation::Exit { status: ExitStatus::Signal(_) })
            && number < released
            && changes.iter().any(|change| {
                change.writer.0 == Some(id) && change.pid == happened.event.actor.pid && change.event < number
            })
    })
}

fn is_failed(facts: &Facts<'_>, id: OpenId) -> bool {
    facts.events.iter().any(
        |happened| matches!(&happened.event.operation, Operation::WriteFailed { id: known } if *known == id),
    )
}

/// One of those who modified the file in this session goes on, and not from the beginning.
fn goes_on(session: &Session, changes: &[Change]) -> bool {
    let last = last_effect(session).unwrap();
    let ids: BTreeSet<OpenId> = session.changes.iter().filter_map(|change| change.writer.0).collect();
    ids.iter().any(|id| {
        let mut later = changes.iter().filter(|change| change.writer.0 == Some(*id) && change.instant > last);
        let starts = |change: &Change| change.is_write() && change.own == 0;
        match (later.next(), later.next()) {
            (Some(first), _) if first.truncates_to() == Some(0) || starts(first) => false,
            (Some(first), Some(next)) if first.truncates_to().is_some() => !starts(next),
            // Whether a truncation to another size begins a save, nobody knows until the next operation.
            (first, _) => first.is_some(),
        }
    })
}

enum Alone {
    Yes,
    Perhaps,
    No,
}

/// Whether one description wrote all of this by itself, from the beginning to the end, and was released without
/// modifying again.
fn alone(
    facts: &Facts<'_>,
    changes: &[Change],
    here: &[&Session],
    content: &Bytes,
    (since, _): (u64, u64),
) -> Alone {
    let played = facts.played;
    let Some(id) = content.first().and_then(|stamp| played.writers.get(stamp)) else { return Alone::No };
    let own = content.iter().enumerate().all(|(at, stamp)| {
        played.writers.get(stamp) == Some(id)
            && played.parts.get(stamp).is_some_and(|(_, from)| *from <= at as u64)
    });
    let mine = || changes.iter().filter(|change| change.writer.0 == Some(*id));
    let again = mine().any(|change| change.instant > since);
    let Some(released) = facts.released(*id) else { return Alone::No };
    if !own || again || is_killed(facts, changes, *id) || is_failed(facts, *id) {
        return Alone::No;
    }
    // From the write that began at 0 for this content.
    let begins = mine().filter(|change| change.is_write() && change.own == 0 && change.instant <= since);
    let Some(first) = begins.max_by_key(|change| change.instant) else { return Alone::Perhaps };
    let last = mine().max_by_key(|change| change.instant).unwrap();
    let disturbed = changes.iter().filter(|change| change.writer.0 != Some(*id)).any(|change| {
        overlap(change.span, first.span)
            || overlap(change.span, last.span)
            || (first.span.start..=last.span.end).contains(&change.span.start)
    });
    let session = here.iter().find(|session| session.changes.iter().any(|change| change.event == last.event));
    let in_time =
        session.and_then(|session| session.end).is_some_and(|end| facts.event(released).span.end.0 <= end.at);
    // What it modified before, from another offset than 0, may be of the same save.
    let others = mine().any(|change| change.is_write() && change.instant < first.instant);
    let whole = mine()
        .filter(|change| change.is_write() && change.instant >= first.instant)
        .try_fold(0, |at, change| (change.own == at).then_some(change.to));
    match whole {
        Some(size) if size == content.len() as u64 && !disturbed && in_time && !others => Alone::Yes,
        _ => Alone::Perhaps,
    }
}
