//! What a state file holds: the verdict on its bytes.

use crate::json::{Flaw, Parser};
use crate::model::{Content, Damage};

/// Judges bytes.
#[must_use]
pub fn judge(bytes: &[u8]) -> Content {
    let mut parser = Parser::default();
    let parsed = parser.feed(bytes, &mut ()).and_then(|()| parser.finish(&mut ()));
    verdict(bytes.len() as u64, parsed.err().as_ref())
}

/// The verdict on so many bytes of which the parser said this.
pub(super) fn verdict(size: u64, flaw: Option<&Flaw>) -> Content {
    match flaw {
        None => Content::Valid,
        Some(_) if size == 0 => Content::Damaged(Damage::Empty),
        Some(flaw) if flaw.is_end() => Content::Damaged(Damage::Truncated),
        Some(_) => Content::Damaged(Damage::Invalid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_get_a_verdict() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        let damaged = Content::Damaged;
        for (bytes, expected) in [
            (
                &b"{\"id\":\"abc\",\"pid\":-1,\"x\":[1.5,null,true,18446744073709551615]}\n"[..],
                Content::Valid,
            ),
            (b"\"text\"", Content::Valid),
            (b"", damaged(Damage::Empty)),
            (b"  \n", damaged(Damage::Truncated)),
            (b"{\"id\":\"ab", damaged(Damage::Truncated)),
            (b"{\"id\":", damaged(Damage::Truncated)),
            (b"{\"id\":\"\xc3", damaged(Damage::Truncated)),
            (b"{} {}", damaged(Damage::Invalid)),
            (b"{}}", damaged(Damage::Invalid)),
            (b"{\"id\":\"\xff\"}", damaged(Damage::Invalid)),
            (b"\0\0\0\0", damaged(Damage::Invalid)),
            (b"{id}", damaged(Damage::Invalid)),
            (deep.as_bytes(), damaged(Damage::Invalid)),
        ] {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]);
            assert_eq!(judge(bytes), expected, "{shown}");
        }
    }
}
