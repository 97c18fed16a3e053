//! The kernel's type information.

use watchdog::source::ebpf::btf::{KernelBtf, Kind};

/// A damaged or hostile BTF gives answers or errors, after a bounded amount of work.
pub fn btf(bytes: &[u8]) {
    let announced =
        [(Kind::Struct, "file"), (Kind::Func, "vfs_read"), (Kind::Typedef, "btf_trace_sys_enter")];
    let Ok(types) = KernelBtf::scan(bytes.to_vec(), &announced) else { return };
    for (kind, name) in announced.into_iter().chain([(Kind::Struct, "inode"), (Kind::Struct, "")]) {
        if let Ok(id) = types.type_id(kind, name) {
            assert!(id != 0, "the type void has a name");
        }
    }
    for paths in [&["f_mode"][..], &["f_path.dentry", "f_path.mnt"], &["a.b.c.d", ""]] {
        let _ = types.member_offset("file", paths);
    }
    let params = types.func_params("vfs_read");
    assert!(params.is_ok() == types.func_param_count("vfs_read").is_ok());
}
