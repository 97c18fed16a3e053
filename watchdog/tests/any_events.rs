//! Whatever it is told, in whatever order, the engine answers, stays within its bounds and says the same again.

mod events;

use std::sync::Arc;
use std::time::{Duration, Instant};

use events::events;
use proptest::prelude::*;
use watchdog::detect::{Engine, Limits};
use watchdog::model::{
    Access, Actor, BootNanos, Comm, EventOperation as Operation, FileEvent, InodeId, OpenId, Output, Pid,
    Place, Role, RootId, Span,
};

fn small() -> Limits {
    Limits {
        horizon: Duration::from_nanos(50),
        session_deadline: Duration::from_nanos(80),
        exit_wait: Duration::from_nanos(60),
        removed_names: Duration::from_nanos(100),
        ..Limits::tight()
    }
}

fn tell(events: &[FileEvent], limits: &Limits) -> Result<Vec<Output>, TestCaseError> {
    let mut engine = Engine::new(limits.clone());
    let mut out = Vec::new();
    for event in events {
        engine.observe(event, &mut out);
        let counts = engine.counts();
        prop_assert!(counts.are_within(limits), "{counts:?} after {event:?}");
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
