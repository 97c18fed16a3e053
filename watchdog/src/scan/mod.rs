//! `scan`: every state file read, and the broken ones told.

mod report;
mod settle;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::clock::rfc3339;
use crate::config::Config;
use crate::enrich::{Inspection, inspect};
use crate::files::Ungated;
use crate::model::Content;
use crate::profile::{self, Found, Root, Roots, is_absent, obstacles, walk};

use settle::{Certainty, Doubt, first, settle};

pub use report::{Broken, Report, ScannedRoot, Unread};

/// Returns the roots that were typed and do not exist, as typed.
#[must_use]
pub fn absent_typed_roots(config: &Config) -> Vec<&str> {
    let host = config.host();
    let absent = config.roots.iter().filter(|entry| config.roots_are_typed && is_absent(&host, entry));
    absent.map(|entry| &*entry.pattern).collect()
}

/// Looks below every root. Needs no privilege beyond reading, opens nothing but regular files and directories, and waits
/// for nobody but, for a few seconds, for those who are saving a file.
#[must_use]
pub fn scan(config: &Config) -> Report {
    let mut roots = Roots::new(config.host(), config.roots.clone());
    roots.refresh();
    let mut report = Report::default();
    for (index, entry) in roots.entries().iter().enumerate() {
        let runtime = &*entry.profile.name;
        for (path, error) in obstacles(&config.host(), entry) {
            report.unread(runtime, &path.display().to_string(), &error);
        }
        let here = roots.table().iter().filter(|root| root.entry == index && root.present);
        report.roots.push(ScannedRoot {
            runtime: runtime.to_owned(),
            root: entry.pattern.clone(),
            directories: here.map(|root| root.host_path.display().to_string()).collect(),
        });
    }
    let table = roots.table();
    let mut read = |root: usize, path: &Path| match table.get(root) {
        Some(root) => inspect(&root.path, path.strip_prefix(&root.path).unwrap_or(path), &Ungated),
        None => Err(io::ErrorKind::NotFound.into()),
    };
    let mut doubts = Vec::new();
    for (index, root) in table.iter().enumerate().filter(|(_, root)| root.present) {
        look(root, &mut report, &mut |path, report| {
            match first(index, path, &mut read) {
                Ok(Ok(inspection)) => count(root, path, &inspection, report),
                Ok(Err(doubt)) => doubts.push(doubt),
                // Not every container has one, and any of them may go at any time.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => report.unread(&root.profile.name, &on_host(root, path), &error),
            }
        });
    }
    for (doubt, certainty) in settle(doubts, &mut read) {
        if let Some(root) = table.get(doubt.root) {
            conclude(root, &doubt, certainty, &mut report);
        }
    }
    report
}

/// Calls `read` for every state file below a root.
fn look(root: &Root, report: &mut Report, read: &mut dyn FnMut(&Path, &mut Report)) {
    if root.profile.content == profile::Content::None {
        return;
    }
    // A name may be given twice, exactly and by a pattern.
    let mut names = BTreeSet::new();
    let mut last = None;
    walk(root, &Ungated, &mut |found| match found {
        Found::Name(path, ..) | Found::Behind(path) => {
            if last.as_deref() != path.parent() {
                names.clear();
                last = path.parent().map(Path::to_owned);
            }
            if names.insert(path.file_name().map(ToOwned::to_owned)) {
                read(&path, report);
            }
        }
        // The root itself was told already when it cannot be looked into.
        Found::Refused(path, _) if path == root.path => {}
        Found::Silent(path) => {
            let error = io::ErrorKind::TimedOut.into();
            report.unread(&root.profile.name, &on_host(root, &path), &error);
        }
        Found::Refused(path, error) => report.unread(&root.profile.name, &on_host(root, &path), &error),
    });
}

/// Counts a file that is not broken.
fn count(root: &Root, path: &Path, inspection: &Inspection, report: &mut Report) {
    if inspection.content == Content::NotJudged {
        let why = inspection.complaint.as_ref().map_or("not judged", |complaint| &complaint.message);
        report.unread(&root.profile.name, &on_host(root, path), &io::Error::other(why));
    } else {
        report.state_files += 1;
    }
}

fn conclude(root: &Root, doubt: &Doubt, certainty: Certainty, report: &mut Report) {
    let Doubt { path, .. } = doubt;
    match certainty {
        Certainty::NotBroken(Some(inspection)) => count(root, path, &inspection, report),
        Certainty::NotBroken(None) => {}
        Certainty::Broken(inspection) => broken(root, path, inspection, report),
        Certainty::Restless => {
            let error = io::Error::other("written all the time, and damaged whenever it was read");
            report.unread(&root.profile.name, &on_host(root, path), &error);
        }
        Certainty::Unread(error) => report.unread(&root.profile.name, &on_host(root, path), &error),
    }
}

fn broken(root: &Root, path: &Path, inspection: Inspection, report: &mut Report) {
    let Content::Damaged(damage) = inspection.content else { return };
    report.state_files += 1;
    let directory = path.parent().and_then(|parent| parent.strip_prefix(&root.path).ok());
    let directory = directory.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default();
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let position = inspection.complaint.as_ref().and_then(|complaint| complaint.position);
    report.broken(Broken {
        path: on_host(root, path),
        runtime: root.profile.name.to_string(),
        root: root.host_path.display().to_string(),
        container_id: root.profile.container_id(&directory, &file).to_owned(),
        damage: damage.as_str(),
        size: inspection.size,
        modified: inspection.modified.map(rfc3339),
        error: inspection.complaint.map(|complaint| complaint.message).unwrap_or_default(),
        line: position.map(|(line, _)| line),
        column: position.map(|(_, column)| column),
    });
}

/// A path below the root as the host names it.
fn on_host(root: &Root, path: &Path) -> String {
    let below = path.strip_prefix(&root.path).unwrap_or(path);
    root.host_path.join(below).display().to_string()
}
