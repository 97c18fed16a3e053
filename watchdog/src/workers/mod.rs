//! Threads for work that may wait for a foreign file or process, beside the agent's loop.
//!
//! - The queue, the number of threads and the time that an answer is awaited are bounded.
//! - At most [`PER_PLACE`] threads wait for the same [`Whereabouts`] at once. Further jobs for it are put aside until one
//!   of them gets on, so that others find a thread.
//! - A thread that waits for too long is written off: another one takes its place, and until it returns nobody else goes
//!   where it waits. At most [`MAX_LOST`] threads are written off in work of one kind before it is kept from places that never answered.

mod asking;
mod seat;
mod state;

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::clock::boot_now;
use crate::files::Gate;
use crate::model::BootNanos;
use crate::prepare::PROCESS_NAME;
pub use asking::Asking;
use seat::work_on;
use state::{Job, Shared};

/// So many threads work at once, those that are written off not counted.
const WORKERS: usize = 4;
/// So many of them at most wait for the same place.
const PER_PLACE: usize = 2;
/// So many may be written off in work of one kind before it is kept from places that never answered.
const MAX_LOST: usize = 4;
/// So many threads there are at most, those that are written off included.
const MAX_THREADS: usize = 24;
/// A thread's stack: nothing here nests deeply.
const STACK: usize = 256 << 10;
/// So many jobs wait at most.
const MAX_WAITING: usize = 512;
/// An operation that takes longer than this has a thread written off.
const STUCK: Duration = Duration::from_secs(1);

/// What work is for; also the label values of `work`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// Read and judge a state file.
    StateFile,
    /// Find out whose a container is.
    Owner,
    /// Read what only a process's memory tells.
    Process,
    /// Look for roots and for what lies below them.
    Root,
    /// Find out where links lead that stand for state files.
    Link,
}

impl Work {
    /// All kinds, in label order.
    pub const ALL: [Self; 5] = [Self::StateFile, Self::Owner, Self::Process, Self::Root, Self::Link];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StateFile => "state_file",
            Self::Owner => "owner",
            Self::Process => "process",
            Self::Root => "root",
            Self::Link => "link",
        }
    }
}

/// How work ended; also the label values of `result`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ending {
    /// There was an answer in time.
    Done,
    /// There was none in time.
    TimedOut,
    /// It was not begun, or not ended: what it needed is known not to answer, or too much waited already.
    Refused,
}

impl Ending {
    /// All endings, in label order.
    pub const ALL: [Self; 3] = [Self::Done, Self::TimedOut, Self::Refused];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::TimedOut => "timed_out",
            Self::Refused => "refused",
        }
    }
}

/// How soon work is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A finding waits for it.
    Soon,
    /// When nothing urgent is there.
    Whenever,
}

/// Names a piece of work until its answer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(u64);

/// Totals, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    ended: [[u64; Ending::ALL.len()]; Work::ALL.len()],
    lost: [usize; Work::ALL.len()],
}

impl Counts {
    /// How often work of this kind ended so.
    #[must_use]
    pub fn ended(&self, work: Work, ending: Ending) -> u64 {
        self.ended[work as usize][ending as usize]
    }

    /// How many threads are written off now.
    #[must_use]
    pub fn lost(&self, work: Work) -> usize {
        self.lost[work as usize]
    }
}

/// What is awaited.
struct Awaited {
    work: Work,
    until: BootNanos,
}

/// The threads, as the loop sees them. Answers are of type `A`.
pub struct Workers<A> {
    shared: Arc<Shared<A>>,
    answers: UnboundedReceiver<(Ticket, Option<A>)>,
    awaited: BTreeMap<Ticket, Awaited>,
    next: u64,
    stuck: u64,
    ended: [[u64; Ending::ALL.len()]; Work::ALL.len()],
}

impl<A: Send + 'static> Default for Workers<A> {
    fn default() -> Self {
        Self::new(STUCK)
    }
}

impl<A: Send + 'static> Workers<A> {
    /// No thread yet. One that waits for `stuck` is written off.
    #[must_use]
    pub fn new(stuck: Duration) -> Self {
        let (sender, answers) = unbounded_channel();
        Self {
            shared: Arc::new(Shared::new(sender)),
            answers,
            awaited: BTreeMap::new(),
            next: 0,
            stuck: u64::try_from(stuck.as_nanos()).unwrap_or(u64::MAX),
            ended: Default::default(),
        }
    }

    /// Hands over work, whose answer is awaited for `patience`. It may be begun more than once. `None` when too much waits
    /// already.
    pub fn submit(
        &mut self,
        work: Work,
        urgency: Urgency,
        patience: Duration,
        task: impl FnMut(&dyn Gate) -> A + Send + 'static,
    ) -> Option<Ticket> {
        self.next += 1;
        let ticket = Ticket(self.next);
        let until = boot_now().plus(u64::try_from(patience.as_nanos()).unwrap_or(u64::MAX));
        let job = Job { ticket, work, urgency, until, task: Box::new(task) };
        if !self.shared.push(job) {
            self.count(work, Ending::Refused);
            return None;
        }
        self.hire();
        self.awaited.insert(ticket, Awaited { work, until });
        Some(ticket)
    }

    /// Starts threads for what waits.
    fn hire(&self) {
        while self.shared.needs_thread() {
            let shared = Arc::clone(&self.shared);
            let thread = std::thread::Builder::new().name(PROCESS_NAME.to_owned()).stack_size(STACK);
            if let Err(error) = thread.spawn(move || work_on(&shared)) {
                tracing::warn!(%error, "cannot start a thread that reads files");
                return self.shared.no_thread();
            }
        }
    }

    /// How many answers are awaited.
    #[must_use]
    pub fn awaited(&self) -> usize {
        self.awaited.len()
    }

    /// Totals so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { ended: self.ended, lost: self.shared.lost() }
    }

    /// Waits for the next answer; `None` when there will be none. Cancel-safe.
    pub async fn next(&mut self) -> (Ticket, Option<A>) {
        loop {
            self.shared.write_off(boot_now(), self.stuck);
            self.hire();
            if let Some(late) = self.take_late(boot_now()) {
                return (late, None);
            }
            let due = self.due();
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep(Duration::from_nanos(due.since(boot_now()))).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                Some((ticket, answer)) = self.answers.recv() => {
                    // One that is not awaited any more is thrown away.
                    if let Some(Awaited { work, until: _ }) = self.awaited.remove(&ticket) {
                        let ending = if answer.is_some() { Ending::Done } else { Ending::Refused };
                        self.count(work, ending);
                        return (ticket, answer);
                    }
                }
                () = due => {}
            }
        }
    }

    fn take_late(&mut self, now: BootNanos) -> Option<Ticket> {
        let late = self.awaited.iter().find(|(_, awaited)| awaited.until <= now);
        let (ticket, work) = late.map(|(ticket, awaited)| (*ticket, awaited.work))?;
        self.awaited.remove(&ticket);
        self.count(work, Ending::TimedOut);
        Some(ticket)
    }

    fn due(&self) -> Option<BootNanos> {
        let late = self.awaited.values().map(|awaited| awaited.until).min();
        let stuck = self.shared.oldest().map(|since| since.plus(self.stuck));
        // A thread may begin to wait any moment.
        let soon = (!self.awaited.is_empty()).then(|| boot_now().plus(self.stuck));
        late.into_iter().chain(stuck).chain(soon).min()
    }

    fn count(&mut self, work: Work, ending: Ending) {
        self.ended[work as usize][ending as usize] += 1;
    }
}

impl<A> Drop for Workers<A> {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

#[cfg(test)]
mod tests;
