//! How fast the loop turns while events come thick.

use std::time::Duration;

use super::millis;
use crate::model::BootNanos;
use crate::source::SourceKind;

/// A turn of the loop makes system calls of its own: it wakes, asks what the probes missed, and listens to the witness. While
/// events are few, that is what makes findings prompt. While they come by the ten thousand, it would be most of the work,
/// and what the writers pay to wake the loop comes on top of it: turns rest a moment then, so that the next finds many.
#[derive(Debug)]
pub(super) struct Pace {
    /// What the source tells is the same when it is taken later.
    may_rest: bool,
    began: BootNanos,
    events: u64,
    is_high: bool,
}

impl Pace {
    /// So long are events counted.
    const WINDOW: u64 = millis(10);
    /// More than these in a window are many: 20,000 a second. A busy node has half of that.
    const MANY: u64 = 200;
    /// A turn that found so many was worth its calls.
    const ENOUGH: usize = 256;
    const REST: Duration = Duration::from_millis(1);

    pub(super) fn of(source: SourceKind) -> Self {
        // inotify tells no times: an event happened when it was taken.
        Self { may_rest: source != SourceKind::Inotify, began: BootNanos(0), events: 0, is_high: false }
    }

    /// A turn is over that found so many; how long to rest before the next one.
    pub(super) fn turn(&mut self, found: usize, now: BootNanos) -> Option<Duration> {
        self.events += found as u64;
        let passed = now.since(self.began);
        if passed >= Self::WINDOW {
            self.is_high = self.events.saturating_mul(Self::WINDOW) > Self::MANY.saturating_mul(passed);
            (self.began, self.events) = (now, 0);
        }
        (self.may_rest && self.is_high && found < Self::ENOUGH).then_some(Self::REST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many turns of as many events each, evenly spread over a time; how many of them rested.
    fn rested(pace: &mut Pace, from: u64, nanos: u64, turns: u64, found: usize) -> u64 {
        let at = |turn: u64| BootNanos(from + nanos * turn / turns);
        (1..=turns).filter(|turn| pace.turn(found, at(*turn)).is_some()).count() as u64
    }

    #[test]
    fn few_events_are_taken_as_they_come() {
        let mut pace = Pace::of(SourceKind::Vfs);
        assert_eq!(rested(&mut pace, millis(5_000), millis(1_000), 10_000, 1), 0);
    }

    #[test]
    fn many_are_taken_together() {
        let mut pace = Pace::of(SourceKind::Vfs);
        let rested = rested(&mut pace, 0, millis(1_000), 50_000, 1);
        // The first window must pass before it is known.
        assert!((49_000..50_000).contains(&rested), "{rested}");
    }

    #[test]
    fn inotify_is_never_made_to_wait() {
        assert_eq!(rested(&mut Pace::of(SourceKind::Inotify), 0, millis(1_000), 50_000, 1), 0);
    }

    #[test]
    fn a_turn_that_found_enough_does_not_rest() {
        let mut pace = Pace::of(SourceKind::Vfs);
        rested(&mut pace, 0, millis(1_000), 1_000, 100);
        assert_eq!(pace.turn(Pace::ENOUGH, BootNanos(millis(1_000))), None);
        assert_eq!(pace.turn(Pace::ENOUGH - 1, BootNanos(millis(1_000))), Some(Pace::REST));
    }

    #[test]
    fn the_first_event_after_a_flood_is_prompt() {
        let mut pace = Pace::of(SourceKind::Vfs);
        rested(&mut pace, 0, millis(1_000), 50_000, 1);
        assert_eq!(pace.turn(1, BootNanos(millis(1_100))), None);
    }
}
