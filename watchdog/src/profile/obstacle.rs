//! What keeps us from looking for a root: an absent one is no obstacle, one that we may not see is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::RootEntry;
use crate::host_root::HostRoot;

/// At most so many directories of a pattern are tried.
const MAX_TRIED: usize = 256;

/// Paths on the host that have to be passed to find the entry's directories, and that cannot be.
#[must_use]
pub fn obstacles(host: &HostRoot, entry: &RootEntry) -> Vec<(PathBuf, io::Error)> {
    let Some((before, after)) = entry.pattern.split_once("/*") else {
        return obstacle(host, Path::new(&entry.pattern)).into_iter().collect();
    };
    if let Some(obstacle) = obstacle(host, Path::new(before)) {
        return vec![obstacle];
    }
    let Ok(entries) = host.directory(before).and_then(fs::read_dir) else { return Vec::new() };
    let directories = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories
        .take(MAX_TRIED)
        .map(|entry| Path::new(before).join(entry.file_name()).join(after.trim_start_matches('/')))
        .filter_map(|directory| obstacle(host, &directory))
        .collect()
}

/// True if nothing stands where the entry points: no directory, or none in which its `*` could match one. What we may not
/// look at is not absent.
#[must_use]
pub fn is_absent(host: &HostRoot, entry: &RootEntry) -> bool {
    let path = entry.pattern.split_once("/*").map_or(&*entry.pattern, |(before, _)| before);
    let looked = host.directory(path).and_then(fs::metadata);
    looked.map_or_else(
        |error| [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()),
        |metadata| !metadata.is_dir(),
    )
}

fn obstacle(host: &HostRoot, path: &Path) -> Option<(PathBuf, io::Error)> {
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    let found = host.directory(path);
    let stands = found.as_ref().is_ok_and(|path| path.exists());
    match found.and_then(fs::read_dir) {
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotADirectory && stands => {
            Some((path.to_owned(), error))
        }
        Err(error) if absent.contains(&error.kind()) => None,
        Err(error) => Some((path.to_owned(), error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use std::sync::Arc;

    fn told(host: &Path, pattern: &str) -> Vec<(PathBuf, io::ErrorKind)> {
        let profile = Arc::new(Profile::unknown("test"));
        let entry = RootEntry { pattern: pattern.to_owned(), profile };
        let obstacles = obstacles(&HostRoot::new(host), &entry);
        obstacles.into_iter().map(|(path, error)| (path, error.kind())).collect()
    }

    #[test]
    fn a_root_is_absent_without_a_directory_where_it_could_be() {
        let host = tempfile::tempdir().unwrap();
        let absent = |pattern: &str| {
            let entry =
                RootEntry { pattern: pattern.to_owned(), profile: Arc::new(Profile::unknown("test")) };
            is_absent(&HostRoot::new(host.path()), &entry)
        };
        assert!(absent("/run/runc") && absent("/run/*/runc"));
        fs::create_dir_all(host.path().join("run/x")).unwrap();
        fs::write(host.path().join("run/file"), "").unwrap();
        assert!(absent("/run/runc") && absent("/run/file") && absent("/run/file/x") && absent("/run/file/*"));
        assert!(!absent("/run/x") && !absent("/run/*/runc") && !absent("/run/x/*"));
    }

    #[test]
    fn what_is_not_there_is_no_obstacle_and_what_is_no_directory_is_one() {
        let host = tempfile::tempdir().unwrap();
        assert_eq!(told(host.path(), "/run/runc"), []);
        assert_eq!(told(host.path(), "/run/*/runc"), []);
        fs::create_dir_all(host.path().join("run/x")).unwrap();
        fs::write(host.path().join("run/file"), "").unwrap();
        fs::write(host.path().join("run/x/runc"), "").unwrap();
        assert_eq!(told(host.path(), "/run/x"), []);
        assert_eq!(told(host.path(), "/run/file/deeper"), []);
        let no_directory = |path: &str| [(PathBuf::from(path), io::ErrorKind::NotADirectory)];
        assert_eq!(told(host.path(), "/run/file"), no_directory("/run/file"));
        assert_eq!(told(host.path(), "/run/*/runc"), no_directory("/run/x/runc"));
    }
}
