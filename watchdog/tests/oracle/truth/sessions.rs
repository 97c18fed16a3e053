//! The write sessions of a schedule: what begins them, and the earliest of what ends them.

use std::collections::BTreeSet;

use watchdog::model::{Content, EventOperation as Operation, ExitStatus, OpenId, Outcome, Role, Span};

use super::changes::{Change, Facts, moves_state, overlap};
use super::session::{End, Ended, Session, Why};
use crate::oracle::schedule::SECOND;

pub(super) const QUIET: u64 = 2 * SECOND;
const CUT: u64 = 60 * SECOND;

/// A file that took over the name while somebody had it open for writing: whether it was complete is to be seen.
struct Arrival {
    event: usize,
    inode: u64,
    writers: BTreeSet<OpenId>,
}

/// All sessions of a schedule.
#[derive(Default)]
pub(crate) struct Sessions {
    pub(crate) all: Vec<Session>,
    pub(crate) replaces: Vec<Ended>,
    /// Inodes of which the order of events leaves it open what their sessions are, or whether they are any.
    pub(crate) unclear: BTreeSet<u64>,
    /// The definitions do not say into how many sessions it is divided.
    pub(crate) uncountable: bool,
    /// A request to read the file that did not come when it was due.
    pub(crate) unasked: Option<String>,
    arrivals: Vec<Arrival>,
    current: Option<u64>,
    stood: bool,
    moved: Option<Span>,
}

impl Sessions {
    /// Goes through the events in the order of their returns.
    pub(crate) fn of(facts: &Facts<'_>) -> Self {
        let mut sessions = Self::default();
        for number in 0..facts.events.len() {
            sessions.pass(facts, facts.event(number).span.end.0);
            sessions.event(facts, number);
        }
        sessions.pass(facts, u64::MAX);
        sessions
    }

    /// Sessions and atomic replaces, as they are to be reported.
    pub(crate) fn ended(&self) -> Vec<Ended> {
        let ended = self.all.iter().filter(|session| session.end.is_some()).map(Session::ended);
        ended.chain(self.replaces.iter().cloned()).collect()
    }

    fn open(&mut self, inode: u64) -> Option<&mut Session> {
        self.all.iter_mut().find(|session| session.inode == inode && session.end.is_none())
    }

    /// What ends by itself until this time.
    fn pass(&mut self, facts: &Facts<'_>, until: u64) {
        for session in self.all.iter_mut().filter(|session| session.end.is_none()) {
            let (last, cut) = (session.last(), session.busy + CUT);
            let mapped = !session.mapped.is_empty();
            let quiet = last + QUIET;
            let asked = facts.requests.iter().find(|(at, inode)| *inode == session.inode && *at >= quiet);
            let named = facts.played.named(quiet).map(|inode| inode.ino) == Some(session.inode);
            if !mapped && !named && quiet < until.min(cut) {
                // There is no name to read it by.
                self.unclear.insert(session.inode);
                session.end = Some(End { why: Why::NotJudged, at: quiet, window: last });
                continue;
            }
            if !mapped && session.damage.is_none() && quiet < until.min(cut) {
                let Some((at, _)) = asked.filter(|(at, _)| *at < quiet + SECOND / 10) else {
                    self.unasked = Some(format!("{} after {last}", session.inode));
                    continue;
                };
                let answered = facts.events.iter().any(|happened| {
                    matches!(&happened.event.operation, Operation::Content { inode: Some(inode), .. }
                        if inode.ino == session.inode)
                        && (*at..at + QUIET).contains(&happened.event.span.end.0)
                });
                let answer_due = at + QUIET;
                if !answered && answer_due < until {
                    session.end = Some(End { why: Why::NotJudged, at: answer_due, window: last });
                    continue;
                }
            }
            if cut < until {
                if mapped || last + QUIET > cut {
                    session.end = Some(End { why: Why::Cut, at: cut, window: last });
                    self.uncountable |= session.stalled;
                    // Whether one that is under way belongs to it depends on nanoseconds.
                    if facts.events.iter().any(|happened| {
                        let span = happened.event.span;
                        span.start.0 <= cut + 1_000 && cut <= span.end.0 + 1_000
                    }) {
                        self.unclear.insert(session.inode);
                    }
                } else if session.damage.is_none() {
                    self.unclear.insert(session.inode);
                } else {
                    session.stalled = true;
                }
            }
        }
    }

    fn event(&mut self, facts: &Facts<'_>, number: usize) {
        let event = facts.event(number);
        let span = event.span;
        match &event.operation {
            Operation::Present { inode: Some(inode), .. } => {
                self.current = Some(inode.ino);
                self.stood = true;
            }
            Operation::Open { inode, place, created, truncated, .. } if place.role == Role::State => {
                self.state_opened(facts, number, inode.ino, *created, *truncated);
            }
            Operation::Write { .. } | Operation::Truncate { .. } | Operation::Map { .. } => {
                self.modified(facts, number);
            }
            Operation::Rename { to: Some(place), inode: Some(inode), .. }
            | Operation::Link { to: place, inode: Some(inode), .. }
                if place.role == Role::State =>
            {
                self.arrived(facts, number, inode.ino);
            }
            Operation::Unlink { place, inode: Some(inode) } if place.role == Role::State => {
                self.note_close_move(facts, number, inode.ino);
                self.moved = Some(span);
                if self.current == Some(inode.ino) {
                    self.current = None;
                }
            }
            Operation::Release { id } => self.released(facts, number, *id),
            Operation::Exit { status } => {
                for session in self.all.iter_mut().filter(|session| session.end.is_none()) {
                    session.died |= matches!(status, ExitStatus::Signal(_))
                        && session.changes.iter().any(|change| {
                            change.pid == event.actor.pid
                                && change.writer.0.is_some_and(|id| session.open.contains(&id))
                        });
                }
            }
            Operation::Content { inode, content, .. } => {
                self.content(facts, number, inode.map(|inode| inode.ino), *content);
            }
            _ => {}
        }
        for session in self.all.iter_mut().filter(|session| session.end.is_none()) {
            if session.open.is_empty() {
                session.end = Some(End { why: Why::Release, at: span.end.0, window: span.end.0 });
            }
        }
    }

    /// Where another name moved at the same time, the file may or may not have been the state file.
    fn note_close_move(&mut self, facts: &Facts<'_>, number: usize, inode: u64) {
        let span = facts.event(number).span;
        let close = (0..facts.events.len()).any(|other| {
            other != number && moves_state(facts.event(other)) && overlap(facts.event(other).span, span)
        });
        self.unclear.extend(close.then_some(inode));
    }

    fn state_opened(&mut self, facts: &Facts<'_>, number: usize, inode: u64, created: bool, truncated: bool) {
        let span = facts.event(number).span;
        let stale = !created
            && self.current != Some(inode)
            && self.moved.is_some_and(|moved| span.start.0 <= moved.end.0);
        if !stale {
            self.current = Some(inode);
        }
        if created {
            let first = !std::mem::replace(&mut self.stood, true);
            self.moved = Some(span);
            self.note_close_move(facts, number, inode);
            let change = facts.change(number, inode, "create");
            let mut session = Session::new(inode);
            session.origin = if first { Outcome::CreatedInPlace } else { Outcome::Recreated };
            // Another description may have written before the open that created the file returned.
            match self.open(inode) {
                Some(known) => {
                    known.origin = session.origin;
                    known.take(change);
                }
                None => {
                    session.take(change);
                    self.all.push(session);
                }
            }
        } else if truncated {
            let before = facts.size(inode, span.start.0);
            // Whether it found anything to truncate depends on the order of two that have none.
            let doubtful = facts
                .changes_met(number, inode)
                .any(|met| facts.was_empty(inode, facts.event(met).span.start.0 - 1, span.start.0))
                || before == 0 && facts.is_untold_before(number, inode);
            if doubtful {
                self.unclear.insert(inode);
            }
            self.note_close_move(facts, number, inode);
            if self.arrivals.iter().any(|arrival| arrival.inode == inode) {
                self.unclear.insert(inode);
            }
            if before > 0 || self.open(inode).is_some() {
                self.add(facts, facts.change(number, inode, "open_truncate"), inode);
            }
        }
    }

    fn modified(&mut self, facts: &Facts<'_>, number: usize) {
        let Some((inode, kind)) = facts.modified(number) else { return };
        let span = facts.event(number).span;
        let busy = self.open(inode).is_some();
        if let Operation::Truncate { to, size_before, .. } = &facts.event(number).operation {
            let before = size_before.unwrap_or_else(|| facts.size(inode, span.start.0));
            let met = facts.changes_met(number, inode).next().is_some();
            let untold = size_before.is_none() && facts.is_untold_before(number, inode);
            if untold || met && (size_before.is_none() || before == *to) {
                self.unclear.insert(inode);
            }
            if before == *to && (size_before.is_some() || !busy) {
                return;
            }
        }
        let change = facts.change(number, inode, kind);
        if !busy && !self.arrivals.iter().any(|arrival| arrival.inode == inode) {
            self.note_close_move(facts, number, inode);
            if self.current != Some(inode) {
                return;
            }
        }
        self.add(facts, change, inode);
    }

    fn add(&mut self, facts: &Facts<'_>, change: Change, inode: u64) {
        // Whether a mapping of an earlier session keeps a later one from being quiet is left open.
        let mut past = self.all.iter().filter(|session| session.inode == inode && session.end.is_some());
        if past.any(|session| !session.mapped.is_empty()) {
            self.unclear.insert(inode);
        }
        if let Some(index) = self.arrivals.iter().position(|arrival| arrival.inode == inode) {
            let arrival = &self.arrivals[index];
            let rename = facts.event(arrival.event).span;
            let own = change.writer.0.is_some_and(|id| arrival.writers.contains(&id));
            let clear = own && self.current == Some(inode) && !overlap(rename, change.span);
            if !clear {
                self.unclear.insert(inode);
            }
            let arrival = self.arrivals.swap_remove(index);
            let mut session = Session::new(inode);
            session.origin = Outcome::IncompleteReplace;
            let mut taken = facts.change(arrival.event, inode, "rename");
            taken.writer = change.writer;
            session.take(taken);
            session.take(change);
            self.all.push(session);
            return;
        }
        let Some(index) = self.all.iter().position(|s| s.inode == inode && s.end.is_none()) else {
            let mut session = Session::new(inode);
            session.take(change);
            self.all.push(session);
            return;
        };
        let size = facts.size(inode, change.instant - 1);
        let session = &mut self.all[index];
        let starts = change.truncates_to() == Some(0) && size > 0
            || change.is_write() && change.own == 0 && session.first_write.is_some_and(|(_, at)| at == 0);
        let mut met = facts.changes_met(change.event, inode).peekable();
        // One that returns later may have emptied the file before; nobody can know yet.
        if change.truncates_to() == Some(0)
            && session.unwritten.is_empty()
            && facts.changes_met(change.event, inode).any(|other| other > change.event)
        {
            self.unclear.insert(inode);
        }
        if !starts || !session.unwritten.is_empty() {
            return session.take(change);
        }
        if met.peek().is_some() {
            // Of one that returns later, nobody can know yet.
            if met.any(|other| other > change.event) {
                self.unclear.insert(inode);
            }
            return session.take(change);
        }
        // Whether its mapping keeps the next session from being quiet is left open.
        if !session.mapped.is_empty() {
            self.unclear.insert(inode);
        }
        let mut next = Session::new(inode);
        let last = session.changes.last().unwrap();
        if change.is_write() && last.writer == change.writer && last.truncates_to().is_some_and(|to| to > 0) {
            if facts.changes_met(last.event, inode).next().is_some() {
                self.unclear.insert(inode);
            }
            if session.changes.len() == 1 {
                return session.take(change);
            }
            next.take(session.changes.pop().unwrap());
        }
        let at = change.span.end.0;
        session.end = Some(End { why: Why::NewSave, at, window: session.last() });
        next.take(change);
        self.all.push(next);
    }

    fn arrived(&mut self, facts: &Facts<'_>, number: usize, inode: u64) {
        let span = facts.event(number).span;
        self.note_close_move(facts, number, inode);
        self.current = Some(inode);
        self.stood = true;
        self.moved = Some(span);
        if self.open(inode).is_some() || self.arrivals.iter().any(|arrival| arrival.inode == inode) {
            self.unclear.insert(inode);
        }
        let mut writers = BTreeSet::new();
        for other in 0..facts.events.len() {
            let Operation::Open { id, inode: known, access, .. } = &facts.event(other).operation else {
                continue;
            };
            let released = facts.released(*id);
            if known.ino != inode || !access.write || released.is_some_and(|released| released < number) {
                continue;
            }
            if facts.event(other).span.is_before(span) {
                writers.insert(*id);
            } else if overlap(facts.event(other).span, span) {
                self.unclear.insert(inode);
            }
        }
        if facts.changes_met(number, inode).next().is_some() {
            self.unclear.insert(inode);
        }
        if writers.is_empty() {
            self.replaces.push(replace(facts, number, inode));
        } else {
            self.arrivals.push(Arrival { event: number, inode, writers });
        }
    }

    fn released(&mut self, facts: &Facts<'_>, number: usize, id: OpenId) {
        let span = facts.event(number).span;
        for session in self.all.iter_mut().filter(|session| session.end.is_none()) {
            if session.mapped.remove(&id) {
                session.unmapped = span.end.0;
                session.damage = None;
            }
            if session.open.remove(&id) && session.open.is_empty() {
                session.end = Some(End { why: Why::Release, at: span.end.0, window: span.end.0 });
            }
        }
        self.settle(facts, |arrival| arrival.writers.remove(&id) && arrival.writers.is_empty());
    }

    /// What arrived is complete.
    fn settle(&mut self, facts: &Facts<'_>, mut is_complete: impl FnMut(&mut Arrival) -> bool) {
        let mut kept = Vec::new();
        for mut arrival in std::mem::take(&mut self.arrivals) {
            if is_complete(&mut arrival) {
                self.replaces.push(replace(facts, arrival.event, arrival.inode));
            } else {
                kept.push(arrival);
            }
        }
        self.arrivals = kept;
    }

    fn content(&mut self, facts: &Facts<'_>, number: usize, inode: Option<u64>, content: Content) {
        let span = facts.event(number).span;
        let requested = facts.requests.iter().filter(|(at, _)| *at < span.start.0).max_by_key(|(at, _)| *at);
        if let Some((_, requested)) = requested
            && Some(*requested) != inode
        {
            self.unclear.insert(*requested);
        }
        let Some(inode) = inode else { return };
        let met = (0..facts.events.len()).any(|other| {
            overlap(facts.event(other).span, span) && facts.modified_inode(other) == Some(inode)
        });
        if met {
            return;
        }
        if let Some(session) = self.open(inode) {
            if session.last() + QUIET > span.start.0 || !session.mapped.is_empty() {
                return;
            }
            let why = match content {
                Content::Valid => Why::Valid,
                Content::NotJudged => Why::NotJudged,
                Content::Damaged(damage) => {
                    session.damage = Some((damage, span.end.0));
                    session.stalled = true;
                    return;
                }
            };
            session.end = Some(End { why, at: span.end.0, window: session.last() });
        } else {
            let quiet = |arrival: &Arrival| facts.event(arrival.event).span.end.0 + QUIET <= span.start.0;
            let damaged = matches!(content, Content::Damaged(_));
            self.settle(facts, |arrival| arrival.inode == inode && quiet(arrival) && !damaged);
        }
    }
}

fn replace(facts: &Facts<'_>, number: usize, inode: u64) -> Ended {
    let span = facts.event(number).span;
    Ended {
        inode,
        outcome: Outcome::AtomicReplace.as_str(),
        operation: None,
        start: span.start.0,
        end: span.end.0,
        count: 0,
        writer_died: false,
        durable: Some(durable(facts, number, inode)),
    }
}

/// Synced after the last modification before the rename.
fn durable(facts: &Facts<'_>, rename: usize, inode: u64) -> bool {
    let modifies = |number: usize| match &facts.event(number).operation {
        Operation::Truncate { to, .. } if *to == facts.size(inode, facts.event(number).span.start.0) => false,
        _ => facts.modified_inode(number) == Some(inode),
    };
    let last = (0..rename).filter(|number| modifies(*number)).map(|n| facts.event(n).span.end.0).max();
    (0..rename).any(|number| match &facts.event(number).operation {
        Operation::Sync { id } => {
            let span = facts.event(number).span;
            facts.inode_of(*id) == Some(inode)
                && Some(span.start.0) >= last
                && span.end <= facts.event(rename).span.start
        }
        _ => false,
    })
}

/// The sessions of one inode.
pub(crate) fn here(sessions: &[Session], inode: u64) -> Vec<&Session> {
    sessions.iter().filter(|session| session.inode == inode).collect()
}
