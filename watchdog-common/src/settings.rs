//! Read-only globals of the probes: fixed when they are loaded, constants to the verifier.

/// Byte offsets of kernel struct members, from the running kernel's BTF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[expect(missing_docs, reason = "each field is named after the member whose offset it holds")]
pub struct Offsets {
    pub file_mode: u32,
    pub file_flags: u32,
    pub file_inode: u32,
    pub file_dentry: u32,
    pub file_pos: u32,
    pub file_refs: u32,
    pub inode_mode: u32,
    pub inode_sb: u32,
    pub inode_ino: u32,
    pub inode_size: u32,
    pub inode_generation: u32,
    pub sb_dev: u32,
    pub dentry_parent: u32,
    pub dentry_inode: u32,
    pub dentry_name_len: u32,
    pub dentry_name: u32,
    pub task_files: u32,
    pub task_fs: u32,
    pub task_mm: u32,
    pub task_cred: u32,
    pub task_signal: u32,
    pub task_nsproxy: u32,
    pub task_real_parent: u32,
    pub task_group_leader: u32,
    pub task_tgid: u32,
    pub task_comm: u32,
    pub task_exit_code: u32,
    pub task_start: u32,
    pub task_exec_id: u32,
    pub files_fdt: u32,
    pub fdt_max_fds: u32,
    pub fdt_fd: u32,
    pub fs_pwd_dentry: u32,
    pub fs_root_dentry: u32,
    pub mm_arg_start: u32,
    pub mm_arg_end: u32,
    pub mm_exe_file: u32,
    pub file_mount: u32,
    pub vfsmount_root: u32,
    pub mount_of_vfs: u32,
    pub mount_parent: u32,
    pub mount_mountpoint: u32,
    pub dentry_hashed: u32,
    pub inode_links: u32,
    pub task_status: u32,
    pub vma_file: u32,
    pub vma_flags: u32,
    pub cred_uid: u32,
    pub signal_live: u32,
    pub signal_flags: u32,
    pub signal_group_exit_code: u32,
    pub nsproxy_mnt: u32,
    pub mnt_inum: u32,
    pub inode_writers: u32,
    pub rename_old_dentry: u32,
    pub rename_new_dentry: u32,
    pub rename_flags: u32,
    pub kiocb_file: u32,
    pub kiocb_pos: u32,
    pub uring_asked: u32,
    pub lock_file: u32,
    pub lock_flags: u32,
    pub lock_type: u32,
    pub iter_count: u32,
    pub sys_exit_ret: u32,
    pub uring_get_fd: u32,
}

/// Where `struct pt_regs` keeps what a system call was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RegisterOffsets {
    /// The six arguments.
    pub arguments: [u32; 6],
    /// The system call's number.
    pub number: u32,
    /// The register that tells a 32-bit caller: `cs` on x86-64, `pstate` on arm64.
    pub mode: u32,
    /// Bits of `mode` to look at.
    pub mode_mask: u32,
    /// Their value for a 32-bit caller.
    pub mode_compat: u32,
    /// Bits of `task_struct.thread_info.status` that are set while the thread is in a 32-bit call, whatever its code segment;
    /// 0 where `mode` says all.
    pub status_compat: u32,
    /// The stack pointer.
    pub stack: u32,
    /// Bytes that the address to return to takes on the stack.
    pub return_address: u32,
}

/// A helper that no kernel has. A call of it in the object holds the place of `bpf_rdonly_cast`, a function with a number of its
/// own in each kernel's BTF; programs without that number are not loaded.
pub const CAST: u32 = 0x7077_6361;

/// All settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// The key of the agent's commands.
    pub key: u64,
    /// Member offsets.
    pub offsets: Offsets,
    /// Register offsets.
    pub registers: RegisterOffsets,
    /// 1 where `struct file` counts references in a `file_ref_t` (6.13 on: 0 is one reference, negative is dead),
    /// 0 where it has an `atomic_long_t f_count` (0 is dead).
    pub file_ref_t: u32,
    /// The number of `struct file` in the kernel's BTF, for [`CAST`].
    pub file_type: u32,
}
