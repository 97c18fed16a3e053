//! Which complete versions of a file the bytes of a pass can have come from.

use super::reads::Pass;
use super::session::Session;
use crate::model::{BootNanos, Span};

/// The versions of a file around some of its sessions, and the modifying operations between them.
///
/// A version is the content at a moment at which no writer is at work: each has finished its last operation or not
/// begun its first. Version 0 is the one before all of them. Between two versions lies a group of operations of
/// writers that were at work together.
#[derive(Debug)]
pub(super) struct Timeline {
    groups: Vec<Group>,
    operations: Vec<Step>,
    /// Versions before this one never existed: the file was created after them.
    first: usize,
    sizes: Vec<Option<u64>>,
}

#[derive(Debug)]
struct Group {
    busy: Span,
    size_before: Option<u64>,
    size_after: Option<u64>,
    creates: bool,
}

#[derive(Debug)]
struct Step {
    span: Span,
    range: (u64, u64),
    group: usize,
}

impl Timeline {
    /// The versions around the sessions that `touched` picks out of `sessions`; the others are there because their
    /// writers may have been at work together with those.
    pub(super) fn new(sessions: &[&Session], touched: impl Fn(&Session) -> bool) -> Self {
        let (mut groups, homes) = groups(sessions);
        let of_interest = || sessions.iter().zip(&homes).filter(|(session, _)| touched(session));
        let from = of_interest().flat_map(|(_, homes)| homes).min().copied().unwrap_or_default();
        let to = of_interest().flat_map(|(_, homes)| homes).max().copied().unwrap_or_default();
        let mut sizes = sizes(sessions, &groups);
        sizes.truncate(to.saturating_add(2));
        sizes.drain(..from.min(sizes.len()));
        groups.truncate(to.saturating_add(1));
        groups.drain(..from.min(groups.len()));

        let mut operations = Vec::new();
        for (session, homes) in sessions.iter().zip(&homes) {
            for change in &session.changes {
                if let (Some(range), Some(&group)) = (change.range, homes.get(change.writer))
                    && (from..=to).contains(&group)
                {
                    operations.push(Step { span: change.span, range, group: group - from });
                }
            }
        }
        let first = groups.iter().rposition(|group| group.creates).map_or(0, |group| group + 1);
        Self { groups, operations, first, sizes }
    }

    /// True when all that the pass got can be one complete version.
    pub(super) fn admits(&self, pass: &Pass) -> bool {
        self.versions(pass).is_some_and(|(from, to)| {
            (from..=to)
                .any(|version| (0..pass.calls.len()).all(|index| self.size_admits(pass, index, version)))
        })
    }

    /// The call that shows best why no version admits the pass: the end-of-file that fits neither the oldest nor the
    /// newest version.
    pub(super) fn witness(&self, pass: &Pass) -> Option<usize> {
        let last = self.groups.len();
        (0..pass.calls.len()).rev().find(|&index| {
            !self.size_admits(pass, index, last) && (self.first > 0 || !self.size_admits(pass, index, 0))
        })
    }

    /// The oldest and the newest version that the order of calls and operations leaves possible.
    fn versions(&self, pass: &Pass) -> Option<(usize, usize)> {
        let (mut oldest, mut newest) = (self.first, self.groups.len());
        for call in &pass.calls {
            let Some((from, to)) = call.range() else { continue };
            for step in self.operations.iter().filter(|step| step.range.0 < to && from < step.range.1) {
                if step.span.is_before(call.span) {
                    oldest = oldest.max(step.group + 1);
                } else if call.span.is_before(step.span) {
                    newest = newest.min(step.group);
                }
            }
        }
        (oldest <= newest).then_some((oldest, newest))
    }

    fn size_admits(&self, pass: &Pass, index: usize, version: usize) -> bool {
        let size = self.sizes.get(version).copied().flatten();
        match (pass.length(index), size) {
            (Some(length), Some(size)) => length.admits(size),
            _ => true,
        }
    }
}

/// Puts writers that were at work together into groups. Also answers which group each session's writers are in.
fn groups(sessions: &[&Session]) -> (Vec<Group>, Vec<Vec<usize>>) {
    let mut order: Vec<(BootNanos, usize, usize)> = Vec::new();
    for (s, session) in sessions.iter().enumerate() {
        order.extend(session.writers.iter().enumerate().map(|(w, writer)| (writer.busy.start, s, w)));
    }
    order.sort_unstable();
    let mut homes: Vec<Vec<usize>> = sessions.iter().map(|s| vec![0; s.writers.len()]).collect();
    let mut groups: Vec<Group> = Vec::new();
    for (_, s, w) in order {
        let writer = &sessions[s].writers[w];
        match groups.last_mut() {
            Some(group) if !group.busy.is_before(writer.busy) => {
                if writer.busy.start == group.busy.start && writer.size_before != group.size_before {
                    group.size_before = None;
                }
                if writer.busy.end > group.busy.end {
                    group.size_after = writer.size_after;
                    group.busy.end = writer.busy.end;
                } else if writer.busy.end == group.busy.end && writer.size_after != group.size_after {
                    group.size_after = None;
                }
                group.creates |= writer.creates;
            }
            _ => groups.push(Group {
                busy: writer.busy,
                size_before: writer.size_before,
                size_after: writer.size_after,
                creates: writer.creates,
            }),
        }
        homes[s][w] = groups.len() - 1;
    }
    (groups, homes)
}

/// The size of each version, as far as it is known.
fn sizes(sessions: &[&Session], groups: &[Group]) -> Vec<Option<u64>> {
    let mut sizes = Vec::with_capacity(groups.len() + 1);
    for (index, group) in groups.iter().enumerate() {
        let left = index.checked_sub(1).and_then(|before| groups[before].size_after);
        sizes.push(left.or(group.size_before));
    }
    let last = groups.last().and_then(|group| group.size_after);
    sizes.push(last.or_else(|| sessions.last().and_then(|session| session.size_after)));
    sizes
}
