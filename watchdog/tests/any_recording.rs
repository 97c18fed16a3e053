//! Whatever happens can be recorded, reads as it was written, and is judged the same again; whatever is not a recording is
//! refused.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

mod events;

use std::borrow::Cow;
use std::io::Cursor;

use events::events;
use proptest::prelude::*;
use watchdog::agent::Step;
use watchdog::cli::Arguments;
use watchdog::model::{BootNanos, Comm, EventOperation, FileEvent, Pid, ProcessFacts, RootId};
use watchdog::recording::{FORMAT, Header, Replayed, judge};
use watchdog::report::{FileFacts, Finding};
use watchdog::source::SourceKind;

fn written(events: &[FileEvent]) -> Vec<u8> {
    let header = Header {
        state_watchdog_recording: FORMAT,
        version: String::new(),
        kernel: String::new(),
        source: SourceKind::Syscalls,
        started: BootNanos(1),
        boot_unix_ns: 1_700_000_000_000_000_000,
        configuration: String::new(),
    };
    let mut text = serde_json::to_string(&header).unwrap() + "\n";
    let mut add = |step: &Step<'_>| text += &(serde_json::to_string(step).unwrap() + "\n");
    add(&Step::Root { id: RootId(0), runtime: "x".into(), path: "/r".into(), locks_unseen: false });
    for event in events {
        add(&Step::Event(Cow::Borrowed(event)));
        add(&Step::Conclude {});
        if let EventOperation::Open { place, .. } = &event.operation {
            let facts = FileFacts { container: place.container.to_string(), ..FileFacts::default() };
            add(&Step::File { place: Cow::Borrowed(place), facts: Cow::Owned(facts) });
        }
    }
    add(&Step::Advance(BootNanos(u64::MAX)));
    add(&Step::End {});
    text.into_bytes()
}

fn judged(recording: &[u8]) -> (Vec<String>, Option<Replayed>) {
    let mut findings = Vec::new();
    let mut publish = |finding: &Finding| {
        findings.push(serde_json::to_string(finding).unwrap());
        Ok(())
    };
    let replayed = judge(Cursor::new(recording), Arguments::Full, &mut publish);
    (findings, replayed.ok().map(Result::unwrap))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_event_reads_as_it_was_written(events in events(), name in any::<[u8; 16]>()) {
        for mut event in events {
            event.actor.comm = Comm(name);
            let step = Step::Event(Cow::Owned(event));
            let text = serde_json::to_string(&step).unwrap();
            prop_assert!(!text.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Step<'_>>(&text).unwrap(), step);
        }
    }

    #[test]
    fn every_process_reads_as_it_was_written(
        numbers in any::<[u32; 3]>(),
        args in prop::collection::vec(any::<u8>(), 0..40),
        name in any::<[u8; 16]>(),
    ) {
        let facts = ProcessFacts {
            pid: Pid(numbers[0]),
            started: BootNanos(u64::MAX),
            seen: BootNanos(0),
            since: BootNanos(0),
            program: 0,
            exe: None,
            comm: Comm(name),
            uid: numbers[1],
            cgroup_id: u64::from(numbers[2]),
            args,
            args_cut: true,
            ancestors: vec![(Pid(1), Comm(name))],
        };
        let step = Step::Facts(Cow::Owned(facts));
        let text = serde_json::to_string(&step).unwrap();
        prop_assert_eq!(serde_json::from_str::<Step<'_>>(&text).unwrap(), step);
    }

    #[test]
    fn any_recording_is_judged_the_same_again(events in events()) {
        let recording = written(&events);
        let (findings, replayed) = judged(&recording);
        let events = events.len() as u64;
        prop_assert_eq!(replayed, Some(Replayed { events, findings: findings.len() as u64, whole: true }));
        prop_assert_eq!(judged(&recording).0, findings);
    }

    #[test]
    fn foreign_bytes_are_refused_or_judged_and_take_nothing_from_what_stands_before(
        events in events(),
        at in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..20),
    ) {
        let whole = written(&events);
        let at = at.index(whole.len());
        let line = whole[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let before = judged(&whole[..line]).0;
        let mut broken = whole.clone();
        let end = (at + bytes.len()).min(broken.len());
        broken[at..end].copy_from_slice(&bytes[..end - at]);
        let (findings, _) = judged(&broken);
        prop_assert!(findings.len() >= before.len() || line == 0);
    }
}
