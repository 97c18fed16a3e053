//! What gives no event. That the source listens at all is what every case shows first: its canary is seen.

use std::fs;
use std::os::unix::fs::symlink;

use libc::{AT_FDCWD, O_CREAT, O_DIRECTORY, O_EXCL, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};

use crate::bench::check;
use crate::call::{refused, sys};
use crate::site::path;

#[test]
fn an_open_that_failed() {
    check(
        |site| {
            let state = site.path("a/state.test");
            let new = O_CREAT | O_EXCL | O_WRONLY;
            assert_eq!(refused!(SYS_openat, AT_FDCWD, state, new, 0o600), libc::EEXIST);
            let missing = site.path("b/state.test");
            assert_eq!(refused!(SYS_openat, AT_FDCWD, missing, O_RDONLY), libc::ENOENT);
            let below = site.path("a/state.test/state.test");
            assert_eq!(refused!(SYS_openat, AT_FDCWD, below, O_RDONLY), libc::ENOTDIR);
            symlink("state.test", site.root().join("a/link")).unwrap();
            let link = site.path("a/link");
            assert_eq!(refused!(SYS_openat, AT_FDCWD, link, O_RDONLY | libc::O_NOFOLLOW), libc::ELOOP);
        },
        "",
    );
}

#[test]
fn a_description_that_can_do_nothing() {
    check(
        |site| {
            let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_PATH);
            let mut room = [0_u8; 8];
            assert_eq!(refused!(SYS_read, fd, room.as_mut_ptr(), 8), libc::EBADF);
            sys!(SYS_close, fd);
        },
        "",
    );
}

#[test]
fn what_is_no_regular_file() {
    check(
        |site| {
            fs::create_dir_all(site.root().join("b/state.test")).unwrap();
            fs::create_dir(site.root().join("c")).unwrap();
            sys!(SYS_mknodat, AT_FDCWD, site.path("c/state.test"), libc::S_IFIFO | 0o600, 0);
            let directory = sys!(SYS_openat, AT_FDCWD, site.path("b/state.test"), O_RDONLY | O_DIRECTORY);
            sys!(SYS_close, directory);
            let fifo = sys!(SYS_openat, AT_FDCWD, site.path("c/state.test"), O_RDWR | O_NONBLOCK);
            sys!(SYS_write, fifo, c"x", 1);
            sys!(SYS_close, fifo);
        },
        "",
    );
}

#[test]
fn a_file_that_lies_elsewhere() {
    check(
        |site| {
            fs::create_dir(site.root().join("a/deeper")).unwrap();
            for path in [
                site.outside("elsewhere/state.test"),
                site.outside("state.test"),
                site.path("state.test"),
                site.path("a/deeper/state.test"),
            ] {
                let fd = sys!(SYS_openat, AT_FDCWD, path, O_CREAT | O_TRUNC | O_WRONLY, 0o600);
                sys!(SYS_write, fd, c"x", 1);
                sys!(SYS_close, fd);
                sys!(SYS_truncate, path, 0);
                sys!(SYS_unlinkat, AT_FDCWD, path, 0);
            }
        },
        "",
    );
}

#[test]
fn another_name_that_is_only_read() {
    check(
        |site| {
            for name in ["config.json", "state.tes", "xstate.test", "state.test2", "state-1"] {
                let path = site.root().join("a").join(name);
                fs::hard_link(site.state_file(), &path).unwrap();
                let fd = sys!(SYS_openat, AT_FDCWD, self::path(path), O_RDONLY);
                let mut room = [0_u8; 8];
                sys!(SYS_read, fd, room.as_mut_ptr(), 8);
                sys!(SYS_close, fd);
            }
        },
        // The system call does not say which file was linked: one that nobody opened yet is known by its name alone.
        &[
            ("config.json", 'f'),
            ("state.tes", 'g'),
            ("xstate.test", 'h'),
            ("state.test2", 'i'),
            ("state-1", 'j'),
        ]
        .map(|(name, fd)| {
            format!(
                "[vfs: p open tmp:{name} as {fd} ino=1 size=13]
                     [vfs: p read {fd} 0 8 got 8 size=13]
                     [vfs: p release {fd}]\n"
            )
        })
        .concat(),
    );
}

#[test]
fn another_name_that_is_written_may_be_a_temporary() {
    check(
        |site| {
            let new = site.path("a/config.json");
            let fd = sys!(SYS_openat, AT_FDCWD, new, O_CREAT | O_WRONLY, 0o600);
            sys!(SYS_close, fd);
        },
        "p open tmp:a/config.json as f ino=1 write-only created size=0
         p release f",
    );
}

#[test]
fn reads_and_writes_of_others_while_something_is_tracked() {
    check(
        |site| {
            let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_RDONLY);
            let other = sys!(SYS_openat, AT_FDCWD, site.outside("elsewhere/state.test"), O_RDWR);
            let mut room = [0_u8; 8];
            sys!(SYS_read, other, room.as_mut_ptr(), 8);
            sys!(SYS_write, other, room.as_ptr(), 8);
            sys!(SYS_ftruncate, other, 3);
            sys!(SYS_fsync, other);
            sys!(SYS_close, other);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p release f",
    );
}
