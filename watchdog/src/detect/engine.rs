//! The engine's door: events and time in, conclusions out.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::description::Description;
use super::exits::Exits;
use super::files::Files;
use super::limits::{Limits, nanos};
use super::locks::Locks;
use super::names::{Names, Standing};
use super::table::{Slot, Table};
use super::timers::{Timer, Timers};
use crate::model::{
    Actor, Anomaly, AnomalyKind, BootNanos, EventOperation, FileEvent, InodeId, OpenId, Outcome, Output,
    Place, Role, SessionReport, Span,
};

/// Judges write sessions and the reads that overlap them.
///
/// It is told events in the order in which the operations returned, and the time. It answers with reports. The same
/// calls give the same answers.
#[derive(Debug)]
pub struct Engine {
    pub(super) limits: Limits,
    /// The latest time heard of.
    pub(super) now: BootNanos,
    /// Counts events.
    pub(super) event: u64,
    lost: u64,
    /// The last event before which something may be missing: what was known before it is not certain after it.
    pub(super) loss: u64,
    pub(super) loss_at: Option<BootNanos>,
    pub(super) session_count: u64,
    pub(super) names: Names,
    pub(super) files: Files,
    pub(super) descriptions: Table<OpenId, Description>,
    /// Which description a `struct file` address stands for now.
    pub(super) addresses: FxHashMap<u64, OpenId>,
    /// Files with a session open.
    pub(super) open_sessions: Vec<InodeId>,
    /// Sessions that have ended, in that order, by their files and numbers.
    pub(super) ended: VecDeque<(InodeId, u64)>,
    /// Released readers by the time at which they are forgotten.
    pub(super) retired: VecDeque<(BootNanos, OpenId)>,
    pub(super) locks: Locks,
    pub(super) exits: Exits,
    pub(super) timers: Timers,
    /// Read calls and modifying operations kept, against their limits.
    pub(super) calls: usize,
    pub(super) operations: usize,
}

/// How full the engine's tables are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files (inodes).
    pub files: usize,
    /// Names.
    pub names: usize,
    /// Descriptions, open or remembered.
    pub descriptions: usize,
    /// Sessions that are open.
    pub open_sessions: usize,
    /// Read calls kept as evidence.
    pub calls: usize,
    /// Modifying operations kept as evidence.
    pub operations: usize,
    /// Locks, ended processes and waiting readers, timers.
    pub others: usize,
}

impl Counts {
    /// True when no table has outgrown its bound. One call per pass and the first operation of a session are always kept.
    #[must_use]
    pub fn are_within(&self, limits: &Limits) -> bool {
        self.files <= limits.files
            && self.names <= 2 * limits.files
            && self.descriptions <= limits.descriptions
            && self.open_sessions <= limits.files
            && self.calls <= limits.calls + limits.descriptions * limits.passes
            && self.operations <= limits.operations + limits.files * (limits.sessions_per_file + 2)
            && self.others <= limits.locks + 2 * limits.exits + 8 * limits.files + 64
    }
}

impl Engine {
    /// An engine that knows nothing yet.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            now: BootNanos(0),
            event: 0,
            lost: 0,
            loss: 0,
            loss_at: None,
            session_count: 0,
            names: Names::default(),
            files: Files::new(),
            descriptions: Table::new(),
            addresses: FxHashMap::default(),
            open_sessions: Vec::new(),
            ended: VecDeque::new(),
            retired: VecDeque::new(),
            locks: Locks::default(),
            exits: Exits::default(),
            timers: Timers::default(),
            calls: 0,
            operations: 0,
        }
    }

    /// Takes in one event and adds to `out` what follows from it.
    pub fn observe(&mut self, event: &FileEvent, out: &mut Vec<Output>) {
        let span = Span::new(event.span.start, event.span.end);
        self.event += 1;
        self.pass_time(span.end, out);
        if event.lost > self.lost {
            self.lost = event.lost;
            anomaly(AnomalyKind::EventsLost, span.end, None, out);
            self.suspect_all(span.end);
        }
        let actor = event.actor;
        match &event.operation {
            EventOperation::Open { .. } => self.open(&event.operation, span, actor, out),
            EventOperation::Read { .. } => self.read(&event.operation, span, actor, out),
            EventOperation::Write { .. } | EventOperation::Truncate { .. } => {
                self.write(&event.operation, span, actor, out);
            }
            EventOperation::WriteFailed { id } => self.write_failed(*id, span, out),
            EventOperation::Map { id, shared, writable } => {
                self.map(*id, *shared && *writable, span, actor, out);
            }
            EventOperation::Sync { id } => self.sync(*id, span, out),
            EventOperation::Lock { id, mode, owner } => self.lock(*id, (*mode, *owner), span, actor, out),
            EventOperation::Rename { .. } | EventOperation::Link { .. } | EventOperation::Unlink { .. } => {
                self.rename(&event.operation, span, actor, out);
            }
            EventOperation::Release { id } => self.release(*id, span, out),
            EventOperation::Exit { status } => self.exit(*status, span.end, actor, out),
            EventOperation::Present { place, inode, size } => {
                self.present(place, *inode, *size, span, out);
            }
            EventOperation::MoveDirectory { root, container, to } => {
                let to = to.as_ref().map(|(root, container)| (*root, &**container));
                self.move_directory((*root, container), to, span, out);
            }
            EventOperation::Content { .. } => self.content(&event.operation, span, out),
            EventOperation::Heartbeat => {}
        }
    }

    /// Lets time pass to `now`, and adds to `out` what is due by then.
    pub fn advance(&mut self, now: BootNanos, out: &mut Vec<Output>) {
        self.pass_time(now, out);
    }

    /// When [`Engine::advance`] has something to do next.
    #[must_use]
    pub fn next_deadline(&self) -> Option<BootNanos> {
        self.timers.next().into_iter().chain(self.exits.next()).min()
    }

    /// The descriptions that are open as far as is known, and when each was last heard of. A source that cannot see
    /// every release asks after the silent ones.
    pub fn open_descriptions(&self) -> impl Iterator<Item = (OpenId, BootNanos)> {
        let all = self.descriptions.iter().map(|(_, description)| description);
        all.filter(|description| description.released.is_none())
            .map(|description| (description.id, description.last_event))
    }

    /// How full the tables are.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            files: self.files.len(),
            names: self.names.len(),
            descriptions: self.descriptions.len(),
            open_sessions: self.open_sessions.len(),
            calls: self.calls,
            operations: self.operations,
            others: self.locks.len() + self.exits.len() + self.timers.len(),
        }
    }

    /// From here on, nothing that was known or open before is certain.
    pub(super) fn suspect_all(&mut self, at: BootNanos) {
        self.loss = self.event;
        self.loss_at = Some(at);
    }

    /// True when events were lost since `event`, or since `start`: something that became known then, or began then, may
    /// be other than it seems.
    pub(super) fn lost_since(&self, event: u64, start: BootNanos) -> bool {
        event < self.loss || self.loss_at.is_some_and(|at| start <= at)
    }

    /// True when events were lost so short a time ago that a name's past may be among them.
    pub(super) fn lost_lately(&self) -> bool {
        self.loss_at.is_some_and(|at| self.now.since(at) <= nanos(self.limits.session_deadline))
    }

    fn pass_time(&mut self, now: BootNanos, out: &mut Vec<Output>) {
        if now <= self.now {
            return;
        }
        // What is due goes off at its own time and in its order, so that how often time is told changes nothing.
        while let Some(at) = self.next_deadline().filter(|due| *due <= now) {
            self.now = self.now.max(at);
            if let Some(answer) = self.exits.give_up(at, self.limits.exits) {
                out.push(Output::ReaderExit(answer));
            } else if let Some(timer) = self.timers.due(at) {
                match timer {
                    Timer::File(inode) => self.look_at_file(inode, at, out),
                    Timer::Name(place) => self.look_at_name(&place, at, out),
                }
            }
        }
        self.now = now;
        let oldest = BootNanos(now.0.saturating_sub(nanos(self.limits.exit_wait)));
        self.exits.forget(oldest, self.limits.exits);
        if !self.locks.is_empty() {
            self.locks.forget(BootNanos(now.0.saturating_sub(nanos(self.limits.horizon))));
        }
        while let Some(&(at, id)) = self.retired.front()
            && at < now
        {
            self.retired.pop_front();
            self.forget_retired(id, out);
        }
    }

    /// Sets a file's timer.
    pub(super) fn wake_file(&mut self, file: Slot, at: BootNanos) {
        if let Some(file) = self.files.get_mut(file) {
            self.timers.set(&mut file.timer, at, Timer::File(file.inode));
        }
    }

    /// Sets a name's timer.
    pub(super) fn wake_name(&mut self, place: &Arc<Place>, at: BootNanos) {
        if let Some(name) = self.names.get_mut(place) {
            self.timers.set(name.timer_mut(), at, Timer::Name(Arc::clone(place)));
        }
    }

    fn look_at_name(&mut self, place: &Arc<Place>, at: BootNanos, out: &mut Vec<Output>) {
        let (horizon, remembered) = (nanos(self.limits.horizon), nanos(self.limits.removed_names));
        let Some(name) = self.names.get_mut(place) else { return };
        if name.timer().is_some_and(|timer| timer > at) {
            return;
        }
        *name.timer_mut() = None;
        if let Some(doubt) = name.doubt() {
            let due = doubt.between.end.plus(horizon);
            if due > at {
                return self.wake_name(place, due);
            }
            name.drop_doubt();
            anomaly(AnomalyKind::ReplacedUnseen, at, Some(place), out);
            if let (Standing::File(inode), false) = (name.standing, doubt.created)
                && place.role == Role::State
            {
                out.push(unseen_replacement(place, inode, doubt.between));
            }
        }
        if name.standing == Standing::Removed {
            let due = name.changed.end.plus(remembered);
            if due > at {
                return self.wake_name(place, due);
            }
            self.names.remove(place);
        }
    }
}

/// Adds an anomaly.
pub(super) fn anomaly(kind: AnomalyKind, at: BootNanos, place: Option<&Arc<Place>>, out: &mut Vec<Output>) {
    out.push(Output::Anomaly(Anomaly { kind, at, place: place.cloned() }));
}

/// What is said of a file that appeared at a state file's name without anyone seeing how.
fn unseen_replacement(place: &Arc<Place>, inode: Option<InodeId>, between: Span) -> Output {
    Output::Session(Box::new(SessionReport {
        place: Arc::clone(place),
        inode,
        outcome: Outcome::Unknown,
        durable: None,
        operation: None,
        writer: Actor::default(),
        window: between,
        operations: Vec::new(),
        operation_count: 0,
        size_before: None,
        size_after: None,
        writer_died: false,
        content: None,
        writer_exited: false,
    }))
}
