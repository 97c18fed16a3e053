//! The system calls that the probes understand, by shape of their arguments.

/// How many system-call numbers the table covers. Every architecture's numbers of interest lie below.
pub const CALL_TABLE_LEN: usize = 512;

macro_rules! calls {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        /// A system call's decoder. The numbers differ by architecture, so the agent fills a table from number to
        /// decoder; 0 stands for calls that nobody looks at.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum Call { $($(#[$doc])* $name = $value,)* }

        impl Call {
            /// The decoder with this number.
            #[inline(always)]
            #[must_use]
            pub const fn from_u8(value: u8) -> Option<Self> {
                match value { $($value => Some(Self::$name),)* _ => None }
            }
        }
    };
}

calls! {
    /// `read(fd, buf, len)`
    Read = 1,
    /// `pread64(fd, buf, len, pos)`
    Pread = 2,
    /// `readv(fd, iov, n)`
    Readv = 3,
    /// `preadv(fd, iov, n, pos_low, pos_high)` and `preadv2`, for which -1 means the current position
    Preadv = 4,
    /// `write(fd, buf, len)`
    Write = 5,
    /// `pwrite64(fd, buf, len, pos)`
    Pwrite = 6,
    /// `writev(fd, iov, n)`
    Writev = 7,
    /// `pwritev(fd, iov, n, pos_low, pos_high)`
    Pwritev = 8,
    /// `pwritev2(fd, iov, n, pos_low, pos_high, flags)`, for which -1 means the current position
    Pwritev2 = 9,
    /// `sendfile(out, in, *pos, len)`
    Sendfile = 10,
    /// `splice(in, *pos_in, out, *pos_out, len, flags)`
    Splice = 11,
    /// `copy_file_range(in, *pos_in, out, *pos_out, len, flags)`
    CopyFileRange = 12,
    /// `ftruncate(fd, size)`
    Ftruncate = 13,
    /// `fallocate(fd, mode, offset, len)`
    Fallocate = 14,
    /// `mmap(addr, len, prot, flags, fd, offset)`
    Mmap = 15,
    /// `fdatasync(fd)`
    Fdatasync = 16,
    /// `close(fd)`
    Close = 17,
    /// `dup2(old, new)`, `dup3(old, new, flags)`, which close what `new` was
    Dup2 = 18,
    /// `fcntl(fd, cmd, arg)`
    Fcntl = 19,
    /// `flock(fd, operation)`, which may be how a directory comes to matter
    Flock = 20,
    /// `fsync(fd)`; also the agent's way to talk to the probes, see [`crate::Command`]. Calls up to this one
    /// have no work while no description is tracked, but for the agent's own and a directory's lock.
    Fsync = 21,
    /// `open(path, flags, mode)`
    Open = 22,
    /// `openat(dir, path, flags, mode)`, and `open_by_handle_at(mount, handle, flags)` whose flags stand at the same place
    Openat = 23,
    /// `openat2(dir, path, how, size)`
    Openat2 = 24,
    /// `creat(path, mode)`
    Creat = 25,
    /// `truncate(path, size)`
    Truncate = 26,
    /// `rename(old, new)`
    Rename = 27,
    /// `renameat(dir, old, dir, new)`
    Renameat = 28,
    /// `renameat2(dir, old, dir, new, flags)`
    Renameat2 = 29,
    /// `link(old, new)`
    Link = 30,
    /// `linkat(dir, old, dir, new, flags)`
    Linkat = 31,
    /// `unlink(path)`
    Unlink = 32,
    /// `unlinkat(dir, path, flags)`
    Unlinkat = 33,
    /// `ioctl(fd, request, arg)`, of which FICLONE and FICLONERANGE matter. This call and those below have no work while
    /// no description is tracked.
    Ioctl = 34,
    /// `mprotect(addr, len, prot)`, `pkey_mprotect(addr, len, prot, key)`
    Mprotect = 35,
    /// `munmap(addr, len)`
    Munmap = 36,
    /// `mremap(addr, len, new_len, flags, new_addr)`
    Mremap = 37,
}

impl Call {
    /// True for calls that concern descriptions only: while none is tracked, they have nothing to do.
    #[inline(always)]
    #[must_use]
    pub const fn is_gated(value: u8) -> bool {
        value <= Self::Fcntl as u8 || value >= Self::Ioctl as u8
    }
}
