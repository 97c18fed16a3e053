//! Descriptions end when their last reference goes, whoever holds it and however it goes.

use std::fs::File;
use std::io::{IoSlice, IoSliceMut, Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt as _;

use libc::{AT_FDCWD, O_CLOEXEC, O_PATH, O_RDONLY, O_WRONLY};

use crate::bench::{check, check_with, identify, sites};
use crate::call::{exit, fork, in_another_process, refused, sys, wait};
use crate::site::{self, Site};

fn open(site: &Site, flags: i32) -> i64 {
    sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), flags)
}

#[test]
fn a_file_is_identified_through_a_description_that_cannot_read_it() {
    for site in sites() {
        let open = |flags| File::options().read(true).custom_flags(flags).open(site.state_file()).unwrap();
        let identities = [0, O_PATH].map(|flags| identify(&open(flags)));
        assert!(identities[0].is_some(), "on {:?}", site.filesystem);
        assert_eq!(identities[0], identities[1], "on {:?}", site.filesystem);
    }
}

#[test]
fn a_duplicate_is_the_same_description() {
    check(
        |site| {
            let fd = open(site, O_WRONLY);
            let copies =
                [sys!(SYS_dup, fd), sys!(SYS_dup3, fd, 700, 0), sys!(SYS_fcntl, fd, libc::F_DUPFD, 800)];
            sys!(SYS_close, fd);
            for copy in copies {
                sys!(SYS_write, copy, c"x", 1);
                sys!(SYS_close, copy);
            }
        },
        "p open a/state.test as f ino=1 write-only size=13
         p write f 0 1 size=13
         p write f 1 1 size=13
         p write f 2 1 size=13
         p release f",
    );
}

#[test]
fn dup3_closes_what_it_replaces() {
    check(
        |site| {
            let (first, second) = (open(site, O_WRONLY), open(site, O_RDONLY));
            sys!(SYS_dup3, first, second, 0);
            assert_eq!(refused!(SYS_dup3, -1, second, 0), libc::EBADF);
            sys!(SYS_close, first);
            sys!(SYS_write, second, c"x", 1);
            sys!(SYS_close, second);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p open a/state.test as g ino=1 size=13
         p release g
         p write f 0 1 size=13
         p release f",
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn dup2_closes_what_it_replaces_and_nothing_when_that_is_itself() {
    check(
        |site| {
            let (first, second) = (open(site, O_WRONLY), open(site, O_RDONLY));
            sys!(SYS_dup2, first, first);
            sys!(SYS_dup2, second, first);
            sys!(SYS_close, second);
            sys!(SYS_close, first);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p open a/state.test as g ino=1 size=13
         p release f
         p release g",
    );
}

#[test]
fn a_child_shares_its_parents_description() {
    check(
        |site| {
            let fd = open(site, O_WRONLY);
            in_another_process(|| {
                sys!(SYS_write, fd, c"x", 1);
                sys!(SYS_close, fd);
            });
            sys!(SYS_write, fd, c"y", 1);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only size=13
         q write f 0 1 size=13
         q exit 0
         p write f 1 1 size=13
         p release f",
    );
}

#[test]
fn a_description_ends_with_the_process_that_still_holds_it() {
    check_with(
        |_| {},
        |site, parent| {
            let fd = open(site, O_WRONLY);
            in_another_process(|| {
                sys!(SYS_write, fd, c"x", 1);
                let mine = open(site, O_WRONLY);
                sys!(SYS_write, mine, c"z", 1);
            });
            // The one that the child alone held is gone with it; the shared one is not.
            parent.checkpoint();
            sys!(SYS_write, fd, c"y", 1);
        },
        "p open a/state.test as f ino=1 write-only size=13
         q write f 0 1 size=13
         q open a/state.test as g ino=1 write-only size=13
         q write g 0 1 size=13
         q exit 0
         [syscalls: -][vfs: q] release g
         p write f 1 1 size=13
         [syscalls: -][vfs: p] release f",
    );
}

#[test]
fn whoever_opens_a_file_finds_out_that_its_writer_was_killed() {
    check(
        |site| {
            in_another_process(|| {
                let fd = open(site, O_WRONLY);
                sys!(SYS_write, fd, c"x", 1);
                sys!(SYS_kill, std::process::id(), libc::SIGKILL);
            });
            let fd = open(site, O_RDONLY);
            sys!(SYS_close, fd);
        },
        "q open a/state.test as f ino=1 write-only size=13
         q write f 0 1 size=13
         q exit signal:9
         [syscalls: p][vfs: q] release f
         p open a/state.test as g ino=1 size=13
         p release g",
    );
}

#[test]
fn whoever_reads_a_file_finds_out_that_its_writer_was_killed() {
    check(
        |site| {
            let (fd, mut room) = (open(site, O_RDONLY), [0_u8; 64]);
            in_another_process(|| {
                let fd = open(site, O_WRONLY);
                sys!(SYS_write, fd, c"x", 1);
                sys!(SYS_kill, std::process::id(), libc::SIGKILL);
            });
            sys!(SYS_read, fd, room.as_mut_ptr(), 64);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         q open a/state.test as g ino=1 write-only size=13
         q write g 0 1 size=13
         q exit signal:9
         [syscalls: p][vfs: q] release g
         p read f 0 64 got 13 size=13
         p release f",
    );
}

#[test]
fn a_description_that_is_sent_away_lives_on() {
    check_with(
        |_| {},
        |site, parent| {
            let mut ends = [0_i32; 2];
            sys!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr());
            let fd = open(site, O_WRONLY);
            send(ends[0], i32::try_from(fd).unwrap());
            sys!(SYS_close, fd);
            // Nobody's descriptor now, but on its way.
            parent.checkpoint();
            in_another_process(|| {
                let fd = receive(ends[1]);
                sys!(SYS_write, fd, c"x", 1);
                sys!(SYS_close, fd);
            });
        },
        "p open a/state.test as f ino=1 write-only size=13
         q write f 0 1 size=13
         q release f
         q exit 0",
    );
}

#[test]
fn exec_closes_what_is_marked_and_keeps_the_rest() {
    check_with(
        |_| {},
        |site, parent| {
            let marked = open(site, O_WRONLY | O_CLOEXEC);
            let kept = open(site, O_RDONLY);
            let ((mut said, say), (wait_for, mut go_on)) = (pipe().unwrap(), pipe().unwrap());
            let pid = fork();
            if pid == 0 {
                sys!(SYS_write, marked, c"x", 1);
                for (from, to) in [(wait_for.as_raw_fd(), 0), (say.as_raw_fd(), 1)] {
                    sys!(SYS_dup3, from, to, 0);
                }
                let script = site::path("echo; read line; exit 5");
                let arguments = [c"/bin/sh".as_ptr(), c"-c".as_ptr(), script.as_ptr(), std::ptr::null()];
                sys!(SYS_execve, c"/bin/sh", arguments.as_ptr(), 0);
                exit(1);
            }
            drop((say, wait_for));
            said.read_exact(&mut [0]).unwrap();
            // The program runs. It has no part in what it was not to get; the other it keeps alive.
            sys!(SYS_close, marked);
            sys!(SYS_close, kept);
            parent.checkpoint();
            go_on.write_all(b"\n").unwrap();
            assert_eq!(libc::WEXITSTATUS(wait(pid)), 5);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p open a/state.test as g ino=1 size=13
         q write f 0 1 size=13
         p release f
         q exit 5
         [syscalls: -][vfs: q] release g",
    );
}

#[test]
fn close_range_is_found_out() {
    check_with(
        |_| {},
        |site, parent| {
            let fd = open(site, O_WRONLY);
            sys!(SYS_close_range, fd, fd, 0);
            parent.checkpoint();
            let fd = open(site, O_RDONLY);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only size=13
         [syscalls: -][vfs: p] release f
         p open a/state.test as g ino=1 size=13
         p release g",
    );
}

/// Sends a descriptor through a socket (SCM_RIGHTS).
fn send(socket: i32, fd: i32) {
    let (mut control, payload) = (Control::holding(fd), [IoSlice::new(b"x")]);
    let message = control.message(payload.as_ptr().cast_mut().cast());
    sys!(SYS_sendmsg, socket, &raw const message, 0);
}

/// The descriptor that comes out of a socket.
fn receive(socket: i32) -> i32 {
    let mut byte = [0];
    let (mut control, mut payload) = (Control::holding(-1), [IoSliceMut::new(&mut byte)]);
    let mut message = control.message(payload.as_mut_ptr().cast());
    sys!(SYS_recvmsg, socket, &raw mut message, 0);
    control.descriptor
}

/// A `struct cmsghdr` with one descriptor behind it.
#[repr(C)]
struct Control {
    length: usize,
    level: i32,
    kind: i32,
    descriptor: i32,
    padding: i32,
}

impl Control {
    fn holding(descriptor: i32) -> Self {
        Self { length: 20, level: libc::SOL_SOCKET, kind: libc::SCM_RIGHTS, descriptor, padding: 0 }
    }

    /// A message of this and one buffer.
    fn message(&mut self, buffers: *mut libc::iovec) -> libc::msghdr {
        libc::msghdr {
            msg_name: std::ptr::null_mut(),
            msg_namelen: 0,
            msg_iov: buffers,
            msg_iovlen: 1,
            msg_control: (&raw mut *self).cast(),
            msg_controllen: size_of::<Self>(),
            msg_flags: 0,
        }
    }
}
