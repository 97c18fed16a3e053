//! The last findings, for `/findings`.

use std::collections::VecDeque;

/// A bounded store of findings as JSON, newest last.
#[derive(Debug, Default)]
pub struct Recent {
    findings: VecDeque<Box<str>>,
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

    /// A JSON array of at most `limit` findings, newest first.
    #[must_use]
    pub fn to_json(&self, limit: usize) -> String {
        let newest: Vec<&str> = self.findings.iter().rev().take(limit).map(AsRef::as_ref).collect();
        format!("[{}]", newest.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_findings_are_kept() {
        let mut recent = Recent::default();
        assert_eq!(recent.to_json(10), "[]");
        for i in 0..Recent::MAX + 5 {
            recent.push(&i.to_string());
        }
        assert_eq!(recent.to_json(2), "[504,503]");
        let all: Vec<u64> = serde_json::from_str(&recent.to_json(usize::MAX)).unwrap();
        assert_eq!(all.len(), Recent::MAX);
        assert_eq!(all.last(), Some(&5));
    }
}
