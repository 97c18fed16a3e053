//! io_uring: system calls show none of it. Who does the work differs, a thread of the program or one of the kernel, so
//! the actors are left out.

use std::ffi::CString;
use std::fs;
use std::io::pipe;
use std::os::fd::AsRawFd as _;

use libc::{AT_FDCWD, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY};

use watchdog::source::LossReason;

use crate::bench::{check_deeds, run, sites, unseen_by};
use crate::call::sys;
use crate::ring::{Entry, Ring};
use crate::site::Site;
use crate::watched::Watched;

// include/uapi/linux/io_uring.h
const READV: u8 = 1;
const WRITEV: u8 = 2;
const FSYNC: u8 = 3;
const FALLOCATE: u8 = 17;
const OPENAT: u8 = 18;
const CLOSE: u8 = 19;
pub(crate) const READ: u8 = 22;
pub(crate) const WRITE: u8 = 23;
const OPENAT2: u8 = 28;
const SPLICE: u8 = 30;
const RENAMEAT: u8 = 35;
const UNLINKAT: u8 = 36;
const LINKAT: u8 = 39;
const FTRUNCATE: u8 = 55;
const FIXED_FILE: u8 = 1;
/// Where the description's own position is.
const CURRENT: u64 = u64::MAX;

fn open(site: &Site, flags: i32) -> i32 {
    sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), flags) as i32
}

/// A read or write at the offset.
pub(crate) fn data(opcode: u8, fd: i32, room: &mut [u8], offset: u64) -> Entry {
    let (address, length) = (room.as_mut_ptr() as u64, u32::try_from(room.len()).unwrap());
    Entry { opcode, fd, offset, address, length, ..Entry::default() }
}

fn close(fd: i32) -> Entry {
    Entry { opcode: CLOSE, fd, ..Entry::default() }
}

fn two_paths(opcode: u8, from: &CString, to: &CString) -> Entry {
    let (address, offset) = (from.as_ptr() as u64, to.as_ptr() as u64);
    let length = AT_FDCWD.cast_unsigned();
    Entry { opcode, fd: AT_FDCWD, address, offset, length, ..Entry::default() }
}

/// Kernels that have not got the operation have nothing to show.
fn is_there(opcode: u8) -> bool {
    let is_there = Ring::new().knows(opcode);
    if !is_there {
        eprintln!("this kernel's io_uring has no operation {opcode}");
    }
    is_there
}

#[test]
fn a_read_of_more_than_there_is() {
    // Some kernels ask the filesystem again when it gave less (`io_read`), and that may be told as reads of its own.
    unseen_by("syscalls");
    for site in sites() {
        let calls = || {
            let (ring, mut room) = (Ring::new(), [0; 64]);
            let fd = open(&site, O_RDONLY);
            assert_eq!(ring.run(data(READ, fd, &mut room, 0)), 13);
            sys!(SYS_close, fd);
        };
        let story = run(&site, |_| calls());
        let (mut end, expected) = (0, if Watched::knows_paths() { 13 } else { 0 });
        for line in story.lines.iter().filter(|line| line.contains(" read f ")) {
            let words: Vec<&str> = line.split(' ').collect();
            assert_eq!(words[3], end.to_string(), "{:?}", story.lines);
            end += words[6].parse::<u64>().unwrap();
        }
        assert_eq!(end, expected, "on {:?}: {:?}", site.filesystem, story.lines);
    }
}

#[test]
fn whoever_watches_system_calls_counts_what_goes_past_them() {
    for site in sites() {
        let story = run(&site, |_| {
            let (ring, mut room) = (Ring::new(), [0; 8]);
            let fd = open(&site, O_RDWR);
            assert_eq!(ring.run(data(READ, fd, &mut room, 0)), 8);
            assert_eq!(ring.run(data(WRITE, fd, &mut room, 0)), 8);
            let beside = sys!(SYS_openat, AT_FDCWD, site.outside("other"), O_CREAT | O_RDWR, 0o600) as i32;
            assert_eq!(ring.run(data(WRITE, beside, &mut room, 0)), 8);
            sys!(SYS_close, fd);
        });
        let expected = if Watched::name() == "syscalls" { 2 } else { 0 };
        assert_eq!(story.losses.get(LossReason::IoUring), expected, "{:?}", story.lines);
    }
}

// The other cases ask for what there is.
#[test]
fn reads_and_writes() {
    unseen_by("syscalls");
    check_deeds(
        |site| {
            let (ring, mut room) = (Ring::new(), [0; 64]);
            let fd = open(site, O_RDWR);
            assert_eq!(ring.run(data(READ, fd, &mut room[..9], 4)), 9);
            assert_eq!(ring.run(data(READ, fd, &mut room[..5], CURRENT)), 5);
            assert_eq!(ring.run(data(READ, fd, &mut room, 100)), 0);
            assert_eq!(ring.run(data(WRITE, fd, &mut [b'x'; 4], 11)), 4);
            let one = [libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: 3 }];
            for (opcode, offset) in [(READV, 1), (WRITEV, 2)] {
                let entry =
                    Entry { opcode, fd, offset, address: one.as_ptr() as u64, length: 1, ..Entry::default() };
                assert_eq!(ring.run(entry), 3);
            }
            sys!(SYS_close, fd);
        },
        "open a/state.test as f ino=1 rw size=13
         [vfs: read f 4 9 got 9 size=13]
         [vfs: read f 0 5 got 5 size=13]
         [vfs: read f 100 64 got 0 size=13]
         [vfs: write f 11 4 size=13..15]
         [vfs: read f 1 3 got 3 size=15]
         [vfs: write f 2 3 size=15]
         release f",
    );
}

#[test]
fn reads_and_writes_that_failed_are_none() {
    unseen_by("syscalls");
    check_deeds(
        |site| {
            let (ring, mut room) = (Ring::new(), [0; 64]);
            let fd = open(site, O_RDONLY);
            assert_eq!(ring.run(data(WRITE, fd, &mut room, 0)), -libc::EBADF);
            let entry = Entry { address: 1, ..data(READ, fd, &mut room, 0) };
            assert_eq!(ring.run(entry), -libc::EFAULT);
            sys!(SYS_close, fd);
        },
        "open a/state.test as f ino=1 size=13
         release f",
    );
}

#[test]
fn registered_files() {
    unseen_by("syscalls");
    check_deeds(
        |site| {
            let (ring, mut room) = (Ring::new(), [0; 64]);
            let fd = open(site, O_RDWR);
            ring.register_files(&[fd]);
            sys!(SYS_close, fd);
            let entry = Entry { flags: FIXED_FILE, ..data(READ, 0, &mut room[..13], 0) };
            assert_eq!(ring.run(entry), 13);
            let entry = Entry { flags: FIXED_FILE, ..data(WRITE, 0, &mut [b'x'; 2], 3) };
            assert_eq!(ring.run(entry), 2);
            ring.unregister_files();
        },
        "open a/state.test as f ino=1 rw size=13
         [vfs: read f 0 13 got 13 size=13]
         [vfs: write f 3 2 size=13]
         release f",
    );
}

#[test]
fn a_kernel_thread_that_takes_the_entries() {
    unseen_by("syscalls");
    check_deeds(
        |site| {
            let (ring, mut room) = (Ring::polled(), [0; 64]);
            let fd = open(site, O_RDWR);
            // Up to 5.10 such a thread takes registered files alone.
            ring.register_files(&[fd]);
            sys!(SYS_close, fd);
            let entry = Entry { flags: FIXED_FILE, ..data(WRITE, 0, &mut [b'x'; 2], 3) };
            assert_eq!(ring.run(entry), 2);
            let entry = Entry { flags: FIXED_FILE, ..data(READ, 0, &mut room[..13], 0) };
            assert_eq!(ring.run(entry), 13);
            ring.unregister_files();
        },
        "open a/state.test as f ino=1 rw size=13
         [vfs: write f 3 2 size=13]
         [vfs: read f 0 13 got 13 size=13]
         release f",
    );
}

#[test]
fn opens_and_closes() {
    unseen_by("syscalls");
    let cases = [
        (O_RDONLY, "size=13"),
        (O_WRONLY | O_TRUNC, "write-only size=13\n[vfs: truncate f to 0 from=13]"),
        (O_RDWR | O_CREAT, "rw size=13"),
    ];
    for (flags, words) in cases {
        check_deeds(
            |site| {
                let (ring, path) = (Ring::new(), site.path("a/state.test"));
                let (address, operation_flags) = (path.as_ptr() as u64, flags.cast_unsigned());
                let entry =
                    Entry { opcode: OPENAT, fd: AT_FDCWD, address, operation_flags, ..Entry::default() };
                open_and_close(&ring, entry);
            },
            &told(words),
        );
    }
}

#[test]
fn opens_by_openat2() {
    unseen_by("syscalls");
    check_deeds(
        |site| {
            let (ring, path) = (Ring::new(), site.path("a/state.test"));
            // `struct open_how`: flags, mode, resolve.
            let how = [O_RDWR as u64, 0, 0];
            let (address, offset, length) = (path.as_ptr() as u64, how.as_ptr() as u64, 24);
            let entry = Entry { opcode: OPENAT2, fd: AT_FDCWD, address, offset, length, ..Entry::default() };
            open_and_close(&ring, entry);
        },
        &told("rw size=13"),
    );
}

fn open_and_close(ring: &Ring, open: Entry) {
    let fd = ring.run(open);
    assert!(fd >= 0, "{fd}");
    assert_eq!(ring.run(close(fd)), 0);
}

fn told(words: &str) -> String {
    let (open, then) = words.split_once('\n').unwrap_or((words, ""));
    format!("[vfs: open a/state.test as f ino=1 {open}]\n{then}\n[vfs: release f]")
}

#[test]
fn sizes_and_syncs() {
    unseen_by("syscalls");
    check_deeds(
        |site| {
            let ring = Ring::new();
            let fd = open(site, O_RDWR);
            // fallocate's length stands where others have an address, and its mode where they have a length.
            let entry = Entry { opcode: FALLOCATE, fd, offset: 10, address: 10, ..Entry::default() };
            assert_eq!(ring.run(entry), 0);
            assert_eq!(ring.run(Entry { opcode: FSYNC, fd, ..Entry::default() }), 0);
            sys!(SYS_close, fd);
        },
        "open a/state.test as f ino=1 rw size=13
         [vfs: write f 13 7 size=13..20]
         [vfs: sync f]
         release f",
    );
}

#[test]
fn ftruncate() {
    unseen_by("syscalls");
    if !is_there(FTRUNCATE) {
        return;
    }
    check_deeds(
        |site| {
            let ring = Ring::new();
            let fd = open(site, O_RDWR);
            assert_eq!(ring.run(Entry { opcode: FTRUNCATE, fd, offset: 5, ..Entry::default() }), 0);
            sys!(SYS_close, fd);
        },
        "open a/state.test as f ino=1 rw size=13
         [vfs: truncate f to 5 from=13]
         release f",
    );
}

#[test]
fn names() {
    unseen_by("syscalls");
    if !is_there(RENAMEAT) || !is_there(UNLINKAT) {
        return;
    }
    check_deeds(
        |site| {
            fs::hard_link(site.root().join("a/state.test"), site.root().join("a/new")).unwrap();
            sys!(SYS_unlinkat, AT_FDCWD, site.path("a/state.test"), 0);
            let (ring, state) = (Ring::new(), site.path("a/state.test"));
            assert_eq!(ring.run(two_paths(RENAMEAT, &site.path("a/new"), &state)), 0);
            let address = state.as_ptr() as u64;
            assert_eq!(ring.run(Entry { opcode: UNLINKAT, fd: AT_FDCWD, address, ..Entry::default() }), 0);
        },
        "unlink a/state.test
         [vfs: rename tmp:a/new to a/state.test]
         [vfs: unlink a/state.test]",
    );
}

#[test]
fn links() {
    unseen_by("syscalls");
    if !is_there(LINKAT) {
        return;
    }
    check_deeds(
        |site| {
            fs::create_dir(site.root().join("b")).unwrap();
            let (from, to) = (site.path("a/state.test"), site.path("b/state.test"));
            assert_eq!(Ring::new().run(two_paths(LINKAT, &from, &to)), 0);
        },
        "[vfs: link a/state.test to b/state.test]",
    );
}

#[test]
fn splices() {
    unseen_by("syscalls");
    check_deeds(
        |site| {
            let (ring, fd, (end, begin)) = (Ring::new(), open(site, O_RDWR), pipe().unwrap());
            let splice = |from: i32, from_offset: u64, to: i32, to_offset: u64| {
                let (opcode, length) = (SPLICE, 6);
                let entry = Entry { opcode, length, fd: to, second_fd: from, ..Entry::default() };
                ring.run(Entry { offset: to_offset, address: from_offset, ..entry })
            };
            assert_eq!(splice(fd, 2, begin.as_raw_fd(), CURRENT), 6);
            assert_eq!(splice(end.as_raw_fd(), CURRENT, fd, 11), 6);
            sys!(SYS_close, fd);
        },
        "open a/state.test as f ino=1 rw size=13
         [vfs: read f 2 6 got 6 size=13]
         [vfs: write f 11 6 size=13..17]
         release f",
    );
}
