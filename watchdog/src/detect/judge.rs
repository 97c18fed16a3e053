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
use crate::model::{Actor, BootNanos, Output, ReadReport, Verdict};

/// Why a verdict is asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// A session that the description touched has ended. Unless a tear is proved, an open description may still
    /// read the rest.
    SessionEnded,
    /// The description was released, or goes back over the file.
    PassEnded,
    /// There is no more waiting: by what is known so far.
    Forced,
}

/// A verdict and what shows it.
struct Judgement<'a> {
    verdict: Verdict,
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
        let touched =
            |session: &Session| session.number > description.settled && description.touches(session, now);
        let Some(last) = file.sessions().rev().find(|session| touched(session)) else { return };
        let concern = description.concern(file.sessions(), now);
        let open = file.current.as_deref().is_some_and(touched);
        let in_doubt = file.sizes.in_doubt(concern);
        if (open || in_doubt) && occasion != Occasion::Forced {
            if let Some(file) = self.files.get_mut(file_slot) {
                file.waiting |= in_doubt;
            }
            return;
        }
        if description.verdict.is_some_and(|(_, considered)| last.number <= considered) {
            return;
        }
        let certain = !self.lost_since(description.known, description.opened.start)
            && !description.distrusted
            && !open
            && !in_doubt;
        let judgement = judge(description, file, &touched, last, certain, now);
        let newest = self.session_count;
        let released = description.released.is_some();
        if !released && occasion == Occasion::SessionEnded && judgement.verdict != Verdict::Torn {
            let due = now.plus(nanos(self.limits.session_deadline));
            if let Some(description) = self.descriptions.get_mut(slot) {
                description.due.get_or_insert(due);
            }
            return self.wake_file(file_slot, due);
        }
        let last = last.number;
        let worse = description.verdict.is_none_or(|(given, _)| rank(judgement.verdict) > rank(given));
        let verdict = judgement.verdict;
        let alive = description.opened.start;
        let report = worse.then(|| report(description, &judgement, now));
        let Some(description) = self.descriptions.get_mut(slot) else { return };
        description.due = None;
        if released {
            description.verdict = Some((verdict, last));
        } else {
            // What it reads from now on is judged by itself.
            description.settled = newest;
            description.verdict = None;
            description.passes_dropped = false;
            self.calls = self.calls.saturating_sub(description.kept_calls());
            description.passes.clear();
        }
        let Some(report) = report else { return };
        let waiting = (verdict == Verdict::Torn).then(|| Waiting {
            place: Arc::clone(&report.place),
            open: report.open,
            reader: report.reader,
            alive,
            until: now.plus(nanos(self.limits.exit_wait)),
        });
        out.push(Output::Read(Box::new(report)));
        let answer = waiting.and_then(|waiting| self.exits.ask(waiting, self.limits.exits));
        out.extend(answer.map(Output::ReaderExit));
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
    certain: bool,
    now: BootNanos,
) -> Judgement<'a> {
    let around = around(file, touched, now);
    let sessions: Vec<&Session> = around.iter().copied().filter(|session| touched(session)).collect();
    let meeting = |call: &Call| sessions.iter().rev().find(|session| meets(call, session, now)).copied();
    let in_window = description.calls().filter(|call| meeting(call).is_some()).last();
    let session = in_window.and_then(meeting).unwrap_or(last);

    if !certain || around.iter().any(|session| session.obscure) {
        return Judgement { verdict: Verdict::Unknown, session, call: in_window };
    }
    let life = description.life(now);
    let parts: Vec<(&Session, Part)> = around
        .iter()
        .map(|session| {
            let window = session.window(now);
            let part = if window.is_before(life) {
                Part::Before
            } else if life.is_before(window) {
                Part::After
            } else {
                Part::Touched
            };
            (*session, part)
        })
        .collect();
    let timeline = Timeline::new(&parts);
    // What was modified under no name that counts is in no session, and so in no version.
    let all_judged = around.iter().all(|session| file.changed_aside < session.start);
    if let Some(pass) = description.passes.iter().find(|pass| all_judged && !timeline.admits(pass)) {
        let call = timeline.witness(pass).and_then(|index| pass.calls.get(index));
        let call = call.or_else(|| pass.calls.iter().rfind(|call| meeting(call).is_some()));
        let call = call.or(pass.calls.last());
        let session = call.and_then(meeting).unwrap_or(last);
        return Judgement { verdict: Verdict::Torn, session, call };
    }
    let unseen = description.mapped || description.passes_dropped;
    let verdict = if description.passes.iter().any(|pass| overlaps(pass, &sessions, now)) || unseen {
        Verdict::Overlapping
    } else if in_window.is_some() {
        Verdict::Guarded
    } else {
        Verdict::Exposed
    };
    Judgement { verdict, session, call: in_window }
}

/// The sessions that `touched` picks, and those whose windows overlap theirs, directly or in turn.
fn around<'a>(file: &'a File, touched: &impl Fn(&Session) -> bool, now: BootNanos) -> Vec<&'a Session> {
    let mut picked: Vec<&Session> = file.sessions().filter(|session| touched(session)).collect();
    let mut others: Vec<&Session> = file.sessions().filter(|session| !touched(session)).collect();
    loop {
        let before = others.len();
        others.retain(|other| {
            let window = other.window(now);
            let overlaps = picked.iter().any(|session| {
                let known = session.window(now);
                known.meets(window)
            });
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
    picked
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

fn report(description: &Description, judgement: &Judgement<'_>, now: BootNanos) -> ReadReport {
    let session = judgement.session;
    let reader: Option<Actor> = judgement.call.map(|call| call.actor).or(description.reader);
    ReadReport {
        place: Arc::clone(&session.place),
        inode: description.inode,
        open: description.id,
        verdict: judgement.verdict,
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
