//! What the threads and the loop share: who waits where, and what is still to be done.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::{MAX_LOST, MAX_THREADS, MAX_WAITING, PER_PLACE, Ticket, Urgency, WORKERS, Work};
use crate::clock::boot_now;
use crate::files::{Gate, Whereabouts};
use crate::model::BootNanos;

/// A thread without work ends after this.
const IDLE: Duration = Duration::from_secs(10);
/// So many places that answered once are remembered.
const MAX_GOOD: usize = 256;

/// What is done, again where it could not go on.
pub(super) type Task<A> = Box<dyn FnMut(&dyn Gate) -> A + Send>;

/// Something to be done.
pub(super) struct Job<A> {
    pub(super) ticket: Ticket,
    pub(super) work: Work,
    pub(super) urgency: Urgency,
    pub(super) until: BootNanos,
    pub(super) task: Task<A>,
}

/// Why a job did not get where it had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    /// Enough threads wait there already.
    Busy(Whereabouts),
    /// It does not answer.
    Silent,
}

/// Shared by the loop and all threads. No lock is held while anything is waited for.
pub(super) struct Shared<A> {
    state: Mutex<State<A>>,
    wake: Condvar,
    answers: UnboundedSender<(Ticket, Option<A>)>,
}

struct State<A> {
    soon: VecDeque<Job<A>>,
    whenever: VecDeque<Job<A>>,
    /// Put aside until a thread leaves this place.
    aside: Vec<(Whereabouts, Job<A>)>,
    /// Threads that work, by a number of their own.
    seats: HashMap<u64, Seat>,
    good: HashSet<Whereabouts>,
    threads: usize,
    idle: usize,
    numbers: u64,
    is_stopped: bool,
}

/// A thread at work.
struct Seat {
    ticket: Ticket,
    work: Work,
    place: Option<Whereabouts>,
    /// It may be waiting there, since then.
    is_waiting: bool,
    since: BootNanos,
    is_heavy: bool,
    is_lost: bool,
}

impl Seat {
    /// Whether it takes one of the places' few seats.
    fn occupies(&self, place: Whereabouts) -> bool {
        match place {
            Whereabouts::Heavy => self.is_heavy,
            _ => self.is_waiting && self.place == Some(place),
        }
    }
}

impl<A> Shared<A> {
    pub(super) fn new(answers: UnboundedSender<(Ticket, Option<A>)>) -> Self {
        let state = State {
            soon: VecDeque::new(),
            whenever: VecDeque::new(),
            aside: Vec::new(),
            seats: HashMap::new(),
            good: HashSet::new(),
            threads: 0,
            idle: 0,
            numbers: 0,
            is_stopped: false,
        };
        Self { state: Mutex::new(state), wake: Condvar::new(), answers }
    }

    /// Takes a job; false when too many wait.
    pub(super) fn push(&self, job: Job<A>) -> bool {
        let mut state = self.lock();
        if state.soon.len() + state.whenever.len() + state.aside.len() >= MAX_WAITING {
            return false;
        }
        state.queue(job.urgency).push_back(job);
        self.wake.notify_one();
        true
    }

    /// Writes off threads whose operation began that long ago.
    pub(super) fn write_off(&self, now: BootNanos, stuck: u64) {
        let mut state = self.lock();
        let mut places = Vec::new();
        for seat in state.seats.values_mut() {
            if seat.is_lost || !seat.is_waiting || now.since(seat.since) < stuck {
                continue;
            }
            seat.is_lost = true;
            tracing::warn!(
                work = seat.work.as_str(),
                "a thread waits for a file or process that does not answer; others go on without it"
            );
            places.extend(seat.place);
            // Roots are looked for, and links are followed, without those that do not answer.
            if matches!(seat.work, Work::Root | Work::Link) {
                let _ = self.answers.send((seat.ticket, None));
            }
        }
        for (_, job) in state.aside.extract_if(.., |(place, _)| places.contains(place)) {
            let _ = self.answers.send((job.ticket, None));
        }
    }

    /// True when what waits needs one more thread, which is counted from now on.
    pub(super) fn needs_thread(&self) -> bool {
        let mut state = self.lock();
        let waiting = state.soon.len() + state.whenever.len();
        let lost = state.seats.values().filter(|seat| seat.is_lost).count();
        let is_needed = state.idle < waiting && state.threads - lost < WORKERS && state.threads < MAX_THREADS;
        state.threads += usize::from(is_needed);
        is_needed
    }

    /// A thread that was counted could not be started.
    pub(super) fn no_thread(&self) {
        self.lock().threads -= 1;
    }

    /// Lets every thread end that is not at work.
    pub(super) fn stop(&self) {
        self.lock().is_stopped = true;
        self.wake.notify_all();
    }

    /// When the oldest operation began that is still awaited.
    pub(super) fn oldest(&self) -> Option<BootNanos> {
        let state = self.lock();
        state.seats.values().filter(|seat| seat.is_waiting && !seat.is_lost).map(|seat| seat.since).min()
    }

    /// How many threads are written off.
    pub(super) fn lost(&self) -> [usize; Work::ALL.len()] {
        let state = self.lock();
        Work::ALL.map(|work| state.seats.values().filter(|seat| seat.is_lost && seat.work == work).count())
    }

    /// Waits for a job, and takes a seat for it; `None` when the thread is to end.
    pub(super) fn take(&self) -> Option<(u64, Job<A>)> {
        let mut state = self.lock();
        loop {
            let lost = state.seats.values().filter(|seat| seat.is_lost).count();
            // One that was written off and came back: another thread has its place.
            if state.is_stopped || state.threads - lost > WORKERS {
                state.threads -= 1;
                return None;
            }
            if let Some(job) = state.pop() {
                state.numbers += 1;
                let number = state.numbers;
                let seat = Seat {
                    ticket: job.ticket,
                    work: job.work,
                    place: None,
                    is_waiting: true,
                    since: boot_now(),
                    is_heavy: false,
                    is_lost: false,
                };
                state.seats.insert(number, seat);
                return Some((number, job));
            }
            state.idle += 1;
            let (woken, timeout) =
                self.wake.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = woken;
            state.idle -= 1;
            if timeout.timed_out() && state.is_empty() {
                state.threads -= 1;
                return None;
            }
        }
    }

    /// The thread is about to wait for a place.
    pub(super) fn enter(&self, number: u64, place: Whereabouts) -> Result<(), Blocked> {
        let mut state = self.lock();
        let others = state.seats.iter().filter(|(other, seat)| **other != number && seat.occupies(place));
        let (mut count, mut is_silent) = (0, false);
        for (_, seat) in others {
            count += 1;
            is_silent |= seat.is_lost;
        }
        let work = state.seats.get(&number).map(|seat| seat.work);
        let lost = state.seats.values().filter(|seat| seat.is_lost && Some(seat.work) == work).count();
        is_silent |= lost >= MAX_LOST && !state.good.contains(&place);
        let Some(seat) = state.seats.get_mut(&number) else { return Err(Blocked::Silent) };
        if is_silent || seat.is_lost {
            return Err(Blocked::Silent);
        }
        if count >= PER_PLACE && seat.place != Some(place) {
            return Err(Blocked::Busy(place));
        }
        let left = seat.place.replace(place).filter(|left| *left != place);
        (seat.is_waiting, seat.since) = (true, boot_now());
        if let Some(left) = left {
            state.answers_again(left);
            self.wake.notify_one();
        }
        Ok(())
    }

    /// The thread's operation has ended, or another one begins at the same place.
    pub(super) fn operate(&self, number: u64, is_waiting: bool) {
        let mut state = self.lock();
        let Some(seat) = state.seats.get_mut(&number) else { return };
        (seat.is_waiting, seat.since) = (is_waiting, boot_now());
        if let Some(place) = seat.place.filter(|_| !is_waiting) {
            state.answers_again(place);
            self.wake.notify_one();
        }
    }

    /// The thread is about to work for long.
    pub(super) fn make_heavy(&self, number: u64) -> Result<(), Blocked> {
        let mut state = self.lock();
        let others = state.seats.iter().filter(|(other, seat)| **other != number && seat.is_heavy);
        if others.count() >= PER_PLACE {
            return Err(Blocked::Busy(Whereabouts::Heavy));
        }
        if let Some(seat) = state.seats.get_mut(&number) {
            seat.is_heavy = true;
        }
        Ok(())
    }

    /// The thread is done with its job, or could not get where it had to go.
    pub(super) fn leave(&self, number: u64, job: Job<A>, answer: Option<A>, blocked: Option<Blocked>) {
        let mut state = self.lock();
        if let Some(seat) = state.seats.remove(&number) {
            seat.place.into_iter().for_each(|left| state.answers_again(left));
            if seat.is_heavy {
                state.answers_again(Whereabouts::Heavy);
            }
        }
        match blocked {
            Some(Blocked::Busy(place)) if job.until > boot_now() => {
                // The last one may have left meanwhile.
                if state.seats.values().filter(|seat| seat.occupies(place)).count() >= PER_PLACE {
                    state.aside.push((place, job));
                } else {
                    state.queue(job.urgency).push_front(job);
                }
            }
            Some(_) => drop(self.answers.send((job.ticket, None))),
            None => drop(self.answers.send((job.ticket, answer))),
        }
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<A> State<A> {
    fn queue(&mut self, urgency: Urgency) -> &mut VecDeque<Job<A>> {
        match urgency {
            Urgency::Soon => &mut self.soon,
            Urgency::Whenever => &mut self.whenever,
        }
    }

    fn pop(&mut self) -> Option<Job<A>> {
        self.soon.pop_front().or_else(|| self.whenever.pop_front())
    }

    fn is_empty(&self) -> bool {
        self.soon.is_empty() && self.whenever.is_empty()
    }

    /// A thread got on from there: what was put aside for it may try.
    fn answers_again(&mut self, place: Whereabouts) {
        if self.good.len() >= MAX_GOOD {
            self.good.clear();
        }
        self.good.insert(place);
        while let Some(index) = self.aside.iter().position(|(other, _)| *other == place) {
            let (_, job) = self.aside.remove(index);
            self.queue(job.urgency).push_back(job);
        }
    }
}

impl Blocked {
    /// As whoever opens a file is told.
    pub(super) fn error(self) -> io::Error {
        match self {
            Self::Busy(_) => io::ErrorKind::WouldBlock.into(),
            Self::Silent => io::Error::new(io::ErrorKind::TimedOut, "it does not answer"),
        }
    }
}
