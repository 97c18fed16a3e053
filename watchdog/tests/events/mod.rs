//! Any events there can be, for properties that hold whatever happens.

use std::sync::Arc;

use proptest::prelude::*;
use watchdog::model::{
    Access, Actor, BootNanos, Comm, Content, Damage, EventOperation as Operation, ExitStatus, FileEvent,
    InodeId, LockMode, LockOwner, OpenId, Pid, Place, Role, RootId, Span, Target,
};

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

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::Valid),
        Just(Content::Damaged(Damage::Empty)),
        Just(Content::Damaged(Damage::Truncated)),
        Just(Content::Damaged(Damage::Invalid)),
        Just(Content::NotJudged),
    ]
}

fn operation() -> impl Strategy<Value = Operation> {
    let target = prop_oneof![
        id().prop_map(Target::Open),
        id().prop_map(Target::Opening),
        place().prop_map(Target::Place)
    ];
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
        1 => (id(), any::<[bool; 2]>())
            .prop_map(|(id, [shared, writable])| Operation::Map { id, shared, writable }),
        1 => id().prop_map(|id| Operation::WriteFailed { id }),
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
        1 => (any::<u8>(), any::<bool>()).prop_map(|(number, code)| Operation::Exit {
            status: if code { ExitStatus::Code(number) } else { ExitStatus::Signal(number) },
        }),
        1 => (place(), maybe_inode(), maybe_number())
            .prop_map(|(place, inode, size)| Operation::Present { place, inode, size }),
        2 => (place(), maybe_inode(), number(), content())
            .prop_map(|(place, inode, size, content)| Operation::Content { place, inode, size, content }),
        1 => (place(), any::<Option<bool>>()).prop_map(|(place, to)| Operation::MoveDirectory {
            root: place.root,
            container: if to.is_some() { Arc::clone(&place.container) } else { "".into() },
            to: to.filter(|to| *to).map(|_| (place.root, "moved".into())),
        }),
        1 => Just(Operation::Heartbeat),
    ]
}

/// Any events. Times go on by small steps, but an event may claim any span.
pub(crate) fn events() -> impl Strategy<Value = Vec<FileEvent>> {
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
