//! The engine beside a world that answers what it asks.

use std::fmt::Write as _;

use watchdog::detect::{Engine, Limits};
use watchdog::model::{Actor, BootNanos, Content, EventOperation, FileEvent, Output, Role, Span};

use super::played::{Happened, PAGE, Played, place};
use super::random::Random;
use super::schedule::{Checks, SECOND};

/// What the engine was shown, and what it concluded.
pub(crate) struct Run {
    /// The world's events and the agent's answers, in order.
    pub(crate) events: Vec<Happened>,
    /// What the engine put out, and when.
    pub(crate) outputs: Vec<(u64, Output)>,
    /// The engine had something to do again and again.
    pub(crate) stuck: Option<u64>,
}

/// How long the engine is let run after the last event.
const AFTER: u64 = 200 * SECOND;

/// Shows these events to an engine, and answers from the world's own bytes when it asks.
pub(crate) fn run(played: &Played, events: Vec<Happened>) -> Run {
    let mut runner = Runner {
        played,
        engine: Engine::new(Limits { page: PAGE, ..Limits::default() }),
        random: Random::keyed(played.seed, 0xc0de),
        answers: Vec::new(),
        asked: 0,
        events: Vec::new(),
        outputs: Vec::new(),
        lost: 0,
        now: 0,
        stuck: None,
    };
    let end = events.last().map_or(0, |last| last.event.at().0) + AFTER;
    for happened in events {
        runner.pass(happened.event.at().0);
        runner.lost = happened.event.lost;
        runner.observe(happened);
    }
    runner.pass(end);
    Run { events: runner.events, outputs: runner.outputs, stuck: runner.stuck }
}

struct Runner<'a> {
    played: &'a Played,
    engine: Engine,
    random: Random,
    /// When an answer comes, and what it says.
    answers: Vec<(u64, Happened)>,
    asked: usize,
    events: Vec<Happened>,
    outputs: Vec<(u64, Output)>,
    lost: u64,
    now: u64,
    stuck: Option<u64>,
}

impl Runner<'_> {
    fn observe(&mut self, happened: Happened) {
        let mut out = Vec::new();
        self.engine.observe(&happened.event, &mut out);
        let at = happened.event.at().0;
        self.now = self.now.max(at);
        self.outputs.extend(out.into_iter().map(|output| (at, output)));
        self.events.push(happened);
        self.ask();
    }

    /// Lets time go by, with all that is due on the way.
    fn pass(&mut self, until: u64) {
        let mut passed = 0;
        loop {
            // What is due at once is due a moment later: the engine has been told of this one.
            let due = self.engine.next_deadline().map(|at| at.0.max(self.now + 1)).filter(|at| *at < until);
            let answer = self.answers.iter().map(|(at, _)| *at).min().filter(|at| *at < until);
            match (due, answer) {
                (due, Some(answer)) if due.is_none_or(|due| answer <= due) => {
                    let index = self.answers.iter().position(|(at, _)| *at == answer).unwrap();
                    let mut happened = self.answers.swap_remove(index).1;
                    happened.event.lost = self.lost;
                    self.observe(happened);
                }
                (Some(due), _) => {
                    let mut out = Vec::new();
                    self.engine.advance(BootNanos(due), &mut out);
                    self.now = due;
                    self.outputs.extend(out.into_iter().map(|output| (due, output)));
                    self.ask();
                    passed += 1;
                    if passed > 1_000 {
                        self.stuck = Some(due);
                        return self.answers.retain(|(at, _)| *at >= until);
                    }
                }
                (None, _) => return,
            }
        }
    }

    /// Reads the file for each new request.
    fn ask(&mut self) {
        for index in std::mem::replace(&mut self.asked, self.outputs.len())..self.outputs.len() {
            let (at, Output::Check(request)) = &self.outputs[index] else { continue };
            assert_eq!(request.place.role, Role::State, "a check of {request:?}");
            if self.played.checks == Checks::Silent {
                continue;
            }
            let start = at + 1 + self.random.below(40);
            let end = start + 1 + self.random.below(60);
            let inode = self.played.named(start);
            // A reader that meets a change gets some of both; the engine does not believe it anyway.
            let bytes = inode.and_then(|inode| self.played.content(inode.ino, end));
            let content = match (self.played.checks, bytes) {
                (Checks::Judged, Some(bytes)) => self.played.judge(bytes),
                _ => Content::NotJudged,
            };
            let size = bytes.map_or(0, |bytes| bytes.len() as u64);
            let operation = EventOperation::Content { place: place("state.json"), inode, size, content };
            let span = Span::new(BootNanos(start), BootNanos(end));
            let event = FileEvent { span, actor: Actor::UNKNOWN, lost: 0, operation };
            self.answers.push((end, Happened { event, instant: end, bytes: Vec::new() }));
        }
    }
}

/// One line for each event.
pub(crate) fn show(events: &[Happened]) -> String {
    let mut text = String::new();
    for Happened { event, instant, bytes } in events {
        let (start, end, pid) = (event.span.start.0, event.span.end.0, event.actor.pid.0);
        let what = match &event.operation {
            EventOperation::Open { id, inode, place, access, created, truncated, size } => format!(
                "open {}#{} as {:x}{}{}{}{} size {size:?}",
                place.name,
                inode.ino,
                id.file,
                if access.read { " r" } else { "" },
                if access.write { " w" } else { "" },
                if *created { " created" } else { "" },
                if *truncated { " truncated" } else { "" },
            ),
            EventOperation::Read { id, offset, requested, returned, size_before, size } => {
                let offset = offset.unwrap_or_default();
                format!(
                    "read {:x} {offset}+{requested} got {returned} {bytes:?} size {size_before:?} {size:?}",
                    id.file
                )
            }
            EventOperation::Write { id, offset, length, size_before, size } => {
                let offset = offset.unwrap_or_default();
                format!("write {:x} {offset}+{length} size {size_before:?} {size:?}", id.file)
            }
            EventOperation::Truncate { target, inode, to, size_before } => {
                format!("truncate {target:?} {:?} to {to} size {size_before:?}", inode.map(|inode| inode.ino))
            }
            EventOperation::Release { id } => format!("release {:x}", id.file),
            EventOperation::Rename { from, to, inode, still_open_for_writing, .. } => format!(
                "rename {:?} to {:?} #{:?} still open {still_open_for_writing:?}",
                from.as_ref().map(|place| &place.name),
                to.as_ref().map(|place| &place.name),
                inode.map(|inode| inode.ino)
            ),
            EventOperation::Content { inode, size, content, .. } => {
                format!("content {:?} of {size} bytes: {content:?}", inode.map(|inode| inode.ino))
            }
            other => format!("{other:?}"),
        };
        writeln!(text, "{start}-{end} @{instant} p{pid} {what}").unwrap();
    }
    text
}
