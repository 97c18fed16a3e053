//! The content of state files.

use watchdog::enrich::{Content, Damage, identity, judge};

/// No more is kept of a name.
const LONGEST: usize = 512;

/// A name that serde_json takes for a mark of its own, in whole values alone.
const RESERVED: &[u8] = b"$serde_json";

/// The verdict is that of a whole JSON parser, and a prefix of a good file is never called anything but cut short.
pub fn state(bytes: &[u8]) {
    let verdict = judge(bytes);
    let parsed = serde_json::from_slice::<serde_json::Value>(bytes);
    let reserved = bytes.windows(RESERVED.len()).any(|window| window == RESERVED);
    assert!(reserved || (verdict == Content::Valid) == parsed.is_ok(), "{verdict:?}, but {parsed:?}");
    assert_eq!(verdict == Content::Damaged(Damage::Empty), bytes.is_empty());
    let pod = identity(bytes).pod;
    for text in [pod.name, pod.namespace, pod.container, pod.uid].into_iter().flatten() {
        assert!(text.len() <= LONGEST, "{} bytes are kept of a name", text.len());
    }
    // An object or a list has no complete prefix.
    if verdict == Content::Valid && matches!(bytes[0], b'{' | b'[') {
        let cut = bytes.len() / 2;
        let end = bytes.trim_ascii_end().len() - 1;
        let expected = if cut.min(end) == 0 { Damage::Empty } else { Damage::Truncated };
        assert_eq!(judge(&bytes[..cut.min(end)]), Content::Damaged(expected));
    }
}
