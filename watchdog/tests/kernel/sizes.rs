//! Changes of size, and content that changes without a write.

use libc::{
    AT_FDCWD, FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
    FALLOC_FL_ZERO_RANGE, O_RDONLY, O_RDWR,
};

use crate::bench::{check, check_with};
use crate::call::{refused, sys};
use crate::site::{Filesystem, Site};

fn open(site: &Site) -> i64 {
    sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_RDWR)
}

#[test]
fn ftruncate_sets_the_size() {
    check(
        |site| {
            let fd = open(site);
            for size in [5, 5, 20, 0] {
                sys!(SYS_ftruncate, fd, size);
            }
            assert_eq!(refused!(SYS_ftruncate, fd, -1_i64), libc::EINVAL);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p truncate f to 5 from=13
         p truncate f to 5 from=5
         p truncate f to 20 from=5
         p truncate f to 0 from=20
         p release f",
    );
}

#[test]
fn truncate_needs_no_description() {
    check(
        |site| {
            sys!(SYS_truncate, site.path("a/state.test"), 5);
            sys!(SYS_truncate, site.outside("elsewhere/state.test"), 5);
            assert_eq!(refused!(SYS_truncate, site.path("b/state.test"), 5), libc::ENOENT);
        },
        "p truncate a/state.test to 5[vfs:  from=13]",
    );
}

#[test]
fn fallocate_is_a_write_where_content_changes() {
    check(
        |site| {
            let fd = open(site);
            sys!(SYS_fallocate, fd, 0, 0, 8);
            sys!(SYS_fallocate, fd, FALLOC_FL_KEEP_SIZE, 0, 100);
            sys!(SYS_fallocate, fd, 0, 10, 10);
            sys!(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 4);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p write f 13 7 size=13..20
         p write f 2 4 size=20
         p release f",
    );
}

#[test]
fn fallocate_zeroes_collapses_and_inserts_where_the_filesystem_can() {
    // Only ext4 and xfs can, and the range must be whole blocks; elsewhere nothing happens, and nothing is told.
    let calls = |site: &Site| {
        let (fd, block) = (open(site), 4096);
        sys!(SYS_ftruncate, fd, 3 * block);
        for (mode, offset) in
            [(FALLOC_FL_ZERO_RANGE, 1), (FALLOC_FL_COLLAPSE_RANGE, block), (FALLOC_FL_INSERT_RANGE, block)]
        {
            if site.filesystem == Filesystem::Disk {
                sys!(SYS_fallocate, fd, mode, offset, block);
            } else {
                assert_eq!(refused!(SYS_fallocate, fd, mode, offset, block), libc::EOPNOTSUPP);
            }
        }
        sys!(SYS_close, fd);
    };
    check(
        calls,
        "p open a/state.test as f ino=1 rw size=13
         p truncate f to 12288 from=13
         [disk: p write f 1 4096 size=12288]
         [disk: p write f 4096 all size=12288..8192]
         [disk: p write f 4096 all size=8192..12288]
         p release f",
    );
}

#[test]
fn fsync_and_fdatasync_are_told() {
    check(
        |site| {
            let fd = open(site);
            sys!(SYS_write, fd, c"x", 1);
            sys!(SYS_fsync, fd);
            sys!(SYS_fdatasync, fd);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p write f 0 1 size=13
         p sync f
         p sync f
         p release f",
    );
}

#[test]
fn the_fsync_of_a_stranger_is_no_question_of_the_agents() {
    check_with(
        |_| {},
        |site, _| {
            let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_RDONLY);
            for command in 0..5 {
                sys!(SYS_fsync, fd, 0x1234_5678, command, 0, 0);
            }
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p sync f
         p sync f
         p sync f
         p sync f
         p sync f
         p release f",
    );
}
