//! Who read what is damaged at rest.

use watchdog::model::{Content, Damage, EventOperation as Operation, UNKNOWN_LENGTH};

use super::changes::{Facts, is_end, moves_state, overlap};
use super::readers::{Reader, matches};
use super::session::Session;
use super::versions::State;

pub(crate) use crate::oracle::schedule::SECOND;

/// What is to be said of damage that a description read.
#[derive(Debug)]
pub(crate) struct Expected {
    /// It is to be reported, or is not; `None` where that is not followed.
    pub(crate) must: Option<Option<Damage>>,
    /// What may be reported.
    pub(crate) may: Vec<Damage>,
}

impl Expected {
    /// Nothing is demanded, and all is allowed.
    pub(crate) fn anything() -> Self {
        Self { must: None, may: vec![Damage::Empty, Damage::Truncated, Damage::Invalid] }
    }

    /// Nothing is demanded, and all is allowed.
    pub(crate) fn is_anything(&self) -> bool {
        self.must.is_none() && self.may.len() == 3
    }
}

/// What is to be concluded of a description that did not modify the file.
pub(crate) fn expected(
    facts: &Facts<'_>,
    here: &[&Session],
    states: &[State<'_>],
    reader: &Reader,
    single_pass: bool,
) -> Expected {
    let (Some(first), Some(last)) = (reader.reads.first(), reader.reads.last()) else {
        return Expected { must: Some(None), may: Vec::new() };
    };
    let (from, to) = (facts.event(*first).span.start.0, facts.event(*last).span.end.0);
    let damage = |state: &State<'_>| match facts.played.judge(state.content) {
        Content::Damaged(damage) => Some(damage),
        Content::Valid | Content::NotJudged => None,
    };
    let mut expected = Expected { must: None, may: Vec::new() };
    // Of what it may have got, in whichever pass.
    let read_within = |state: &State<'_>| state.since <= to && state.until >= from;
    for state in states.iter().filter(|state| read_within(state)) {
        if let Some(damage) = damage(state).filter(|_| found(facts, reader.inode, state).is_some()) {
            expected.may.push(damage);
        }
    }
    if expected.may.is_empty() {
        expected.must = Some(None);
    }
    // What was under way when the agent looked, nobody could know.
    let under_way = facts.events.iter().any(|happened| {
        let content = happened.event.span;
        matches!(happened.event.operation, Operation::Content { .. })
            && (0..facts.events.len()).any(|number| {
                let span = facts.event(number).span;
                facts.modified_inode(number) == Some(reader.inode)
                    && span.start.0 <= content.end.0
                    && content.end.0 <= span.end.0
            })
    });
    // Nor of a call that met its own and returned later.
    let met_later =
        reader.reads.iter().any(|read| facts.changes_met(*read, reader.inode).any(|number| number > *read));
    if under_way || met_later {
        return Expected::anything();
    }
    let unmet = reader.reads.iter().all(|read| {
        let span = facts.event(*read).span;
        !(0..facts.events.len()).any(|number| {
            facts.modified_inode(number) == Some(reader.inode) && overlap(facts.event(number).span, span)
        })
    });
    let Some(state) = states.iter().find(|state| state.since < from && to < state.until) else {
        return expected;
    };
    // Behind a short read it may go on, as long as it is open.
    let released = reader.released.is_some_and(|(_, number)| facts.event(number).span.end.0 < state.until);
    let whole =
        reader.reads.last().map(|read| facts.event(*read)).is_some_and(|event| match &event.operation {
            Operation::Read { requested, returned, .. } => {
                is_end(event) || released && returned < requested && *requested != UNKNOWN_LENGTH
            }
            _ => false,
        });
    let mapped = here.iter().any(|session| session.is_mapped());
    if !single_pass || !unmet || mapped || !whole || reader.mapped.is_some() || reader.released.is_none() {
        return expected;
    }
    if !matches(facts, state, &reader.reads) {
        return expected;
    }
    let of = here.iter().find(|session| {
        let last = session.changes.iter().map(|change| change.instant).max();
        last.is_some_and(|last| (state.since..state.until).contains(&last))
    });
    // Found damaged in time, and nobody went on until then.
    let ended = of.and_then(|session| session.end).map_or(0, |end| end.window);
    let Some(found) = found_since(facts, reader.inode, state, ended) else { return expected };
    let named = |at: u64| facts.played.named(at).map(|inode| inode.ino) == Some(reader.inode);
    // Before a rename has returned, nobody knows whose content that is.
    let arrived = (0..facts.events.len())
        .filter(|number| moves_state(facts.event(*number)))
        .all(|number| !(ended..found).contains(&facts.event(number).span.end.0) || ended == 0);
    // What changed nothing in truth may be taken for a modification.
    let still = (0..facts.events.len()).all(|number| {
        let span = facts.event(number).span;
        facts.modified_inode(number) != Some(reader.inode) || span.end.0 < from || span.start.0 > found
    });
    let asked =
        facts.requests.iter().any(|(at, inode)| *inode == reader.inode && *at < found && found < at + SECOND);
    if !named(from) || !named(to) || !named(found) || !arrived || !still || !asked {
        return expected;
    }
    let in_time = found < to + 50 * SECOND;
    let rests = match of.map(|session| session.end) {
        None => state.is_version,
        Some(Some(end)) if end.at < to + 50 * SECOND => state.is_version && end.at <= found.max(to),
        Some(_) => state.until > to + 70 * SECOND,
    };
    let between = here.iter().any(|session| {
        let (start, end) = session
            .changes
            .iter()
            .fold((u64::MAX, 0), |(start, end), change| (start.min(change.instant), end.max(change.instant)));
        start <= state.since && state.since < end
    });
    if in_time && rests && !between {
        expected.must = Some(damage(state));
    }
    expected
}

/// When the agent found this content damaged.
fn found(facts: &Facts<'_>, inode: u64, state: &State<'_>) -> Option<u64> {
    let answers = facts.events.iter().filter(|happened| match &happened.event.operation {
        Operation::Content { inode: Some(known), content: Content::Damaged(_), .. } => {
            let span = happened.event.span;
            known.ino == inode && state.since < span.start.0 && span.end.0 < state.until
        }
        _ => false,
    });
    answers.map(|happened| happened.event.span.end.0).min()
}

/// The same after a time, when no call that may have modified the file met the reading.
fn found_since(facts: &Facts<'_>, inode: u64, state: &State<'_>, since: u64) -> Option<u64> {
    let met = |span| {
        (0..facts.events.len()).any(|number| {
            facts.modified_inode(number) == Some(inode) && overlap(facts.event(number).span, span)
        })
    };
    let answers = facts.events.iter().filter(|happened| match &happened.event.operation {
        Operation::Content { inode: Some(known), content: Content::Damaged(_), .. } => {
            let span = happened.event.span;
            known.ino == inode
                && since.max(state.since) < span.start.0
                && span.end.0 < state.until
                && !met(span)
        }
        _ => false,
    });
    answers.map(|happened| happened.event.span.end.0).min()
}
