//! The verdict on a description's reads.

use std::sync::Arc;

use super::description::Description;
use super::engine::Engine;
use super::exits::Waiting;
use super::file::File;
use super::limits::nanos;
use super::reads::{Call, Pass};
use super::session::Session;
use super::table::Slot;
use super::timeline::{Part, Timeline};
use crate::model::{Actor, BootNanos, Follows, Output, Pid, ReadReport, Span, Verdict};

/// Why a verdict is asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// A session that the description touched has ended. Unless a tear is proved, an open description may still
    /// read the rest.
    SessionEnded,
    /// The description was released, or goes back over the file.
    PassEnded,
    /// It has waited long enough, or a session is forgotten: by the sessions that have ended.
    Due,
    /// There is no more waiting: by what is known so far.
    Forced,
}

/// A verdict and what shows it. None, if all that it did was behind the windows, and it got a version.
struct Judgement<'a> {
    verdict: Option<Verdict>,
    session: &'a Session,
    call: Option<&'a Call>,
}

impl Engine {
    /// Gives a description's verdict on the sessions that it touched, if it is time for that.
    pub(super) fn settle(&mut self, slot: Slot, occasion: Occasion, out: &mut Vec<Output>) {
        let now = self.now;
        let Some(description) = self.descriptions.get(slot).filter(|description| description.is_reader())
        else {
            return;
        };
        let Some((file_slot, file)) = description.file.and_then(|slot| Some((slot, self.files.get(slot)?)))
        else {
            return;
        };
        if file.current.is_none() && file.quiet_since < description.opened.end {
            return;
        }
        let touched = |session: &Session| {
            session.number > description.settled
                && description.touches(session, now)
                && (occasion != Occasion::Due || session.end.is_some())
        };
        let Some(last) = file.sessions().rev().find(|session| touched(session)) else { return };
        // What it read within a session that goes on is judged when that one ends.
        let goes_on = file.current.as_deref().filter(|session| {
            occasion == Occasion::Due
                && session.number > description.settled
                && description.calls().any(|call| meets(call, session, now))
        });
        if goes_on.is_some() {
            return;
        }
        let concern = description.concern(file.sessions(), now);
        let open = file.current.as_deref().is_some_and(touched);
        let pending = file.past.iter().any(|session| session.is_pending() && touched(session));
        let in_doubt = file.sizes.in_doubt(concern);
        if (open || pending || in_doubt) && occasion != Occasion::Forced {
            return self.wait_for_end(slot, file_slot, occasion, in_doubt);
        }
        if description.considered >= last.number {
            return;
        }
        let certain = !self.lost_since(description.known, description.opened.start)
            && !description.distrusted
            && !open
            // What sizes are in doubt does not matter to one that read nothing.
            && (!in_doubt || description.passes.is_empty());
        let judgement = judge(description, file, &touched, last, (certain, self.loss_at), now);
        let released = description.released.is_some();
        if !released && occasion == Occasion::SessionEnded && judgement.verdict != Some(Verdict::Torn) {
            let due = self.due_at(description, last);
            if due > now {
                return self.set_due(slot, file_slot, due);
            }
        }
        let newest = if occasion == Occasion::Due { last.number } else { self.session_count };
        let last = last.number;
        let worse = judgement
            .verdict
            .filter(|verdict| description.verdict.is_none_or(|given| rank(*verdict) > rank(given)))
            // It was told what it got, and nobody had gone on by then.
            .filter(|verdict| !(description.damaged && *verdict == Verdict::Torn));
        let alive = description.opened.start;
        let report = worse.map(|verdict| report(description, &judgement, verdict, now));
        let bus_error = description.mapped.as_ref().and_then(|mapping| mapping.bus_error);
        let killed = bus_error.filter(|at| {
            judgement.verdict == Some(Verdict::Overlapping)
                && file
                    .sessions()
                    .any(|session| touched(session) && session.window(now).meets(Span::new(*at, *at)))
        });
        let Some(description) = self.descriptions.get_mut(slot) else { return };
        description.due = None;
        description.torn |= worse == Some(Verdict::Torn);
        if released {
            description.verdict = worse.or(description.verdict);
            description.considered = last;
        } else {
            // What it reads from now on is judged by itself.
            description.settled = newest;
            description.verdict = None;
            description.passes_dropped = false;
            self.calls = self.calls.saturating_sub(description.kept_calls());
            description.passes.clear();
        }
        let Some(report) = report else { return };
        let waiting = (report.verdict == Verdict::Torn || killed.is_some()).then(|| Waiting {
            place: Arc::clone(&report.place),
            open: report.open,
            reader: report.reader,
            follows: Follows::Torn,
            alive,
            until: now.plus(nanos(self.limits.exit_wait)),
        });
        out.push(Output::Read(Box::new(report)));
        if let Some(waiting) = waiting {
            self.ask_exit(waiting, out);
        }
    }

    /// Asks how a reader's process ended.
    pub(super) fn ask_exit(&mut self, waiting: Waiting, out: &mut Vec<Output>) {
        if waiting.reader.is_known() {
            let answer = self.exits.ask(waiting, self.limits.exits);
            out.extend(answer.map(Output::ReaderExit));
        }
    }

    /// A process was killed by SIGBUS: it touched what a file that it had mapped no longer had.
    /// So it had it mapped until then, whatever is known of its release.
    pub(super) fn note_bus_error(&mut self, pid: Pid, at: BootNanos, out: &mut Vec<Output>) {
        let its = |description: &Description| {
            let reader = description.reader.unwrap_or(description.opener);
            description.mapped.is_some() && (reader.pid == pid || description.opener.pid == pid)
        };
        let slots: Vec<Slot> = self
            .descriptions
            .iter()
            .filter(|(_, description)| its(description))
            .map(|(slot, _)| slot)
            .collect();
        for slot in slots {
            if let Some(description) = self.descriptions.get_mut(slot) {
                if let Some(mapping) = &mut description.mapped {
                    mapping.bus_error = Some(at);
                }
                description.last_event = description.last_event.max(at);
                if let Some(released) = &mut description.released {
                    released.start = released.start.max(at).min(released.end);
                }
            }
            self.settle(slot, Occasion::PassEnded, out);
        }
    }

    /// A verdict cannot be given yet. An open description gets it when it is due all the same, by the sessions that have
    /// ended. If it is due already, it waits for a doubt or an uncertain end: both settle it when they are resolved, and
    /// a timer set for at once would go off again and again until then.
    fn wait_for_end(&mut self, slot: Slot, file_slot: Slot, occasion: Occasion, in_doubt: bool) {
        let now = self.now;
        if let Some(file) = self.files.get_mut(file_slot) {
            file.waiting |= in_doubt;
        }
        let (Some(file), Some(description)) = (self.files.get(file_slot), self.descriptions.get(slot)) else {
            return;
        };
        let touched =
            |session: &&Session| session.number > description.settled && description.touches(session, now);
        if description.released.is_none()
            && occasion != Occasion::Due
            && let Some(last) = file.past.iter().rev().find(touched)
        {
            let due = self.due_at(description, last).max(now.plus(1));
            self.set_due(slot, file_slot, due);
        }
    }

    /// When an open description gets its verdict on sessions of which `last` ended last: soon if it has met the file's end,
    /// else when it has had time to read the rest.
    fn due_at(&self, description: &Description, last: &Session) -> BootNanos {
        let call = description.passes.last().and_then(|pass| pass.calls.last());
        // Behind a short read of something that is no version it may go on.
        let is_over = call.is_some_and(|call| {
            let came_before = call.span.end < last.start;
            let version = if came_before { last.size_before } else { last.size_after };
            call.met_end(version.unwrap_or(u64::MAX))
        });
        let wait = if is_over { self.limits.quiet } else { self.limits.session_deadline };
        last.end.unwrap_or(self.now).plus(nanos(wait))
    }

    fn set_due(&mut self, slot: Slot, file_slot: Slot, due: BootNanos) {
        if let Some(description) = self.descriptions.get_mut(slot) {
            let due = description.due.map_or(due, |known| known.min(due));
            description.due = Some(due);
            self.wake_file(file_slot, due);
        }
    }

    /// Gives the verdicts that waited for a change in size to be explained; those that others are in doubt of wait on.
    pub(super) fn settle_waiting(&mut self, slot: Slot, out: &mut Vec<Output>) {
        let Some(file) = self.files.get_mut(slot) else { return };
        if file.waiting {
            file.waiting = false;
            for reader in file.everyone() {
                self.settle(reader, Occasion::SessionEnded, out);
            }
        }
    }

    /// The readers that were open at `start` or later, in the order of their opens.
    pub(super) fn readers_since(&self, file: Slot, start: BootNanos) -> Vec<Slot> {
        let Some(file) = self.files.get(file) else { return Vec::new() };
        let last_event = |slot: &&Slot| {
            self.descriptions
                .get(**slot)
                .and_then(|description| description.released)
                .is_some_and(|released| released.end >= start)
        };
        let released = file.retired.iter().rev().take_while(last_event);
        let mut slots: Vec<Slot> = file.live.iter().chain(released).copied().collect();
        slots.sort_by_key(|slot| self.descriptions.get(*slot).map(|description| description.known));
        slots
    }

    /// Notes whether anyone read within the window of the session that ends, holding no lock.
    pub(super) fn note_intruders(&mut self, slot: Slot) {
        let now = self.now;
        let Some(session) = self.files.get(slot).and_then(|file| file.current.as_ref()) else { return };
        if !session.guarded {
            return;
        }
        let intruded = self.readers_since(slot, session.start).into_iter().any(|reader| {
            self.descriptions.get(reader).is_some_and(|description| {
                !session.is_writer(description.id)
                    && description.calls().any(|call| !call.guarded && meets(call, session, now))
            })
        });
        if let Some(session) = self.files.get_mut(slot).and_then(|file| file.current.as_mut()) {
            session.intruded = intruded;
        }
    }
}

fn judge<'a>(
    description: &'a Description,
    file: &'a File,
    touched: &impl Fn(&Session) -> bool,
    last: &'a Session,
    (certain, loss_at): (bool, Option<BootNanos>),
    now: BootNanos,
) -> Judgement<'a> {
    let sessions: Vec<&Session> = file.sessions().filter(|session| touched(session)).collect();
    let meeting = |call: &Call| sessions.iter().rev().find(|session| meets(call, session, now)).copied();
    let in_window = description.calls().filter(|call| meeting(call).is_some()).last();
    let life = description.life(now);
    let met = sessions.iter().rev().find(|session| session.window(now).meets(life)).copied();
    let session = in_window.and_then(meeting).or(met).unwrap_or(last);

    let around: Vec<Vec<(&Session, Part)>> = description
        .passes
        .iter()
        .map(|pass| around(file, pass, description.released.is_none(), now))
        .collect();
    let obscure = sessions.iter().copied().chain(around.iter().flatten().map(|(session, _)| *session));
    if !certain || obscure.into_iter().any(|session| session.obscure) {
        return Judgement { verdict: met.map(|_| Verdict::Unknown), session, call: in_window };
    }
    let void = |session: &Session| {
        let later = file.sessions().filter(|later| later.number > session.number);
        session.end.is_some() && session.left_no_version(later)
    };
    for (pass, around) in description.passes.iter().zip(&around) {
        // What was modified under no name that counts is in no session, and so in no version.
        if !around.iter().all(|(session, _)| file.changed_aside < session.start) {
            continue;
        }
        let timeline = Timeline::new(around, void);
        if timeline.admits(pass) {
            continue;
        }
        let call = timeline.witness(pass).and_then(|index| pass.calls.get(index));
        let call = call.or_else(|| pass.calls.iter().rfind(|call| meeting(call).is_some()));
        let call = call.or(pass.calls.last());
        // What a session left before a loss may have been changed by what was lost.
        let stale = |(session, part): &(&Session, Part)| {
            *part == Part::Before && session.end.zip(loss_at).is_some_and(|(end, loss)| end <= loss)
        };
        let verdict = if around.iter().any(stale) { Verdict::Unknown } else { Verdict::Torn };
        let session = call.and_then(meeting).or(met).unwrap_or(last);
        return Judgement { verdict: Some(verdict), session, call };
    }
    let within = |since: BootNanos| sessions.iter().any(|session| session.window(now).end >= since);
    let mapped = description.mapped.as_ref().is_some_and(|mapping| within(mapping.since));
    let unseen = mapped || description.passes_dropped;
    let verdict = if description.passes.iter().any(|pass| overlaps(pass, &sessions, now)) || unseen {
        Verdict::Overlapping
    } else if in_window.is_some() {
        Verdict::Guarded
    } else {
        Verdict::Exposed
    };
    // Who has written through it holds it open as a writer.
    let holds = description.modified && verdict == Verdict::Exposed;
    Judgement { verdict: met.filter(|_| !holds).map(|_| verdict), session, call: in_window }
}

/// The sessions that a pass can have read from: those that it met, and those whose windows overlap theirs, directly or in
/// turn. And what it found: the last one before.
fn around<'a>(file: &'a File, pass: &Pass, open: bool, now: BootNanos) -> Vec<(&'a Session, Part)> {
    let Some(span) = pass.span() else { return Vec::new() };
    // Who may still go on may get the rest from what is written meanwhile.
    let span = if open && !pass.is_over() { Span::new(span.start, span.end.max(now)) } else { span };
    let (mut picked, mut others): (Vec<&Session>, Vec<&Session>) =
        file.sessions().partition(|session| session.reach(now).meets(span));
    let before = others.iter().filter(|session| session.reach(now).is_before(span));
    if let Some(last) = before.max_by_key(|session| session.reach(now).end).copied() {
        others.retain(|other| other.number != last.number);
        picked.push(last);
    }
    loop {
        let before = others.len();
        others.retain(|other| {
            let window = other.window(now);
            let overlaps = picked.iter().any(|session| session.window(now).meets(window));
            if overlaps {
                picked.push(other);
            }
            !overlaps
        });
        if others.len() == before {
            break;
        }
    }
    picked.sort_by_key(|session| session.number);
    let part = |session: &Session| {
        let window = session.window(now);
        if window.is_before(span) {
            Part::Before
        } else if span.is_before(window) {
            Part::After
        } else {
            Part::Touched
        }
    };
    picked.into_iter().map(|session| (session, part(session))).collect()
}

/// True when the call was under way within the session's window.
fn meets(call: &Call, session: &Session, now: BootNanos) -> bool {
    let window = session.window(now);
    call.requested > 0 && call.span.meets(window)
}

/// True when a call of the pass overlaps a session, and locks did not keep the two apart.
fn overlaps(pass: &Pass, sessions: &[&Session], now: BootNanos) -> bool {
    pass.calls.iter().any(|call| {
        sessions.iter().any(|session| meets(call, session, now) && !(call.guarded && session.guarded))
    })
}

/// How much a verdict says against the others.
fn rank(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Torn => 4,
        Verdict::Unknown => 3,
        Verdict::Overlapping => 2,
        Verdict::Guarded => 1,
        Verdict::Exposed => 0,
    }
}

fn report(
    description: &Description,
    judgement: &Judgement<'_>,
    verdict: Verdict,
    now: BootNanos,
) -> ReadReport {
    let session = judgement.session;
    let reader: Option<Actor> = judgement.call.map(|call| call.actor).or(description.reader);
    ReadReport {
        place: Arc::clone(&session.place),
        inode: description.inode,
        open: description.id,
        verdict,
        reader: reader.unwrap_or(description.opener),
        writer: session.actor(),
        window: session.window(now),
        operations: session.records(),
        read: judgement.call.map(Call::report),
        read_calls: description.read_calls,
        bytes: description.bytes,
        size_before: session.size_before,
        final_size: session.size_after,
        judged: now,
    }
}
