//! What we know of one runtime: where its roots are, how its state file is named, what its temporary files look like.

mod builtin;
mod census;
mod obstacle;
mod roots;
mod walk;

use std::fmt;
use std::sync::Arc;

pub use builtin::builtin;
pub use census::{Census, Changes, Sighting};
pub use obstacle::obstacles;
pub use roots::{MAX_ROOTS, Root, RootEntry, Roots};
pub use walk::{Found, walk};

use crate::model::Role;
use crate::source::{NamePattern, Shape};

/// One runtime's habits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The runtime's name; the label value of `runtime`.
    pub name: Arc<str>,
    /// Where it keeps its roots unless told otherwise; one component may be `*`.
    pub roots: Vec<String>,
    /// How many directories lie between the root and a state file: 0 to 2.
    pub depth: u8,
    /// Which of these directories is named after the container, counted from the root; the others hold further
    /// parts (CRI-O's `<id>/userdata`).
    pub container_level: u8,
    /// Which names matter. An exact name wins over a prefix or suffix.
    pub names: Vec<NamePattern>,
}

impl Profile {
    /// At most so many names fit into the probes' table.
    pub const MAX_NAMES: usize = 8;
    /// At most so many bytes of a name are compared in the kernel.
    pub const MAX_NAME_BYTES: usize = 32;

    /// What is assumed of a runtime that we do not know: `state.json`, one directory per container, and any of the
    /// usual temporary names.
    #[must_use]
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.into(),
            roots: Vec::new(),
            depth: 1,
            container_level: 0,
            names: vec![
                state("state.json"),
                temporary(Shape::Prefix, "state"),
                temporary(Shape::Prefix, ".state"),
                temporary(Shape::Prefix, ".tmp-state"),
            ],
        }
    }

    /// The container's id in a place's directory path: `a1b2` in CRI-O's `a1b2/userdata`.
    #[must_use]
    pub fn container_id<'a>(&self, directory: &'a str) -> &'a str {
        directory.split('/').nth(usize::from(self.container_level)).unwrap_or(directory)
    }
}

/// The name of a state file.
#[must_use]
pub fn state(text: &str) -> NamePattern {
    NamePattern { role: Role::State, shape: Shape::Exact, text: text.to_owned() }
}

/// The name of a temporary file.
#[must_use]
pub fn temporary(shape: Shape, text: &str) -> NamePattern {
    NamePattern { role: Role::Temporary, shape, text: text.to_owned() }
}

/// As a person writes it: `state-*`, `*.state`, `state.json`.
impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shape {
            Shape::Exact => f.write_str(&self.text),
            Shape::Prefix => write!(f, "{}*", self.text),
            Shape::Suffix => write!(f, "*{}", self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_profile_fits_the_probes_table() {
        for profile in builtin() {
            assert!(profile.names.len() <= Profile::MAX_NAMES, "{}", profile.name);
            assert!(profile.depth <= 2);
            assert!(profile.names.iter().any(|n| n.role == Role::State));
            for name in &profile.names {
                assert!((1..=Profile::MAX_NAME_BYTES).contains(&name.text.len()));
            }
            for root in &profile.roots {
                assert!(root.starts_with('/') && root.split('/').filter(|c| c.contains('*')).count() <= 1);
            }
        }
    }

    #[test]
    fn the_container_is_found_at_its_level() {
        let crio = builtin().into_iter().find(|p| &*p.name == "crio").unwrap();
        assert_eq!(crio.container_id("a1b2/userdata"), "a1b2");
        assert_eq!(Profile::unknown("x").container_id("a1b2"), "a1b2");
    }
}
