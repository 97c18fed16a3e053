//! What two witnesses of the same directories say, held against each other. Pure.
//!
//! Each tells of sessions and of single modifications at a name, with the span of time in which they took place. A
//! session of one is confirmed by any modification of the other at that name at a time that can be the same.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{Anomaly, AnomalyKind, BootNanos, Place, Role, RootId, Span};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The source.
    Source,
    /// The inotify watch beside it.
    Witness,
}

/// Both stories, as far as they are remembered.
#[derive(Debug, Default)]
pub(super) struct Testimony {
    places: FxHashMap<Arc<Place>, Stories>,
    /// Since when each directory is watched by both.
    watched: FxHashMap<(RootId, Arc<str>), BootNanos>,
    /// Sessions that wait to be confirmed, by the time at which they are given up.
    waiting: VecDeque<Waiting>,
    /// Before that time one of the two may have lost something.
    clean_since: BootNanos,
    forgotten: BootNanos,
}

/// What both said of one name.
#[derive(Debug, Default)]
struct Stories {
    source: VecDeque<Span>,
    witness: VecDeque<Span>,
}

#[derive(Debug)]
struct Waiting {
    due: BootNanos,
    side: Side,
    place: Arc<Place>,
    session: Span,
}

impl Testimony {
    /// One of the two may be that much behind the other.
    pub(super) const PATIENCE: u64 = 3_000_000_000;
    /// Modifications are remembered for so long.
    const MEMORY: u64 = 20_000_000_000;
    /// How many modifications of one side at one name are kept apart; those before are joined into one.
    const SPANS: usize = 64;
    /// At most so many names, and sessions that wait.
    const MAX: usize = 4_096;

    /// Both watch a directory from now on.
    pub(super) fn begins(&mut self, root: RootId, container: Arc<str>, at: BootNanos) {
        self.watched.entry((root, container)).or_insert(at);
    }

    /// One of them watches it no longer.
    pub(super) fn ends(&mut self, root: RootId, container: &Arc<str>) {
        self.watched.remove(&(root, Arc::clone(container)));
    }

    /// One of them lost something: nothing that came before proves anything.
    pub(super) fn lost(&mut self, at: BootNanos) {
        self.clean_since = at;
        self.places.clear();
        self.waiting.clear();
    }

    /// One side saw a state file being modified.
    pub(super) fn modified(&mut self, side: Side, place: &Arc<Place>, span: Span) {
        if place.role != Role::State {
            return;
        }
        if !self.places.contains_key(place) && self.places.len() >= Self::MAX {
            return self.lost(span.end);
        }
        let stories = self.places.entry(Arc::clone(place)).or_default();
        let spans = stories.of(side);
        spans.push_back(span);
        if spans.len() > Self::SPANS
            && let Some(oldest) = spans.pop_front()
            && let Some(next) = spans.front_mut()
        {
            *next = Span::new(oldest.start.min(next.start), oldest.end.max(next.end));
        }
    }

    /// One side saw a whole session on a state file.
    pub(super) fn session(&mut self, side: Side, place: &Arc<Place>, session: Span, now: BootNanos) {
        if place.role != Role::State {
            return;
        }
        if self.waiting.len() >= Self::MAX {
            return self.lost(now);
        }
        let due = now.plus(Self::PATIENCE);
        self.waiting.push_back(Waiting { due, side, place: Arc::clone(place), session });
    }

    /// When [`Self::judge`] has something to do.
    pub(super) fn due(&self) -> Option<BootNanos> {
        self.waiting.front().map(|waiting| waiting.due)
    }

    /// Says which sessions the other side knew nothing of. The source has told all that was before `told`: under load it
    /// may be far behind.
    pub(super) fn judge(&mut self, now: BootNanos, told: BootNanos, out: &mut Vec<Anomaly>) {
        let ripe = |waiting: &mut Waiting| waiting.due <= now && waiting.session.end <= told;
        while let Some(waiting) = self.waiting.pop_front_if(ripe) {
            let Waiting { side, place, session, due: _ } = waiting;
            if self.is_comparable(side, &place, session) && !self.is_confirmed(side, &place, session) {
                let kind = match side {
                    Side::Source => AnomalyKind::SessionUnwitnessed,
                    Side::Witness => AnomalyKind::SessionMissed,
                };
                out.push(Anomaly { kind, at: session.end, place: Some(place) });
            }
        }
        if now.since(self.forgotten) > Self::MEMORY {
            self.forgotten = now;
            let oldest = BootNanos(now.0.saturating_sub(Self::MEMORY));
            self.places.retain(|_, stories| {
                stories.source.retain(|span| span.end >= oldest);
                stories.witness.retain(|span| span.end >= oldest);
                !stories.source.is_empty() || !stories.witness.is_empty()
            });
        }
    }

    /// True when both watched for the whole session, and lost nothing. The source watches before the witness does, so
    /// whatever the witness saw the source can have seen.
    fn is_comparable(&self, side: Side, place: &Place, session: Span) -> bool {
        let watched = self.watched.get(&(place.root, Arc::clone(&place.container)));
        let began = if side == Side::Source { session.start } else { session.end };
        session.start >= self.clean_since && watched.is_some_and(|since| began > *since)
    }

    fn is_confirmed(&self, side: Side, place: &Arc<Place>, session: Span) -> bool {
        let Some(stories) = self.places.get(place) else { return false };
        let other = match side {
            Side::Source => &stories.witness,
            Side::Witness => &stories.source,
        };
        other.iter().any(|span| span.meets(session))
    }
}

impl Stories {
    fn of(&mut self, side: Side) -> &mut VecDeque<Span> {
        match side {
            Side::Source => &mut self.source,
            Side::Witness => &mut self.witness,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn place() -> Arc<Place> {
        let (container, name) = ("a".into(), "state.json".into());
        Arc::new(Place { root: RootId(0), container, name, role: Role::State })
    }

    fn span(start: u64, end: u64) -> Span {
        Span::new(BootNanos(start), BootNanos(end))
    }

    fn testimony() -> Testimony {
        let mut testimony = Testimony::default();
        testimony.begins(RootId(0), "a".into(), BootNanos(10));
        testimony
    }

    fn judged(testimony: &mut Testimony) -> Vec<AnomalyKind> {
        let mut out = Vec::new();
        testimony.judge(BootNanos(10 * SECOND), BootNanos(10 * SECOND), &mut out);
        out.iter().map(|anomaly| anomaly.kind).collect()
    }

    #[test]
    fn what_both_saw_is_no_anomaly_whoever_speaks_first() {
        for sides in [[Side::Source, Side::Witness], [Side::Witness, Side::Source]] {
            let mut testimony = testimony();
            for side in sides {
                testimony.modified(side, &place(), span(100, 150));
                testimony.session(side, &place(), span(90, 200), BootNanos(300));
            }
            assert_eq!(judged(&mut testimony), []);
        }
    }

    #[test]
    fn what_one_saw_and_the_other_did_not_has_a_kind_of_its_own() {
        for (side, kind) in
            [(Side::Source, AnomalyKind::SessionUnwitnessed), (Side::Witness, AnomalyKind::SessionMissed)]
        {
            let mut testimony = testimony();
            testimony.modified(side, &place(), span(100, 150));
            testimony.session(side, &place(), span(90, 200), BootNanos(300));
            assert_eq!(judged(&mut testimony), [kind]);
        }
    }

    #[test]
    fn a_session_is_judged_when_the_other_had_time_to_speak() {
        let mut testimony = testimony();
        testimony.session(Side::Source, &place(), span(90, 200), BootNanos(300));
        assert_eq!(testimony.due(), Some(BootNanos(300 + Testimony::PATIENCE)));
        let mut out = Vec::new();
        let due = 300 + Testimony::PATIENCE;
        testimony.judge(BootNanos(due - 1), BootNanos(due), &mut out);
        testimony.judge(BootNanos(due), BootNanos(199), &mut out);
        assert!(out.is_empty());
        testimony.modified(Side::Witness, &place(), span(0, 100));
        assert_eq!(judged(&mut testimony), []);
    }

    #[test]
    fn a_modification_at_another_time_or_place_confirms_nothing() {
        let mut testimony = testimony();
        testimony.session(Side::Source, &place(), span(90, 200), BootNanos(300));
        testimony.modified(Side::Witness, &place(), span(201, 300));
        let other = Arc::new(Place { container: "b".into(), ..(*place()).clone() });
        testimony.modified(Side::Witness, &other, span(90, 200));
        assert_eq!(judged(&mut testimony), [AnomalyKind::SessionUnwitnessed]);
    }

    #[test]
    fn what_began_before_both_watched_or_after_one_left_is_not_compared() {
        let mut testimony = testimony();
        testimony.session(Side::Source, &place(), span(10, 200), BootNanos(300));
        assert_eq!(judged(&mut testimony), []);
        testimony.session(Side::Source, &place(), span(20, 200), BootNanos(300));
        testimony.ends(RootId(0), &"a".into());
        assert_eq!(judged(&mut testimony), []);
    }

    #[test]
    fn after_a_loss_the_past_proves_nothing() {
        let mut testimony = testimony();
        testimony.session(Side::Source, &place(), span(90, 200), BootNanos(300));
        testimony.lost(BootNanos(400));
        testimony.session(Side::Source, &place(), span(350, 500), BootNanos(500));
        assert_eq!(judged(&mut testimony), []);
        testimony.session(Side::Source, &place(), span(450, 500), BootNanos(500));
        assert_eq!(judged(&mut testimony), [AnomalyKind::SessionUnwitnessed]);
    }

    #[test]
    fn temporary_files_are_not_compared() {
        let mut testimony = testimony();
        let temporary = Arc::new(Place { role: Role::Temporary, ..(*place()).clone() });
        testimony.session(Side::Source, &temporary, span(90, 200), BootNanos(300));
        assert_eq!(judged(&mut testimony), []);
    }

    #[test]
    fn memory_is_bounded() {
        let mut testimony = testimony();
        for number in 0..3 * Testimony::MAX as u64 {
            let container = format!("{number}").into();
            let other = Arc::new(Place { container, ..(*place()).clone() });
            testimony.modified(Side::Witness, &other, span(90, 200));
            testimony.session(Side::Witness, &other, span(90, 200), BootNanos(300));
        }
        for number in 0..1_000 {
            testimony.modified(Side::Witness, &place(), span(number, number));
        }
        assert!(testimony.places.len() <= Testimony::MAX && testimony.waiting.len() <= Testimony::MAX);
        assert!(testimony.places[&place()].witness.len() <= Testimony::SPANS);
    }
}
