//! What is to be concluded from a schedule, by the definitions and by enumeration.
//!
//! Slow and simple on purpose. A session is what the events say in their order. A reader is torn when there is no
//! moment and no choice of writers that may have been done by it under which every single byte and every length that
//! the reader got is that of the content at that moment. The world's own bytes are the second witness.

use std::collections::{BTreeMap, BTreeSet};

use watchdog::model::{
    EventOperation as Operation, FileEvent, OpenId, Outcome, Output, Pid, Role, Span, Target, Verdict,
};

use super::world::Played;

/// All that is to be concluded.
pub(crate) struct Truth {
    pub(crate) readers: Vec<Judged>,
    /// `None` when a name changed so close to an operation that the file may or may not have been the state file.
    pub(crate) sessions: Option<Vec<Ended>>,
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
    /// It may get more than one verdict.
    pub(crate) may_repeat: bool,
}

/// A session, as far as it is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ended {
    pub(crate) inode: u64,
    pub(crate) outcome: &'static str,
    pub(crate) operation: Option<&'static str>,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) count: u64,
    pub(crate) writer_died: bool,
    pub(crate) durable: Option<bool>,
}

impl Ended {
    pub(crate) fn of(output: &Output) -> Option<Self> {
        let Output::Session(report) = output else { return None };
        Some(Self {
            inode: report.inode.map_or(0, |inode| inode.ino),
            outcome: report.outcome.as_str(),
            operation: report.operation.map(|operation| operation.as_str()),
            start: report.window.start.0,
            end: report.window.end.0,
            count: report.operation_count,
            writer_died: report.writer_died,
            durable: report.durable,
        })
    }
}

/// A modifying operation.
#[derive(Clone, Debug)]
struct Change {
    event: usize,
    span: Span,
    instant: u64,
    from: u64,
    /// Where it begins by itself: the offset, or the size that it set.
    own: u64,
    to: u64,
    kind: &'static str,
    before: u64,
    /// What size it found cannot be told.
    untold: bool,
    sets: Sets,
    /// The description, or the event for a truncation by path.
    writer: (Option<OpenId>, usize),
    pid: Pid,
}

/// What a change does to the size.
#[derive(Clone, Copy, Debug)]
enum Sets {
    To(u64),
    More,
}

impl Change {
    /// The size at its entry tells nothing of what it found when it met another change.
    fn first_byte(&self, writers: &[Vec<&Change>]) -> u64 {
        let mut others = writers.iter().flatten().filter(|other| other.event != self.event);
        if others.any(|other| overlap(other.span, self.span)) { self.own } else { self.from }
    }
}

#[derive(Debug)]
struct Session {
    inode: u64,
    changes: Vec<Change>,
    open: BTreeSet<OpenId>,
    origin: &'static str,
    died: bool,
    end: Option<(u64, usize)>,
}

impl Session {
    fn start(&self) -> u64 {
        self.changes.iter().map(|change| change.span.start.0).min().unwrap()
    }

    fn window(&self) -> (u64, u64) {
        (self.start(), self.end.map_or(u64::MAX, |(end, _)| end))
    }

    fn ended(&self) -> Ended {
        let first = self.changes.iter().min_by_key(|change| change.span.start.0).unwrap();
        let created = self.origin != Outcome::InPlace.as_str();
        Ended {
            inode: self.inode,
            outcome: self.origin,
            operation: Some(if created { "create" } else { first.kind }),
            start: self.start(),
            end: self.end.unwrap().0,
            count: self.changes.len() as u64,
            writer_died: self.died,
            durable: None,
        }
    }
}

/// What one description did, by the numbers of its events.
#[derive(Debug, Default)]
struct Reader {
    inode: u64,
    opened: u64,
    reads: Vec<usize>,
    released: Option<(u64, usize)>,
    modified: bool,
    reads_allowed: bool,
}

/// Says what is to be concluded.
pub(crate) fn judge(played: &Played) -> Truth {
    let (sessions, replaces, unclear) = sessions(played);
    let mut readers = Vec::new();
    for (id, reader) in descriptions(played, &sessions) {
        if reader.reads_allowed {
            let mut judged = judge_reader(played, &sessions, id, &reader);
            if unclear.contains(&reader.inode) || !played.sizes_shown {
                judged.verdict = None;
                judged.may_be_torn = true;
                judged.may_repeat = true;
                judged.certainly_torn = false;
            }
            readers.push(judged);
        }
    }
    let mut ended: Vec<Ended> = sessions.iter().map(Session::ended).collect();
    ended.extend(replaces);
    Truth { readers, sessions: (unclear.is_empty() && played.sizes_shown).then_some(ended) }
}

fn overlap(a: Span, b: Span) -> bool {
    a.start.0 <= b.end.0 && b.start.0 <= a.end.0
}

/// The content of an inode at a time; none before it was created.
fn content(played: &Played, inode: u64, at: u64) -> Option<&Vec<u32>> {
    let history = played.contents.get(&inode)?;
    history.iter().rev().find(|(when, _)| *when <= at).map(|(_, content)| content)
}

fn size(played: &Played, inode: u64, at: u64) -> u64 {
    content(played, inode, at).map_or(0, |content| content.len() as u64)
}

/// True when the size before this event was left by a truncation that met another change: a truncation returns without
/// saying what the size is then.
fn is_untold_before(played: &Played, number: usize, inode: u64) -> bool {
    let start = played.events[number].span.start;
    let mut earlier = (0..number).filter(|other| played.events[*other].span.end < start);
    let last = earlier.rfind(|other| modified_inode(played, *other) == Some(inode));
    last.is_some_and(|last| {
        matches!(played.events[last].operation, Operation::Truncate { .. })
            && changes_met(played, last, inode).next().is_some()
    })
}

/// True when the file was empty at some time between the two.
fn was_empty(played: &Played, inode: u64, from: u64, to: u64) -> bool {
    let history = played.contents.get(&inode).into_iter().flatten();
    let mut within = history.filter(|(when, _)| (from..=to).contains(when));
    size(played, inode, from) == 0 || within.any(|(_, content)| content.is_empty())
}

fn inode_of(played: &Played, id: OpenId) -> Option<u64> {
    played.events.iter().find_map(|event| match &event.operation {
        Operation::Open { id: known, inode, .. } if *known == id => Some(inode.ino),
        _ => None,
    })
}

/// The events that change which file is the state file.
fn moves_state(event: &FileEvent) -> bool {
    let is_state = |place: &watchdog::model::Place| place.role == Role::State;
    match &event.operation {
        Operation::Rename { to: Some(to), .. } | Operation::Link { to, .. } => is_state(to),
        Operation::Unlink { place, .. } => is_state(place),
        Operation::Open { place, created, .. } => is_state(place) && *created,
        _ => false,
    }
}

/// All sessions and atomic replaces, and the inodes about which they leave room for doubt.
fn sessions(played: &Played) -> (Vec<Session>, Vec<Ended>, BTreeSet<u64>) {
    let events = &played.events;
    let mut unclear = BTreeSet::new();
    let mut sessions: Vec<Session> = Vec::new();
    let mut replaces = Vec::new();
    let mut current: Option<u64> = None;
    let mut stood = false;
    let mut moved: Option<Span> = None;
    for (number, event) in events.iter().enumerate() {
        let span = event.span;
        let close_move = |number: usize| {
            events
                .iter()
                .enumerate()
                .any(|(other, known)| other != number && moves_state(known) && overlap(known.span, span))
        };
        match &event.operation {
            Operation::Present { inode: Some(inode), .. } => {
                current = Some(inode.ino);
                stood = true;
            }
            Operation::Open { inode, place, created, truncated, .. } if place.role == Role::State => {
                let stale = !created
                    && current != Some(inode.ino)
                    && moved.is_some_and(|moved| span.start.0 <= moved.end.0);
                if !stale {
                    current = Some(inode.ino);
                }
                let before = size(played, inode.ino, span.start.0);
                if *created {
                    let first = !std::mem::replace(&mut stood, true);
                    let origin = if first { Outcome::CreatedInPlace } else { Outcome::Recreated };
                    moved = Some(span);
                    unclear.extend(close_move(number).then_some(inode.ino));
                    let change = change(played, number, inode.ino, "create");
                    add(&mut sessions, inode.ino, change, Some(origin.as_str()));
                } else if *truncated {
                    // Whether it found anything to truncate depends on the order of two that have none.
                    let doubtful = changes_met(played, number, inode.ino)
                        .any(|met| was_empty(played, inode.ino, met.start.0 - 1, span.start.0))
                        || before == 0 && is_untold_before(played, number, inode.ino);
                    unclear.extend((close_move(number) || doubtful).then_some(inode.ino));
                    let busy = sessions.iter().any(|s| s.inode == inode.ino && s.end.is_none());
                    if before > 0 || busy {
                        let change = change(played, number, inode.ino, "open_truncate");
                        add(&mut sessions, inode.ino, change, None);
                    }
                }
            }
            Operation::Write { .. } | Operation::Truncate { .. } => {
                let Some((inode, kind)) = modified(played, number) else { continue };
                let busy = sessions.iter().any(|s| s.inode == inode && s.end.is_none());
                if let Operation::Truncate { to, size_before, .. } = &event.operation {
                    let before = size_before.unwrap_or_else(|| size(played, inode, span.start.0));
                    let met = changes_met(played, number, inode).next().is_some();
                    let untold = size_before.is_none() && is_untold_before(played, number, inode);
                    let doubtful = untold || met && (size_before.is_none() || before == *to);
                    unclear.extend(doubtful.then_some(inode));
                    if before == *to && (size_before.is_some() || !busy) {
                        continue;
                    }
                }
                if !busy {
                    unclear.extend(close_move(number).then_some(inode));
                    if current != Some(inode) {
                        continue;
                    }
                }
                add(&mut sessions, inode, change(played, number, inode, kind), None);
            }
            Operation::Rename { to: Some(place), inode: Some(inode), .. }
            | Operation::Link { to: place, inode: Some(inode), .. }
                if place.role == Role::State =>
            {
                current = Some(inode.ino);
                stood = true;
                moved = Some(span);
                unclear.extend(close_move(number).then_some(inode.ino));
                replaces.push(Ended {
                    inode: inode.ino,
                    outcome: Outcome::AtomicReplace.as_str(),
                    operation: None,
                    start: span.start.0,
                    end: span.end.0,
                    count: 0,
                    writer_died: false,
                    durable: Some(durable(played, number, inode.ino)),
                });
            }
            Operation::Unlink { place, inode: Some(inode) } if place.role == Role::State => {
                unclear.extend(close_move(number).then_some(inode.ino));
                moved = Some(span);
                if current == Some(inode.ino) {
                    current = None;
                }
            }
            Operation::Release { id } => {
                for session in sessions.iter_mut().filter(|session| session.end.is_none()) {
                    if session.open.remove(id) && session.open.is_empty() {
                        session.end = Some((span.end.0, number));
                    }
                }
            }
            Operation::Exit { .. } => {
                for session in sessions.iter_mut().filter(|session| session.end.is_none()) {
                    session.died |= session.changes.iter().any(|change| {
                        change.pid == event.actor.pid
                            && change.writer.0.is_some_and(|id| session.open.contains(&id))
                    });
                }
            }
            _ => {}
        }
        for session in sessions.iter_mut().filter(|session| session.end.is_none()) {
            if session.open.is_empty() {
                session.end = Some((span.end.0, number));
            }
        }
    }
    (sessions, replaces, unclear)
}

fn add(sessions: &mut Vec<Session>, inode: u64, change: Change, origin: Option<&'static str>) {
    let known = sessions.iter().position(|session| session.inode == inode && session.end.is_none());
    let index = known.unwrap_or_else(|| {
        sessions.push(Session {
            inode,
            changes: Vec::new(),
            open: BTreeSet::new(),
            origin: Outcome::InPlace.as_str(),
            died: false,
            end: None,
        });
        sessions.len() - 1
    });
    let session = &mut sessions[index];
    session.open.extend(change.writer.0);
    session.origin = origin.unwrap_or(session.origin);
    session.changes.push(change);
}

/// Which inode a write or truncation modified, and what it is called.
fn modified(played: &Played, number: usize) -> Option<(u64, &'static str)> {
    match &played.events[number].operation {
        Operation::Write { id, offset, size_before, .. } => {
            let behind = size_before.zip(*offset).is_some_and(|(before, offset)| offset >= before);
            Some((inode_of(played, *id)?, if behind { "append" } else { "overwrite" }))
        }
        Operation::Truncate { inode, .. } => Some((inode.unwrap().ino, "truncate")),
        _ => None,
    }
}

/// The other modifications of the inode that overlap this event.
fn changes_met(played: &Played, number: usize, inode: u64) -> impl Iterator<Item = Span> {
    played.events.iter().enumerate().filter_map(move |(other, event)| {
        let modifies = match &event.operation {
            Operation::Open { inode: known, created, truncated, .. } => {
                known.ino == inode && (*created || *truncated)
            }
            _ => modified(played, other).is_some_and(|(known, _)| known == inode),
        };
        let met = other != number && modifies && overlap(event.span, played.events[number].span);
        met.then_some(event.span)
    })
}

fn change(played: &Played, number: usize, inode: u64, kind: &'static str) -> Change {
    let event = &played.events[number];
    let instant = played.instants[number];
    // What the event says of the size before is what can be known of the bytes that changed.
    let before = match &event.operation {
        Operation::Write { size_before, .. } | Operation::Truncate { size_before, .. } => *size_before,
        _ => None,
    };
    let before = before.unwrap_or_else(|| size(played, inode, event.span.start.0));
    let (from, to, sets, writer) = match &event.operation {
        Operation::Open { id, .. } => {
            let to = if kind == "create" { 0 } else { u64::MAX };
            (0, to, Sets::To(0), (Some(*id), 0))
        }
        Operation::Write { id, offset, length, .. } => {
            let (offset, end) = (offset.unwrap(), offset.unwrap() + length);
            (offset.min(before), end, Sets::More, (Some(*id), 0))
        }
        Operation::Truncate { target: Target::Open(id), to, .. } => {
            (before.min(*to), u64::MAX, Sets::To(*to), (Some(*id), 0))
        }
        Operation::Truncate { to, .. } => (before.min(*to), u64::MAX, Sets::To(*to), (None, number)),
        other => panic!("{other:?} is no change"),
    };
    let own = match &event.operation {
        Operation::Write { offset, .. } => offset.unwrap(),
        Operation::Truncate { to, .. } => *to,
        _ => 0,
    };
    Change {
        event: number,
        span: event.span,
        instant,
        from,
        own,
        to,
        kind,
        before,
        untold: is_untold_before(played, number, inode),
        sets,
        writer,
        pid: event.actor.pid,
    }
}

/// Synced after the last modification before the rename.
fn durable(played: &Played, rename: usize, inode: u64) -> bool {
    let events = &played.events[..rename];
    let modifies = |number: usize| match &events[number].operation {
        Operation::Open { inode: known, created, truncated, .. } => {
            known.ino == inode && (*created || *truncated)
        }
        Operation::Truncate { to, .. } if *to == size(played, inode, events[number].span.start.0) => false,
        _ => modified(played, number).is_some_and(|(known, _)| known == inode),
    };
    let last = (0..events.len()).filter(|number| modifies(*number)).map(|n| events[n].span.end.0).max();
    events.iter().any(|event| match &event.operation {
        Operation::Sync { id } => {
            inode_of(played, *id) == Some(inode)
                && Some(event.span.start.0) >= last
                && event.span.end <= played.events[rename].span.start
        }
        _ => false,
    })
}

fn descriptions(played: &Played, sessions: &[Session]) -> BTreeMap<OpenId, Reader> {
    let mut readers: BTreeMap<OpenId, Reader> = BTreeMap::new();
    for (number, event) in played.events.iter().enumerate() {
        match &event.operation {
            Operation::Open { id, inode, access, truncated, .. } => {
                let reader = readers.entry(*id).or_default();
                // Whether it found anything to truncate depends on the order of two that have none.
                reader.modified = *truncated && changes_met(played, number, inode.ino).next().is_some();
                reader.inode = inode.ino;
                reader.opened = event.span.end.0;
                reader.reads_allowed = access.read;
            }
            Operation::Read { id, .. } => readers.entry(*id).or_default().reads.push(number),
            Operation::Release { id } => {
                let reader = readers.entry(*id).or_default();
                // Another process that holds it may read while a close is under way.
                let ends = reader.reads.iter().map(|read| played.events[*read].span.end.0);
                let read = ends.max().unwrap_or(0).min(event.span.end.0);
                reader.released = Some((event.span.start.0.max(read), number));
            }
            _ => {}
        }
    }
    for change in sessions.iter().flat_map(|session| &session.changes) {
        if let Some(reader) = change.writer.0.and_then(|id| readers.get_mut(&id)) {
            reader.modified = true;
        }
    }
    readers
}

fn judge_reader(played: &Played, sessions: &[Session], id: OpenId, reader: &Reader) -> Judged {
    let here: Vec<&Session> = sessions.iter().filter(|session| session.inode == reader.inode).collect();
    let (released, release) = reader.released.unwrap_or((u64::MAX, usize::MAX));
    let touches = |session: &&&Session| {
        let (start, end) = session.window();
        reader.opened.max(start) <= released.max(reader.opened).min(end)
    };
    let touched: Vec<&Session> = here.iter().filter(touches).copied().collect();
    let single_pass = is_one_pass(played, reader);
    let mut judged = Judged {
        id,
        verdict: None,
        may_be_torn: true,
        got_a_version: None,
        certainly_torn: false,
        may_repeat: true,
    };
    if reader.modified {
        return judged;
    }
    if touched.is_empty() {
        judged.verdict = Some(None);
        judged.may_be_torn = false;
        return judged;
    }
    // Twice: with all that a writer did, and with what it did to the live file alone. A file that took over the name
    // while it was still written lies between the two.
    let all = times_at_work(played, reader.inode);
    let live = times_of(&here);
    let matches = |busy: &[(u64, u64)], between: (u64, u64)| {
        single_pass.then(|| matching_version(played, busy, &touched, reader, between)).flatten()
    };
    let got_bytes = reader.reads.iter().any(|read| !played.bytes[*read].is_empty());
    // An end-of-file alone is like that of any empty version, of whatever time; and what was the same before the first
    // read, or came to be so after the last one, was no version when it was read.
    let span = |read: &usize| played.events[*read].span;
    let first = reader.reads.first().map_or(0, |read| span(read).start.0);
    let reading = (first, reader.reads.last().map_or(0, |read| span(read).end.0));
    let known = matches(&all, reading).zip(matches(&live, reading));
    judged.got_a_version = known.filter(|_| got_bytes).map(|(all, live)| all.max(live));
    let meets = |span: Span| here.iter().flat_map(|s| &s.changes).any(|change| overlap(change.span, span));
    let changes = || here.iter().flat_map(|session| &session.changes);
    let apart = changes()
        .all(|one| changes().all(|other| one.writer == other.writer || !overlap(one.span, other.span)));
    judged.certainly_torn = single_pass
        && apart
        && !modified_unjudged(played, &here, &touched, reader.inode)
        && matches(&all, (0, u64::MAX)).is_none()
        && matches(&live, (0, u64::MAX)).is_none()
        && played.sizes_shown
        && touched.iter().all(|session| session.end.is_some())
        && reader.reads.iter().all(|read| !meets(played.events[*read].span));
    // What was modified under no name that counts is in no session, and nothing is proved against it.
    if !single_pass || !played.sizes_shown || modified_unjudged(played, &here, &touched, reader.inode) {
        return judged;
    }

    // A verdict is due when no session that it touched is open: at a session's end, or at its own.
    let mut moments: Vec<usize> = touched.iter().filter_map(|session| Some(session.end?.1)).collect();
    moments.push(release);
    moments.sort_unstable();
    for now in moments {
        let known: Vec<&Session> =
            here.iter().filter(|session| session.changes[0].event <= now).copied().collect();
        let open = touched
            .iter()
            .any(|session| session.changes[0].event <= now && session.end.is_none_or(|(_, end)| end > now));
        let any = touched.iter().any(|session| session.end.is_some_and(|(_, end)| end <= now));
        if open || !any {
            continue;
        }
        let ended = played.events.get(now).map_or(u64::MAX, |event| event.span.end.0);
        let under_way = here.iter().flat_map(|session| &session.changes).any(|change| {
            change.event > now && change.span.start.0 <= ended.min(released.max(reader.opened))
        });
        let (must, may) = torn(played, &known, reader, now);
        judged.may_be_torn = may || under_way;
        if under_way {
            return judged;
        }
        // A session may turn out to have begun earlier than it seemed when the reader was judged.
        let late = here
            .iter()
            .flat_map(|session| &session.changes)
            .any(|change| change.event > release && change.span.start.0 <= released.max(reader.opened));
        if release <= now && !late {
            judged.may_repeat = false;
        }
        if must && may {
            judged.verdict = Some(Some(Verdict::Torn));
            return judged;
        }
        if release > now {
            if may {
                return judged;
            }
            continue;
        }
        if may {
            return judged;
        }
        let in_window = reader.reads.iter().any(|read| {
            let span = played.events[*read].span;
            touched.iter().any(|session| {
                let (start, end) = session.window();
                span.start.0 <= end && start <= span.end.0
            })
        });
        judged.verdict = Some(Some(if in_window { Verdict::Overlapping } else { Verdict::Exposed }));
        return judged;
    }
    judged
}

/// Each call begins where the one before ended, and none comes after an end-of-file.
fn is_one_pass(played: &Played, reader: &Reader) -> bool {
    let mut next = 0;
    let mut over = false;
    reader.reads.iter().all(|read| match &played.events[*read].operation {
        Operation::Read { offset: Some(offset), returned, .. } => {
            let fits = *offset == next && !over;
            next += returned;
            over = *returned == 0;
            fits
        }
        _ => false,
    })
}

/// Since when a version can be known of that was complete at some moment around the touched sessions and `between` these
/// times, and whose bytes those of the reader are.
fn matching_version(
    played: &Played,
    busy: &[(u64, u64)],
    touched: &[&Session],
    reader: &Reader,
    between: (u64, u64),
) -> Option<u64> {
    let from = touched.iter().map(|session| session.window().0).min().unwrap().max(between.0);
    let to = touched.iter().map(|session| session.window().1).max().unwrap();
    let history = &played.contents[&reader.inode];
    let matching = history.iter().enumerate().filter(|(index, (since, content))| {
        let until = history.get(index + 1).map_or(u64::MAX, |(until, _)| *until);
        let complete = busy.iter().all(|(first, last)| *since < *first || *since >= *last);
        complete
            && *since <= to.min(between.1)
            && until >= from
            && reader.reads.iter().enumerate().all(|(index, read)| {
                let Operation::Read { offset: Some(offset), requested, returned, .. } =
                    &played.events[*read].operation
                else {
                    return false;
                };
                let (start, end) =
                    (usize::try_from(*offset).unwrap(), usize::try_from(offset + returned).unwrap());
                let last =
                    index + 1 == reader.reads.len() || played.bytes[reader.reads[index + 1]].is_empty();
                let same = if *returned == 0 {
                    content.len() <= start
                } else {
                    content.get(start..end) == Some(played.bytes[*read].as_slice())
                };
                same && (*returned == 0 || returned == requested || !last || content.len() == end)
            })
    });
    let known = matching.map(|(index, (since, content))| {
        let until = history.get(index + 1).map_or(u64::MAX, |(until, _)| *until);
        let made = played.instants.iter().position(|instant| instant == since);
        let seen = (0..played.events.len())
            .any(|number| saw_size(played, number, content.len() as u64, (*since, until)));
        if seen { 0 } else { made.map_or(0, |made| played.events[made].span.end.0) }
    });
    known.min()
}

/// True when somebody looked at the size `between` these times and found it to be that.
fn saw_size(played: &Played, number: usize, size: u64, (from, until): (u64, u64)) -> bool {
    let event = &played.events[number];
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

/// The inode that an event modified, by whatever name.
fn modified_inode(played: &Played, number: usize) -> Option<u64> {
    match &played.events[number].operation {
        Operation::Open { inode, created, truncated, .. } => (*created || *truncated).then_some(inode.ino),
        _ => modified(played, number).map(|(inode, _)| inode),
    }
}

/// True when the file was changed under no name, in no session, since the first touched session began.
fn modified_unjudged(played: &Played, here: &[&Session], touched: &[&Session], inode: u64) -> bool {
    let from = touched.iter().map(|session| session.start()).min().unwrap();
    (0..played.events.len()).any(|number| {
        modified(played, number).is_some_and(|(known, _)| known == inode)
            && played.events[number].span.end.0 >= from
            && here.iter().flat_map(|s| &s.changes).all(|change| change.event != number)
    })
}

/// When each writer of these sessions changed the file first and last.
fn times_of(sessions: &[&Session]) -> Vec<(u64, u64)> {
    let mut times = Times::new();
    for (index, session) in sessions.iter().enumerate() {
        for change in &session.changes {
            note(&mut times, (index, change.writer), change.instant);
        }
    }
    times.into_values().collect()
}

type Times = BTreeMap<(usize, (Option<OpenId>, usize)), (u64, u64)>;

fn note(times: &mut Times, writer: (usize, (Option<OpenId>, usize)), at: u64) {
    let (first, last) = times.entry(writer).or_insert((at, at));
    (*first, *last) = (at.min(*first), at.max(*last));
}

/// When each description, or truncation by path, changed the file first and last, whatever its name was.
fn times_at_work(played: &Played, inode: u64) -> Vec<(u64, u64)> {
    let mut times = Times::new();
    for (number, event) in played.events.iter().enumerate() {
        let kind = match &event.operation {
            Operation::Open { inode: known, created: true, .. } if known.ino == inode => "create",
            Operation::Open { inode: known, truncated: true, .. } if known.ino == inode => "open_truncate",
            _ => match modified(played, number) {
                Some((known, kind)) if known == inode => kind,
                _ => continue,
            },
        };
        let at = played.instants[number];
        if kind != "create" && content(played, inode, at - 1) == content(played, inode, at) {
            continue;
        }
        let writer = change(played, number, inode, kind).writer;
        note(&mut times, (0, writer), at);
    }
    times.into_values().collect()
}

/// Whether the reader must be torn, and whether it may be.
///
/// Where other writers were at work so close to a moment that its size has not been seen, any length is as good for
/// "must", and none for "may". A truncation that may have found nothing to cut off did nothing for "must", and did
/// something for "may".
fn torn(played: &Played, sessions: &[&Session], reader: &Reader, now: usize) -> (bool, bool) {
    let (must, _) = torn_if(played, sessions, reader, now, &surely_changes);
    let (_, may) = torn_if(played, sessions, reader, now, &|_, _| true);
    (must, may)
}

type Changes<'a> = &'a dyn Fn(&Change, &[Vec<&Change>]) -> bool;

fn torn_if(
    played: &Played,
    sessions: &[&Session],
    reader: &Reader,
    now: usize,
    changes: Changes<'_>,
) -> (bool, bool) {
    let released = reader.released.map_or(u64::MAX, |(at, _)| at.max(reader.opened));
    let mut writers: Vec<Vec<&Change>> = Vec::new();
    let (mut always, mut never) = (BTreeSet::new(), BTreeSet::new());
    for session in sessions {
        let keys: BTreeSet<_> = session.changes.iter().map(|change| change.writer).collect();
        let (start, end) = session.window();
        for key in keys {
            let own: Vec<&Change> =
                session.changes.iter().filter(|change| change.writer == key && change.event <= now).collect();
            if own.is_empty() {
                continue;
            }
            if end < reader.opened || own.iter().any(|change| change.kind == "create") {
                always.insert(writers.len());
            }
            if start > released {
                never.insert(writers.len());
            }
            writers.push(own);
        }
    }
    // What was there before a writer that had begun before the first call was gone by then.
    let first = reader.reads.first().map(|read| played.events[*read].span.start);
    for (index, own) in writers.iter().enumerate() {
        let mut sure = own.iter().filter(|change| changes(change, &writers));
        if sure.any(|change| Some(change.span.end) < first) || own.iter().all(|c| Some(c.span.end) < first) {
            always.insert(index);
        }
    }
    let mut moments: BTreeSet<u64> = BTreeSet::from([0, u64::MAX / 2]);
    for change in writers.iter().flatten() {
        for at in [change.span.start.0, change.span.end.0] {
            // Twice the time, so that there is a moment between two neighbours.
            moments.extend([2 * at - 1, 2 * at, 2 * at + 1]);
        }
    }
    let (mut must, mut may) = (true, true);
    let mut seen = BTreeSet::new();
    for moment in moments {
        let mut choices = vec![BTreeSet::new()];
        for (index, own) in writers.iter().enumerate() {
            let done =
                own.iter().all(|change| !changes(change, &writers) || 2 * change.span.start.0 <= moment);
            // Once all that it did has returned, a writer that may have changed nothing has finished as well.
            let last = own.iter().map(|change| 2 * change.span.end.0).max();
            let unbegun = last >= Some(moment)
                && own
                    .iter()
                    .filter(|change| changes(change, &writers))
                    .all(|change| 2 * change.span.end.0 >= moment);
            let mut next = Vec::new();
            for choice in &choices {
                if done && !never.contains(&index) {
                    let mut with: BTreeSet<usize> = choice.clone();
                    with.insert(index);
                    next.push(with);
                }
                if unbegun && !always.contains(&index) {
                    next.push(choice.clone());
                }
            }
            choices = next;
        }
        for choice in choices {
            if !seen.insert(choice.clone()) || !bytes_fit((played, changes), &writers, &choice, reader, now) {
                continue;
            }
            // Who ended with what may have changed nothing may have been done before.
            let ended = choice.iter().all(|index| {
                let last = writers[*index].iter().max_by_key(|change| change.span.end);
                last.is_none_or(|last| changes(last, &writers))
            });
            match seen_size(played, &writers, &choice, reader.inode).filter(|_| ended) {
                Some(size) if lengths_fit(played, reader, now, size) => (must, may) = (false, false),
                Some(_) => {}
                None => must = false,
            }
        }
    }
    (must, may)
}

/// Every single byte can be the one that the chosen writers left.
fn bytes_fit(
    (played, changes): (&Played, Changes<'_>),
    writers: &[Vec<&Change>],
    chosen: &BTreeSet<usize>,
    reader: &Reader,
    now: usize,
) -> bool {
    reader.reads.iter().filter(|read| **read <= now).all(|read| {
        let event = &played.events[*read];
        let Operation::Read { offset: Some(offset), returned, .. } = &event.operation else { return true };
        (*offset..offset + returned).all(|byte| {
            writers.iter().enumerate().all(|(index, own)| {
                own.iter()
                    .filter(|change| {
                        change.first_byte(writers) <= byte && byte < change.to && changes(change, writers)
                    })
                    .all(|change| {
                        if chosen.contains(&index) {
                            change.span.start <= event.span.end
                        } else {
                            change.span.end >= event.span.start
                        }
                    })
            })
        })
    })
}

/// A truncation that found the file that short, or met another to the same size, may have changed nothing.
fn surely_changes(change: &Change, writers: &[Vec<&Change>]) -> bool {
    let truncates = |change: &Change| matches!(change.sets, Sets::To(_)) && change.kind != "create";
    let met = || {
        writers.iter().flatten().any(|other| {
            other.event != change.event
                && matches!((other.sets, change.sets), (Sets::To(other), Sets::To(to)) if other == to)
                && overlap(other.span, change.span)
        })
    };
    // One that makes the file longer may find that a write which it met has done so.
    let met_write = |to: u64| {
        writers
            .iter()
            .flatten()
            .filter(|other| other.event != change.event && matches!(other.sets, Sets::More))
            .any(|other| other.to >= to && overlap(other.span, change.span))
    };
    let nothing = change.untold
        || matches!(change.sets, Sets::To(to) if to == change.before || change.before < to && met_write(to));
    !(truncates(change) && (nothing || met()))
}

fn lengths_fit(played: &Played, reader: &Reader, now: usize, size: u64) -> bool {
    let reads: Vec<usize> = reader.reads.iter().copied().filter(|read| *read <= now).collect();
    reads.iter().enumerate().all(|(index, read)| {
        let Operation::Read { offset: Some(offset), requested, returned, size_before, size: after, .. } =
            &played.events[*read].operation
        else {
            return true;
        };
        let end = offset + returned;
        let may_go_on = index + 1 == reads.len() && reader.released.is_none_or(|(_, release)| release > now);
        let went_on = may_go_on || reads[index + 1..].iter().any(|later| !played.bytes[*later].is_empty());
        let stood_still = size_before.is_some() && size_before == after && *after > Some(end);
        if *returned == 0 {
            size <= *offset
        } else if returned < requested && !went_on && !stood_still {
            size == end
        } else {
            size >= end
        }
    })
}

/// The size that the chosen writers left, when nobody else was at work around that moment: then it is what the world
/// says.
fn seen_size(played: &Played, writers: &[Vec<&Change>], chosen: &BTreeSet<usize>, inode: u64) -> Option<u64> {
    let split = |wanted: bool| -> Vec<&Change> {
        let own = writers.iter().enumerate().filter(|(index, _)| chosen.contains(index) == wanted);
        own.flat_map(|(_, own)| own.iter().copied()).collect()
    };
    let (inside, outside) = (split(true), split(false));
    let last = inside.iter().map(|change| change.span.end.0).max();
    let next = outside.iter().map(|change| change.span.start.0).min();
    let (Some(last), next) = (last, next) else {
        return Some(size(played, inode, next.map_or(u64::MAX, |next| next - 1)));
    };
    // Of all operations, a truncation alone returns without saying what the size is then.
    let told = inside.iter().filter(|change| change.span.end.0 == last).all(|change| {
        change.kind != "truncate"
            || inside.iter().all(|other| other.event == change.event || !overlap(other.span, change.span))
    });
    // What is judged later may have been at work by then.
    let told = told
        && (0..played.events.len()).all(|number| {
            let span = played.events[number].span;
            writers.iter().flatten().any(|change| change.event == number)
                || modified_inode(played, number) != Some(inode)
                || span.start.0 > last
                || span.end.0 < inside.iter().map(|change| change.span.start.0).max().unwrap()
        });
    // Whether someone looked at it later is not followed here.
    (told && next.is_none_or(|next| last < next)).then(|| size(played, inode, last))
}
