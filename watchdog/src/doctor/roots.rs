//! The roots as the doctor sees them: which stand, what lies there, what cannot be read.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::config::Config;
use crate::enrich::{Content, inspect};
use crate::files::{Gate, Whereabouts};
use crate::profile::{self, Found, Looked, Root, Roots, obstacles, walk};
use crate::workers::Asking;

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

/// What threads find out.
enum Answer {
    Roots(Looked),
    Obstacles(Vec<(PathBuf, io::Error)>),
    Root(DirectoryView, HashSet<PathBuf>, bool),
}

/// What threads do, again where something does not answer.
type Task = Box<dyn Fn(&dyn Gate) -> Answer + Send + Sync>;

/// All roots, and how many directories there are to watch. What does not answer is waited for for seconds.
pub(super) fn examine(config: &Config) -> (Vec<RootView>, u64) {
    let mut asking = Asking::new().ok();
    let mut ask = |task: Task| asking.as_mut()?.ask(task);
    let mut roots = Roots::new(config.host(), config.roots.clone());
    let plan = roots.plan();
    let mut silent = Vec::new();
    if let Some(Answer::Roots(looked)) = ask(Box::new(move |gate| Answer::Roots(plan.look(gate)))) {
        silent = looked.silent();
        roots.take(looked);
    }
    let mut directories = HashSet::new();
    let mut views = Vec::new();
    for (index, entry) in roots.entries().iter().enumerate() {
        let (host, of) = (config.host(), entry.clone());
        let found = ask(Box::new(move |gate| {
            let may = gate.enter(Whereabouts::path(Path::new(&of.pattern))).is_ok();
            gate.skip();
            Answer::Obstacles(if may { obstacles(&host, &of) } else { Vec::new() })
        }));
        let obstacles = if let Some(Answer::Obstacles(found)) = found { found } else { Vec::new() };
        let mut denied = obstacles.iter().any(|(_, error)| is_denied(error));
        let silent = silent.iter().filter(|(of, _)| *of == index);
        let silent = silent.map(|(_, path)| format!("{}: it does not answer", path.display()));
        let refused = obstacles.iter().map(|(path, error)| format!("{}: {error}", path.display()));
        let mut view = RootView {
            runtime: entry.profile.name.to_string(),
            root: entry.pattern.clone(),
            present: roots.is_present(index),
            directories: Vec::new(),
            refused: refused.chain(silent).collect(),
            remedy: None,
        };
        for root in roots.table().iter().filter(|root| root.entry == index && root.present) {
            let of = root.clone();
            match ask(Box::new(move |gate| look(&of, gate))) {
                Some(Answer::Root(found, below, is_denied)) => {
                    view.directories.push(found);
                    directories.extend(below);
                    denied |= is_denied;
                }
                _ => view.refused.push(format!("{}: it does not answer", root.host_path.display())),
            }
        }
        view.remedy = denied.then_some(DENIED);
        views.push(view);
    }
    (views, directories.len() as u64)
}

fn look(root: &Root, gate: &dyn Gate) -> Answer {
    /// More directories are not told apart.
    const MAX: usize = 100_000;
    let path = root.host_path.display().to_string();
    let mut view = DirectoryView { path, state_files: 0, damaged: 0, unreadable: 0 };
    let (mut directories, mut denied) = (HashSet::from([root.path.clone()]), false);
    walk(root, gate, &mut |found| {
        let refused = match found {
            Found::Name(path, ..) | Found::Behind(path) => {
                let above = path.ancestors().skip(1).take_while(|above| *above != root.path);
                for above in above.filter(|above| *above != Path::new("/")) {
                    if directories.len() < MAX && !directories.contains(above) {
                        directories.insert(above.to_owned());
                    }
                }
                let relative = path.strip_prefix(&root.path).unwrap_or(&path);
                let inspection = inspect(&root.path, relative, gate);
                // The others are read all the same.
                gate.skip();
                inspection.map(|inspection| {
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
            denied |= is_denied(&error);
        }
    });
    Answer::Root(view, directories, denied)
}

fn is_denied(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied
}
