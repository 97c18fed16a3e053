//! Every way to read, and what is told of it.

use std::io::{Read as _, Write as _, pipe};
use std::os::fd::AsRawFd as _;
use std::sync::mpsc::channel;

use libc::{AT_FDCWD, O_RDONLY, O_WRONLY};

use watchdog::source::LossReason;

use crate::bench::{check, mechanism, run, sites, unseen_by};
use crate::call::{refused, sys, vectors};
use crate::site::Site;

fn open(site: &Site) -> i64 {
    sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_RDONLY)
}

#[test]
fn read_moves_on_until_the_end() {
    check(
        |site| {
            let (fd, mut room) = (open(site), [0_u8; 64]);
            for wanted in [8, 64, 64] {
                sys!(SYS_read, fd, room.as_mut_ptr(), wanted);
            }
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p read f 0 8 got 8 size=13
         p read f 8 64 got 5 size=13
         p read f 13 64 got 0 size=13
         p release f",
    );
}

#[test]
fn pread_says_where() {
    check(
        |site| {
            let (fd, mut room) = (open(site), [0_u8; 64]);
            sys!(SYS_pread64, fd, room.as_mut_ptr(), 64, 4);
            sys!(SYS_pread64, fd, room.as_mut_ptr(), 64, 100);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p read f 4 64 got 9 size=13
         p read f 100 64 got 0 size=13
         p release f",
    );
}

#[test]
fn vectored_reads_are_added_up() {
    check(
        |site| {
            let (fd, mut room) = (open(site), [0_u8; 64]);
            let two = vectors(&mut room, &[4, 6]);
            sys!(SYS_readv, fd, two.as_ptr(), 2);
            sys!(SYS_preadv, fd, two.as_ptr(), 2, 5, 0);
            sys!(SYS_preadv2, fd, two.as_ptr(), 2, 1, 0, 0);
            sys!(SYS_preadv2, fd, two.as_ptr(), 2, -1_i64, -1_i64, 0);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p read f 0 10 got 10 size=13
         p read f 5 10 got 8 size=13
         p read f 1 10 got 10 size=13
         p read f 10 10 got 3 size=13
         p release f",
    );
}

#[test]
fn of_more_than_sixty_four_buffers_only_the_bytes_that_came_are_told() {
    check(
        |site| {
            let (fd, mut room) = (open(site), [0_u8; 65]);
            let many = vectors(&mut room, &[1; 65]);
            sys!(SYS_readv, fd, many.as_ptr(), 64);
            sys!(SYS_preadv, fd, many.as_ptr(), 65, 0, 0);
            sys!(SYS_readv, fd, many.as_ptr(), 65);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p read f 0 64 got 13 size=13
         p read f 0 13 got 13 size=13
         p read f 13 1 got 0 size=13
         p release f",
    );
}

#[test]
fn a_read_that_failed_or_asked_for_nothing_is_none() {
    check(
        |site| {
            let (fd, mut room) = (open(site), [0_u8; 64]);
            assert_eq!(refused!(SYS_read, fd, 1_usize, 64), libc::EFAULT);
            assert_eq!(refused!(SYS_pread64, fd, room.as_mut_ptr(), 64, -1_i64), libc::EINVAL);
            sys!(SYS_read, fd, room.as_mut_ptr(), 0);
            sys!(SYS_close, fd);
            let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_WRONLY);
            assert_eq!(refused!(SYS_read, fd, room.as_mut_ptr(), 64), libc::EBADF);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p release f
         p open a/state.test as g ino=1 write-only size=13
         p release g",
    );
}

#[test]
fn a_read_is_seen_however_many_others_sleep_in_theirs() {
    // A kernel keeps few places for calls whose return a kretprobe watches (`kretprobe.maxactive`: ten, or twice the number
    // of processors), and a call that sleeps holds one.
    const SLEEPERS: usize = 64;
    unseen_by("kprobe");
    for site in sites() {
        let story = run(&site, |_| {
            let ((mut end, begin), mut room) = (pipe().unwrap(), [0_u8; 64]);
            std::thread::scope(|scope| {
                let sleepers: Vec<_> = (0..SLEEPERS)
                    .map(|_| {
                        let (tell, told) = channel();
                        let end = end.try_clone().unwrap();
                        scope.spawn(move || {
                            tell.send(sys!(SYS_gettid)).unwrap();
                            sys!(SYS_read, end.as_raw_fd(), [0_u8; 1].as_mut_ptr(), 1);
                        });
                        told.recv().unwrap()
                    })
                    .collect();
                for thread in sleepers {
                    until_it_sleeps(thread);
                }
                let fd = open(&site);
                sys!(SYS_read, fd, room.as_mut_ptr(), 64);
                sys!(SYS_close, fd);
                (&begin).write_all(&[0; SLEEPERS]).unwrap();
            });
            drop(begin);
            assert_eq!(end.read(&mut room).unwrap(), 0);
        });
        let (open, read, release) =
            ("p open a/state.test as f ino=1 size=13", "p read f 0 64 got 13 size=13", "p release f");
        let missed = story.losses.get(LossReason::ProbeMissed);
        if mechanism() == "kprobe" {
            assert_eq!((story.lines.as_slice(), missed), (&[open, release].map(str::to_owned)[..], 1));
        } else {
            assert_eq!((story.lines.as_slice(), missed), (&[open, read, release].map(str::to_owned)[..], 0));
        }
    }
}

/// Waits until another thread of this process waits for something.
pub(crate) fn until_it_sleeps(thread: i64) {
    let status = format!("/proc/self/task/{thread}/stat");
    while !std::fs::read_to_string(&status).unwrap().contains(") S ") {
        std::thread::yield_now();
    }
}

#[test]
fn a_read_after_a_seek_begins_there() {
    check(
        |site| {
            let (fd, mut room) = (open(site), [0_u8; 64]);
            sys!(SYS_lseek, fd, 7, libc::SEEK_SET);
            sys!(SYS_read, fd, room.as_mut_ptr(), 64);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p read f 7 64 got 6 size=13
         p release f",
    );
}
