//! Which system-call numbers the probes look at, on the architecture that the agent was built for.

use watchdog_common::{CALL_TABLE_LEN, Call};

/// From system-call number to decoder.
pub(super) fn table() -> [u8; CALL_TABLE_LEN] {
    let common = [
        (libc::SYS_read, Call::Read),
        (libc::SYS_pread64, Call::Pread),
        (libc::SYS_readv, Call::Readv),
        (libc::SYS_preadv, Call::Preadv),
        (libc::SYS_preadv2, Call::Preadv),
        (libc::SYS_write, Call::Write),
        (libc::SYS_pwrite64, Call::Pwrite),
        (libc::SYS_writev, Call::Writev),
        (libc::SYS_pwritev, Call::Pwritev),
        (libc::SYS_pwritev2, Call::Pwritev2),
        (libc::SYS_sendfile, Call::Sendfile),
        (libc::SYS_splice, Call::Splice),
        (libc::SYS_copy_file_range, Call::CopyFileRange),
        (libc::SYS_ftruncate, Call::Ftruncate),
        (libc::SYS_fallocate, Call::Fallocate),
        (libc::SYS_mmap, Call::Mmap),
        (libc::SYS_fdatasync, Call::Fdatasync),
        (libc::SYS_close, Call::Close),
        (libc::SYS_dup3, Call::Dup2),
        (libc::SYS_flock, Call::Flock),
        (libc::SYS_fcntl, Call::Fcntl),
        (libc::SYS_fsync, Call::Fsync),
        (libc::SYS_openat, Call::Openat),
        (libc::SYS_open_by_handle_at, Call::Openat),
        (libc::SYS_openat2, Call::Openat2),
        (libc::SYS_truncate, Call::Truncate),
        (libc::SYS_renameat, Call::Renameat),
        (libc::SYS_renameat2, Call::Renameat2),
        (libc::SYS_linkat, Call::Linkat),
        (libc::SYS_unlinkat, Call::Unlinkat),
        (libc::SYS_ioctl, Call::Ioctl),
        (libc::SYS_mprotect, Call::Mprotect),
        (libc::SYS_pkey_mprotect, Call::Mprotect),
        (libc::SYS_munmap, Call::Munmap),
        (libc::SYS_mremap, Call::Mremap),
    ];
    #[cfg(target_arch = "x86_64")]
    let old = [
        (libc::SYS_open, Call::Open),
        (libc::SYS_dup2, Call::Dup2),
        (libc::SYS_creat, Call::Creat),
        (libc::SYS_rename, Call::Rename),
        (libc::SYS_link, Call::Link),
        (libc::SYS_unlink, Call::Unlink),
    ];
    #[cfg(not(target_arch = "x86_64"))]
    let old: [(libc::c_long, Call); 0] = [];

    let mut table = [0; CALL_TABLE_LEN];
    for (number, call) in common.into_iter().chain(old) {
        if let Some(slot) = usize::try_from(number).ok().and_then(|number| table.get_mut(number)) {
            *slot = call as u8;
        }
    }
    table
}

/// Numbers of the calls with which a 32-bit program opens a file: open, creat, openat, openat2.
pub(super) fn compat_opens() -> [u8; CALL_TABLE_LEN] {
    // arch/x86/entry/syscalls/syscall_32.tbl and arch/arm/tools/syscall.tbl; numbers never change.
    #[cfg(target_arch = "x86_64")]
    let numbers = [5, 8, 295, 437];
    #[cfg(not(target_arch = "x86_64"))]
    let numbers = [5, 8, 322, 437];
    let mut table = [0; CALL_TABLE_LEN];
    for number in numbers {
        table[number] = 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_interest_has_a_number_in_the_table() {
        let table = table();
        let decoders = table.iter().filter(|&&call| call != 0).count();
        let expected = if cfg!(target_arch = "x86_64") { 41 } else { 35 };
        assert_eq!(decoders, expected);
        assert!(table.iter().all(|&call| call == 0 || Call::from_u8(call).is_some()));
    }
}
