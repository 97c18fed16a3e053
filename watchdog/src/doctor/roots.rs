//! The roots as the doctor sees them: which stand, what lies there, what cannot be read.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::Config;
use crate::enrich::{Content, inspect};
use crate::files::Ungated;
use crate::profile::{self, Found, Root, Roots, obstacles, walk};

/// A root as configured.
#[derive(Debug, Serialize)]
pub(super) struct RootView {
    pub(super) runtime: String,
    pub(super) root: String,
    pub(super) present: bool,
    pub(super) directories: Vec<DirectoryView>,
    /// Paths that cannot be looked into, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) refused: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<&'static str>,
}

/// A directory that stands where a root points.
#[derive(Debug, Serialize)]
pub(super) struct DirectoryView {
    pub(super) path: String,
    /// State files that could be read.
    pub(super) state_files: u64,
    /// How many of them are broken; `scan` tells which.
    pub(super) damaged: u64,
    /// Files and directories below it that could not be read.
    pub(super) unreadable: u64,
}

const DENIED: &str = "run as root, or grant CAP_DAC_READ_SEARCH";

/// All roots, and how many directories there are to watch.
pub(super) fn examine(config: &Config) -> (Vec<RootView>, u64) {
    let mut roots = Roots::new(config.host(), config.roots.clone());
    roots.refresh();
    let mut directories = HashSet::new();
    let mut views = Vec::new();
    for (index, entry) in roots.entries().iter().enumerate() {
        let obstacles = obstacles(&config.host(), entry);
        let mut denied = obstacles.iter().any(|(_, error)| is_denied(error));
        let mut view = RootView {
            runtime: entry.profile.name.to_string(),
            root: entry.pattern.clone(),
            present: roots.is_present(index),
            directories: Vec::new(),
            refused: obstacles.iter().map(|(path, error)| format!("{}: {error}", path.display())).collect(),
            remedy: None,
        };
        for root in roots.table().iter().filter(|root| root.entry == index && root.present) {
            view.directories.push(look(root, &mut directories, &mut denied));
        }
        view.remedy = denied.then_some(DENIED);
        views.push(view);
    }
    (views, directories.len() as u64)
}

fn look(root: &Root, directories: &mut HashSet<PathBuf>, denied: &mut bool) -> DirectoryView {
    /// More directories are not told apart.
    const MAX: usize = 100_000;
    let path = root.host_path.display().to_string();
    let mut view = DirectoryView { path, state_files: 0, damaged: 0, unreadable: 0 };
    directories.insert(root.path.clone());
    walk(root, &Ungated, &mut |found| {
        let refused = match found {
            Found::Name(path, ..) | Found::Behind(path) => {
                let above = path.ancestors().skip(1).take_while(|above| *above != root.path);
                for above in above.filter(|above| *above != Path::new("/")) {
                    if directories.len() < MAX && !directories.contains(above) {
                        directories.insert(above.to_owned());
                    }
                }
                let relative = path.strip_prefix(&root.path).unwrap_or(&path);
                inspect(&root.path, relative, &Ungated).map(|inspection| {
                    view.state_files += 1;
                    let is_judged = root.profile.content == profile::Content::Json;
                    view.damaged += u64::from(is_judged && inspection.content != Content::Valid);
                })
            }
            Found::Refused(_, error) => Err(error),
            Found::Silent(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = refused
            && error.kind() != io::ErrorKind::NotFound
        {
            view.unreadable += 1;
            *denied |= is_denied(&error);
        }
    });
    view
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
