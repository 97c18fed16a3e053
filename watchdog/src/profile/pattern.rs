//! What a person writes for names, roots and runtimes, and what of it makes no sense.

use super::Profile;
use crate::model::Role;
use crate::source::{NamePattern, Shape};

/// A file name, in which a `*` may stand at the beginning or the end.
///
/// # Errors
/// It is none, or too long for the probes.
pub fn name_pattern(role: Role, text: &str) -> Result<NamePattern, String> {
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

/// A root's path, without what does not matter in it.
///
/// # Errors
/// It is no place where a root could be.
pub fn root_pattern(path: &str) -> Result<String, String> {
    if !path.starts_with('/') {
        return Err(format!("root {path:?} is relative, expected an absolute path"));
    }
    if path.chars().any(char::is_control) {
        return Err(format!("root {path:?} holds control characters"));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.is_empty() {
        return Err(format!("root {path:?} is the whole file system"));
    }
    if parts.contains(&"..") {
        return Err(format!("root {path:?} holds `..`"));
    }
    let stars = parts.iter().filter(|part| part.contains('*'));
    if stars.clone().count() > 1 || stars.clone().any(|part| *part != "*") {
        return Err(format!("root {path:?}: at most one whole component may be `*`"));
    }
    if parts[0] == "*" {
        return Err(format!("root {path:?}: the first component cannot be `*`"));
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Checks a runtime's name, which is a label value and stands in messages.
///
/// # Errors
/// It has other characters than these.
pub fn check_runtime(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=32).contains(&name.len()) && name.chars().all(plain) {
        return Ok(());
    }
    Err(format!("runtime {name:?}: expected 1 to 32 letters, digits, `-`, `_` or `.`"))
}
