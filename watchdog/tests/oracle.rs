//! The engine against an oracle: random schedules of writers and readers on a simulated file.
//!
//! `schedule` makes up what processes do. `world` plays it on files that hold real bytes, each stamped with the operation
//! that wrote it, and writes down the events that a source would see. `run` shows them to the engine and answers what it
//! asks. `truth` says from the definitions, slowly and by enumeration, what is to be concluded. `WATCHDOG_SCHEDULES`
//! sets how many schedules are played, `WATCHDOG_SEED` where they begin. What fails is made as small as it still fails.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle {
    pub(crate) mod calls;
    pub(crate) mod compare;
    pub(crate) mod played;
    pub(crate) mod random;
    pub(crate) mod run;
    pub(crate) mod schedule;
    pub(crate) mod truth;
    pub(crate) mod world;
}

use std::collections::BTreeMap;

use oracle::compare::{Compared, compare, verdicts};
use oracle::played::Happened;
use oracle::run::{run, show};
use oracle::schedule::Schedule;
use oracle::truth::session::Ended;
use oracle::truth::{self};
use oracle::world::World;
use watchdog::model::{
    Actor, AnomalyKind, EventOperation, FileEvent, OpenId, Outcome, Output, Span, Verdict,
};

fn schedules(default: u64) -> impl Iterator<Item = u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("WATCHDOG_SEED").unwrap_or(1);
    seed..seed + number("WATCHDOG_SCHEDULES").unwrap_or(default)
}

/// What a schedule shows: how much was compared, or where the engine and the oracle disagree.
fn check(schedule: &Schedule) -> Result<Compared, String> {
    let played = World::play(schedule);
    let run = std::panic::catch_unwind(|| run(&played, played.events.clone()));
    let run = run.map_err(|_| "panicked: see above".to_owned())?;
    compare(&played, &run).map_err(|disagreement| format!("{disagreement}\n{}", show(&run.events)))
}

/// A smaller schedule that fails in the same way, and how.
fn shrink(schedule: Schedule, failure: String) -> (Schedule, String) {
    let way = |failure: &str| failure.split(':').next().unwrap_or_default().to_owned();
    let known = way(&failure);
    let (mut schedule, mut failure) = (schedule, failure);
    loop {
        let smaller = schedule.smaller().find_map(|smaller| {
            let failure = check(&smaller).err()?;
            (way(&failure) == known).then_some((smaller, failure))
        });
        let Some(smaller) = smaller else { return (schedule, failure) };
        (schedule, failure) = smaller;
    }
}

#[test]
fn the_engine_agrees_with_the_oracle() {
    let mut compared = Compared::default();
    let keep_going = std::env::var_os("WATCHDOG_KEEP_GOING").is_some();
    let mut failures: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for seed in schedules(2_000) {
        let schedule = Schedule::of(seed);
        match check(&schedule) {
            Ok(one) => compared.add(&one),
            Err(failure) if keep_going => {
                let way = failure.split(':').next().unwrap_or_default().to_owned();
                failures.entry(way).or_default().push(seed);
            }
            Err(failure) => {
                let (smallest, failure) = shrink(schedule, failure);
                panic!("seed {seed}: {failure}\n{:?}", smallest.processes);
            }
        }
    }
    println!("{compared}");
    for (way, seeds) in &failures {
        println!("{} times {way}, as in {:?}", seeds.len(), &seeds[..seeds.len().min(5)]);
    }
    assert!(failures.is_empty(), "the engine and the oracle disagree");
    compared.assert_enough();
}

/// Take any one event away and say that one was lost: what is torn then is torn, and it is never silent.
#[test]
fn a_lost_event_is_never_silent_and_proves_nothing_false() {
    for seed in schedules(300) {
        let played = World::play(&Schedule::of(seed));
        let whole = run(&played, played.events.clone());
        let readers = truth::judge(&played, &whole).readers;
        let truly: Vec<OpenId> = readers.iter().filter(|judged| judged.may_be_torn).map(|j| j.id).collect();
        for gone in 0..played.events.len() {
            let mut events = played.events.clone();
            events.remove(gone);
            let last = events.last().map_or(1, |last| last.event.at().0);
            let at = watchdog::model::BootNanos(last + 1);
            events.push(Happened {
                event: FileEvent {
                    span: Span::new(at, at),
                    actor: Actor::default(),
                    lost: 0,
                    operation: EventOperation::Heartbeat,
                },
                instant: last + 1,
                bytes: Vec::new(),
            });
            for happened in events.iter_mut().skip(gone) {
                happened.event.lost = 1;
            }
            let lossy = run(&played, events);
            let say = || {
                let lost = &played.events[gone].event;
                format!("seed {seed}, event {gone}: {lost:?}\n{}", show(&lossy.events))
            };
            let is_loss = |(_, output): &(u64, Output)| matches!(output, Output::Anomaly(anomaly) if anomaly.kind == AnomalyKind::EventsLost);
            assert!(lossy.outputs.iter().any(is_loss), "{}", say());
            for (id, (verdict, _)) in verdicts(&lossy.outputs) {
                assert!(verdict != Verdict::Torn || truly.contains(&id), "{id:?} is not torn, {}", say());
            }
            check_outcomes(&whole.outputs, &lossy.outputs, &say);
        }
    }
}

/// With a loss, a session may be missing or `unknown`, or begin later than it did, by another operation; but none is said
/// to be atomic or not against the truth.
fn check_outcomes(whole: &[(u64, Output)], lossy: &[(u64, Output)], say: &impl Fn() -> String) {
    let ended = |outputs: &[(u64, Output)]| -> Vec<Ended> {
        outputs.iter().filter_map(|(_, output)| Ended::of(output)).collect()
    };
    let replaces = |session: &Ended| session.outcome == Outcome::AtomicReplace.as_str();
    let all = ended(whole);
    for session in ended(lossy).into_iter().filter(|session| session.outcome != Outcome::Unknown.as_str()) {
        let known = all.iter().any(|known| {
            known.inode == session.inode
                && replaces(known) == replaces(&session)
                && known.start <= session.end
                && session.start <= known.end
        });
        assert!(known, "{session:?} is not true, {}", say());
    }
}

/// Take any one event away and say nothing: the engine may be wrong, but it does not fall over.
#[test]
fn an_event_that_is_missing_unnoticed_does_no_harm_to_the_engine() {
    for seed in schedules(100) {
        let played = World::play(&Schedule::of(seed));
        for gone in 0..played.events.len() {
            let mut events = played.events.clone();
            events.remove(gone);
            run(&played, events);
        }
    }
}
