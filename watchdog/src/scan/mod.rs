//! `scan`: every state file read once, and the broken ones told.

mod report;

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::clock::rfc3339;
use crate::config::Config;
use crate::enrich::{Content, inspect};
use crate::files::Ungated;
use crate::profile::{self, Found, Root, Roots, obstacles, walk};

pub use report::{Broken, Report, ScannedRoot, Unread};

/// Looks below every root. Needs no privilege beyond reading, opens nothing but regular files and directories, and waits
/// for nobody.
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
    for root in roots.table().iter().filter(|root| root.present) {
        look(root, &mut report);
    }
    report
}

fn look(root: &Root, report: &mut Report) {
    if root.profile.content == profile::Content::None {
        return;
    }
    // A name may be given twice, exactly and by a pattern.
    let mut names = BTreeSet::new();
    let mut last = None;
    walk(root, &mut |found| match found {
        Found::Name(path) => {
            if last.as_deref() != path.parent() {
                names.clear();
                last = path.parent().map(Path::to_owned);
            }
            if names.insert(path.file_name().map(ToOwned::to_owned)) {
                read(root, &path, report);
            }
        }
        // The root itself was told already when it cannot be looked into.
        Found::Refused(path, _) if path == root.path => {}
        Found::Refused(path, error) => report.unread(&root.profile.name, &on_host(root, &path), &error),
    });
}

fn read(root: &Root, path: &Path, report: &mut Report) {
    let relative = path.strip_prefix(&root.path).unwrap_or(path);
    let inspection = match inspect(&root.path, relative, &Ungated) {
        Ok(inspection) => inspection,
        // Not every container has one, and any of them may go at any time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => return report.unread(&root.profile.name, &on_host(root, path), &error),
    };
    report.state_files += 1;
    let Content::Damaged(damage) = inspection.content else { return };
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
