//! After a loss, agent and probes agree again on what is open.

use libc::{AT_FDCWD, O_RDONLY, O_WRONLY};
use watchdog::clock::boot_now;
use watchdog::model::{Actor, EventOperation as Operation, FileEvent, OpenId};
use watchdog::source::{Item, LossReason};

use super::{PAGE, allow_descriptors, lonely, received};
use crate::bench::Bench;
use crate::call::sys;
use crate::child::{self, Message};
use crate::watched::Watched;

/// More than a ring of one page holds.
const READS: u64 = 1_000;
/// The table is gone through in far fewer pieces.
const PIECES: usize = 10_000;

fn opened(items: &[Item]) -> Vec<(OpenId, Actor)> {
    let open = |item: &Item| match item {
        Item::Event(FileEvent { operation: Operation::Open { id, .. }, actor, .. }) => Some((*id, *actor)),
        _ => None,
    };
    items.iter().filter_map(open).collect()
}

fn released(items: &[Item]) -> Vec<OpenId> {
    let release = |item: &Item| match item {
        Item::Event(FileEvent { operation: Operation::Release { id }, .. }) => Some(*id),
        _ => None,
    };
    items.iter().filter_map(release).collect()
}

fn gone(items: &[Item]) -> Vec<OpenId> {
    items.iter().filter_map(|item| if let Item::Gone(id) = item { Some(*id) } else { None }).collect()
}

/// Lets the source compare its table with what is there until `done`; gives what came of it.
fn reconcile(bench: &mut Bench, done: impl Fn(&Bench, &[Item]) -> bool) -> Vec<Item> {
    let (mut items, mut now) = (Vec::new(), boot_now());
    for _ in 0..PIECES {
        // Each piece at the time that the source asks for, however soon that is.
        now = bench.source.reconcile(now).unwrap();
        bench.drain(&mut items);
        if done(bench, &items) {
            return items;
        }
    }
    panic!("{} descriptions are tracked for ever", bench.source.tracked());
}

#[test]
fn an_open_and_a_release_that_were_lost_are_made_up_for() {
    let Some((mut bench, _site, file)) = lonely(PAGE) else { return };
    let mut child = child::start(|parent| {
        let first = sys!(SYS_openat, AT_FDCWD, file, O_RDONLY);
        let mut room = [0_u8; 8];
        parent.checkpoint();
        for _ in 0..READS {
            sys!(SYS_pread64, first, room.as_mut_ptr(), 8, 0);
        }
        let second = sys!(SYS_openat, AT_FDCWD, file, O_WRONLY);
        sys!(SYS_close, first);
        parent.checkpoint();
        sys!(SYS_pwrite64, second, c"content".as_ptr(), 7, 0);
        parent.checkpoint();
        // Ends without a close.
    });
    assert!(matches!(child.listen(), Message::Checkpoint));
    let [(first, _)] = opened(&received(&mut bench))[..] else { panic!("one description was opened") };
    child.go_on();
    assert!(matches!(child.listen(), Message::Checkpoint));
    let items = received(&mut bench);
    assert!(bench.source.losses().get(LossReason::RingFull) > 2);
    assert_eq!((opened(&items), released(&items)), (vec![], vec![]), "both were lost");
    assert_eq!(bench.source.tracked(), 1, "the second one");

    bench.source.poll_released(&[first]).unwrap();
    let items = received(&mut bench);
    assert_eq!((released(&items), gone(&items)), (vec![], vec![first]));
    let items = reconcile(&mut bench, |_, items| !opened(items).is_empty());
    let [(second, opener)] = opened(&items)[..] else { panic!("the second one is reported once") };
    assert_eq!(opener, Actor::UNKNOWN);

    child.go_on();
    assert!(matches!(child.listen(), Message::Checkpoint));
    let items = received(&mut bench);
    let is_write = |item: &&Item| matches!(item, Item::Event(FileEvent { operation: Operation::Write { id, length: 7, .. }, .. }) if *id == second);
    assert_eq!(items.iter().filter(is_write).count(), 1);
    child.go_on();
    assert!(matches!(child.listen(), Message::Ended(0)));
    bench.source.poll_released(&[second]).unwrap();
    let mut items = items;
    bench.drain(&mut items);
    assert_eq!((released(&items), gone(&items)), (vec![second], vec![]));
    assert_eq!(bench.source.tracked(), 0);
}

#[test]
fn a_release_that_finds_no_room_when_it_is_asked_for_is_told_all_the_same() {
    let Some((mut bench, _site, file)) = lonely(PAGE) else { return };
    let mut child = child::start(|parent| {
        let dead = sys!(SYS_openat, AT_FDCWD, file, O_RDONLY);
        let busy = sys!(SYS_openat, AT_FDCWD, file, O_RDONLY);
        parent.checkpoint();
        // Not by close, which the probes would see.
        sys!(SYS_close_range, dead, dead, 0);
        let mut room = [0_u8; 8];
        for _ in 0..READS {
            sys!(SYS_pread64, busy, room.as_mut_ptr(), 8, 0);
        }
        parent.checkpoint();
    });
    assert!(matches!(child.listen(), Message::Checkpoint));
    let [(dead, _), _] = opened(&received(&mut bench))[..] else { panic!("two descriptions were opened") };
    child.go_on();
    assert!(matches!(child.listen(), Message::Checkpoint));
    bench.source.poll_released(&[dead]).unwrap();
    let items = received(&mut bench);
    // Where every end is seen, its record came before the ring was full.
    let (seen, asked_for) =
        if Watched::sees_releases() { (vec![dead], vec![]) } else { (vec![], vec![dead]) };
    assert_eq!((released(&items), gone(&items)), (seen, asked_for));
    child.go_on();
    assert!(matches!(child.listen(), Message::Ended(0)));
}

#[test]
fn what_nobody_asks_after_leaves_the_table() {
    let Some((mut bench, _site, file)) = lonely(1 << 20) else { return };
    let mut child = child::start(|parent| {
        allow_descriptors(2_000);
        for _ in 0..600 {
            sys!(SYS_openat, AT_FDCWD, file, O_RDONLY);
        }
        parent.checkpoint();
    });
    assert!(matches!(child.listen(), Message::Checkpoint));
    assert_eq!(bench.source.tracked(), 600);
    reconcile(&mut bench, |_, _| true);
    assert_eq!(bench.source.tracked(), 600, "what is open stays");
    child.go_on();
    assert!(matches!(child.listen(), Message::Ended(0)));
    reconcile(&mut bench, |bench, _| bench.source.tracked() == 0);
}

#[test]
fn a_process_whose_introduction_was_lost_is_introduced_at_its_next_open() {
    let Some((mut bench, _site, file)) = lonely(PAGE) else { return };
    let mut filler = child::start(|parent| {
        let fd = sys!(SYS_openat, AT_FDCWD, file, O_RDONLY);
        let mut room = [0_u8; 8];
        for _ in 0..READS {
            sys!(SYS_pread64, fd, room.as_mut_ptr(), 8, 0);
        }
        parent.checkpoint();
    });
    assert!(matches!(filler.listen(), Message::Checkpoint));
    let mut child = child::start(|parent| {
        for _ in 0..2 {
            let fd = sys!(SYS_openat, AT_FDCWD, file, O_RDONLY);
            parent.checkpoint();
            sys!(SYS_close, fd);
        }
    });
    let pid = u32::try_from(child.pid).unwrap();
    let introduced = |items: &[Item]| {
        items.iter().filter(|item| matches!(item, Item::Process(process) if process.pid.0 == pid)).count()
    };
    assert!(matches!(child.listen(), Message::Checkpoint));
    assert_eq!(introduced(&received(&mut bench)), 0, "the ring is full");
    child.go_on();
    assert!(matches!(child.listen(), Message::Checkpoint));
    assert_eq!(introduced(&received(&mut bench)), 1);
    child.go_on();
    assert!(matches!(child.listen(), Message::Ended(0)));
    filler.go_on();
    assert!(matches!(filler.listen(), Message::Ended(0)));
}
