//! What the scanner answers, on blobs written by hand and on the running kernel's.

mod builder;
mod hostile;
mod kernel;
mod synthetic;

use super::*;
use builder::Builder;

fn scan(builder: &Builder) -> KernelBtf {
    KernelBtf::scan(builder.build(), &[]).unwrap()
}

#[test]
fn a_member_is_found_at_its_byte() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    b.structure("file", &[("f_mode", int, 32), ("f_flags", int, 320)]);
    let btf = scan(&b);
    assert_eq!(btf.member_offset("file", &["f_mode"]).unwrap(), 4);
    assert_eq!(btf.member_offset("file", &["f_flags"]).unwrap(), 40);
}

#[test]
fn members_of_anonymous_structs_and_unions_count_from_the_outer_struct() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let innermost = b.structure("", &[("skipped", int, 0), ("deep", int, 32)]);
    let alias = b.typedef("alias", innermost);
    let union = b.union("", &[("other", int, 0), ("", alias, 0)]);
    b.structure("inode", &[("first", int, 0), ("", union, 64)]);
    let btf = scan(&b);
    assert_eq!(btf.member_offset("inode", &["deep"]).unwrap(), 12);
    assert_eq!(btf.member_offset("inode", &["other"]).unwrap(), 8);
}

#[test]
fn members_of_named_members_need_the_dot() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let path = b.structure("path", &[("mnt", int, 0), ("dentry", int, 64)]);
    let constant = b.constant(path);
    b.structure("file", &[("f_lock", int, 0), ("f_path", constant, 512)]);
    let btf = scan(&b);
    assert_eq!(btf.member_offset("file", &["f_path.dentry"]).unwrap(), 72);
    let error = btf.member_offset("file", &["dentry"]).unwrap_err();
    assert_eq!(error.to_string(), "no member dentry in struct file");
}

#[test]
fn a_dot_does_not_follow_pointers() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let inode = b.structure("inode", &[("i_ino", int, 64)]);
    let pointer = b.pointer(inode);
    b.structure("file", &[("f_inode", pointer, 0)]);
    let error = scan(&b).member_offset("file", &["f_inode.i_ino"]).unwrap_err();
    assert!(matches!(error, BtfError::NoMember { .. }), "{error}");
}

#[test]
fn alternatives_are_tried_in_order() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    b.structure("file", &[("f_count", int, 64)]);
    b.structure("dentry", &[("d_old", int, 64), ("d_new", int, 96)]);
    let btf = scan(&b);
    assert_eq!(btf.member_offset("file", &["f_ref", "f_count"]).unwrap(), 8);
    assert_eq!(btf.member_offset("dentry", &["d_new", "d_old"]).unwrap(), 12);
    let error = btf.member_offset("file", &["f_a", "f_b"]).unwrap_err();
    assert_eq!(error.to_string(), "no member f_a or f_b in struct file");
}

#[test]
fn of_several_structs_the_first_with_the_member_counts() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let lowest = b.structure("file", &[("of_a_driver", int, 0)]);
    b.structure("file", &[("f_mode", int, 32)]);
    b.structure("file", &[("f_mode", int, 64)]);
    let btf = scan(&b);
    assert_eq!(btf.member_offset("file", &["f_mode"]).unwrap(), 4);
    assert_eq!(btf.type_id(Kind::Struct, "file").unwrap(), lowest);
}

#[test]
fn bit_fields_are_refused_and_their_neighbours_are_not() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let narrow = b.int("unsigned int", 4, 8);
    b.flagged("new", &[("bit", int, 1 << 24 | 8), ("whole", int, 0x0001_0040)]);
    b.structure("old", &[("bits", narrow, 8), ("odd", int, 12), ("whole", int, 64)]);
    let btf = scan(&b);
    for (structure, member) in [("new", "bit"), ("old", "bits"), ("old", "odd")] {
        let error = btf.member_offset(structure, &[member]).unwrap_err();
        assert!(matches!(error, BtfError::BitField { .. }), "{structure}.{member}: {error}");
    }
    assert_eq!(btf.member_offset("new", &["whole"]).unwrap(), 0x2008);
    assert_eq!(btf.member_offset("old", &["whole"]).unwrap(), 8);
}

#[test]
fn parameters_come_in_order_without_the_ellipsis() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let pointer = b.pointer(0);
    let truncate = b.function("do_truncate", &[("idmap", pointer), ("dentry", pointer), ("", int)]);
    b.function("printk", &[("fmt", pointer), ("", 0)]);
    b.function("nothing", &[]);
    b.record("broken", 12 << 24, int, &[]);
    let btf = scan(&b);
    let params = btf.func_params("do_truncate").unwrap();
    let names: Vec<_> = params.iter().map(|p| (p.name.as_str(), p.type_id)).collect();
    assert_eq!(names, [("idmap", pointer), ("dentry", pointer), ("", int)]);
    assert_eq!(btf.func_param_count("printk").unwrap(), 1);
    assert_eq!(btf.func_param_count("nothing").unwrap(), 0);
    assert_eq!(btf.type_id(Kind::Func, "do_truncate").unwrap(), truncate);
    assert!(matches!(btf.func_params("broken"), Err(BtfError::NoPrototype { .. })));
}

#[test]
fn a_name_is_looked_up_as_its_kind_alone() {
    let mut b = Builder::new();
    let structure = b.structure("path", &[]);
    let typedef = b.typedef("path", structure);
    let function = b.function("path", &[]);
    let announced = [(Kind::Func, "path"), (Kind::Struct, "path"), (Kind::Func, "path")];
    let btf = KernelBtf::scan(b.build(), &announced).unwrap();
    assert_eq!(btf.type_id(Kind::Struct, "path").unwrap(), structure);
    assert_eq!(btf.type_id(Kind::Typedef, "path").unwrap(), typedef);
    assert_eq!(btf.type_id(Kind::Func, "path").unwrap(), function);
    let error = btf.type_id(Kind::Typedef, "absent").unwrap_err();
    assert_eq!(error.to_string(), "no typedef absent in this kernel");
}

#[test]
fn every_kind_of_type_is_stepped_over_at_its_length() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    b.record("", 2 << 24, int, &[]);
    b.record("", 3 << 24, 0, &[int, int, 7]);
    b.structure("s", &[("a", int, 0), ("b", int, 32)]);
    b.union("u", &[("a", int, 0)]);
    b.record("e", 6 << 24 | 2, 4, &[0, 1, 0, 2]);
    for kind in [7, 8, 9, 10, 11, 17 + 1] {
        b.record("plain", kind << 24, int, &[]);
    }
    b.function("f", &[("a", int)]);
    b.record("v", 14 << 24, int, &[1]);
    b.record(".data", 15 << 24 | 2, 16, &[1, 0, 8, 1, 8, 8]);
    b.record("double", 16 << 24, 8, &[]);
    b.record("tag", 17 << 24, int, &[u32::MAX]);
    b.record("e64", 19 << 24 | 2, 8, &[0, 1, 0, 0, 2, 0]);
    let last = b.structure("last", &[("here", int, 24)]);
    let btf = scan(&b);
    assert_eq!(btf.type_id(Kind::Struct, "last").unwrap(), last);
    assert_eq!(btf.member_offset("last", &["here"]).unwrap(), 3);
}

#[test]
fn a_kind_from_the_future_is_stepped_over_only_if_its_length_is_told() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    b.record("", 20 << 24 | 2, 0, &[9, 9, 9, 9, 9]);
    let last = b.structure("last", &[("here", int, 24)]);
    let error = KernelBtf::scan(b.build(), &[]).unwrap_err();
    assert!(matches!(error, BtfError::UnknownKind { id: 2, kind: 20 }), "{error}");

    let mut layouts = [(0, 0); 21];
    layouts[20] = (4, 8);
    let btf = KernelBtf::scan(b.build_with_layouts(&layouts), &[]).unwrap();
    assert_eq!(btf.type_id(Kind::Struct, "last").unwrap(), last);
    let error = KernelBtf::scan(b.build_with_layouts(&layouts[..20]), &[]).unwrap_err();
    assert!(matches!(error, BtfError::UnknownKind { id: 2, kind: 20 }), "{error}");
}

#[test]
fn types_are_found_again_anywhere_in_a_long_file() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let mut inner = Vec::new();
    for i in 0..500 {
        b.record("", 15 << 24 | (i % 5), 0, &vec![0; 3 * (i % 5) as usize]);
        inner.push(b.structure("", &[("pad", int, 0), ("x", int, 32 * (i + 1))]));
    }
    for (i, &id) in inner.iter().enumerate() {
        b.structure(&format!("outer{i}"), &[("inner", id, 32)]);
    }
    let btf = scan(&b);
    for i in 0..500 {
        assert_eq!(btf.member_offset(&format!("outer{i}"), &["inner.x"]).unwrap(), 4 * (i + 2));
    }
}
