//! Loss: sent = received + lost, and the gate closes again whatever was lost.

mod entries;
mod recovery;

use std::ffi::CString;
use std::ops::{Deref, DerefMut};
use std::sync::MutexGuard;

use libc::{AT_FDCWD, O_CREAT, O_RDONLY, RLIMIT_NOFILE};
use watchdog::model::{EventOperation as Operation, FileEvent, Role, RootId};
use watchdog::source::ebpf::Options;
use watchdog::source::{Depths, Item, LossReason, NamePattern, RootSpec, Shape};

use crate::bench::{self, Bench};
use crate::call::sys;
use crate::child::{self, Message};
use crate::site::{Filesystem, Site, path};

const PAGE: u32 = 4096;
const READS: u64 = 5_000;
/// More than the probes' table of descriptions holds.
const OPENS: u64 = 16_384 + 100;

/// A bench for one case.
struct Lonely {
    bench: Bench,
    _alone: MutexGuard<'static, ()>,
}

impl Deref for Lonely {
    type Target = Bench;

    fn deref(&self) -> &Bench {
        &self.bench
    }
}

impl DerefMut for Lonely {
    fn deref_mut(&mut self) -> &mut Bench {
        &mut self.bench
    }
}

/// A bench whose source looks for a name that nobody else on this machine uses, so that what it says can be counted;
/// with the site and the file of that name.
fn lonely(ring_bytes: u32) -> Option<(Lonely, Site, CString)> {
    matched(&Options { ring_bytes, key: None }, Shape::Exact)
}

/// The same, with a name that is matched by its beginning or as a whole.
fn matched(options: &Options, shape: Shape) -> Option<(Lonely, Site, CString)> {
    let name = format!("watchdog-{}-{}-{shape:?}", std::process::id(), options.ring_bytes);
    let names = vec![NamePattern { role: Role::State, shape, text: name.clone() }];
    let alone = bench::alone();
    let mut bench = Bench::with(options)?;
    let site = Site::new(Filesystem::Memory, 1);
    let root =
        RootSpec { id: RootId(0), path: site.root(), depths: Depths::only(1), locks: Depths::NONE, names };
    bench.source.watch(&root).unwrap();
    let file = site.root().join("a").join(name);
    std::fs::write(&file, b"content").unwrap();
    Some((Lonely { bench, _alone: alone }, site, path(file)))
}

/// Runs `calls` in another process to its end, while nobody reads.
fn unread(calls: impl FnOnce()) {
    let mut child = child::start(|_| calls());
    assert!(matches!(child.listen(), Message::Ended(0)));
}

fn received(bench: &mut Bench) -> Vec<Item> {
    let mut items = Vec::new();
    bench.drain(&mut items);
    items
}

fn is_heartbeat(item: &Item) -> bool {
    matches!(item, Item::Event(FileEvent { operation: Operation::Heartbeat, .. }))
}

/// The loss totals of all events.
fn losses(items: &[Item]) -> Vec<u64> {
    let lost = |item: &Item| if let Item::Event(event) = item { Some(event.lost) } else { None };
    items.iter().filter_map(lost).collect()
}

#[test]
fn every_record_was_received_or_counted_as_lost() {
    let Some((mut bench, _site, file)) = lonely(PAGE) else { return };
    let mut child = child::start(|parent| {
        let (fd, mut room) = (sys!(SYS_openat, AT_FDCWD, file, O_RDONLY), [0_u8; 8]);
        for _ in 0..READS {
            sys!(SYS_pread64, fd, room.as_mut_ptr(), 8, 0);
        }
        parent.checkpoint();
        sys!(SYS_close, fd);
    });
    assert!(matches!(child.listen(), Message::Checkpoint));
    let (beats, mut items): (Vec<Item>, Vec<Item>) = received(&mut bench).into_iter().partition(is_heartbeat);
    let lost = bench.source.losses().get(LossReason::RingFull);
    assert_eq!(losses(&beats), [lost], "the loss is told when the ring is empty, not with the next event");
    child.go_on();
    assert!(matches!(child.listen(), Message::Ended(0)));
    items.extend(received(&mut bench));
    // The process's introduction, its open, its reads, the release and the process's end.
    assert_eq!(items.len() as u64 + lost, 1 + 1 + READS + 1 + 1);
    assert!(items.len() > 10 && lost > 0, "{} received, {lost} lost", items.len());
    assert_eq!(bench.source.tracked(), 0);

    unread(|| {
        let fd = sys!(SYS_openat, AT_FDCWD, file, O_RDONLY);
        sys!(SYS_close, fd);
    });
    assert_eq!(losses(&received(&mut bench)), [lost; 3], "an open, a release, an exit");
    let mut all = bench.source.losses();
    all.0[LossReason::RingFull as usize] -= lost;
    assert_eq!(all.0, [0; LossReason::ALL.len()], "nothing else was lost");
}

/// Lets the running process have so many descriptors.
fn allow_descriptors(count: u64) {
    let limit = libc::rlimit { rlim_cur: count, rlim_max: count };
    sys!(SYS_prlimit64, 0, RLIMIT_NOFILE, &raw const limit, 0);
}

#[test]
fn descriptions_beyond_the_table_are_counted_and_the_gate_closes_again() {
    let Some((mut bench, _site, file)) = lonely(16 << 20) else { return };
    let mut child = child::start(|parent| {
        allow_descriptors(20_000);
        let mut last = 0;
        for _ in 0..OPENS {
            last = sys!(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CREAT, 0o600);
        }
        parent.checkpoint();
        sys!(SYS_close_range, 3, last, 0);
    });
    let mut items = Vec::new();
    assert!(matches!(child.listen(), Message::Checkpoint));
    bench.drain(&mut items);
    let opened: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Item::Event(FileEvent { operation: Operation::Open { id, .. }, .. }) => Some(*id),
            _ => None,
        })
        .collect();
    let losses = bench.source.losses();
    assert_eq!(losses.get(LossReason::RingFull), 0);
    assert_eq!(opened.len() as u64 + losses.get(LossReason::TableFull), OPENS);
    assert!(losses.get(LossReason::TableFull) > 0);
    assert_eq!(bench.source.tracked(), opened.len() as u64);

    child.go_on();
    assert!(matches!(child.listen(), Message::Ended(0)));
    bench.source.poll_released(&opened).unwrap();
    assert_eq!(bench.source.tracked(), 0);
    let released = received(&mut bench);
    let is_release =
        |item: &&Item| matches!(item, Item::Event(FileEvent { operation: Operation::Release { .. }, .. }));
    assert_eq!(released.iter().filter(is_release).count(), opened.len());
}

#[test]
fn a_name_that_is_matched_by_its_beginning_costs_no_record_of_other_names() {
    let Some((mut bench, site, file)) = matched(&Options { ring_bytes: PAGE, key: None }, Shape::Prefix)
    else {
        return;
    };
    let at = |name: &str| site.path(name);
    let names = ["a/x", "a/y", "a/another-name-that-is-longer-than-the-window-of-forty-bytes"].map(at);
    std::fs::write(site.root().join("a/x"), b"").unwrap();
    // Without the kernel's own look, each of these is a record, and the ring has room for two.
    unread(|| {
        for _ in 0..100 {
            for (from, to) in [(0, 1), (1, 2), (2, 0)] {
                sys!(SYS_renameat, AT_FDCWD, names[from], AT_FDCWD, names[to]);
            }
        }
    });
    assert_eq!(bench.source.losses().get(LossReason::RingFull), 0);
    let items = received(&mut bench);
    assert!(!items.iter().any(|item| matches!(item, Item::Process(_))), "{items:?}");
    // Names that begin so, also with more behind it and by a relative path.
    let longer = CString::new([file.as_bytes(), b"-and-more"].concat()).unwrap();
    let renamed = |items: &[Item]| {
        let is =
            |item: &&Item| matches!(item, Item::Event(FileEvent { operation: Operation::Rename { .. }, .. }));
        items.iter().filter(is).count()
    };
    unread(|| {
        sys!(SYS_renameat, AT_FDCWD, file, AT_FDCWD, longer);
    });
    assert_eq!(renamed(&received(&mut bench)), 1);
    let name = CString::new(longer.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap()).unwrap();
    unread(|| {
        std::env::set_current_dir(site.root().join("a")).unwrap();
        sys!(SYS_renameat, AT_FDCWD, name, AT_FDCWD, c"gone");
    });
    assert_eq!(renamed(&received(&mut bench)), 1);
}
