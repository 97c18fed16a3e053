//! The modifying operations of a schedule, as the events show them.

use std::collections::BTreeMap;

use watchdog::model::{
    CheckRequest, EventOperation as Operation, FileEvent, OpenId, Output, Pid, Role, Span, Target,
    UNKNOWN_LENGTH,
};

use crate::oracle::played::{Bytes, Happened, Played};
use crate::oracle::run::Run;

/// All that the truth is found from.
pub(crate) struct Facts<'a> {
    pub(crate) played: &'a Played,
    pub(crate) events: &'a [Happened],
    /// When the agent was asked to read which file.
    pub(crate) requests: Vec<(u64, u64)>,
    inodes: BTreeMap<OpenId, u64>,
    releases: BTreeMap<OpenId, usize>,
    /// Which inode each event modified.
    modified: Vec<Option<u64>>,
}

/// A modifying operation.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) event: usize,
    pub(crate) span: Span,
    pub(crate) instant: u64,
    pub(crate) from: u64,
    /// Where it begins by itself: the offset, or the size that it set.
    pub(crate) own: u64,
    pub(crate) to: u64,
    pub(crate) kind: &'static str,
    pub(crate) before: u64,
    /// What size it found cannot be told.
    pub(crate) untold: bool,
    pub(crate) sets: Sets,
    pub(crate) writer: Writer,
    pub(crate) pid: Pid,
}

/// Who changed a file: a description, or the event of a truncation by path.
pub(crate) type Writer = (Option<OpenId>, usize);

/// What a change does to the size.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sets {
    To(u64),
    More,
}

impl Change {
    /// The size at its entry tells nothing of what it found when it met another change.
    pub(crate) fn first_byte(&self, writers: &[Vec<&Change>]) -> u64 {
        let mut others = writers.iter().flatten().filter(|other| other.event != self.event);
        if others.any(|other| overlap(other.span, self.span)) { self.own } else { self.from }
    }

    pub(crate) fn is_write(&self) -> bool {
        matches!(self.kind, "append" | "overwrite")
    }

    pub(crate) fn truncates_to(&self) -> Option<u64> {
        match (self.kind, self.sets) {
            ("truncate" | "open_truncate", Sets::To(to)) => Some(to),
            _ => None,
        }
    }
}

pub(crate) fn overlap(a: Span, b: Span) -> bool {
    a.start.0 <= b.end.0 && b.start.0 <= a.end.0
}

/// True for a read that met the end of the file. One of which nobody knows how much it asked for did so when the file was
/// no longer than that before and after it.
pub(crate) fn is_end(event: &FileEvent) -> bool {
    let Operation::Read { offset, requested, returned, size_before, size, .. } = &event.operation else {
        return false;
    };
    let ends = |size: &Option<u64>| size.is_some() && *size <= *offset;
    *returned == 0 && (*requested != UNKNOWN_LENGTH || ends(size_before) && ends(size))
}

impl<'a> Facts<'a> {
    pub(crate) fn new(played: &'a Played, run: &'a Run) -> Self {
        let requests = run.outputs.iter().filter_map(|(at, output)| match output {
            Output::Check(CheckRequest { inode, .. }) => Some((*at, inode.ino)),
            _ => None,
        });
        let opens = run.events.iter().filter_map(|happened| match &happened.event.operation {
            Operation::Open { id, inode, .. } => Some((*id, inode.ino)),
            _ => None,
        });
        let releases = run.events.iter().enumerate().filter_map(|(number, happened)| {
            let Operation::Release { id } = &happened.event.operation else { return None };
            Some((*id, number))
        });
        let mut facts = Self {
            played,
            events: &run.events,
            requests: requests.collect(),
            inodes: opens.collect(),
            releases: releases.collect(),
            modified: Vec::new(),
        };
        facts.modified = (0..run.events.len()).map(|number| facts.find_modified(number)).collect();
        facts
    }

    pub(crate) fn event(&self, number: usize) -> &'a FileEvent {
        &self.events[number].event
    }

    pub(crate) fn bytes(&self, number: usize) -> &'a Bytes {
        &self.events[number].bytes
    }

    /// The size of an inode's content at a time.
    pub(crate) fn size(&self, inode: u64, at: u64) -> u64 {
        self.played.content(inode, at).map_or(0, |content| content.len() as u64)
    }

    /// True when the file was empty at some time between the two.
    pub(crate) fn was_empty(&self, inode: u64, from: u64, to: u64) -> bool {
        let history = self.played.contents.get(&inode).into_iter().flatten();
        let mut within = history.filter(|(when, _)| (from..=to).contains(when));
        self.size(inode, from) == 0 || within.any(|(_, content)| content.is_empty())
    }

    pub(crate) fn inode_of(&self, id: OpenId) -> Option<u64> {
        self.inodes.get(&id).copied()
    }

    /// True when the size before this event was left by a truncation that met another change: a truncation returns
    /// without saying what the size is then.
    pub(crate) fn is_untold_before(&self, number: usize, inode: u64) -> bool {
        let start = self.event(number).span.start;
        let mut earlier = (0..number).filter(|other| self.event(*other).span.end < start);
        let last = earlier.rfind(|other| self.modified_inode(*other) == Some(inode));
        last.is_some_and(|last| {
            matches!(self.event(last).operation, Operation::Truncate { .. })
                && self.changes_met(last, inode).next().is_some()
        })
    }

    /// Which inode a write, truncation or mapping modified, and what that is called.
    pub(crate) fn modified(&self, number: usize) -> Option<(u64, &'static str)> {
        match &self.event(number).operation {
            Operation::Write { id, offset, size_before, .. } => {
                let behind = size_before.zip(*offset).is_some_and(|(before, offset)| offset >= before);
                Some((self.inode_of(*id)?, if behind { "append" } else { "overwrite" }))
            }
            Operation::Truncate { inode, .. } => Some((inode.unwrap().ino, "truncate")),
            Operation::Map { id, shared: true, writable: true } => Some((self.inode_of(*id)?, "mmap")),
            _ => None,
        }
    }

    /// The inode that an event modified, by whatever name.
    pub(crate) fn modified_inode(&self, number: usize) -> Option<u64> {
        self.modified[number]
    }

    fn find_modified(&self, number: usize) -> Option<u64> {
        match &self.event(number).operation {
            Operation::Open { inode, created, truncated, .. } => {
                (*created || *truncated).then_some(inode.ino)
            }
            _ => self.modified(number).map(|(inode, _)| inode),
        }
    }

    /// The other modifications of the inode that overlap this event.
    pub(crate) fn changes_met(&self, number: usize, inode: u64) -> impl Iterator<Item = usize> {
        let span = self.event(number).span;
        (0..self.events.len()).filter(move |other| {
            *other != number
                && overlap(self.event(*other).span, span)
                && self.modified_inode(*other) == Some(inode)
        })
    }

    /// All modifications of the inode in the order in which they took effect.
    pub(crate) fn changes_of(&self, inode: u64) -> Vec<Change> {
        let mut changes: Vec<Change> = (0..self.events.len())
            .filter_map(|number| {
                let kind = match &self.event(number).operation {
                    Operation::Open { inode: known, created: true, .. } if known.ino == inode => "create",
                    Operation::Open { inode: known, truncated: true, .. } if known.ino == inode => {
                        "open_truncate"
                    }
                    _ => match self.modified(number) {
                        Some((known, kind)) if known == inode => kind,
                        _ => return None,
                    },
                };
                Some(self.change(number, inode, kind))
            })
            .collect();
        changes.sort_by_key(|change| change.instant);
        changes
    }

    pub(crate) fn change(&self, number: usize, inode: u64, kind: &'static str) -> Change {
        let event = self.event(number);
        // What the event says of the size before is what can be known of the bytes that changed.
        let before = match &event.operation {
            Operation::Write { size_before, .. } | Operation::Truncate { size_before, .. } => *size_before,
            _ => None,
        };
        let before = before.unwrap_or_else(|| self.size(inode, event.span.start.0));
        let (from, to, sets, writer) = match &event.operation {
            Operation::Open { id, .. } => {
                let to = if kind == "create" { 0 } else { u64::MAX };
                (0, to, Sets::To(0), (Some(*id), 0))
            }
            Operation::Write { id, offset, length, .. } => {
                let (offset, end) = (offset.unwrap(), offset.unwrap() + length);
                (offset.min(before), end, Sets::More, (Some(*id), 0))
            }
            Operation::Map { id, .. } => (0, 0, Sets::More, (Some(*id), 0)),
            Operation::Truncate { target: Target::Open(id), to, .. } => {
                (before.min(*to), u64::MAX, Sets::To(*to), (Some(*id), 0))
            }
            Operation::Truncate { to, .. } => (before.min(*to), u64::MAX, Sets::To(*to), (None, number)),
            // A file that takes over a name changes no byte, and what it held was not to be seen before.
            Operation::Rename { .. } | Operation::Link { .. } => (0, 0, Sets::More, (None, number)),
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
            instant: self.events[number].instant,
            from,
            own,
            to,
            kind,
            before,
            untold: self.is_untold_before(number, inode),
            sets,
            writer,
            pid: event.actor.pid,
        }
    }

    /// When a description was released; `None` while it is open.
    pub(crate) fn released(&self, id: OpenId) -> Option<usize> {
        self.releases.get(&id).copied()
    }
}

/// The events that change which file is the state file.
pub(crate) fn moves_state(event: &FileEvent) -> bool {
    let is_state = |place: &watchdog::model::Place| place.role == Role::State;
    match &event.operation {
        Operation::Rename { to: Some(to), .. } | Operation::Link { to, .. } => is_state(to),
        Operation::Unlink { place, .. } => is_state(place),
        Operation::Open { place, created, .. } => is_state(place) && *created,
        _ => false,
    }
}
