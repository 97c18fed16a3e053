//! How much of the machine other programs take.

use std::fs;

/// Clock ticks of all processors since the machine started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Load {
    /// All of them; `None` where /proc does not say.
    ticks: Option<Ticks>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ticks {
    all: u64,
    idle: u64,
    /// Those of this process and of all that it waited for.
    own: u64,
}

/// Who had the processors for some time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Share {
    /// The part that programs took which are none of ours.
    others: f64,
    /// Seconds of one processor that were ours.
    own: f64,
}

/// Clock ticks a second, as /proc counts (`USER_HZ`, the same on all processors that the probes run on).
const HERTZ: f64 = 100.0;
/// A machine of which others take more than this is called busy.
const BUSY: f64 = 0.25;

impl Load {
    /// Counts from now.
    pub(crate) fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let ticks = || ticks(&read("/proc/stat")?, &read("/proc/self/stat")?);
        Self { ticks: ticks() }
    }

    /// Who had the processors since.
    fn until_now(self) -> Option<Share> {
        share(self.ticks?, Self::now().ticks?)
    }
}

impl Share {
    /// A word on others that keep the machine busy; empty when none do.
    fn word(self) -> String {
        if self.others <= BUSY {
            return String::new();
        }
        let (others, own) = (self.others * 100.0, self.own);
        format!(
            " (busy: other programs took {others:.0} % of this machine's processors, this {own:.0} s of one)"
        )
    }
}

/// A word on others that kept the machine busy since; empty when none did.
pub(crate) fn word_since(load: Load) -> String {
    load.until_now().map(Share::word).unwrap_or_default()
}

/// `None` when the time was too short to say.
fn share(from: Ticks, to: Ticks) -> Option<Share> {
    let all = to.all.checked_sub(from.all)?;
    let used = all.saturating_sub(to.idle.saturating_sub(from.idle));
    let own = to.own.saturating_sub(from.own);
    let others = used.saturating_sub(own);
    // A tenth of a second is no measure.
    (all >= 10).then(|| Share { others: others as f64 / all as f64, own: own as f64 / HERTZ })
}

/// The first line of /proc/stat, and fields 14 to 17 of a process's own: times in user mode and in the kernel, of itself
/// and of its children.
fn ticks(machine: &str, process: &str) -> Option<Ticks> {
    let numbers =
        |text: &str| text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u64>>();
    let machine = numbers(machine.lines().next()?.strip_prefix("cpu ")?);
    // Guests' time, from field 9 on, is part of the users'.
    let all = machine.get(..8)?.iter().sum();
    let idle = machine[3] + machine[4];
    // A program's name may hold anything but ends at the last bracket.
    let own = process.rsplit_once(')')?.1.split_whitespace().skip(11).take(4).map(str::parse::<u64>);
    Some(Ticks { all, idle, own: own.sum::<Result<_, _>>().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_others_is_what_is_neither_idle_nor_ours() {
        let machine = "cpu  100 0 50 800 50 0 0 0 7 0\ncpu0 1 2 3\n";
        let process = "42 (a) b) c) S 1 42 42 0 -1 4194560 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7";
        let from = ticks(machine, process).unwrap();
        assert_eq!(from, Ticks { all: 1000, idle: 850, own: 100 });
        let to = Ticks { all: 1400, idle: 950, own: 200 };
        assert_eq!(share(from, to), Some(Share { others: 0.5, own: 1.0 }));
        assert_eq!(share(from, from), None);
        assert_eq!(ticks("", process), None);
        assert_eq!(ticks(machine, "42 (a"), None);
        assert!(Load::now().ticks.is_some());
    }

    #[test]
    fn a_busy_machine_is_called_so() {
        assert_eq!(Share { others: 0.1, own: 5.0 }.word(), "");
        let word = Share { others: 0.504, own: 40.2 }.word();
        assert_eq!(word, " (busy: other programs took 50 % of this machine's processors, this 40 s of one)");
    }
}
