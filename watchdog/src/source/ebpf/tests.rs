//! Whatever bytes the ring holds, they become an item or are refused; nothing panics.

use std::fs::File;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use watchdog_common::{
    EntryRecord, ExitRecord, IoKind, IoRecord, Kind, LONG_NAME, OpenRecord, PATH_LEN, PathKind, PathRecord,
    ProcessRecord, RootKey, SHORT_NAME,
};

use super::decode::{self, Malformed, Record};
use super::translate::{Discarded, Translator};
use crate::model::{FileEvent, Role, RootId};
use crate::source::names::{Join, Joined};
use crate::source::{Depths, Item, NamePattern, RootSpec, Shape};

const KINDS: [(Kind, usize); 8] = [
    (Kind::Process, size_of::<ProcessRecord>()),
    (Kind::Open, size_of::<OpenRecord>() + 2 * SHORT_NAME),
    (Kind::Open, size_of::<OpenRecord>() + 2 * LONG_NAME),
    (Kind::Open, size_of::<OpenRecord>() + 3 * LONG_NAME),
    (Kind::Io, size_of::<IoRecord>()),
    (Kind::Path, size_of::<PathRecord>()),
    (Kind::Exit, size_of::<ExitRecord>()),
    (Kind::Entry, size_of::<EntryRecord>()),
];

/// Bytes at an address that suits every record, as those of the ring are.
#[derive(Clone, Debug)]
struct Aligned {
    words: Vec<u64>,
    length: usize,
}

impl Aligned {
    fn new(bytes: &[u8]) -> Self {
        let word = |chunk: &[u8]| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_ne_bytes(word)
        };
        Self { words: bytes.chunks(8).map(word).collect(), length: bytes.len() }
    }

    fn bytes(&self) -> &[u8] {
        &zerocopy::IntoBytes::as_bytes(self.words.as_slice())[..self.length]
    }
}

/// A translator that knows a root.
fn translator() -> Translator {
    let mut translator = Translator::new();
    let names = vec![NamePattern { role: Role::State, shape: Shape::Exact, text: "state.json".to_owned() }];
    let (id, path, depths, locks) = (RootId(0), std::env::temp_dir(), Depths::only(1), Depths::NONE);
    let root = RootSpec { id, path, depths, locks, names };
    translator.paths.add(&root, RootKey::default(), &|_: &File| Some(RootKey::default()));
    translator.set_patterns(RootId(0), &root.names);
    translator
}

/// Without marks, so that the text decides.
fn translate(record: &Record<'_>, lost: u64) -> Result<Item, Discarded> {
    let mut translator = translator();
    let Record::Path(path) = record else { return translator.item(record, lost) };
    let call = translator.call(path)?;
    let (mut join, mut joined) = (Join::default(), Vec::new());
    let mut places = |root, container: &str, name: &str| translator.place_of(root, container, name);
    join.call(call, &mut places, &mut joined);
    let Joined { span, actor, operation } = joined.pop().ok_or(Discarded::Irrelevant)?;
    Ok(Item::Event(FileEvent { span, actor, lost, operation }))
}

fn sub_kind(bytes: &mut [u8], what: u16) {
    bytes[4..6].copy_from_slice(&what.to_ne_bytes());
}

/// A record whose kind and size are right and all else is arbitrary.
fn records(kinds: &'static [(Kind, usize)]) -> impl Strategy<Value = (Kind, Vec<u8>)> {
    (select(kinds), 0..12_u16).prop_flat_map(|((kind, size), what)| {
        vec(any::<u8>(), size).prop_map(move |mut bytes| {
            bytes[..2].copy_from_slice(&(kind as u16).to_ne_bytes());
            bytes[2..4].copy_from_slice(&u16::try_from(size).unwrap().to_ne_bytes());
            sub_kind(&mut bytes, what);
            (kind, bytes)
        })
    })
}

/// Paths that are some, with the lengths that the probes tell and ones that they should not.
fn path_records() -> impl Strategy<Value = Vec<u8>> {
    let path = || {
        let text =
            "(/|\\./|\\.\\./|/tmp/|/proc/self/)?([a-c]/|\\.\\./|//){0,3}(state\\.json|other|\\.|\\.\\.)?";
        (
            text,
            select(vec![-14, -1, 0, 1, 2, PATH_LEN as i32 - 1, PATH_LEN as i32, i32::MAX, i32::MIN]),
            any::<bool>(),
        )
    };
    let by_path = || records(&[(Kind::Path, size_of::<PathRecord>())]);
    (by_path(), path(), path(), 0..6_u16).prop_map(|((_, mut bytes), first, second, what)| {
        sub_kind(&mut bytes, what);
        let rooms = bytes.len() - 2 * PATH_LEN;
        // `first_len` and `second_len` stand 20 bytes behind the header, which takes 56.
        for ((text, odd, is_odd), (room, length)) in
            [first, second].into_iter().zip([(0, 76), (PATH_LEN, 80)])
        {
            let told = if is_odd { odd } else { i32::try_from(text.len()).unwrap() + 1 };
            bytes[length..length + 4].copy_from_slice(&told.to_ne_bytes());
            let room = rooms + room;
            bytes[room..room + text.len()].copy_from_slice(text.as_bytes());
            bytes[room + text.len()] = 0;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_a_whole_record_or_are_refused(bytes in vec(any::<u8>(), 0..2048)) {
        let bytes = Aligned::new(&bytes);
        if let Ok(record) = decode::record(bytes.bytes()) {
            let _ = translate(&record, 0);
        }
    }

    #[test]
    fn a_record_of_the_right_kind_and_size_is_read_whatever_it_holds(
        (kind, bytes) in records(&KINDS),
        lost_here in any::<u64>(),
    ) {
        let bytes = Aligned::new(&bytes);
        let record = decode::record(bytes.bytes()).unwrap();
        let what = u16::from_ne_bytes([bytes.bytes()[4], bytes.bytes()[5]]);
        let translated = translate(&record, lost_here);
        match kind {
            Kind::Process => prop_assert!(matches!(translated, Ok(Item::Process(_)))),
            Kind::Open | Kind::Exit => prop_assert!(matches!(translated, Ok(Item::Event(_)))),
            Kind::Io if !(1..=IoKind::WriteFailed as u16).contains(&what) => {
                prop_assert_eq!(translated.err(), Some(Discarded::Malformed));
            }
            Kind::Io | Kind::Path | Kind::Entry => {}
        }
    }

    #[test]
    fn paths_of_any_shape_and_length_are_resolved_or_refused(bytes in path_records()) {
        let bytes = Aligned::new(&bytes);
        let record = decode::record(bytes.bytes()).unwrap();
        let what = u16::from_ne_bytes([bytes.bytes()[4], bytes.bytes()[5]]);
        match translate(&record, 0) {
            Ok(Item::Event(FileEvent { span, .. })) => {
                prop_assert!(span.start <= span.end);
                prop_assert!((1..=PathKind::Truncate as u16).contains(&what));
            }
            Ok(Item::Process(process)) => prop_assert!(false, "{process:?}"),
            Err(_) | Ok(Item::Anomaly(_) | Item::Gone(_)) => {}
        }
    }

    #[test]
    fn a_record_of_another_size_than_its_kinds_is_refused(
        (kind, mut bytes) in records(&KINDS),
        size in 56..2000_usize,
        says_so in any::<bool>(),
    ) {
        prop_assume!(!KINDS.iter().any(|&(known, whole)| known == kind && whole == size));
        bytes.resize(size, 0);
        if says_so {
            bytes[2..4].copy_from_slice(&u16::try_from(size).unwrap().to_ne_bytes());
        }
        let refused = decode::record(Aligned::new(&bytes).bytes()).unwrap_err();
        prop_assert_eq!(refused, Malformed::Size { kind: kind as u16, size });
    }

    #[test]
    fn a_record_of_no_kind_is_refused((_, mut bytes) in records(&KINDS), kind in 6..u16::MAX) {
        bytes[..2].copy_from_slice(&kind.to_ne_bytes());
        let refused = decode::record(Aligned::new(&bytes).bytes()).unwrap_err();
        prop_assert_eq!(refused, Malformed::Kind(kind));
    }

    #[test]
    fn a_record_that_was_cut_or_moved_is_refused((_, bytes) in records(&KINDS), cut in 1..256_usize) {
        let whole = Aligned::new(&bytes);
        let cut = decode::record(&whole.bytes()[..bytes.len().saturating_sub(cut)]);
        prop_assert!(matches!(cut, Err(Malformed::Size { .. } | Malformed::Header(_))), "{:?}", cut);
        let moved = Aligned::new(&[&[0], bytes.as_slice()].concat());
        prop_assert_eq!(decode::record(&moved.bytes()[1..]).unwrap_err(), Malformed::Header(bytes.len()));
    }
}
