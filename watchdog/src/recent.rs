//! The last findings, for `/findings`.

use std::collections::VecDeque;
use std::sync::Arc;

/// A bounded store of findings as JSON, newest last.
#[derive(Debug, Default)]
pub struct Recent {
    findings: VecDeque<Arc<str>>,
}

impl Recent {
    /// How many findings are kept.
    pub const MAX: usize = 500;

    /// Keeps a finding; the oldest one goes when there are too many.
    pub fn push(&mut self, json: &str) {
        if self.findings.len() >= Self::MAX {
            self.findings.pop_front();
        }
        self.findings.push_back(json.into());
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.findings.len()
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.findings.is_empty()
    }

    /// At most `limit` findings as JSON, newest first.
    #[must_use]
    pub fn newest(&self, limit: usize) -> Vec<Arc<str>> {
        self.findings.iter().rev().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_findings_are_kept() {
        let mut recent = Recent::default();
        assert!(recent.newest(10).is_empty());
        for i in 0..Recent::MAX + 5 {
            recent.push(&i.to_string());
        }
        assert_eq!(recent.newest(2), ["504".into(), "503".into()]);
        let all = recent.newest(usize::MAX);
        assert_eq!((all.len(), recent.len()), (Recent::MAX, Recent::MAX));
        assert_eq!(all.last().map(AsRef::as_ref), Some("5"));
    }
}
