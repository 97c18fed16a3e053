//! When a call was entered is known whatever other threads do: the table in which that is noted is everybody's.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use libc::{AT_FDCWD, F_SETLEASE, F_UNLCK, F_WRLCK, O_RDONLY, O_RDWR, SIG_IGN, SIGIO};
use watchdog::clock::boot_now;
use watchdog::model::{EventOperation as Operation, FileEvent};
use watchdog::source::{Item, LossReason};

use super::{lonely, received};
use crate::call::{sys, tried};
use crate::child::{self, Message};

/// Threads that are within an open when the others come.
const WAITING: usize = 200;
/// Threads that open something. Each takes one slot of 65,536, so some of them meet one that waits, in all but one run of
/// a million.
const OTHERS: usize = 6_000;
const PATIENCE: Duration = Duration::from_secs(40);

#[test]
fn threads_that_share_a_slot_do_not_take_each_others_entries() {
    let Some((mut bench, _site, file)) = lonely(1 << 20) else { return };
    let mut child = child::start(|parent| {
        // Opens wait until whoever holds a lease has given it back.
        sys!(SYS_rt_sigaction, SIGIO, [SIG_IGN, 0, 0, 0].as_ptr(), 0, 8);
        let holder = sys!(SYS_openat, AT_FDCWD, file, O_RDWR);
        sys!(SYS_fcntl, holder, F_SETLEASE, F_WRLCK);
        let open = || sys!(SYS_openat, AT_FDCWD, file, O_RDONLY);
        thread::scope(|scope| {
            let waiting: Vec<_> = (0..WAITING).map(|_| scope.spawn(open)).collect();
            let deadline = Instant::now() + PATIENCE;
            while within_open() < WAITING {
                assert!(Instant::now() < deadline, "{} of {WAITING} wait", within_open());
                thread::yield_now();
            }
            parent.checkpoint();
            for _ in 0..OTHERS {
                let other = || sys!(SYS_close, sys!(SYS_openat, AT_FDCWD, c"/dev/null", O_RDONLY));
                scope.spawn(other).join().unwrap();
            }
            parent.checkpoint();
            let _ = tried!(SYS_fcntl, holder, F_SETLEASE, F_UNLCK);
            for thread in waiting {
                thread.join().unwrap();
            }
        });
        parent.checkpoint();
    });
    assert!(matches!(child.listen(), Message::Checkpoint));
    let all_waited = boot_now();
    received(&mut bench);
    child.go_on();
    assert!(matches!(child.listen(), Message::Checkpoint));
    // The kernel takes a lease away after a while (`/proc/sys/fs/lease-break-time`), so a slow machine's opens come early.
    let mut items = received(&mut bench);
    child.go_on();
    assert!(matches!(child.listen(), Message::Checkpoint));
    items.extend(received(&mut bench));
    let entered: Vec<_> = items
        .iter()
        .filter_map(|item| match item {
            Item::Event(FileEvent { operation: Operation::Open { .. }, span, .. }) => Some(span.start),
            _ => None,
        })
        .collect();
    let late = entered.iter().filter(|start| **start > all_waited).count();
    assert_eq!(late, 0, "opens whose entry is not known");
    child.go_on();
    assert!(matches!(child.listen(), Message::Ended(0)));
    received(&mut bench);
    assert_eq!(bench.source.losses().get(LossReason::TableFull), 0);
    // A kretprobe has few places for calls that are under way.
    let missed = bench.source.losses().get(LossReason::ProbeMissed);
    let (seen, all) = (entered.len() as u64, WAITING as u64);
    assert!(seen <= all && seen + missed >= all, "{seen} opens seen and {missed} missed of {all}");
}

/// How many threads of this process sleep in openat.
fn within_open() -> usize {
    let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
    let open = format!("{} ", libc::SYS_openat);
    threads
        .filter(|thread| {
            let call = fs::read_to_string(thread.path().join("syscall")).unwrap_or_default();
            call.starts_with(&open)
        })
        .count()
}
