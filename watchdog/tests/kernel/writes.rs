//! Every way to write, and what is told of it.

use libc::{AT_FDCWD, O_APPEND, O_RDONLY, O_TRUNC, O_WRONLY};

use crate::bench::check;
use crate::call::{refused, sys, vectors};
use crate::site::{Filesystem, Site};

fn open(site: &Site, flags: i32) -> i64 {
    sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_WRONLY | flags)
}

#[test]
fn write_moves_on() {
    check(
        |site| {
            let fd = open(site, O_TRUNC);
            sys!(SYS_write, fd, c"{\"id\":", 6);
            sys!(SYS_write, fd, c"1}", 2);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only [syscalls: truncated size=0][vfs: size=13]
         [vfs: p truncate f to 0 from=13]
         p write f 0 6 size=0..6
         p write f 6 2 size=6..8
         p release f",
    );
}

#[test]
fn pwrite_says_where() {
    check(
        |site| {
            let fd = open(site, 0);
            sys!(SYS_pwrite64, fd, c"xy", 2, 3);
            sys!(SYS_pwrite64, fd, c"xy", 2, 20);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p write f 3 2 size=13
         p write f 20 2 size=13..22
         p release f",
    );
}

#[test]
fn vectored_writes_are_added_up() {
    check(
        |site| {
            let (fd, mut bytes) = (open(site, 0), *b"0123456789");
            let two = vectors(&mut bytes, &[4, 6]);
            sys!(SYS_writev, fd, two.as_ptr(), 2);
            sys!(SYS_pwritev, fd, two.as_ptr(), 2, 5, 0);
            sys!(SYS_pwritev2, fd, two.as_ptr(), 2, 1, 0, 0);
            sys!(SYS_pwritev2, fd, two.as_ptr(), 2, -1_i64, -1_i64, 0);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p write f 0 10 size=13
         p write f 5 10 size=13..15
         p write f 1 10 size=15
         p write f 10 10 size=15..20
         p release f",
    );
}

#[test]
fn with_append_every_write_goes_to_the_end() {
    check(
        |site| {
            let (fd, mut bytes) = (open(site, O_APPEND), *b"0123456789");
            sys!(SYS_write, fd, c"xy", 2);
            sys!(SYS_pwrite64, fd, c"xy", 2, 0);
            let one = vectors(&mut bytes, &[3]);
            sys!(SYS_pwritev2, fd, one.as_ptr(), 1, 0, 0, 0);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p write f 13 2 size=13..15
         p write f 15 2 size=15..17
         p write f 17 3 size=17..20
         p release f",
    );
}

#[test]
fn append_may_be_asked_for_by_the_call_and_be_switched_on_later() {
    const RWF_APPEND: i32 = 0x10;
    check(
        |site| {
            let (fd, mut bytes) = (open(site, 0), *b"0123456789");
            let one = vectors(&mut bytes, &[3]);
            // An overlay passes it on from 6.12 or so; before, such a write goes where it is told.
            let flags = if site.filesystem == Filesystem::Overlay { 0 } else { RWF_APPEND };
            sys!(SYS_pwritev2, fd, one.as_ptr(), 1, if flags == 0 { 13 } else { 0 }, 0, flags);
            sys!(SYS_fcntl, fd, libc::F_SETFL, O_APPEND);
            sys!(SYS_pwrite64, fd, c"xy", 2, 0);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p write f 13 3 size=13..16
         p write f 16 2 size=16..18
         p release f",
    );
}

#[test]
fn a_write_that_failed_is_told_as_such_and_one_of_nothing_is_none() {
    check(
        |site| {
            let fd = open(site, 0);
            assert_eq!(refused!(SYS_write, fd, 1_usize, 64), libc::EFAULT);
            sys!(SYS_write, fd, c"", 0);
            sys!(SYS_close, fd);
            let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_RDONLY);
            assert_eq!(refused!(SYS_write, fd, c"x", 1), libc::EBADF);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p write-failed f
         p release f
         p open a/state.test as g ino=1 size=13
         p release g",
    );
}
