//! An answer that is handed out piece by piece, so that a client that takes it slowly holds no copy of it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// A JSON array of findings, which are shared with the store.
pub(super) struct Findings {
    /// Newest last, so that the next one is taken from the end.
    left: Vec<Arc<str>>,
    /// What comes before the next one.
    next: &'static [u8],
    /// Nothing comes any more.
    over: bool,
    bytes: u64,
}

impl Findings {
    /// Of findings with the newest first.
    pub(super) fn new(mut findings: Vec<Arc<str>>) -> Self {
        findings.reverse();
        let texts: usize = findings.iter().map(|finding| finding.len()).sum();
        let bytes = (2 + texts + findings.len().saturating_sub(1)) as u64;
        Self { left: findings, next: b"[", over: false, bytes }
    }
}

/// A finding as bytes that are its own.
struct Shared(Arc<str>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Body for Findings {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match (self.next, self.left.is_empty()) {
            _ if self.over => return Poll::Ready(None),
            (b"", false) => {
                let finding = self.left.pop();
                self.next = if self.left.is_empty() { b"" } else { b"," };
                finding.map(|finding| Bytes::from_owner(Shared(finding))).unwrap_or_default()
            }
            (b"", true) => {
                self.over = true;
                Bytes::from_static(b"]")
            }
            (between, _) => {
                self.next = b"";
                Bytes::from_static(between)
            }
        };
        self.bytes = self.bytes.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes)
    }
}
