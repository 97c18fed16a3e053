//! Profiles as a configuration file gives them.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::model::Role;
use crate::profile::{Profile, RootEntry};
use crate::source::{NamePattern, Shape};

/// `[[profile]]` in the file.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RawProfile {
    pub(super) name: String,
    #[serde(default)]
    roots: Vec<String>,
    #[serde(default = "one")]
    depth: u8,
    #[serde(default)]
    container_level: u8,
    state: Vec<String>,
    #[serde(default)]
    temporary: Vec<String>,
    #[serde(default)]
    lock: Vec<String>,
}

fn one() -> u8 {
    1
}

/// Checks a profile and makes it usable.
pub(super) fn resolve(raw: RawProfile) -> Result<Profile, String> {
    let RawProfile { name, roots, depth, container_level, state, temporary, lock } = raw;
    check_name(&name)?;
    if depth > 2 {
        return Err(format!("profile {name:?}: depth = {depth}, expected 0 to 2"));
    }
    if container_level > 0 && container_level >= depth {
        return Err(format!(
            "profile {name:?}: container-level = {container_level}, expected less than depth = {depth}"
        ));
    }
    if state.is_empty() {
        return Err(format!("profile {name:?}: `state` names no file"));
    }
    let groups = [(Role::State, state), (Role::Temporary, temporary), (Role::Lock, lock)];
    let mut names = Vec::new();
    for (role, texts) in groups {
        for text in texts {
            names.push(pattern(role, &text).map_err(|why| format!("profile {name:?}: {why}"))?);
        }
    }
    if names.len() > Profile::MAX_NAMES {
        let (given, limit) = (names.len(), Profile::MAX_NAMES);
        return Err(format!("profile {name:?}: {given} names, expected at most {limit}"));
    }
    let roots = roots.iter().map(|root| super::root_pattern(root)).collect::<Result<_, _>>()?;
    Ok(Profile { name: name.into(), roots, depth, container_level, names })
}

/// The profile as a file gives it.
pub(super) fn view(profile: &Profile) -> RawProfile {
    let of = |role| profile.names.iter().filter(|n| n.role == role).map(ToString::to_string).collect();
    RawProfile {
        name: profile.name.to_string(),
        roots: profile.roots.clone(),
        depth: profile.depth,
        container_level: profile.container_level,
        state: of(Role::State),
        temporary: of(Role::Temporary),
        lock: of(Role::Lock),
    }
}

/// The probes compare the names of all state and lock files, of whatever runtime, in one table.
pub(super) fn check_distinct_names(roots: &[RootEntry]) -> Result<(), String> {
    let names = roots.iter().flat_map(|root| &root.profile.names);
    let distinct: HashSet<_> = names.filter(|name| name.role != Role::Temporary).collect();
    if distinct.len() > Profile::MAX_NAMES {
        let (given, limit) = (distinct.len(), Profile::MAX_NAMES);
        return Err(format!("{given} different names of state and lock files, expected at most {limit}"));
    }
    Ok(())
}

/// A runtime's name is a label value and stands in messages.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=32).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!("runtime {name:?}: expected 1 to 32 letters, digits, `-`, `_` or `.`"))
}

fn pattern(role: Role, text: &str) -> Result<NamePattern, String> {
    let (shape, rest) = match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(rest), _) => (Shape::Suffix, rest),
        (None, Some(rest)) => (Shape::Prefix, rest),
        (None, None) => (Shape::Exact, text),
    };
    if rest.contains(['*', '/']) || rest.chars().any(char::is_control) {
        return Err(format!("name {text:?}: expected a file name, with one `*` at its beginning or end"));
    }
    if !(1..=Profile::MAX_NAME_BYTES).contains(&rest.len()) {
        return Err(format!("name {text:?}: expected 1 to {} bytes", Profile::MAX_NAME_BYTES));
    }
    Ok(NamePattern { role, shape, text: rest.to_owned() })
}
