//! Copies from description to description within the kernel: a read at one end, a write at the other.

use std::io::pipe;
use std::os::fd::AsRawFd;

use libc::{AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR, O_WRONLY};

use crate::bench::check;
use crate::call::sys;
use crate::site::Site;

fn state(site: &Site, flags: i32) -> i64 {
    sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), flags)
}

/// A file that does not matter, with 13 bytes too.
fn stranger(site: &Site) -> i64 {
    sys!(SYS_openat, AT_FDCWD, site.outside("elsewhere/state.test"), O_RDWR)
}

#[test]
fn sendfile_reads_from_the_position_or_from_where_it_is_told() {
    check(
        |site| {
            let (fd, out, mut from) = (state(site, O_RDONLY), stranger(site), 5_i64);
            sys!(SYS_sendfile, out, fd, 0, 4);
            sys!(SYS_sendfile, out, fd, &raw mut from, 100);
            assert_eq!(from, 13);
            sys!(SYS_sendfile, out, fd, 0, 100);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p read f 0 4 got 4 size=13
         p read f 5 100 got 8 size=13
         [vfs: p read f 13 92 got 0 size=13]
         p read f 4 100 got 9 size=13
         [vfs: p read f 13 91 got 0 size=13]
         p release f",
    );
}

#[test]
fn sendfile_writes_at_the_position() {
    check(
        |site| {
            let (fd, from) = (state(site, O_WRONLY), stranger(site));
            sys!(SYS_sendfile, fd, from, 0, 4);
            sys!(SYS_sendfile, fd, from, 0, 100);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p write f 0 4 size=13
         p write f 4 9 size=13
         p release f",
    );
}

#[test]
fn splice_goes_through_a_pipe_at_either_end() {
    check(
        |site| {
            let (fd, (end, begin)) = (state(site, O_RDWR), pipe().unwrap());
            let (mut from, mut to) = (2_i64, 11_i64);
            let (end, begin) = (end.as_raw_fd(), begin.as_raw_fd());
            sys!(SYS_splice, fd, &raw mut from, begin, 0, 6, 0);
            sys!(SYS_splice, end, 0, fd, &raw mut to, 100, 0);
            sys!(SYS_splice, fd, 0, begin, 0, 3, 0);
            sys!(SYS_splice, end, 0, fd, 0, 3, 0);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p read f 2 6 got 6 size=13
         p write f 11 6 size=13..17
         p read f 0 3 got 3 size=17
         p write f 3 3 size=17
         p release f",
    );
}

#[test]
fn copy_file_range_is_seen_at_either_end() {
    check(
        |site| {
            let (fd, other) = (state(site, O_RDWR), stranger(site));
            let (mut from, mut to) = (3_i64, 10_i64);
            sys!(SYS_copy_file_range, fd, &raw mut from, other, 0, 5, 0);
            sys!(SYS_copy_file_range, other, 0, fd, &raw mut to, 100, 0);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p read f 3 5 got 5 size=13
         p write f 10 8 size=13..18
         p release f",
    );
}

#[test]
fn a_copy_between_two_files_that_matter_is_a_read_and_a_write() {
    check(
        |site| {
            let from = state(site, O_RDONLY);
            let new = site.path("a/state-1");
            let to = sys!(SYS_openat, AT_FDCWD, new, O_CREAT | O_WRONLY, 0o600);
            sys!(SYS_copy_file_range, from, 0, to, 0, 100, 0);
            sys!(SYS_sendfile, to, from, 0, 100);
            sys!(SYS_close, to);
            sys!(SYS_close, from);
        },
        "p open a/state.test as f ino=1 size=13
         p open tmp:a/state-1 as g ino=2 write-only created size=0
         p read f 0 100 got 13 size=13
         p write g 0 13 size=0..13
         p read f 13 100 got 0 size=13
         p release g
         p release f",
    );
}
