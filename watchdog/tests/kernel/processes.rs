//! Who it was, and how it ended.

use std::sync::Barrier;

use libc::{AT_FDCWD, O_RDONLY};

use crate::bench::{check, run, sites};
use crate::call::{exit, in_another_process, sys};
use crate::site::Site;

fn visit(site: &Site) {
    let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_RDONLY);
    sys!(SYS_close, fd);
}

#[test]
fn a_process_ends_with_a_code_or_by_a_signal() {
    check(
        |site| {
            in_another_process(|| {
                visit(site);
                exit(77);
            });
            in_another_process(|| {
                visit(site);
                sys!(SYS_kill, std::process::id(), libc::SIGTERM);
            });
        },
        "q open a/state.test as f ino=1 size=13
         q release f
         q exit 77
         r open a/state.test as g ino=1 size=13
         r release g
         r exit signal:15",
    );
}

#[test]
fn a_process_that_touched_nothing_ends_unnoticed() {
    check(
        |_| {
            in_another_process(|| exit(3));
        },
        "",
    );
}

#[test]
fn a_process_of_many_threads_ends_once() {
    check(
        |site| {
            in_another_process(|| {
                std::thread::scope(|scope| {
                    scope.spawn(|| visit(site)).join().unwrap();
                    scope.spawn(|| visit(site)).join().unwrap();
                });
                exit(6);
            });
        },
        "q.1 open a/state.test as f ino=1 size=13
         q.1 release f
         q.2 open a/state.test as g ino=1 size=13
         q.2 release g
         q exit 6",
    );
}

#[test]
fn a_process_whose_first_thread_left_ends_with_its_last() {
    check(
        |site| {
            in_another_process(|| {
                let pid = std::process::id();
                let (ready, is_gone) = (Barrier::new(2), format!("/proc/{pid}/task/{pid}/stat"));
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        ready.wait();
                        // The first thread is a zombie until the last one ends.
                        while !std::fs::read_to_string(&is_gone).unwrap().contains(") Z ") {
                            std::thread::yield_now();
                        }
                        visit(site);
                        exit(9);
                    });
                    ready.wait();
                    sys!(SYS_exit, 0);
                });
            });
        },
        "q.1 open a/state.test as f ino=1 size=13
         q.1 release f
         q exit 9",
    );
}

#[test]
fn a_process_is_introduced_before_it_does_anything() {
    for site in sites() {
        let story = run(&site, |_| visit(&site));
        let [process] = story.facts.as_slice() else { panic!("{:?}", story.facts) };
        assert_eq!(process.pid, story.pid);
        assert_eq!(process.uid, 0);
        assert_eq!(process.ancestors[0].0.0, std::process::id());
        let arguments: Vec<u8> = std::fs::read("/proc/self/cmdline").unwrap();
        let kept = arguments.len().min(process.args.len());
        assert!(kept > 0 && process.args[..kept] == arguments[..kept], "{process:?}");
        assert!(process.started <= process.seen);
    }
}
