//! Where the running kernel keeps what the probes read.

use std::collections::HashMap;

use watchdog_common::{Offsets, RegisterOffsets, Settings};

use super::btf::{BtfError, KernelBtf, Kind, synthetic_btf};
use super::cast;

/// The tracepoints that programs attach to.
const TRACEPOINTS: [&str; 3] = ["sys_enter", "sys_exit", "sched_process_exit"];
/// What goes past system calls is at least counted.
pub(super) const IO_URING: &str = "io_uring_file_get";
/// Those that a kernel may be without.
const OPTIONAL: [&str; 1] = [IO_URING];

const STRUCTS: [&str; 26] = [
    "file",
    "inode",
    "super_block",
    "dentry",
    "task_struct",
    "files_struct",
    "fdtable",
    "fs_struct",
    "mm_struct",
    "cred",
    "signal_struct",
    "nsproxy",
    "mnt_namespace",
    "pt_regs",
    "qstr",
    "renamedata",
    "kiocb",
    "file_lock",
    "file_lock_core",
    "io_kiocb",
    "iov_iter",
    "vfsmount",
    "mount",
    "vm_area_struct",
    "trace_event_raw_sys_exit",
    "trace_event_raw_io_uring_file_get",
];

/// What the kernel's BTF told.
pub(super) struct Layout {
    /// Settings with all offsets; key, depths and name lengths are the caller's.
    pub(super) settings: Settings,
    /// A small BTF from which aya takes the type ids of tracepoints and functions.
    pub(super) attach_points: Vec<u8>,
    /// Those of [`OPTIONAL`] that there are.
    pub(super) optional_tracepoints: Vec<&'static str>,
    /// The functions that there are, with how many parameters they take.
    pub(super) functions: HashMap<&'static str, usize>,
    /// The number of [`cast::FUNCTION`], where probes may call it.
    pub(super) cast: Option<u32>,
}

/// Reads the kernel's BTF, keeps what the probes need and gives the rest back.
pub(super) fn resolve(functions: &[&'static str]) -> Result<Layout, BtfError> {
    let typedef = |name| format!("btf_trace_{name}");
    let (typedefs, optional) = (TRACEPOINTS.map(typedef), OPTIONAL.map(typedef));
    let announced: Vec<(Kind, &str)> = STRUCTS
        .iter()
        .map(|&name| (Kind::Struct, name))
        .chain(typedefs.iter().chain(&optional).map(|name| (Kind::Typedef, name.as_str())))
        .chain(functions.iter().chain([&cast::FUNCTION]).map(|&name| (Kind::Func, name)))
        .collect();
    let btf = KernelBtf::load(&announced)?;
    let mut wanted = Vec::new();
    for name in &typedefs {
        wanted.push((Kind::Typedef, name.as_str(), btf.type_id(Kind::Typedef, name)?));
    }
    let mut optional_tracepoints = Vec::new();
    for (name, typedef) in OPTIONAL.into_iter().zip(&optional) {
        if let Ok(id) = btf.type_id(Kind::Typedef, typedef) {
            wanted.push((Kind::Typedef, typedef.as_str(), id));
            optional_tracepoints.push(name);
        }
    }
    let mut found = HashMap::new();
    for &name in functions {
        if let (Ok(id), Ok(count)) = (btf.type_id(Kind::Func, name), btf.func_param_count(name)) {
            wanted.push((Kind::Func, name, id));
            found.insert(name, count);
        }
    }
    let file_ref_t = u32::from(btf.member_offset("file", &["f_ref"]).is_ok());
    let settings = Settings {
        offsets: offsets(&btf)?,
        registers: registers(&btf)?,
        file_ref_t,
        file_type: btf.type_id(Kind::Struct, "file")?,
        ..Settings::default()
    };
    Ok(Layout {
        settings,
        attach_points: synthetic_btf(&wanted)?,
        optional_tracepoints,
        functions: found,
        cast: btf.type_id(Kind::Func, cast::FUNCTION).ok(),
    })
}

fn offsets(btf: &KernelBtf) -> Result<Offsets, BtfError> {
    let at = |structure: &str, paths: &[&str]| btf.member_offset(structure, paths);
    Ok(Offsets {
        file_mode: at("file", &["f_mode"])?,
        file_flags: at("file", &["f_flags"])?,
        file_inode: at("file", &["f_inode"])?,
        file_dentry: at("file", &["f_path.dentry"])?,
        file_pos: at("file", &["f_pos"])?,
        // 6.13 replaced the plain counter by a `file_ref_t`.
        file_refs: at("file", &["f_ref", "f_count"])?,
        inode_mode: at("inode", &["i_mode"])?,
        inode_sb: at("inode", &["i_sb"])?,
        inode_ino: at("inode", &["i_ino"])?,
        inode_size: at("inode", &["i_size"])?,
        inode_generation: at("inode", &["i_generation"])?,
        sb_dev: at("super_block", &["s_dev"])?,
        dentry_parent: at("dentry", &["d_parent"])?,
        dentry_inode: at("dentry", &["d_inode"])?,
        dentry_name_len: at("dentry", &["d_name.len"])?,
        dentry_name: at("dentry", &["d_name.name"])?,
        task_files: at("task_struct", &["files"])?,
        task_fs: at("task_struct", &["fs"])?,
        task_mm: at("task_struct", &["mm"])?,
        task_cred: at("task_struct", &["cred"])?,
        task_signal: at("task_struct", &["signal"])?,
        task_nsproxy: at("task_struct", &["nsproxy"])?,
        task_real_parent: at("task_struct", &["real_parent"])?,
        task_group_leader: at("task_struct", &["group_leader"])?,
        task_tgid: at("task_struct", &["tgid"])?,
        task_comm: at("task_struct", &["comm"])?,
        task_exit_code: at("task_struct", &["exit_code"])?,
        // 5.5 renamed it.
        task_start: at("task_struct", &["start_boottime", "real_start_time"])?,
        task_exec_id: at("task_struct", &["self_exec_id"])?,
        files_fdt: at("files_struct", &["fdt"])?,
        fdt_max_fds: at("fdtable", &["max_fds"])?,
        fdt_fd: at("fdtable", &["fd"])?,
        fs_pwd_dentry: at("fs_struct", &["pwd.dentry"])?,
        fs_root_dentry: at("fs_struct", &["root.dentry"])?,
        mm_arg_start: at("mm_struct", &["arg_start"])?,
        mm_arg_end: at("mm_struct", &["arg_end"])?,
        mm_exe_file: at("mm_struct", &["exe_file"])?,
        file_mount: at("file", &["f_path.mnt"])?,
        vfsmount_root: at("vfsmount", &["mnt_root"])?,
        mount_of_vfs: at("mount", &["mnt"])?,
        mount_parent: at("mount", &["mnt_parent"])?,
        mount_mountpoint: at("mount", &["mnt_mountpoint"])?,
        dentry_hashed: at("dentry", &["d_hash.pprev"])?,
        inode_links: at("inode", &["i_nlink"])?,
        task_status: task_status(btf),
        vma_file: at("vm_area_struct", &["vm_file"]).unwrap_or(0),
        vma_flags: at("vm_area_struct", &["vm_flags"]).unwrap_or(0),
        cred_uid: at("cred", &["uid"])?,
        signal_live: at("signal_struct", &["live"])?,
        signal_flags: at("signal_struct", &["flags"])?,
        signal_group_exit_code: at("signal_struct", &["group_exit_code"])?,
        nsproxy_mnt: at("nsproxy", &["mnt_ns"])?,
        mnt_inum: at("mnt_namespace", &["ns.inum"])?,
        inode_writers: at("inode", &["i_writecount"])?,
        // What follows serves single operations of the source `vfs`: 0 where the kernel has no such thing.
        rename_old_dentry: at("renamedata", &["old_dentry"]).unwrap_or(0),
        rename_new_dentry: at("renamedata", &["new_dentry"]).unwrap_or(0),
        rename_flags: at("renamedata", &["flags"]).unwrap_or(0),
        kiocb_file: at("kiocb", &["ki_filp"]).unwrap_or(0),
        kiocb_pos: at("kiocb", &["ki_pos"]).unwrap_or(0),
        // `io_read` and `io_write` keep here what is asked for until the result takes its place (5.10 to 7.2).
        uring_asked: at("io_kiocb", &["cqe.res", "result"]).unwrap_or(0),
        // 6.9 moved what all kinds of locks share into a struct of its own.
        lock_file: at("file_lock", &["fl_file", "c.flc_file"]).unwrap_or(0),
        lock_flags: at("file_lock", &["fl_flags", "c.flc_flags"]).unwrap_or(0),
        lock_type: at("file_lock", &["fl_type", "c.flc_type"]).unwrap_or(0),
        iter_count: at("iov_iter", &["count"]).unwrap_or(0),
        // What perf is given of a tracepoint.
        sys_exit_ret: at("trace_event_raw_sys_exit", &["ret"]).unwrap_or(0),
        uring_get_fd: at("trace_event_raw_io_uring_file_get", &["fd"]).unwrap_or(0),
    })
}

/// Where x86-64 notes that a thread is in a 32-bit call; 0 where it cannot be told.
fn task_status(btf: &KernelBtf) -> u32 {
    btf.member_offset("task_struct", &["thread_info.status"]).unwrap_or(0)
}

/// On x86-64 each argument has a register of its own name, and a 32-bit call shows by `TS_COMPAT`
/// (arch/x86/include/asm/thread_info.h, 5.10 to 7.2), else by its caller's code segment (`__USER32_CS` is 0x23).
#[cfg(target_arch = "x86_64")]
fn registers(btf: &KernelBtf) -> Result<RegisterOffsets, BtfError> {
    let at = |name: &str| btf.member_offset("pt_regs", &[name]);
    Ok(RegisterOffsets {
        arguments: [at("di")?, at("si")?, at("dx")?, at("r10")?, at("r8")?, at("r9")?],
        number: at("orig_ax")?,
        mode: at("cs")?,
        mode_mask: 0xffff,
        mode_compat: 0x23,
        status_compat: if task_status(btf) == 0 { 0 } else { 2 },
        stack: at("sp")?,
        return_address: 8,
    })
}

/// On arm64 the arguments stand in x0 to x5, but the result overwrites x0, which `orig_x0` keeps; a 32-bit caller
/// shows by `PSR_MODE32_BIT`.
#[cfg(target_arch = "aarch64")]
fn registers(btf: &KernelBtf) -> Result<RegisterOffsets, BtfError> {
    let at = |name: &str| btf.member_offset("pt_regs", &[name]);
    let x0 = at("regs")?;
    Ok(RegisterOffsets {
        arguments: [at("orig_x0")?, x0 + 8, x0 + 16, x0 + 24, x0 + 32, x0 + 40],
        number: at("syscallno")?,
        mode: at("pstate")?,
        mode_mask: 0x10,
        mode_compat: 0x10,
        status_compat: 0,
        stack: at("sp")?,
        return_address: 0,
    })
}
