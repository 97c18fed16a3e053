//! When a call was entered is known whatever other threads do: the table in which that is noted is everybody's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use libc::{AT_FDCWD, O_CREAT, O_DIRECTORY, O_RDONLY};
use rustix::thread::{CpuSet, sched_getcpu, sched_setaffinity};
use watchdog::clock::boot_now;
use watchdog::model::{EventOperation as Operation, FileEvent};
use watchdog::source::ebpf::Options;
use watchdog::source::{Item, LossReason, Shape};

use super::{matched, received};
use crate::call::sys;
use crate::child::{self, Message};
use crate::page::Page;
use crate::site::path;

/// With it, threads whose ids differ in the last eight bits alone share a slot (`slot` beside the probes).
const KEY: u64 = 1 << 40 | 1;
/// Threads that are within an open when the others come. They share few slots with each other, too.
const WAITING: usize = 100;
/// Threads that open something.
const OTHERS: usize = 200;

#[test]
fn threads_that_share_a_slot_do_not_take_each_others_entries() {
    let options = Options { ring_bytes: 1 << 20, key: Some(KEY) };
    let Some((mut bench, site, file)) = matched(&options, Shape::Exact) else { return };
    let directory = path(site.root().join("a"));
    let mut child = child::start(|parent| {
        stay_on_one_cpu();
        sys!(SYS_unlinkat, AT_FDCWD, file, 0);
        let listed = sys!(SYS_openat, AT_FDCWD, directory, O_RDONLY | O_DIRECTORY);
        let (page, begun) = (Page::new(), AtomicUsize::new(0));
        let list = || sys!(SYS_getdents64, listed, page.address(), Page::LEN);
        let open = || {
            begun.fetch_add(1, Ordering::Relaxed);
            sys!(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CREAT, 0o600);
        };
        thread::scope(|scope| {
            // Who lists a directory holds its lock, and who would create a file in it waits for that.
            scope.spawn(list);
            page.wait_for_use();
            (0..WAITING).for_each(|_| drop(scope.spawn(open)));
            while begun.load(Ordering::Relaxed) < WAITING {
                thread::yield_now();
            }
            for _ in 0..OTHERS {
                let other = || sys!(SYS_close, sys!(SYS_openat, AT_FDCWD, c"/dev/null", O_RDONLY));
                scope.spawn(other).join().unwrap();
            }
            parent.checkpoint();
            page.fill();
        });
        parent.checkpoint();
    });
    assert!(matches!(child.listen(), Message::Checkpoint));
    let all_waited = boot_now();
    received(&mut bench);
    child.go_on();
    assert!(matches!(child.listen(), Message::Checkpoint));
    let items = received(&mut bench);
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

/// Two threads that take one slot at the very same moment may lose an entry, which is counted; with so few slots they would.
fn stay_on_one_cpu() {
    let mut cpus = CpuSet::new();
    cpus.set(sched_getcpu());
    sched_setaffinity(None, &cpus).unwrap();
}
