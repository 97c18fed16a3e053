//! The running kernel's own type information, where it has any.

use aya_obj::btf::{Btf, BtfKind};

use super::*;

/// The kernel's bytes, or `None` with the reason printed.
fn kernel() -> Option<Vec<u8>> {
    match read(Path::new(KERNEL_BTF)) {
        Ok(bytes) => Some(bytes),
        Err(error) => {
            eprintln!("skipped: {error}: {:?}", std::error::Error::source(&error));
            None
        }
    }
}

const NAMES: [(Kind, &str); 9] = [
    (Kind::Struct, "file"),
    (Kind::Struct, "inode"),
    (Kind::Struct, "path"),
    (Kind::Struct, "task_struct"),
    (Kind::Typedef, "btf_trace_sys_enter"),
    (Kind::Typedef, "btf_trace_sched_process_exit"),
    (Kind::Func, "vfs_rename"),
    (Kind::Func, "do_truncate"),
    (Kind::Func, "no_kernel_has_this"),
];

#[test]
fn type_ids_are_those_that_aya_finds() {
    let Some(bytes) = kernel() else { return };
    let aya = Btf::parse(&bytes, aya::Endianness::default()).unwrap();
    let announced = KernelBtf::scan(bytes.clone(), &NAMES).unwrap();
    let unannounced = KernelBtf::scan(bytes, &[]).unwrap();
    for (kind, name) in NAMES {
        let as_aya = match kind {
            Kind::Struct => BtfKind::Struct,
            Kind::Typedef => BtfKind::Typedef,
            Kind::Func => BtfKind::Func,
        };
        let expected = aya.id_by_type_name_kind(name, as_aya).ok();
        assert_eq!(announced.type_id(kind, name).ok(), expected, "{kind} {name}");
        assert_eq!(unannounced.type_id(kind, name).ok(), expected, "{kind} {name}");
    }
}

#[test]
fn offsets_of_the_running_kernel_agree_with_each_other() {
    let Some(bytes) = kernel() else { return };
    let btf = KernelBtf::scan(bytes, &NAMES).unwrap();
    let offset = |structure, member| btf.member_offset(structure, &[member]).unwrap();
    assert_eq!(offset("file", "f_path.dentry"), offset("file", "f_path") + offset("path", "dentry"));
    let mode_inode_flags = ["f_mode", "f_inode", "f_flags"].map(|member| offset("file", member));
    let distinct: std::collections::HashSet<_> = mode_inode_flags.into_iter().collect();
    assert_eq!(distinct.len(), 3, "{mode_inode_flags:?}");
    btf.member_offset("file", &["f_ref", "f_count"]).unwrap();
    assert_ne!(offset("task_struct", "tgid"), offset("task_struct", "pid"));
    let bit = btf.member_offset("task_struct", &["in_execve"]).unwrap_err();
    assert!(matches!(bit, BtfError::BitField { .. }), "{bit}");
    assert_eq!(btf.func_params("do_truncate").unwrap().last().unwrap().name, "filp");
}
