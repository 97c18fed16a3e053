//! `scan`: every state file read, and the broken ones told.

mod report;
mod settle;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::clock::rfc3339;
use crate::config::Config;
use crate::enrich::{Inspection, inspect};
use crate::files::{Gate, Whereabouts, regular_file};
use crate::host_root::HostRoot;
use crate::model::Content;
use crate::profile::{self, Found, Looked, Root, Roots, Way, is_absent, obstacles, walk};
use crate::workers::Asking;

use settle::{Certainty, Doubt, first, settle};

pub use report::{Broken, Report, ScannedRoot, Unread};

/// What threads find out.
enum Answer {
    Absent(Vec<String>),
    Roots(Looked),
    Obstacles(Vec<(PathBuf, io::Error)>),
    Root(Report, Vec<Doubt>),
    Settled(Vec<(Doubt, Certainty)>),
}

/// Returns the roots that were typed and do not exist, as typed. One that does not answer is not among them.
#[must_use]
pub fn absent_typed_roots(config: &Config) -> Vec<String> {
    let (host, roots) = (config.host(), config.roots.clone());
    if !config.roots_are_typed {
        return Vec::new();
    }
    let is_absent = move |gate: &dyn Gate| {
        let absent = roots.iter().filter(|entry| {
            let may = gate.enter(Whereabouts::path(Path::new(&entry.pattern))).is_ok();
            gate.skip();
            may && is_absent(&host, entry)
        });
        Answer::Absent(absent.map(|entry| entry.pattern.clone()).collect())
    };
    match Asking::new().ok().and_then(|mut asking| asking.ask(is_absent)) {
        Some(Answer::Absent(absent)) => absent,
        _ => Vec::new(),
    }
}

/// Looks below every root. Needs no privilege beyond reading, opens nothing but regular files and directories, and waits
/// for nobody but, for a few seconds, for those who are saving a file and for mounts that do not answer.
///
/// # Errors
/// The system gives no timer.
pub fn scan(config: &Config) -> io::Result<Report> {
    let mut asking = Asking::new()?;
    let mut roots = Roots::new(config.host(), config.roots.clone());
    let mut report = Report::default();
    let plan = roots.plan();
    if let Some(Answer::Roots(looked)) = asking.ask(move |gate| Answer::Roots(plan.look(gate))) {
        for (entry, path) in looked.silent() {
            let runtime = &*roots.entries()[entry].profile.name;
            report.unread(runtime, &path.display().to_string(), &silent());
        }
        roots.take(looked);
    }
    for (index, entry) in roots.entries().iter().enumerate() {
        let runtime = &*entry.profile.name;
        let (host, of) = (config.host(), entry.clone());
        let found = asking.ask(move |gate| {
            let may = gate.enter(Whereabouts::path(Path::new(&of.pattern))).is_ok();
            gate.skip();
            Answer::Obstacles(if may { obstacles(&host, &of) } else { Vec::new() })
        });
        if let Some(Answer::Obstacles(obstacles)) = found {
            for (path, error) in obstacles {
                report.unread(runtime, &path.display().to_string(), &error);
            }
        }
        let here = roots.table().iter().filter(|root| root.entry == index && root.present);
        report.roots.push(ScannedRoot {
            runtime: runtime.to_owned(),
            root: entry.pattern.clone(),
            directories: here.map(|root| root.host_path.display().to_string()).collect(),
        });
    }
    let table = roots.table();
    let mut doubts = Vec::new();
    for (index, root) in table.iter().enumerate().filter(|(_, root)| root.present) {
        let (host, of) = (config.host(), root.clone());
        match asking.ask(move |gate| read_root(&host, index, &of, gate)) {
            Some(Answer::Root(found, doubtful)) => {
                report.add(found);
                doubts.extend(doubtful);
            }
            _ => report.unread(&root.profile.name, &root.host_path.display().to_string(), &silent()),
        }
    }
    let (paths, open) = (table.iter().map(|root| root.path.clone()).collect::<Vec<_>>(), doubts.clone());
    let certain = asking.ask(move |gate| {
        let mut read = |root: usize, path: &Path| read(&paths[root], path, gate);
        Answer::Settled(settle(open.clone(), gate, &mut read))
    });
    let certain = match certain {
        Some(Answer::Settled(certain)) => certain,
        _ => doubts.into_iter().map(|doubt| (doubt, Certainty::Unread(silent()))).collect(),
    };
    for (doubt, certainty) in certain {
        if let Some(root) = table.get(doubt.root) {
            conclude(root, &doubt, certainty, &mut report);
        }
    }
    Ok(report)
}

/// Of what does not answer.
fn silent() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it does not answer")
}

/// Reads what lies below a root, by its path or, where a link leads elsewhere, by that one.
fn read(root: &Path, path: &Path, gate: &dyn Gate) -> io::Result<Inspection> {
    match (path.strip_prefix(root), path.parent(), path.file_name()) {
        (Ok(relative), ..) => inspect(root, relative, gate),
        (Err(_), Some(directory), Some(name)) => inspect(directory, Path::new(name), gate),
        (Err(_), ..) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Reads all that lies below a root once.
fn read_root(host: &HostRoot, index: usize, root: &Root, gate: &dyn Gate) -> Answer {
    let (mut report, mut doubts) = (Report::default(), Vec::new());
    let mut read = |_: usize, path: &Path| read(&root.path, path, gate);
    look(root, gate, &mut report, &mut |name, is_link, report| {
        // A link that leads to no regular file is what stands there.
        let target = if is_link {
            let on_host = root.host_path.join(name.strip_prefix(&root.path).unwrap_or(name));
            regular_file(&host.path("/"), &on_host, gate)
        } else {
            Ok(name.to_owned())
        };
        let refused =
            |error: &io::Error| matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock);
        let first = match target {
            Ok(path) => first(index, (name, &path), &mut read),
            Err(error) if refused(&error) => Err(error),
            Err(_) => first(index, (name, name), &mut read),
        };
        // The others are read all the same.
        gate.skip();
        match first {
            Ok(Ok(inspection)) => count(root, name, &inspection, report),
            Ok(Err(doubt)) => doubts.push(doubt),
            // Not every container has one, and any of them may go at any time.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => report.unread(&root.profile.name, &on_host(root, name), &error),
        }
    });
    Answer::Root(report, doubts)
}

/// Calls `read` for every state file below a root, and says whether a link is on the way.
fn look(root: &Root, gate: &dyn Gate, report: &mut Report, read: &mut dyn FnMut(&Path, bool, &mut Report)) {
    if root.profile.content == profile::Content::None {
        return;
    }
    // A name may be given twice, exactly and by a pattern.
    let mut names = BTreeSet::new();
    let mut last = None;
    walk(root, gate, &mut |found| match found {
        Found::Name(..) | Found::Behind(_) => {
            let (path, is_link) = match found {
                Found::Name(path, _, way) => (path, way == Way::Link),
                Found::Behind(path) => (path, true),
                Found::Refused(..) | Found::Silent(_) => return,
            };
            if last.as_deref() != path.parent() {
                names.clear();
                last = path.parent().map(Path::to_owned);
            }
            if names.insert(path.file_name().map(ToOwned::to_owned)) {
                read(&path, is_link, report);
            }
        }
        // The root itself was told already when it cannot be looked into.
        Found::Refused(path, _) if path == root.path => {}
        Found::Silent(path) => {
            report.unread(&root.profile.name, &on_host(root, &path), &silent());
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
    let path = &doubt.name;
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
