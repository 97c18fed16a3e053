//! Loop devices: a thread of the kernel reads and writes the file behind one.

use std::ffi::CString;

use libc::{AT_FDCWD, O_RDWR};

use crate::bench::{check_deeds, sites, unseen_by};
use crate::call::{sys, tried};
use crate::site::Site;

// include/uapi/linux/loop.h
const LOOP_SET_FD: u64 = 0x4c00;
const LOOP_CLR_FD: u64 = 0x4c01;
const LOOP_CTL_GET_FREE: u64 = 0x4c82;

const BLOCK: usize = 4096;

/// From this version on a loop device may call the filesystem itself (`lo_rw_aio`), up to then it calls `vfs_iter_write`. The
/// change came with 6.15, and 6.12.117 has it as well.
const CALLS_THE_FILESYSTEM: (u32, u32) = (6, 12);

/// From this version on loop devices share workers; up to then each has a thread, which ends with it (`loop_clr_fd`).
const SHARES_WORKERS: (u32, u32) = (5, 14);

/// Version and patch level of the running kernel.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.trim().parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// A loop device in front of the description; somebody else may take a free one first.
fn in_front_of(fd: i64) -> i64 {
    let control = sys!(SYS_openat, AT_FDCWD, CString::new("/dev/loop-control").unwrap(), O_RDWR);
    loop {
        let number = sys!(SYS_ioctl, control, LOOP_CTL_GET_FREE);
        let path = CString::new(format!("/dev/loop{number}")).unwrap();
        let device = sys!(SYS_openat, AT_FDCWD, path, O_RDWR);
        let taken = tried!(SYS_ioctl, device, LOOP_SET_FD, fd);
        if taken.is_ok() {
            sys!(SYS_close, control);
            return device;
        }
        assert_eq!(taken, Err(libc::EBUSY));
        sys!(SYS_close, device);
    }
}

fn write_through(site: &Site) {
    let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_RDWR);
    sys!(SYS_ftruncate, fd, 2 * BLOCK);
    let device = in_front_of(fd);
    // A whole block needs no look at what stood there.
    assert_eq!(sys!(SYS_pwrite64, device, [b'x'; BLOCK].as_ptr(), BLOCK, BLOCK), BLOCK as i64);
    // Not fsync: whether the kernel then syncs the file below by a function that can be watched is its compiler's choice.
    sys!(SYS_sync_file_range, device, 0, 0, libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER);
    sys!(SYS_ioctl, device, LOOP_CLR_FD);
    sys!(SYS_close, device);
    sys!(SYS_close, fd);
}

#[test]
fn a_write_by_the_kernel_is_told_where_it_comes_through_the_vfs() {
    unseen_by("syscalls");
    let told = if kernel() < CALLS_THE_FILESYSTEM {
        "[vfs: write f 4096 4096 size=8192]"
    } else {
        unseen_by("vfs");
        ""
    };
    let thread_ends = if kernel() < SHARES_WORKERS { "[vfs: exit 0]" } else { "" };
    let expected = format!(
        "open a/state.test as f ino=1 rw size=13
         truncate f to 8192 from=13
         {told}
         {thread_ends}
         release f"
    );
    check_deeds(write_through, &expected);
    for site in sites() {
        write_through(&site);
        let content = std::fs::read(site.state_file()).unwrap();
        assert_eq!(content[BLOCK..], [b'x'; BLOCK], "the device wrote to the file");
    }
}
