use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::files::Whereabouts;

const LONG: Duration = Duration::from_secs(30);
const STUCK_SOON: Duration = Duration::from_millis(50);

fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LONG, test).await.expect("it never ended") })
}

/// A place that answers when it is told to: each message lets one operation end.
fn silent() -> (Sender<()>, Arc<Mutex<Receiver<()>>>) {
    let (release, wait) = channel();
    (release, Arc::new(Mutex::new(wait)))
}

/// Goes to a place, and waits there for its release.
fn wait_at(place: u32, wait: &Arc<Mutex<Receiver<()>>>) -> impl FnMut(&dyn Gate) -> u32 + Send + 'static {
    let wait = Arc::clone(wait);
    move |gate| {
        if gate.enter(Whereabouts::Device(place, 0)).is_err() {
            return 0;
        }
        let _ = wait.lock().map(|wait| wait.recv());
        place
    }
}

fn pass(place: u32) -> impl FnMut(&dyn Gate) -> u32 + Send + 'static {
    move |gate| gate.enter(Whereabouts::Device(place, 0)).map_or(0, |()| place)
}

fn soon(workers: &mut Workers<u32>, task: impl FnMut(&dyn Gate) -> u32 + Send + 'static) -> Ticket {
    workers.submit(Work::StateFile, Urgency::Soon, LONG, task).unwrap()
}

#[test]
fn answers_come_with_their_ticket() {
    run(async {
        let mut workers = Workers::default();
        let tickets: Vec<Ticket> = (1..=100).map(|place| soon(&mut workers, pass(place))).collect();
        let mut answered = BTreeMap::new();
        while workers.awaited() > 0 {
            let (ticket, answer) = workers.next().await;
            answered.insert(ticket, answer);
        }
        let expected: BTreeMap<_, _> = tickets.into_iter().zip((1..=100).map(Some)).collect();
        assert_eq!(answered, expected);
        assert_eq!(workers.counts().ended(Work::StateFile, Ending::Done), 100);
    });
}

#[test]
fn a_place_that_does_not_answer_holds_up_nobody_else_and_is_left_alone_until_it_does() {
    run(async {
        let mut workers = Workers::new(STUCK_SOON);
        let (release, wait) = silent();
        for _ in 0..20 {
            soon(&mut workers, wait_at(7, &wait));
        }
        // Before any thread is written off, others find one.
        let other = soon(&mut workers, pass(8));
        assert_eq!(workers.next().await, (other, Some(8)));
        // Two threads wait; what was put aside behind them is answered when they are written off.
        for _ in 0..18 {
            assert_eq!(workers.next().await.1, None);
        }
        assert_eq!(workers.counts().lost(Work::StateFile), PER_PLACE);
        let refused = soon(&mut workers, pass(7));
        assert_eq!(workers.next().await, (refused, None));
        assert_eq!(workers.counts().ended(Work::StateFile, Ending::Refused), 19);
        // Both return, late but awaited still, and the place is like any other again.
        release.send(()).unwrap();
        release.send(()).unwrap();
        assert_eq!(workers.next().await.1, Some(7));
        assert_eq!(workers.next().await.1, Some(7));
        assert_eq!(workers.counts().lost(Work::StateFile), 0);
        let again = soon(&mut workers, pass(7));
        assert_eq!(workers.next().await, (again, Some(7)));
    });
}

#[test]
fn many_silent_places_cost_a_bounded_number_of_threads_and_those_that_answered_go_on() {
    run(async {
        let mut workers = Workers::new(STUCK_SOON);
        let good = soon(&mut workers, pass(1));
        assert_eq!(workers.next().await, (good, Some(1)));
        let (release, wait) = silent();
        let mut lost = 0;
        for place in 100..200 {
            soon(&mut workers, wait_at(place, &wait));
            let good = soon(&mut workers, pass(1));
            while workers.next().await != (good, Some(1)) {}
            lost = lost.max(workers.counts().lost(Work::StateFile));
        }
        let threads = workers.shared.lost().iter().sum::<usize>() + WORKERS;
        assert!(threads <= MAX_THREADS && lost <= MAX_LOST + WORKERS, "{threads} threads, {lost} lost");
        drop(release);
    });
}

#[test]
fn an_answer_is_awaited_for_a_while_and_a_late_one_is_nobodys() {
    run(async {
        let mut workers = Workers::new(LONG);
        let (release, wait) = silent();
        let late = workers.submit(Work::Owner, Urgency::Soon, Duration::from_millis(1), wait_at(7, &wait));
        assert_eq!(workers.next().await, (late.unwrap(), None));
        assert_eq!(workers.counts().ended(Work::Owner, Ending::TimedOut), 1);
        release.send(()).unwrap();
        let next = soon(&mut workers, pass(8));
        assert_eq!(workers.next().await, (next, Some(8)));
    });
}

#[test]
fn the_queue_is_bounded_and_a_job_that_panics_is_answered() {
    run(async {
        let mut workers: Workers<u32> = Workers::new(LONG);
        let (release, wait) = silent();
        let mut taken = 0;
        while workers.submit(Work::Root, Urgency::Whenever, LONG, wait_at(7, &wait)).is_some() {
            taken += 1;
        }
        assert!((MAX_WAITING..=MAX_WAITING + WORKERS).contains(&taken), "{taken}");
        drop(release);
        while workers.awaited() > 0 {
            workers.next().await;
        }
        let broken = soon(&mut workers, |_| panic!("a test's own"));
        assert_eq!(workers.next().await, (broken, None));
        let next = soon(&mut workers, pass(8));
        assert_eq!(workers.next().await, (next, Some(8)));
    });
}

#[test]
fn work_that_takes_long_leaves_threads_to_others_and_keeps_no_place() {
    run(async {
        let mut workers: Workers<u32> = Workers::new(STUCK_SOON);
        let (release, wait) = silent();
        for _ in 0..20 {
            let wait = Arc::clone(&wait);
            soon(&mut workers, move |gate| {
                if gate.enter(Whereabouts::Device(7, 0)).and_then(|()| gate.heavy()).is_err() {
                    return 0;
                }
                gate.pass();
                let _ = wait.lock().map(|wait| wait.recv());
                7
            });
        }
        let other = soon(&mut workers, pass(7));
        assert_eq!(workers.next().await, (other, Some(7)));
        drop(release);
        while workers.awaited() > 0 {
            assert_eq!(workers.next().await.1, Some(7));
        }
        assert_eq!(workers.counts().lost(Work::StateFile), 0);
    });
}
