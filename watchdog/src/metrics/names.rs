//! Process names as label values, of which there are never too many.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// What every further name is counted as.
pub(super) const OTHER: &str = "other";

/// The first names seen; all others are [`OTHER`].
#[derive(Default)]
pub(super) struct Names(Mutex<HashSet<String>>);

impl Names {
    const MAX: usize = 32;

    /// The label value for a name.
    pub(super) fn bounded(&self, name: &str) -> String {
        if name.is_empty() {
            return OTHER.to_owned();
        }
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains(name) {
            if seen.len() >= Self::MAX {
                return OTHER.to_owned();
            }
            seen.insert(name.to_owned());
        }
        name.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_names_win() {
        let names = Names::default();
        for i in 0..Names::MAX {
            assert_eq!(names.bounded(&format!("n{i}")), format!("n{i}"));
        }
        assert_eq!(names.bounded("late"), OTHER);
        assert_eq!(names.bounded("n0"), "n0");
        assert_eq!(names.bounded(""), OTHER);
    }
}
