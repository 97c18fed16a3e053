//! Whatever it is told, in whatever order, the engine answers, stays within its bounds and says the same again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use watchdog::detect::{Counts, Engine, Limits};
use watchdog::model::{
    Access, Actor, BootNanos, Comm, EventOperation as Operation, ExitStatus, FileEvent, InodeId, LockMode,
    LockOwner, OpenId, Output, Pid, Place, Role, RootId, Span, Target,
};

fn small() -> Limits {
    Limits {
        files: 4,
        descriptions: 6,
        readers_per_file: 3,
        sessions_per_file: 2,
        operations_per_session: 3,
        operations: 12,
        calls_per_pass: 2,
        calls: 10,
        passes: 2,
        locks: 3,
        exits: 3,
        horizon: Duration::from_nanos(50),
        session_deadline: Duration::from_nanos(80),
        exit_wait: Duration::from_nanos(60),
        removed_names: Duration::from_nanos(100),
    }
}

fn place() -> impl Strategy<Value = Arc<Place>> {
    let role = prop_oneof![Just(Role::State), Just(Role::State), Just(Role::Temporary), Just(Role::Lock)];
    (0..4_u8, role).prop_map(|(container, role)| {
        let container = format!("c{container}").into();
        Arc::new(Place { root: RootId(0), container, name: "state.json".into(), role })
    })
}

fn id() -> impl Strategy<Value = OpenId> {
    (0..6_u64, 0..3_u64).prop_map(|(file, opened)| OpenId { file, opened })
}

fn inode() -> impl Strategy<Value = InodeId> {
    (0..6_u64).prop_map(|ino| InodeId { dev: 1, ino, generation: 0 })
}

/// Mostly small numbers, so that they meet, and now and then the largest there is.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..30_u64, 1 => Just(u64::MAX), 1 => Just(u64::MAX - 1), 1 => any::<u64>()]
}

fn maybe_number() -> impl Strategy<Value = Option<u64>> {
    prop::option::of(number())
}

fn operation() -> impl Strategy<Value = Operation> {
    let target = prop_oneof![id().prop_map(Target::Open), place().prop_map(Target::Place)];
    let mode = prop_oneof![Just(LockMode::Shared), Just(LockMode::Exclusive), Just(LockMode::Unlocked)];
    let owner = prop_oneof![Just(LockOwner::Description), Just(LockOwner::Process)];
    let maybe_inode = || prop::option::of(inode());
    let maybe_place = || prop::option::of(place());
    prop_oneof![
        4 => (id(), inode(), place(), any::<[bool; 4]>(), maybe_number()).prop_map(
            |(id, inode, place, [read, write, created, truncated], size)| Operation::Open {
                id, inode, place, access: Access { read, write }, created, truncated, size,
            }
        ),
        6 => (id(), maybe_number(), number(), number(), maybe_number(), maybe_number()).prop_map(
            |(id, offset, requested, returned, size_before, size)| Operation::Read {
                id, offset, requested, returned, size_before, size,
            }
        ),
        4 => (id(), maybe_number(), number(), maybe_number(), maybe_number()).prop_map(
            |(id, offset, length, size_before, size)| Operation::Write {
                id, offset, length, size_before, size,
            }
        ),
        2 => (target, maybe_inode(), number(), maybe_number()).prop_map(
            |(target, inode, to, size_before)| Operation::Truncate { target, inode, to, size_before }
        ),
        1 => (id(), any::<bool>()).prop_map(|(id, writable)| Operation::Map { id, writable }),
        1 => id().prop_map(|id| Operation::Sync { id }),
        1 => (id(), mode, owner).prop_map(|(id, mode, owner)| Operation::Lock { id, mode, owner }),
        2 => (maybe_place(), maybe_place(), maybe_inode(), any::<bool>(), any::<Option<bool>>()).prop_map(
            |(from, to, inode, exchange, still_open_for_writing)| Operation::Rename {
                from, to, inode, exchange, still_open_for_writing,
            }
        ),
        1 => (maybe_place(), place(), maybe_inode())
            .prop_map(|(from, to, inode)| Operation::Link { from, to, inode }),
        1 => (place(), maybe_inode()).prop_map(|(place, inode)| Operation::Unlink { place, inode }),
        4 => id().prop_map(|id| Operation::Release { id }),
        1 => any::<u8>().prop_map(|code| Operation::Exit { status: ExitStatus::Code(code) }),
        1 => (place(), maybe_inode(), maybe_number())
            .prop_map(|(place, inode, size)| Operation::Present { place, inode, size }),
        1 => Just(Operation::Heartbeat),
    ]
}

/// Times go on by small steps, but an event may claim any span.
fn events() -> impl Strategy<Value = Vec<FileEvent>> {
    let one = (operation(), 0..12_u64, 0..60_u64, 1..4_u32, 0..40_u8, any::<[u64; 2]>(), 0..200_u8);
    prop::collection::vec(one, 0..200).prop_map(|all| {
        let (mut now, mut lost) = (1, 0);
        let event = all.into_iter().map(|(operation, step, back, pid, loss, wild, strange)| {
            now += step;
            lost += u64::from(loss == 0);
            let span = match strange {
                0 => Span { start: BootNanos(wild[0]), end: BootNanos(wild[1]) },
                _ => Span { start: BootNanos(now.saturating_sub(back)), end: BootNanos(now) },
            };
            let actor = Actor { pid: Pid(pid), tid: pid, comm: Comm::new("any") };
            FileEvent { span, actor, lost, operation }
        });
        event.collect()
    })
}

fn bounded(counts: Counts, limits: &Limits) -> bool {
    counts.files <= limits.files
        && counts.names <= 2 * limits.files
        && counts.descriptions <= limits.descriptions
        && counts.open_sessions <= limits.files
        // One call per pass and the first operation of a session are always kept.
        && counts.calls <= limits.calls + limits.descriptions * limits.passes
        && counts.operations <= limits.operations + limits.files * (limits.sessions_per_file + 2)
        && counts.others <= limits.locks + 2 * limits.exits + 8 * limits.files + 64
}

fn tell(events: &[FileEvent], limits: &Limits) -> Result<Vec<Output>, TestCaseError> {
    let mut engine = Engine::new(limits.clone());
    let mut out = Vec::new();
    for event in events {
        engine.observe(event, &mut out);
        let counts = engine.counts();
        prop_assert!(bounded(counts, limits), "{counts:?} after {event:?}");
        prop_assert!(engine.open_descriptions().count() <= counts.descriptions);
    }
    engine.advance(BootNanos(u64::MAX), &mut out);
    Ok(out)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_events_leave_the_engine_standing_and_small(events in events()) {
        let limits = small();
        let told = tell(&events, &limits)?;
        prop_assert_eq!(told, tell(&events, &limits)?);
    }

    #[test]
    fn any_events_are_taken_with_the_usual_limits(events in events()) {
        tell(&events, &Limits::default())?;
    }
}

/// How many events it takes in a second: `cargo test --release --test any_events -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn throughput() {
    let place = Arc::new(Place {
        root: RootId(0),
        container: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
        name: "state.json".into(),
        role: Role::State,
    });
    let inode = InodeId { dev: 1, ino: 1, generation: 0 };
    let actor = Actor { pid: Pid(1), tid: 1, comm: Comm::new("runc") };
    let mut events = Vec::new();
    for turn in 0..20_000_u64 {
        let mut now = turn * 1_000_000;
        let mut tell = |operation| {
            now += 1000;
            let span = Span::new(BootNanos(now - 500), BootNanos(now));
            events.push(FileEvent { span, actor, lost: 0, operation });
        };
        let open = |id: OpenId, write, truncated, size| Operation::Open {
            id,
            inode,
            place: Arc::clone(&place),
            access: Access { read: true, write },
            created: false,
            truncated,
            size: Some(size),
        };
        let writer = OpenId { file: 1, opened: turn };
        let rewrites = turn % 4 == 0;
        if rewrites {
            tell(open(writer, true, true, 0));
            let (offset, length) = (Some(0), 8000);
            let (size_before, size) = (Some(0), Some(8000));
            tell(Operation::Write { id: writer, offset, length, size_before, size });
        }
        for reader in 0..4 {
            let id = OpenId { file: 2 + reader, opened: turn };
            tell(open(id, false, false, 8000));
            for offset in [0, 4096, 8000] {
                let (size_before, size) = (Some(8000), Some(8000));
                let returned = 4096.min(8000 - offset);
                tell(Operation::Read {
                    id,
                    offset: Some(offset),
                    requested: 4096,
                    returned,
                    size_before,
                    size,
                });
            }
            tell(Operation::Release { id });
        }
        if rewrites {
            tell(Operation::Release { id: writer });
        }
    }
    let mut engine = Engine::new(Limits::default());
    let mut out = Vec::new();
    let started = Instant::now();
    for event in &events {
        engine.observe(event, &mut out);
    }
    let seconds = started.elapsed().as_secs_f64();
    let count = u32::try_from(events.len()).unwrap();
    println!("{:.2} million events a second, {} conclusions", f64::from(count) / seconds / 1e6, out.len());
    assert!(out.len() > 10_000);
}
