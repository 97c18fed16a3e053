//! What we know of one runtime: where its roots are, how its state file is named, what its temporary files look like.

mod builtin;
mod census;
mod obstacle;
mod pattern;
mod plan;
mod roots;
mod walk;
mod written;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use builtin::{BUILTIN, Builtin, builtin};
pub use census::{Census, Changes, Link, Settled, Sighting, Walked};
pub use obstacle::{is_absent, obstacles};
pub use pattern::{check_runtime, name_pattern, root_pattern};
pub use plan::{Looked, Plan};
pub use roots::{MAX_ROOTS, Root, RootEntry, Roots};
pub use walk::{Found, Stamp, Way, walk};
pub use written::{Refused, Written};

use crate::model::Role;
use crate::source::{Depths, NamePattern, Shape};

/// One runtime's habits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// The runtime's name; the label value of `runtime`.
    pub name: Arc<str>,
    /// Its roots are watched unless others are given.
    pub watched: bool,
    /// Where it keeps its roots unless told otherwise; one component may be `*`.
    pub roots: Vec<String>,
    /// How many directories lie between the root and a state file.
    pub depths: Depths,
    /// Which of these directories is named after the container, counted from the root; the others hold further
    /// parts (CRI-O's `<id>/userdata`).
    pub container_level: u8,
    /// Where state files lie in the root itself: the container's id is their name up to this.
    pub container_until: Option<String>,
    /// Which names matter. An exact name wins over a prefix or suffix.
    pub names: Vec<NamePattern>,
    /// A lock on the state file itself guards it.
    pub locks_file: bool,
    /// A lock on the directory right below the root, or on the root at depth 0, guards what lies in it.
    pub locks_directory: bool,
    /// What is in a state file.
    pub content: Content,
}

/// What is in a state file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// One JSON value; anything else is damage.
    #[default]
    Json,
    /// Whatever it is, nobody judges it.
    None,
}

impl Profile {
    /// At most so many names fit into the probes' table.
    pub const MAX_NAMES: usize = watchdog_common::Name::MAX as usize;
    /// At most so many bytes of a name are compared in the kernel.
    pub const MAX_NAME_BYTES: usize = 32;

    /// What is assumed of a runtime that we do not know: `state.json`, one directory per container, and any of the
    /// usual temporary names.
    #[must_use]
    pub fn unknown(name: &str) -> Self {
        Self {
            name: name.into(),
            watched: true,
            roots: Vec::new(),
            depths: Depths::only(1),
            container_level: 0,
            container_until: None,
            names: vec![
                state("state.json"),
                temporary(Shape::Prefix, "state"),
                temporary(Shape::Prefix, ".state"),
                temporary(Shape::Prefix, ".tmp-state"),
            ],
            locks_file: false,
            locks_directory: false,
            content: Content::Json,
        }
    }

    /// The container's id: `a1b2` for CRI-O's directory `a1b2/userdata`, and for runsc's file `a1b2_sandbox:c3.state`.
    /// Empty where neither tells.
    #[must_use]
    pub fn container_id<'a>(&self, directory: &'a str, file: &'a str) -> &'a str {
        if !directory.is_empty() {
            return directory.split('/').nth(usize::from(self.container_level)).unwrap_or(directory);
        }
        if let Some(end) = &self.container_until {
            return file.split_once(&**end).map_or("", |(id, _)| id);
        }
        let is_id = |part: &&str| part.len() == 64 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        file.split(|c: char| !c.is_ascii_alphanumeric()).find(is_id).unwrap_or_default()
    }

    /// How far below the root directories lie that are locked to guard state files.
    #[must_use]
    pub fn locks(&self) -> Depths {
        let level = u8::from(self.depths.reach_below(0));
        if self.locks_directory { Depths::only(level) } else { Depths::NONE }
    }

    /// A lock makes writing in place harmless.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.locks_file || self.locks_directory || self.names.iter().any(|name| name.role == Role::Lock)
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

    fn known(name: &str) -> Profile {
        builtin().into_iter().find(|profile| &*profile.name == name).unwrap()
    }

    #[test]
    fn every_builtin_profile_is_one() {
        assert_eq!(builtin().len(), BUILTIN.len());
        for profile in builtin() {
            assert!(!profile.roots.is_empty(), "{}", profile.name);
            assert_eq!(profile.written().over(None).unwrap(), profile);
        }
    }

    #[test]
    fn all_builtin_profiles_fit_the_probes_table_together() {
        let names = builtin().into_iter().flat_map(|profile| profile.names);
        let distinct: std::collections::HashSet<_> =
            names.filter(|name| name.role != Role::Temporary).collect();
        assert!(distinct.len() <= Profile::MAX_NAMES, "{}", distinct.len());
    }

    #[test]
    fn the_container_is_found_at_its_level_or_in_the_name() {
        let id = "c".repeat(64);
        for (profile, directory, file, container) in [
            ("crio", "a1b2/userdata", "state.json", "a1b2"),
            ("runc", "a1b2", "state.json", "a1b2"),
            ("kata-go", "s", "persist.json", "s"),
            ("kata-go", "s/c", "persist.json", "c"),
            ("runsc", "", "a1b2_sandbox:c3.state", "a1b2"),
            ("runsc", "", "a1b2.state", ""),
            ("kubelet", "", "cpu_manager_state", ""),
            ("cni", "", &format!("net-{id}-eth0"), &id),
        ] {
            assert_eq!(
                known(profile).container_id(directory, file),
                container,
                "{profile} {directory}/{file}"
            );
        }
    }

    #[test]
    fn a_locked_directory_is_the_one_below_the_root() {
        assert_eq!(known("kata-go").locks(), Depths::only(1));
        assert_eq!(known("runc").locks(), Depths::NONE);
        assert!(known("runsc").is_locked() && known("kata-go").is_locked() && !known("runc").is_locked());
    }
}
