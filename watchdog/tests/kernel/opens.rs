//! Every way to get a description.

use std::fs;
use std::os::fd::AsRawFd;
use std::sync::mpsc::channel;

use libc::{
    AT_EMPTY_PATH, AT_FDCWD, O_APPEND, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TMPFILE, O_TRUNC, O_WRONLY,
};
use watchdog::source::LossReason;

use crate::bench::{check, mechanism, run, sites};
use crate::call::sys;
use crate::reads::until_it_sleeps;
use crate::site::{Filesystem, Site};

#[cfg(target_arch = "x86_64")]
#[test]
fn open_is_an_open() {
    check(
        |site| {
            let fd = sys!(SYS_open, site.path("a/state.test"), O_RDONLY, 0);
            sys!(SYS_close, fd);
            let fd = sys!(SYS_open, site.path("a/state.test"), O_RDWR | O_TRUNC, 0);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p release f
         p open a/state.test as g ino=1 rw [syscalls: truncated size=0][vfs: size=13]
         [vfs: p truncate g to 0 from=13]
         p release g",
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn creat_truncates_what_is_there_and_creates_what_is_not() {
    check(
        |site| {
            let fd = sys!(SYS_creat, site.path("a/state.test"), 0o600);
            sys!(SYS_close, fd);
            fs::create_dir(site.root().join("b")).unwrap();
            let fd = sys!(SYS_creat, site.path("b/state.test"), 0o600);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only [syscalls: truncated size=0][vfs: size=13]
         [vfs: p truncate f to 0 from=13]
         p release f
         p open b/state.test as g ino=2 write-only created size=0
         p release g",
    );
}

#[test]
fn openat_is_an_open() {
    check(
        |site| {
            let open = |flags| sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), flags, 0o600);
            for flags in [O_WRONLY, O_RDWR | O_CREAT | O_TRUNC, O_WRONLY | O_CREAT, O_RDWR | O_APPEND] {
                sys!(SYS_close, open(flags));
            }
            fs::create_dir(site.root().join("b")).unwrap();
            let new = site.path("b/state.test");
            let fd = sys!(SYS_openat, AT_FDCWD, new, O_RDWR | O_CREAT | O_EXCL | O_TRUNC, 0o600);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 write-only size=13
         p release f
         p open a/state.test as g ino=1 rw [syscalls: truncated size=0][vfs: size=13]
         [vfs: p truncate g to 0 from=13]
         p release g
         p open a/state.test as h ino=1 write-only size=0
         p release h
         p open a/state.test as i ino=1 rw size=0
         p release i
         p open b/state.test as j ino=2 rw created size=0
         p release j",
    );
}

#[test]
fn openat2_is_an_open() {
    check(
        |site| {
            let size = size_of::<libc::open_how>();
            for flags in [O_RDONLY, O_WRONLY | O_TRUNC] {
                // SAFETY: plain integers, for which zeros are values.
                #[expect(unsafe_code, reason = "the struct may grow, so libc gives it no constructor")]
                let mut how: libc::open_how = unsafe { std::mem::zeroed() };
                how.flags = u64::from(flags.cast_unsigned());
                let fd = sys!(SYS_openat2, AT_FDCWD, site.path("a/state.test"), &raw const how, size);
                sys!(SYS_close, fd);
            }
        },
        "p open a/state.test as f ino=1 size=13
         p release f
         p open a/state.test as g ino=1 write-only [syscalls: truncated size=0][vfs: size=13]
         [vfs: p truncate g to 0 from=13]
         p release g",
    );
}

#[test]
fn a_file_without_a_name_is_a_temporary_until_it_is_linked() {
    // Overlays have such files in later kernels alone.
    check(
        |site| {
            if site.filesystem == Filesystem::Overlay {
                return;
            }
            fs::create_dir(site.root().join("b")).unwrap();
            let fd = sys!(SYS_openat, AT_FDCWD, site.path("b"), O_TMPFILE | O_WRONLY, 0o600);
            sys!(SYS_write, fd, c"{}", 2);
            sys!(SYS_linkat, fd, c"", AT_FDCWD, site.path("b/state.test"), AT_EMPTY_PATH);
            sys!(SYS_close, fd);
            let fd = sys!(SYS_openat, AT_FDCWD, site.path("b/state.test"), O_RDONLY);
            sys!(SYS_close, fd);
        },
        "[!overlay: p open tmp:b/# as f ino=1 write-only size=0]
         [!overlay: p write f 0 2 size=0..2]
         [!overlay syscalls: p link elsewhere to b/state.test]
         [!overlay vfs: p link tmp:b/# to b/state.test]
         [!overlay: p release f]
         [!overlay: p open b/state.test as g ino=1 size=2]
         [!overlay: p release g]",
    );
}

#[test]
fn an_open_by_handle_is_an_open() {
    // Overlays give handles only when they are mounted to be exported.
    check(
        |site| {
            if site.filesystem == Filesystem::Overlay {
                return;
            }
            let (mount, handle) = handle(site);
            let fd = sys!(SYS_open_by_handle_at, mount.as_raw_fd(), handle.as_ptr(), O_RDWR | O_TRUNC);
            sys!(SYS_close, fd);
        },
        "[!overlay syscalls: p open a/state.test as f ino=1 rw truncated size=0]
         [!overlay vfs: p open a/state.test as f ino=1 rw size=13]
         [!overlay vfs: p truncate f to 0 from=13]
         [!overlay: p release f]",
    );
}

/// The root, and a handle of the state file in the filesystem of the root.
fn handle(site: &Site) -> (fs::File, Vec<u32>) {
    const MAX_HANDLE_SZ: u32 = 128;
    let mut handle = vec![0_u32; 2 + MAX_HANDLE_SZ as usize / 4];
    handle[0] = MAX_HANDLE_SZ;
    let mut mount = 0_i32;
    sys!(SYS_name_to_handle_at, AT_FDCWD, site.path("a/state.test"), handle.as_mut_ptr(), &raw mut mount, 0);
    (fs::File::open(site.root()).unwrap(), handle)
}

#[test]
fn an_open_is_seen_or_counted_however_many_others_wait_in_theirs() {
    // As for reads: whoever opens a FIFO waits within `do_dentry_open` until somebody opens its other end.
    const WAITING: usize = 64;
    for site in sites() {
        let story = run(&site, |_| {
            let fifo = site.outside("fifo");
            sys!(SYS_mknodat, AT_FDCWD, fifo, libc::S_IFIFO | 0o600, 0);
            std::thread::scope(|scope| {
                for _ in 0..WAITING {
                    let (tell, told) = channel();
                    let fifo = fifo.clone();
                    scope.spawn(move || {
                        tell.send(sys!(SYS_gettid)).unwrap();
                        sys!(SYS_openat, AT_FDCWD, fifo, O_RDONLY);
                    });
                    until_it_sleeps(told.recv().unwrap());
                }
                for _ in 0..2 {
                    let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_RDONLY);
                    sys!(SYS_close, fd);
                }
                sys!(SYS_openat, AT_FDCWD, fifo, O_WRONLY);
            });
        });
        let told = story.lines.iter().filter(|line| line.contains("open a/state.test")).count() as u64;
        let missed = story.losses.get(LossReason::ProbeMissed);
        let (seen, counted) = if mechanism().starts_with("kprobe") { (0, 2) } else { (2, 0) };
        assert_eq!((told, missed), (seen, counted), "on {:?}: {:?}", site.filesystem, story.lines);
    }
}
