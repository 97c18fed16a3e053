//! What a source is told of a root: where it is, how deep its state files lie, and how they are named.

use std::path::PathBuf;

use crate::model::{Role, RootId};

/// A directory that a source is asked to watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootSpec {
    /// Index in the agent's table of roots; events carry it back.
    pub id: RootId,
    /// Where the agent can open it now (host root already applied).
    pub path: PathBuf,
    /// How many directories lie between the root and a state file.
    pub depths: Depths,
    /// How far below the root directories lie that are locked to guard the state files in them.
    pub locks: Depths,
    /// Which names matter, from the runtime's profile.
    pub names: Vec<NamePattern>,
}

/// A set of distances below a root, 0 to 2 directories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths(u8);

impl Depths {
    /// The empty set.
    pub const NONE: Self = Self(0);
    /// The greatest distance.
    pub const MAX: u8 = 2;

    /// One distance alone.
    #[must_use]
    pub const fn only(depth: u8) -> Self {
        Self(1 << depth)
    }

    /// These distances; `None` when one is too great.
    #[must_use]
    pub fn of(depths: &[u8]) -> Option<Self> {
        let add = |set: u8, &depth: &u8| (depth <= Self::MAX).then(|| set | 1 << depth);
        depths.iter().try_fold(0, add).map(Self)
    }

    /// True when the distance is in the set.
    #[must_use]
    pub fn contains(self, depth: u8) -> bool {
        depth <= Self::MAX && self.0 & 1 << depth != 0
    }

    /// True when there is a greater distance in the set.
    #[must_use]
    pub fn reach_below(self, depth: u8) -> bool {
        self.iter().any(|other| other > depth)
    }

    /// The distances, ascending.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..=Self::MAX).filter(move |depth| self.contains(*depth))
    }

    /// Bit d for distance d.
    #[must_use]
    pub fn bits(self) -> u8 {
        self.0
    }
}

/// A file name that matters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamePattern {
    /// What such a name is for.
    pub role: Role,
    /// Exact, beginning or end.
    pub shape: Shape,
    /// At most 32 bytes, at least 1.
    pub text: String,
}

/// How a [`NamePattern`] compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The whole name.
    Exact,
    /// The name begins with it.
    Prefix,
    /// The name ends with it.
    Suffix,
}

impl NamePattern {
    /// True when a file's name matches.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.star(name).is_some()
    }

    /// What the pattern's `*` stands for in a name that matches; nothing for a whole name.
    #[must_use]
    pub fn star<'a>(&self, name: &'a [u8]) -> Option<&'a [u8]> {
        let text = self.text.as_bytes();
        match self.shape {
            Shape::Exact => (name == text).then_some(&[]),
            Shape::Prefix => name.strip_prefix(text),
            Shape::Suffix => name.strip_suffix(text),
        }
    }

    /// The name in which the pattern's `*` stands for this.
    fn with_star(&self, star: &[u8]) -> Vec<u8> {
        let text = self.text.as_bytes();
        match self.shape {
            Shape::Exact => text.to_owned(),
            Shape::Prefix => [text, star].concat(),
            Shape::Suffix => [star, text].concat(),
        }
    }
}

/// The state file that a lock file of this name guards; an empty name stands for all in its directory.
///
/// What the `*` of the lock's pattern stands for is the state file's name, or what the `*` of the state file's pattern
/// stands for: runsc's `a.lock` guards `a.state`.
#[must_use]
pub fn guarded_by(patterns: &[NamePattern], lock: &[u8]) -> Vec<u8> {
    let of = |role| patterns.iter().filter(move |pattern| pattern.role == role);
    let Some(star) = of(Role::Lock).find_map(|pattern| pattern.star(lock)) else { return Vec::new() };
    if star.is_empty() || of(Role::State).any(|state| state.matches(star)) {
        return star.to_owned();
    }
    let starred = of(Role::State).find(|state| state.shape != Shape::Exact);
    starred.map_or_else(|| star.to_owned(), |state| state.with_star(star))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guarded(state: (Shape, &str), lock: (Shape, &str), name: &str) -> String {
        let pattern = |role, (shape, text): (Shape, &str)| NamePattern { role, shape, text: text.to_owned() };
        let patterns = [pattern(Role::State, state), pattern(Role::Lock, lock)];
        String::from_utf8(guarded_by(&patterns, name.as_bytes())).unwrap()
    }

    #[test]
    fn a_lock_guards_the_file_that_its_name_tells() {
        let (state, suffix) = ((Shape::Suffix, ".state"), (Shape::Suffix, ".lock"));
        assert_eq!(guarded(state, suffix, "a_sandbox:b.lock"), "a_sandbox:b.state");
        assert_eq!(guarded((Shape::Exact, "state.json"), suffix, "state.json.lock"), "state.json");
        assert_eq!(
            guarded((Shape::Exact, "state.json"), (Shape::Prefix, "lock-"), "lock-state.json"),
            "state.json"
        );
        assert_eq!(guarded((Shape::Exact, "state.json"), (Shape::Exact, "lock"), "lock"), "");
    }

    #[test]
    fn depths_are_a_set() {
        let set = Depths::of(&[2, 1]).unwrap();
        assert_eq!(set.iter().collect::<Vec<_>>(), [1, 2]);
        assert!(set.reach_below(1) && !set.reach_below(2));
        assert!(!set.contains(0) && !set.contains(9));
        assert_eq!(Depths::of(&[3]), None);
    }
}
