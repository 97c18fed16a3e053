//! Open file descriptions that are older than the watch. They are found in /proc and taken over by a copy, which is the same
//! description to the kernel.

use std::fs::{self, File};
use std::path::Path;

use rustix::process::{self, PidfdFlags, PidfdGetfdFlags};

use crate::host_root::HostRoot;
use crate::model::{Pid, Role};
use crate::source::RootSpec;

/// At most so many descriptors of one process are looked at.
const MAX_DESCRIPTORS: usize = 65_536;

/// Shows each description of others that may lead to a state file of the roots, until `see` says no. Neither an access nor a
/// lookup of a path is made: /proc shows where a descriptor leads as text.
pub(super) fn search(host: &HostRoot, roots: &[RootSpec], see: &mut dyn FnMut(File, Pid) -> bool) {
    let Ok(processes) = fs::read_dir(host.path("/proc")) else { return };
    let own = std::process::id();
    for process in processes.flatten() {
        let Some(pid) = number(&process.file_name()).filter(|pid| *pid != own) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten().take(MAX_DESCRIPTORS) {
            let leads_there = fs::read_link(descriptor.path()).is_ok_and(|text| may_matter(&text, roots));
            let Some(fd) = number(&descriptor.file_name()).filter(|_| leads_there) else { continue };
            if let Some(file) = copy(pid, fd)
                && !see(file, Pid(pid))
            {
                return;
            }
        }
    }
}

/// The description behind another process's descriptor.
fn copy(pid: u32, fd: u32) -> Option<File> {
    let process = process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    let process = process::pidfd_open(process, PidfdFlags::empty()).ok()?;
    let copy = process::pidfd_getfd(process, i32::try_from(fd).ok()?, PidfdGetfdFlags::empty());
    let file = File::from(
        copy.inspect_err(|error| tracing::debug!(pid, fd, %error, "a descriptor stays unseen")).ok()?,
    );
    file.metadata().is_ok_and(|metadata| metadata.is_file()).then_some(file)
}

/// Whether a descriptor's text names a state or lock file, or a file below a root, which may be renamed over one.
fn may_matter(text: &Path, roots: &[RootSpec]) -> bool {
    let Some(name) = text.file_name() else { return false };
    let name = name.as_encoded_bytes();
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    roots.iter().any(|root| {
        let mut names = root.names.iter().filter(|pattern| pattern.role != Role::Temporary);
        text.starts_with(&root.path) || names.any(|pattern| pattern.matches(name))
    })
}

fn number(name: &std::ffi::OsStr) -> Option<u32> {
    name.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::model::RootId;
    use crate::source::{Depths, NamePattern, Shape};

    fn roots(path: &Path) -> Vec<RootSpec> {
        let name = NamePattern { role: Role::State, shape: Shape::Exact, text: "state.json".to_owned() };
        let (depths, locks) = (Depths::only(1), Depths::NONE);
        vec![RootSpec { id: RootId(0), path: path.to_owned(), depths, locks, names: vec![name] }]
    }

    #[test]
    fn a_state_file_is_told_by_its_name_and_another_by_its_directory() {
        let roots = roots(Path::new("/run/r"));
        for (text, expected) in [
            ("/run/r/a/state.json", true),
            ("/run/r/a/state.json (deleted)", true),
            ("/elsewhere/state.json", true),
            ("/run/r/a/tmp-1", true),
            ("/run/ra/tmp-1", false),
            ("pipe:[1]", false),
            ("/", false),
        ] {
            assert_eq!(may_matter(Path::new(text), &roots), expected, "{text}");
        }
    }

    #[test]
    fn what_another_process_has_open_is_found() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("state.json");
        fs::write(&path, "{}").unwrap();
        // `cat` waits for its input, with the file as its third descriptor.
        let mut holder = Command::new("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::options().append(true).open(&path).unwrap())
            .spawn()
            .unwrap();
        let mut found = Vec::new();
        search(&HostRoot::default(), &roots(root.path()), &mut |file, pid| {
            if file.metadata().is_ok_and(|metadata| metadata.len() == 2) && pid.0 == holder.id() {
                found.push(pid);
            }
            true
        });
        let id = Pid(holder.id());
        drop(holder.stdin.take());
        holder.wait().unwrap();
        assert_eq!(found, [id]);
    }
}
