//! Made-up BTF, judged by aya's own parser.

use aya::{Btf, Endianness};
use aya_obj::btf::BtfKind;

use super::*;

#[test]
fn aya_finds_every_name_at_its_id_and_nothing_else() {
    let bytes = synthetic_btf(&[
        (Kind::Func, "vfs_rename", 119_855),
        (Kind::Typedef, "btf_trace_sys_enter", 11_318),
        (Kind::Struct, "file", 1),
    ])
    .unwrap();
    let btf = Btf::parse(&bytes, Endianness::Little).unwrap();
    assert_eq!(btf.id_by_type_name_kind("btf_trace_sys_enter", BtfKind::Typedef).unwrap(), 11_318);
    assert_eq!(btf.id_by_type_name_kind("vfs_rename", BtfKind::Func).unwrap(), 119_855);
    assert_eq!(btf.id_by_type_name_kind("file", BtfKind::Struct).unwrap(), 1);
    btf.id_by_type_name_kind("vfs_rename", BtfKind::Typedef).unwrap_err();
    btf.id_by_type_name_kind("vfs_link", BtfKind::Func).unwrap_err();
}

#[test]
fn the_scanner_reads_what_it_made() {
    let wanted = [(Kind::Typedef, "b", 200), (Kind::Func, "a", 65), (Kind::Struct, "c", 64)];
    let btf = KernelBtf::scan(synthetic_btf(&wanted).unwrap(), &[]).unwrap();
    for (kind, name, id) in wanted {
        assert_eq!(btf.type_id(kind, name).unwrap(), id);
    }
}

#[test]
fn nothing_wanted_is_still_btf() {
    let bytes = synthetic_btf(&[]).unwrap();
    Btf::parse(&bytes, Endianness::Little).unwrap();
    KernelBtf::scan(bytes, &[]).unwrap();
}

#[test]
fn impossible_places_are_refused() {
    for (wanted, reason) in [
        (vec![(Kind::Func, "a", 0)], "cannot place a at type id 0: no type can have this id"),
        (vec![(Kind::Func, "a", 1 << 20)], "cannot place a at type id 1048576: no type can have this id"),
        (vec![(Kind::Func, "a", 7), (Kind::Func, "b", 7)], "cannot place b at type id 7: the id is taken"),
        (vec![(Kind::Func, "a\0", 7)], "cannot place a\0 at type id 7: the name contains a NUL"),
    ] {
        assert_eq!(synthetic_btf(&wanted).unwrap_err().to_string(), reason);
    }
}
