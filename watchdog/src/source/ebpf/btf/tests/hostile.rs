//! Bytes that no compiler wrote: every one gets an answer or a typed refusal, and in bounded time.

use proptest::prelude::*;

use super::*;

const NAMES: [(Kind, &str); 4] =
    [(Kind::Struct, "a"), (Kind::Struct, "b"), (Kind::Func, "f"), (Kind::Typedef, "t")];

/// Asks all there is to ask. The answers do not matter, that they come does.
fn exercise(bytes: Vec<u8>) {
    let Ok(btf) = KernelBtf::scan(bytes, &NAMES) else { return };
    for (kind, name) in NAMES {
        let announced = btf.type_id(kind, name).ok();
        let unannounced = KernelBtf { blob: btf.blob.clone(), known: Vec::new() }.type_id(kind, name).ok();
        assert_eq!(announced, unannounced);
        let _ = btf.func_params(name);
        for path in ["a", "b", "a.b", "x.y.z", ""] {
            let _ = btf.member_offset(name, &[path, "x"]);
        }
    }
}

/// A small kernel with everything that the scanner follows.
fn sample() -> Builder {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    let inner = b.structure("b", &[("x", int, 0), ("y", int, 32)]);
    let typedef = b.typedef("t", inner);
    let anonymous = b.union("", &[("b", typedef, 0), ("z", int, 64)]);
    b.flagged("a", &[("a", typedef, 0), ("", anonymous, 64), ("x", int, 3 << 24 | 160)]);
    b.function("f", &[("p", int), ("", 0)]);
    b.record("", 19 << 24 | 1, 8, &[0, 1, 0]);
    b
}

/// A record whose fields are plausible one by one and nonsense together.
fn record() -> impl Strategy<Value = (&'static str, u32, u32, Vec<u32>)> {
    let name = prop::sample::select(vec!["", "a", "b", "f", "t", "x"]);
    let kind =
        prop_oneof![4 => Just(4u32), 2 => Just(5), 2 => Just(8), 1 => Just(12), 1 => Just(13), 2 => 0..21u32];
    let vlen = 0..4u32;
    let body = prop::collection::vec(0..16u32, 0..12);
    (name, kind, any::<bool>(), vlen, 0..16u32, body).prop_map(
        |(name, kind, flag, vlen, referred, mut body)| {
            let words = match kind {
                4 | 5 | 15 | 19 => 3 * vlen,
                6 | 13 => 2 * vlen,
                1 | 14 | 17 => 1,
                3 => 3,
                _ => 0,
            };
            body.resize(words as usize, 0);
            (name, u32::from(flag) << 31 | kind << 24 | vlen, referred, body)
        },
    )
}

proptest! {
    #[test]
    fn arbitrary_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..200), honest in any::<bool>()) {
        if honest && bytes.len() >= 3 {
            bytes[..3].copy_from_slice(&[0x9f, 0xeb, 1]);
        }
        exercise(bytes);
    }

    #[test]
    fn flipped_bits(flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 1..8)) {
        let mut bytes = sample().build_with_layouts(&[(0, 12); 30]);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        exercise(bytes);
    }

    #[test]
    fn arbitrary_types(records in prop::collection::vec(record(), 1..16)) {
        let mut b = Builder::new();
        for (name, info, referred, body) in records {
            b.record(name, info, referred, &body);
        }
        exercise(b.build());
    }

    #[test]
    fn a_cut_file_is_refused_or_read_to_its_end(cut in any::<prop::sample::Index>()) {
        let mut bytes = sample().build();
        bytes.truncate(cut.index(bytes.len()));
        prop_assert!(KernelBtf::scan(bytes, &NAMES).is_err());
    }
}

#[test]
fn the_sample_itself_is_answered() {
    let btf = scan(&sample());
    assert_eq!(btf.member_offset("a", &["b.y"]).unwrap(), 12);
    assert_eq!(btf.func_param_count("f").unwrap(), 1);
}

#[test]
fn headers_that_lie_are_refused() {
    let honest = sample().build();
    let scan_with = |at: usize, word: u32| {
        let mut bytes = honest.clone();
        bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        KernelBtf::scan(bytes, &[]).unwrap_err().to_string()
    };
    assert_eq!(scan_with(0, 0x0001_9feb), "type information is big-endian, only little-endian is supported");
    assert_eq!(scan_with(0, 0x0002_eb9f), "BTF version 2 is not supported");
    assert_eq!(scan_with(0, 0x464c_457f), "no BTF magic number at the start of the type information");
    assert_eq!(scan_with(4, 23), "BTF header length 23 is impossible");
    assert_eq!(scan_with(4, u32::MAX), "BTF header length 4294967295 is impossible");
    assert_eq!(scan_with(8, u32::MAX), "the types lie outside the type information");
    assert_eq!(scan_with(12, u32::MAX), "the types lie outside the type information");
    assert_eq!(scan_with(20, u32::MAX), "the strings lie outside the type information");
    assert_eq!(scan_with(12, 20), "type 2 is cut off");
}

#[test]
fn dangling_references_are_named() {
    let mut b = Builder::new();
    b.structure("file", &[("f_path", 99, 0)]);
    b.record("f", 12 << 24, 98, &[]);
    let btf = scan(&b);
    assert_eq!(
        btf.member_offset("file", &["f_path.dentry"]).unwrap_err().to_string(),
        "type 99 does not exist"
    );
    assert_eq!(btf.func_params("f").unwrap_err().to_string(), "type 98 does not exist");
}

#[test]
fn circles_end() {
    let mut b = Builder::new();
    let own = b.next_id();
    b.structure("own", &[("", own, 0)]);
    let circle = b.typedef("circle", own + 1);
    b.structure("through_typedef", &[("m", circle, 0)]);
    let btf = scan(&b);
    for (structure, path) in [("own", "x"), ("through_typedef", "m.x"), ("through_typedef", "m")] {
        let error = btf.member_offset(structure, &[path]).unwrap_err();
        assert!(matches!(error, BtfError::TooDeep { .. }), "{structure}.{path}: {error}");
    }
}

#[test]
fn a_tree_that_doubles_at_every_level_is_given_up() {
    let mut b = Builder::new();
    let mut id = b.structure("", &[]);
    for _ in 0..14 {
        id = b.structure("", &[("", id, 0), ("", id, 0), ("", id, 0), ("", id, 0)]);
    }
    b.structure("wide", &[("", id, 0)]);
    let error = scan(&b).member_offset("wide", &["x"]).unwrap_err();
    assert!(matches!(error, BtfError::TooDeep { .. }), "{error}");
}

#[test]
fn a_function_with_thousands_of_parameters_is_refused() {
    let mut b = Builder::new();
    let int = b.int("int", 4, 32);
    b.function("f", &[("p", int); 5000]);
    let error = scan(&b).func_params("f").unwrap_err();
    assert_eq!(error.to_string(), "function f has no usable prototype");
}
