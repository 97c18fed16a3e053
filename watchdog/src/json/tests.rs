use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

use super::*;

/// Any JSON value, checked by `serde_json` with its limit of nesting, and thrown away.
struct Skim;

impl<'de> Deserialize<'de> for Skim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Skim {
    type Value = Self;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// Ours in pieces of this size: valid, the beginning of something valid, or neither.
fn ours(bytes: &[u8], piece: usize) -> Result<(), (bool, String)> {
    let mut parser = Parser::default();
    let fed = bytes.chunks(piece).try_for_each(|chunk| parser.feed(chunk, &mut ()));
    fed.and_then(|()| parser.finish(&mut ())).map_err(|flaw| (flaw.is_end(), flaw.to_string()))
}

fn theirs(bytes: &[u8]) -> Result<(), (bool, String)> {
    serde_json::from_slice::<Skim>(bytes).map(|Skim| ()).map_err(|error| (error.is_eof(), error.to_string()))
}

fn compare(bytes: &[u8]) {
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]);
    let theirs = theirs(bytes);
    let kind = |verdict: &Result<(), (bool, String)>| verdict.as_ref().map_err(|(end, _)| *end).copied();
    for piece in [1, 3, 65_536] {
        let ours = ours(bytes, piece);
        assert_eq!(kind(&ours), kind(&theirs), "{shown}: {ours:?}, {theirs:?}");
    }
}

#[test]
fn every_beginning_of_a_document_is_judged_as_serde_json_does() {
    let documents: [&[u8]; 5] = [
        b"{\"id\":\"abc\",\"pid\":-1,\"x\":[1.5,null,true,false,18446744073709551615,-0.0e-1,1E+9]}\n",
        "{\"a\\u00e9\\ud83d\\ude00\\n\":\"\u{e9}\u{20ac}\u{1f600}\",\"\":{},\"b\":[[],[{}]]}".as_bytes(),
        b"[\"\\ud800\\u0041\"]",
        b"[\"\xe0\x80\x80\"]",
        b"  [1,]",
    ];
    for document in documents {
        for end in 0..=document.len() {
            compare(&document[..end]);
            for wrong in [b'"', b'}', b']', b',', b':', b'0', b'e', b'-', b'\\', b'u', 0, 0xff, 0xed, 0x80] {
                compare(&[&document[..end], &[wrong], &document[end..]].concat());
                compare(&[&document[..end], &[wrong]].concat());
            }
        }
    }
}

#[test]
fn numbers_end_where_doubles_end() {
    for number in [
        "1e308",
        "1e309",
        "-1e309",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "0e999999999999",
        "1e-999999999999",
        "1e99999999999999999999",
        "0.000001e310",
        "00",
        "-",
        "1.",
        "1.e1",
        "1e",
        "1e+",
        "-a",
    ] {
        compare(number.as_bytes());
    }
    compare("9".repeat(308).as_bytes());
    compare("9".repeat(400).as_bytes());
    compare(format!("{}e-390", "9".repeat(400)).as_bytes());
    compare(format!("0.{}1e350", "0".repeat(340)).as_bytes());
}

#[test]
fn nesting_ends_where_serde_json_ends_it() {
    for depth in [126, 127, 128, 100_000] {
        compare(("[".repeat(depth) + &"]".repeat(depth)).as_bytes());
        compare(("{\"a\":".repeat(depth) + "1" + &"}".repeat(depth)).as_bytes());
    }
}

#[test]
fn the_first_flaw_is_named_with_its_position() {
    for text in ["", "{\"id\":\n\"a", "{}}", "[1,]", "{\"a\" 1}", "[\n1 2]", "{1}", "nul", "nulx", "[1"] {
        assert_eq!(ours(text.as_bytes(), 1), theirs(text.as_bytes()), "{text}");
    }
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap()),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec((any::<String>(), inner), 0..5).prop_map(|members| {
                let member = |(name, value): &(String, String)| {
                    format!("{}: {value}", serde_json::to_string(name).unwrap())
                };
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn documents_that_somebody_damaged_are_judged_as_serde_json_does(
        text in json(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = text.into_bytes();
        compare(&bytes);
        compare(&bytes[..cut.index(bytes.len())]);
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte;
        }
        compare(&bytes);
    }

    #[test]
    fn any_bytes_are_judged_as_serde_json_does(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        compare(&bytes);
    }
}
