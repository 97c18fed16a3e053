//! Foreign bytes in a recording: as text where they are UTF-8, else as numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Bytes(Vec<u8>),
}

pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.serialize(serializer),
        Err(_) => bytes.serialize(serializer),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
    Ok(match Written::deserialize(deserializer)? {
        Written::Text(text) => text.into_bytes(),
        Written::Bytes(bytes) => bytes,
    })
}
