//! Open file descriptions that are older than the watch. They are found in /proc and taken over by a copy, which is the same
//! description to the kernel.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, StatxFlags, statx};
use rustix::process::{self, PidfdFlags, PidfdGetfdFlags};

use crate::host_root::HostRoot;
use crate::model::{Pid, Role};
use crate::source::RootSpec;

/// At most so many descriptors of one process are looked at.
const MAX_DESCRIPTORS: usize = 65_536;

/// Shows each description of others that may lead to a state file of the roots, until `see` says no. Neither an access nor a
/// lookup of a path is made: /proc shows where a descriptor leads as text. A copy that is closed may have to wait for its
/// file system, so descriptors on one that may not answer are left alone, but on the devices of the roots.
pub(super) fn search(
    host: &HostRoot,
    roots: &[RootSpec],
    devices: &HashSet<(u32, u32)>,
    see: &mut dyn FnMut(File, Pid) -> bool,
) {
    let Ok(processes) = fs::read_dir(host.path("/proc")) else { return };
    let own = std::process::id();
    for process in processes.flatten() {
        let Some(pid) = number(&process.file_name()).filter(|pid| *pid != own) else { continue };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let mut mounts = None;
        for descriptor in descriptors.flatten().take(MAX_DESCRIPTORS) {
            let leads_there = fs::read_link(descriptor.path()).is_ok_and(|text| may_matter(&text, roots));
            let Some(fd) = number(&descriptor.file_name()).filter(|_| leads_there) else { continue };
            let mounts = mounts.get_or_insert_with(|| mounts_of(&process.path()));
            let mount = mount_of(&process.path(), fd).and_then(|mount| mounts.get(&mount));
            if !mount.is_some_and(|mount| mount.answers || devices.contains(&mount.device)) {
                tracing::debug!(pid, fd, "a descriptor on a mount that may not answer stays unseen");
                continue;
            }
            if let Some(file) = copy(pid, fd)
                && !see(file, Pid(pid))
            {
                return;
            }
        }
    }
}

/// A mount of another process.
struct Mount {
    device: (u32, u32),
    /// Its file system is in the kernel, and asks no server.
    answers: bool,
}

/// File systems that ask a server.
const SERVED: [&str; 13] = [
    "9p", "afs", "ceph", "cifs", "coda", "fuse", "fuseblk", "lustre", "ncpfs", "nfs", "nfs4", "orangefs",
    "smb3",
];

/// The mounts that a process sees, by number.
fn mounts_of(process: &Path) -> HashMap<u64, Mount> {
    let text = fs::read_to_string(process.join("mountinfo")).unwrap_or_default();
    text.lines().filter_map(mount).collect()
}

/// A line of /proc/PID/mountinfo.
fn mount(line: &str) -> Option<(u64, Mount)> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ');
    let number = fields.next()?.parse().ok()?;
    let (major, minor) = fields.nth(1)?.split_once(':')?;
    let kind = after.split(' ').next()?;
    let kind = kind.split_once('.').map_or(kind, |(kind, _)| kind);
    let device = (major.parse().ok()?, minor.parse().ok()?);
    Some((number, Mount { device, answers: !SERVED.contains(&kind) }))
}

/// The number of the mount that a descriptor leads over.
fn mount_of(process: &Path, fd: u32) -> Option<u64> {
    let text = fs::read_to_string(process.join(format!("fdinfo/{fd}"))).ok()?;
    text.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

/// The description behind another process's descriptor.
fn copy(pid: u32, fd: u32) -> Option<File> {
    let process = process::Pid::from_raw(i32::try_from(pid).ok()?)?;
    let process = process::pidfd_open(process, PidfdFlags::empty()).ok()?;
    let copy = process::pidfd_getfd(process, i32::try_from(fd).ok()?, PidfdGetfdFlags::empty());
    let file = File::from(
        copy.inspect_err(|error| tracing::debug!(pid, fd, %error, "a descriptor stays unseen")).ok()?,
    );
    // What the kernel knows without asking the file system.
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = statx(&file, "", flags, StatxFlags::TYPE).ok()?;
    (FileType::from_raw_mode(found.stx_mode.into()) == FileType::RegularFile).then_some(file)
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
        search(&HostRoot::default(), &roots(root.path()), &HashSet::new(), &mut |file, pid| {
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

    #[test]
    fn a_mount_that_asks_a_server_is_told_from_others() {
        let told = |line| mount(line).map(|(number, mount)| (number, mount.device, mount.answers));
        for (line, expected) in [
            ("36 35 98:0 /m1 /m2 rw,noatime master:1 - ext3 /dev/root rw", Some((36, (98, 0), true))),
            ("41 35 0:41 / /m rw - fuse.sshfs a:/ rw", Some((41, (0, 41), false))),
            ("42 35 0:42 / /m rw shared:7 - nfs4 server:/ rw,soft", Some((42, (0, 42), false))),
            ("43 35 0:43 / /a\\040b rw - fuse fuse rw", Some((43, (0, 43), false))),
            ("44 35 0:44 / / rw - overlay overlay rw,lowerdir=a", Some((44, (0, 44), true))),
            ("", None),
        ] {
            assert_eq!(told(line), expected, "{line}");
        }
        let own = Path::new("/proc/self");
        let file = File::open("/proc/self/status").unwrap();
        let fd = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(&file)).unwrap();
        assert!(mounts_of(own)[&mount_of(own, fd).unwrap()].answers);
    }
}
