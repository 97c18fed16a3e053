//! A look for the roots that stand. It may wait for any of them.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::files::{Gate, Whereabouts};
use crate::host_root::HostRoot;

/// At most so many directories that a pattern matches are looked at.
const MAX_MATCHES: usize = 256;

/// Which directories are to be looked for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) host: HostRoot,
    pub(super) patterns: Vec<String>,
    /// Which entries are meant.
    pub(super) generation: u64,
}

/// A directory that stands where an entry points.
#[derive(Debug)]
pub(super) struct Standing {
    pub(super) entry: usize,
    pub(super) host_path: PathBuf,
    pub(super) path: PathBuf,
    pub(super) identity: (u64, u64),
}

/// What stands where.
#[derive(Debug, Default)]
pub struct Looked {
    pub(super) generation: u64,
    pub(super) standing: Vec<Standing>,
    /// Paths of entries below which others wait in vain for an answer.
    pub(super) silent: Vec<(usize, PathBuf)>,
}

impl Looked {
    /// Which entries could not be looked for, and where nobody answered.
    #[must_use]
    pub fn silent(&self) -> Vec<(usize, PathBuf)> {
        self.silent.clone()
    }
}

impl Plan {
    /// Looks for them.
    #[must_use]
    pub fn look(&self, gate: &dyn Gate) -> Looked {
        let mut looked = Looked { generation: self.generation, ..Looked::default() };
        for (entry, pattern) in self.patterns.iter().enumerate() {
            let Some(paths) = self.expand(pattern, gate) else {
                let before = pattern.split_once("/*").map_or(pattern.as_str(), |(before, _)| before);
                looked.silent.push((entry, PathBuf::from(before)));
                continue;
            };
            for host_path in paths {
                if !may_enter(&host_path, gate) {
                    looked.silent.push((entry, host_path));
                    continue;
                }
                let Ok(path) = self.host.directory(&host_path) else { continue };
                let Some(identity) = directory_identity(&path) else { continue };
                looked.standing.push(Standing { entry, host_path, path, identity });
            }
        }
        looked
    }

    /// The host paths that a pattern stands for now, in name order; `None` when others wait for them in vain.
    fn expand(&self, pattern: &str, gate: &dyn Gate) -> Option<Vec<PathBuf>> {
        let Some((before, after)) = pattern.split_once("/*") else {
            return Some(vec![PathBuf::from(pattern)]);
        };
        if !may_enter(Path::new(before), gate) {
            return None;
        }
        let Ok(entries) = self.host.directory(before).and_then(fs::read_dir) else { return Some(Vec::new()) };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .take(MAX_MATCHES)
            .map(|entry| Path::new(before).join(entry.file_name()).join(after.trim_start_matches('/')))
            .collect();
        paths.sort();
        Some(paths)
    }
}

fn may_enter(path: &Path, gate: &dyn Gate) -> bool {
    let may = gate.enter(Whereabouts::path(path)).is_ok();
    if !may {
        gate.skip();
    }
    may
}

fn directory_identity(path: &Path) -> Option<(u64, u64)> {
    let metadata = fs::metadata(path).ok()?;
    metadata.is_dir().then(|| (metadata.dev(), metadata.ino()))
}
