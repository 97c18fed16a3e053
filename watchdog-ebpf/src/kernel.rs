//! Kernel objects by address, their members at the offsets that BTF told.
//!
//! Every read is one that survives a bad address and then yields 0: an object may have gone while we look.

use core::{
    ffi::c_void,
    mem::{self, MaybeUninit},
};

use aya_ebpf::helpers::{
    bpf_get_current_pid_tgid, bpf_probe_read_kernel_str_bytes, bpf_probe_read_user, generated,
};
use watchdog_common::{CAST, UNKNOWN};

use crate::settings::{self, setting};

/// The member at `address + offset`, or zeros.
#[inline(always)]
pub(crate) fn read<T>(address: u64, offset: u32) -> T {
    at(address + u64::from(offset))
}

/// What lies at the address, or zeros: `bpf_probe_read_kernel_common` clears what it cannot fill (5.10 to 7.2). Asking
/// for its result would double the paths that the verifier walks, with each read anew.
#[inline(always)]
pub(crate) fn at<T>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: `copy` writes all of the value, and T is plain data.
    unsafe {
        copy(address, value.as_mut_ptr());
        value.assume_init()
    }
}

/// The same, straight to where it shall stand.
///
/// # Safety
///
/// `room` must be valid for writes, and any bytes must be a value of its type.
#[inline(always)]
pub(crate) unsafe fn copy<T>(address: u64, room: *mut T) {
    // SAFETY: reading kernel memory that may not be there yields an error, not a fault; the helper writes all of the
    // room either way.
    unsafe {
        generated::bpf_probe_read_kernel(room.cast(), size_of::<T>() as u32, address as *const c_void);
    }
}

/// A word of user memory; [`UNKNOWN`] where it cannot be read.
#[inline(always)]
pub(crate) fn user_word(address: u64) -> u64 {
    // SAFETY: reading user memory that is not there yields an error, not a fault.
    unsafe { bpf_probe_read_user(address as *const u64) }.unwrap_or(UNKNOWN)
}

/// Nanoseconds since boot.
#[inline(always)]
pub(crate) fn now() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { generated::bpf_ktime_get_boot_ns() }
}

/// Thread group in the high half, thread in the low one.
#[inline(always)]
pub(crate) fn thread() -> u64 {
    bpf_get_current_pid_tgid()
}

/// The running thread's `struct task_struct`.
#[inline(always)]
pub(crate) fn task() -> u64 {
    // SAFETY: the helper has no preconditions.
    unsafe { generated::bpf_get_current_task() }
}

/// Copies the running thread's name; the helper clears what it cannot fill.
#[inline(always)]
pub(crate) fn copy_comm(room: &mut [u8; 16]) {
    // SAFETY: the helper writes as many bytes as it is told.
    unsafe { generated::bpf_get_current_comm(room.as_mut_ptr().cast(), room.len() as u32) };
}

/// `struct file`.
#[derive(Clone, Copy)]
pub(crate) struct File(pub(crate) u64);

/// Bits of `f_mode` (include/linux/fs.h, the same from 5.10 to 7.2).
pub(crate) const FMODE_READ: u32 = 0x1;
pub(crate) const FMODE_WRITE: u32 = 0x2;
pub(crate) const FMODE_PATH: u32 = 0x4000;
/// 4.19 to 7.2.
pub(crate) const FMODE_CREATED: u32 = 0x10_0000;

/// As much of a `struct file` as [`File::glance`] copies.
const HEAD: usize = 96;

impl File {
    /// What stands behind a descriptor of the running process; `None` when nothing does.
    ///
    /// `files_struct` and `fdtable` are read without their lock: a table that is being grown shows the old or the
    /// new array, and both hold the pointer.
    #[inline(always)]
    pub(crate) fn of_descriptor(fd: i32) -> Option<Self> {
        if fd < 0 {
            return None;
        }
        let files: u64 = read(task(), setting!(offsets.task_files));
        let fdt: u64 = read(files, setting!(offsets.files_fdt));
        let max: u32 = read(fdt, setting!(offsets.fdt_max_fds));
        if fd as u32 >= max {
            return None;
        }
        let array: u64 = read(fdt, setting!(offsets.fdt_fd));
        let file: u64 = read(array + fd as u64 * 8, 0);
        (file != 0).then_some(Self(file))
    }

    /// The same as a pointer of which the verifier knows the type, so that it lets it be followed without helpers.
    ///
    /// `bpf_rdonly_cast`, which the verifier replaces by nothing (6.2 to 7.2); the agent puts its number in.
    #[inline(always)]
    pub(crate) fn typed(self) -> *const u8 {
        // SAFETY: no code stands there: the compiler makes of it a call by number.
        let cast: extern "C" fn(u64, u32) -> *const u8 = unsafe { mem::transmute(CAST as usize) };
        cast(self.0, setting!(file_type))
    }

    #[inline(always)]
    pub(crate) fn mode(self) -> u32 {
        read(self.0, setting!(offsets.file_mode))
    }

    /// Mode and dentry, by one copy of where both stand on 5.10 to 7.2: half of a helper's work is the same for any
    /// length.
    #[inline(always)]
    pub(crate) fn glance(self) -> (u32, Dentry) {
        let (mode, dentry) = (setting!(offsets.file_mode) as usize, setting!(offsets.file_dentry) as usize);
        if mode > HEAD - size_of::<u32>() || dentry > HEAD - size_of::<u64>() {
            return (self.mode(), self.dentry());
        }
        let head: [u64; HEAD / 8] = read(self.0, 0);
        let head = head.as_ptr().cast::<u8>();
        // SAFETY: both were found to lie within, and members are aligned as they are in the kernel.
        unsafe {
            (
                head.add(mode).cast::<u32>().read_volatile(),
                Dentry(head.add(dentry).cast::<u64>().read_volatile()),
            )
        }
    }

    /// Opened with O_APPEND.
    #[inline(always)]
    pub(crate) fn appends(self) -> bool {
        let flags: u32 = read(self.0, setting!(offsets.file_flags));
        flags & 0o2000 != 0
    }

    #[inline(always)]
    pub(crate) fn inode(self) -> Inode {
        Inode(read(self.0, setting!(offsets.file_inode)))
    }

    #[inline(always)]
    pub(crate) fn dentry(self) -> Dentry {
        Dentry(read(self.0, setting!(offsets.file_dentry)))
    }

    #[inline(always)]
    pub(crate) fn position(self) -> u64 {
        read(self.0, setting!(offsets.file_pos))
    }

    /// True when the last reference is gone: `fput` of 5.10 to 6.12 counts `f_count` down to 0, `file_ref_put` of
    /// 6.13 on takes a `file_ref_t` below 0.
    #[inline(always)]
    pub(crate) fn is_dead(self) -> bool {
        let references: i64 = read(self.0, setting!(offsets.file_refs));
        if setting!(file_ref_t) == 1 { references < 0 } else { references <= 0 }
    }
}

/// `struct inode`.
#[derive(Clone, Copy)]
pub(crate) struct Inode(pub(crate) u64);

impl Inode {
    #[inline(always)]
    pub(crate) fn key(self) -> watchdog_common::RootKey {
        watchdog_common::RootKey {
            ino: read(self.0, setting!(offsets.inode_ino)),
            dev: read(self.filesystem(), setting!(offsets.sb_dev)),
            generation: read(self.0, setting!(offsets.inode_generation)),
        }
    }

    /// Address of the `struct super_block`.
    #[inline(always)]
    pub(crate) fn filesystem(self) -> u64 {
        read(self.0, setting!(offsets.inode_sb))
    }

    #[inline(always)]
    pub(crate) fn size(self) -> u64 {
        read(self.0, setting!(offsets.inode_size))
    }

    /// The size, and a moment at which the file had it: between the look and the clock the CPU may be away for long,
    /// and others change the file.
    #[inline(always)]
    pub(crate) fn look(self) -> Look {
        let ([size, _], at) = look([self, NO_INODE]);
        Look { size, at }
    }

    /// How many writers have it open, `i_writecount`; negative while it is executed.
    #[inline(always)]
    pub(crate) fn writers(self) -> i32 {
        read(self.0, setting!(offsets.inode_writers))
    }

    /// How many names it has.
    #[inline(always)]
    pub(crate) fn links(self) -> u32 {
        read(self.0, setting!(offsets.inode_links))
    }

    #[inline(always)]
    pub(crate) fn is_regular(self) -> bool {
        self.kind() == 0o100_000
    }

    #[inline(always)]
    pub(crate) fn is_directory(self) -> bool {
        self.kind() == 0o040_000
    }

    #[inline(always)]
    fn kind(self) -> u16 {
        let mode: u16 = read(self.0, setting!(offsets.inode_mode));
        mode & 0o170_000
    }
}

/// See [`Inode::look`].
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) size: u64,
    pub(crate) at: u64,
}

const NO_INODE: Inode = Inode(0);

/// The sizes of two files at one moment. A size that changes whenever it is looked at is unknown.
///
/// Two equal sizes are not enough: another CPU may truncate the file before the clock is read and fill it to the same
/// size behind it, while this one is away. The two operations begin and end, and that is counted
/// (`settings::note_modification`). What is left are two that were under way together, which have no order anyway.
#[inline(always)]
pub(crate) fn look(inodes: [Inode; 2]) -> ([u64; 2], u64) {
    let sizes = || [inodes[0].size(), inodes[1].size()];
    let mut at = 0;
    for _ in 0..LOOKS {
        let modifications = settings::modifications();
        let before = sizes();
        at = now();
        let after = sizes();
        if before[0] == after[0] && before[1] == after[1] && modifications == settings::modifications() {
            return (after, at);
        }
    }
    ([UNKNOWN; 2], at)
}

const LOOKS: u32 = 4;

/// `struct dentry`.
#[derive(Clone, Copy)]
pub(crate) struct Dentry(pub(crate) u64);

impl Dentry {
    #[inline(always)]
    pub(crate) fn parent(self) -> Self {
        Self(read(self.0, setting!(offsets.dentry_parent)))
    }

    /// The running process's working directory.
    #[inline(always)]
    pub(crate) fn of_working_directory() -> Self {
        let fs: u64 = read(task(), setting!(offsets.task_fs));
        Self(read(fs, setting!(offsets.fs_pwd_dentry)))
    }

    /// The running process's root directory.
    #[inline(always)]
    pub(crate) fn of_root_directory() -> Self {
        let fs: u64 = read(task(), setting!(offsets.task_fs));
        Self(read(fs, setting!(offsets.fs_root_dentry)))
    }

    /// Copies the name up to and with its NUL; an unreadable one becomes empty.
    #[inline(always)]
    pub(crate) fn copy_name<const N: usize>(self, room: &mut [u8; N]) {
        // SAFETY: reading kernel memory that may not be there yields an error, not a fault.
        if unsafe { bpf_probe_read_kernel_str_bytes(self.name() as *const u8, room) }.is_err() {
            room[0] = 0;
        }
    }

    #[inline(always)]
    pub(crate) fn inode(self) -> Inode {
        Inode(read(self.0, setting!(offsets.dentry_inode)))
    }

    #[inline(always)]
    pub(crate) fn name_len(self) -> u32 {
        read(self.0, setting!(offsets.dentry_name_len))
    }

    /// Address of the name's bytes.
    #[inline(always)]
    pub(crate) fn name(self) -> u64 {
        read(self.0, setting!(offsets.dentry_name))
    }
}
