//! The names that matter, as the probes compare them.

use watchdog_common::{Name, NameShape};

use crate::model::Role;
use crate::source::{NamePattern, Shape};

/// Numbers of the roles in [`Name::role`]. 0 is for files that no pattern names: known only because they were opened
/// for writing beside state files, so possible temporaries.
pub(super) fn role_of(number: u8) -> Role {
    match number {
        1 => Role::State,
        3 => Role::Lock,
        _ => Role::Temporary,
    }
}

/// The patterns that the probes are given: those of state and lock files. Temporaries need none, because every file
/// that is opened for writing in a state file's directory is taken for one.
pub(super) struct Names(Vec<NamePattern>);

impl Names {
    /// At most eight distinct patterns of state and lock files; `None` when there are more.
    pub(super) fn new(patterns: &[NamePattern]) -> Option<Self> {
        let mut distinct: Vec<NamePattern> = Vec::new();
        for pattern in patterns {
            if pattern.role != Role::Temporary && !distinct.contains(pattern) {
                distinct.push(pattern.clone());
            }
        }
        (distinct.len() <= Name::MAX as usize).then_some(Self(distinct))
    }

    /// Their form for the probes, in order.
    pub(super) fn for_probes(&self) -> Vec<Name> {
        let shape = |shape| match shape {
            Shape::Exact => NameShape::Exact,
            Shape::Prefix => NameShape::Prefix,
            Shape::Suffix => NameShape::Suffix,
        };
        let role = |role| if role == Role::Lock { 3 } else { 1 };
        self.0
            .iter()
            .map(|p| Name::new(shape(p.shape), role(p.role), p.text.as_bytes()).unwrap_or_default())
            .collect()
    }

    /// Bit n for names of n bytes, bit 63 for longer ones: the first thing that the probes look at.
    pub(super) fn lengths(&self) -> u64 {
        self.0.iter().fold(0, |bits, pattern| {
            let len = pattern.text.len().min(63);
            bits | match pattern.shape {
                Shape::Exact => 1 << len,
                Shape::Prefix | Shape::Suffix => u64::MAX << len,
            }
        })
    }

    /// Which of them a root with these patterns uses, one bit each.
    pub(super) fn bits(&self, patterns: &[NamePattern]) -> u8 {
        let used = |(i, name)| if patterns.contains(name) { 1_u8 << i } else { 0 };
        self.0.iter().enumerate().map(used).fold(0, |bits, bit| bits | bit)
    }

    /// The role of a name below a root with these patterns; a name that none of them matches is a temporary's.
    pub(super) fn role(patterns: &[NamePattern], name: &[u8]) -> Role {
        let matches = |pattern: &&NamePattern| {
            let text = pattern.text.as_bytes();
            pattern.role != Role::Temporary
                && match pattern.shape {
                    Shape::Exact => name == text,
                    Shape::Prefix => name.starts_with(text),
                    Shape::Suffix => name.ends_with(text),
                }
        };
        patterns.iter().find(matches).map_or(Role::Temporary, |pattern| pattern.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(role: Role, shape: Shape, text: &str) -> NamePattern {
        NamePattern { role, shape, text: text.into() }
    }

    #[test]
    fn temporaries_need_no_pattern_and_duplicates_count_once() {
        let patterns = [
            pattern(Role::State, Shape::Exact, "state.json"),
            pattern(Role::Temporary, Shape::Prefix, "state-"),
            pattern(Role::State, Shape::Exact, "state.json"),
            pattern(Role::State, Shape::Exact, "status"),
        ];
        let names = Names::new(&patterns).unwrap();
        assert_eq!(names.for_probes().len(), 2);
        assert_eq!(names.bits(&patterns[..1]), 0b01);
        assert_eq!(names.bits(&patterns[3..]), 0b10);
        assert_eq!(names.lengths(), 1 << 10 | 1 << 6);
    }

    #[test]
    fn nine_patterns_are_too_many() {
        let patterns: Vec<_> =
            (0..9).map(|i| pattern(Role::State, Shape::Exact, &format!("state{i}"))).collect();
        assert!(Names::new(&patterns).is_none());
    }

    #[test]
    fn a_name_beside_the_state_file_is_a_temporary() {
        let patterns =
            [pattern(Role::State, Shape::Exact, "state.json"), pattern(Role::Lock, Shape::Suffix, ".lock")];
        assert_eq!(Names::role(&patterns, b"state.json"), Role::State);
        assert_eq!(Names::role(&patterns, b"a.lock"), Role::Lock);
        assert_eq!(Names::role(&patterns, b"state.json.tmp"), Role::Temporary);
    }
}
