use std::sync::Arc;

use super::*;
use crate::model::{Access, Actor, EventOperation, InodeId, OpenId, Place, Role, RootId, Span, Target};
use crate::source::CANARY;

const ID: OpenId = OpenId { file: 7, opened: 7 };
const START: BootNanos = BootNanos(1_000_000);

fn place(root: RootId) -> Arc<Place> {
    Arc::new(Place { root, container: "canary".into(), name: "state.json".into(), role: Role::State })
}

fn at(nanos: u64, operation: EventOperation) -> FileEvent {
    let at = BootNanos(START.0 + nanos);
    FileEvent { span: Span::new(at, at), actor: Actor::default(), lost: 0, operation }
}

fn open(root: RootId) -> EventOperation {
    EventOperation::Open {
        id: ID,
        inode: InodeId { dev: 1, ino: 1, generation: 0 },
        place: place(root),
        access: Access { read: true, write: true },
        created: false,
        truncated: false,
        size: Some(2),
    }
}

fn whole_song() -> Vec<EventOperation> {
    let (offset, size_before, size) = (Some(0), Some(2), Some(2));
    let target = Target::Open(ID);
    vec![
        EventOperation::Rename {
            from: None,
            to: Some(place(CANARY)),
            inode: None,
            exchange: false,
            still_open_for_writing: None,
        },
        open(CANARY),
        EventOperation::Read { id: ID, offset, requested: 2, returned: 2, size_before, size },
        EventOperation::Write { id: ID, offset, length: 2, size_before, size },
        EventOperation::Truncate { target, inode: None, to: 0, size_before },
        EventOperation::Release { id: ID },
        EventOperation::Unlink { place: place(CANARY), inode: None },
    ]
}

fn round() -> Round {
    Round::new(START, &Proof::ALL, 5)
}

#[test]
fn a_whole_song_is_seen_at_once() {
    let mut round = round();
    for (i, note) in whole_song().into_iter().enumerate() {
        assert_eq!(round.result(START, 5), None);
        assert!(round.takes(&at(i as u64, note)));
    }
    assert_eq!(round.result(START, 5), Some(ProofResult::Seen));
    assert_eq!(round.deadline(), START, "there is nothing to wait for");
}

#[test]
fn events_of_others_are_left_to_them() {
    let mut round = round();
    assert!(!round.takes(&at(1, open(RootId(0)))));
    assert!(!round.takes(&at(2, EventOperation::Release { id: ID })));
    assert_eq!(round.missing(), Proof::ALL);
}

#[test]
fn what_does_not_come_in_time_is_missing() {
    let later = START.plus(millis(2_000));
    for (left_out, expected) in [
        (vec![Proof::Rename], ProofResult::Partial),
        (vec![Proof::Open, Proof::Read, Proof::Truncate, Proof::Release, Proof::Write], ProofResult::Missed),
        (Proof::ALL.to_vec(), ProofResult::Missed),
    ] {
        let mut round = round();
        for note in whole_song() {
            let mut probe = Round::new(START, &Proof::ALL, 0);
            probe.takes(&at(0, open(CANARY)));
            probe.takes(&at(1, note.clone()));
            let is_open = matches!(note, EventOperation::Open { .. });
            let proves: Vec<Proof> = Proof::ALL
                .into_iter()
                .filter(|proof| !probe.missing().contains(proof) && (is_open || *proof != Proof::Open))
                .collect();
            if !left_out.iter().any(|out| proves.contains(out)) {
                round.takes(&at(1, note));
            }
        }
        assert_eq!(round.result(later.plus(0), 5), Some(expected), "{left_out:?}");
        assert_eq!(round.missing().len(), left_out.len());
        assert_eq!(round.result(BootNanos(later.0 - 1), 5), None);
        assert_eq!(round.result(later, 6), Some(ProofResult::Lost), "a loss explains it");
    }
}

#[test]
fn a_source_that_is_late_is_waited_for() {
    let mut round = round();
    let mut early = at(0, open(RootId(0)));
    early.span = Span::new(BootNanos(10), BootNanos(10));
    round.takes(&early);
    let (patience, longest) = (START.plus(millis(2_000)), START.plus(millis(60_000)));
    assert_eq!(round.result(patience, 5), None);
    assert_eq!(round.result(longest, 5), Some(ProofResult::Missed));
    round.takes(&at(1, open(RootId(0))));
    assert_eq!(
        round.result(patience, 5),
        Some(ProofResult::Missed),
        "it is past that point and showed nothing"
    );
}

#[test]
fn one_miss_is_tried_again_and_two_make_it_mute() {
    let config = Config::resolve(&crate::cli::RunArgs::default(), None).unwrap();
    let mut canary = Canary::new(&config, &Proof::ALL);
    let directory = canary.root().unwrap().path;
    assert!(directory.is_dir());
    let mut now = crate::clock::boot_now();
    assert_eq!(canary.tick(now, 0), None);
    for expected in [&Vitality::Unproved, &Vitality::Mute] {
        now = canary.next().unwrap().plus(millis(10));
        assert_eq!(canary.tick(now, 0), Some(ProofResult::Missed));
        assert_eq!(canary.vitality(), expected);
        now = canary.next().unwrap();
        assert_eq!(canary.tick(now, 0), None);
    }
    drop(canary);
    assert!(!directory.exists());
}
