//! The kernel's limits on inotify, and what helps when one is reached.

use std::fs;
use std::io;

use crate::host_root::HostRoot;

/// The limits as the kernel shows them; `None` where it does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Limits {
    /// Instances of one user.
    pub max_user_instances: Option<u64>,
    /// Watches of one user: one for each directory.
    pub max_user_watches: Option<u64>,
    /// Events that wait in one queue.
    pub max_queued_events: Option<u64>,
}

impl Limits {
    /// Asks the kernel.
    #[must_use]
    pub fn read(host: &HostRoot) -> Self {
        let limit = |name: &str| {
            let path = host.path(format!("/proc/sys/fs/inotify/{name}"));
            fs::read_to_string(path).ok()?.trim().parse().ok()
        };
        Self {
            max_user_instances: limit("max_user_instances"),
            max_user_watches: limit("max_user_watches"),
            max_queued_events: limit("max_queued_events"),
        }
    }
}

/// The error with the remedy, where a limit is the cause.
pub(super) fn explain(error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::StorageFull => "raise fs.inotify.max_user_watches",
        _ if error.raw_os_error() == Some(libc::EMFILE) => {
            "raise fs.inotify.max_user_instances, or the limit on open files"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{error}; {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_names_its_remedy_and_other_errors_stay_as_they_are() {
        let said = |code| explain(io::Error::from_raw_os_error(code)).to_string();
        assert!(said(libc::ENOSPC).ends_with("raise fs.inotify.max_user_watches"));
        assert!(said(libc::EMFILE).contains("raise fs.inotify.max_user_instances"));
        assert_eq!(said(libc::EACCES), io::Error::from_raw_os_error(libc::EACCES).to_string());
    }

    #[test]
    fn limits_are_read_below_the_host_root() {
        let host = tempfile::tempdir().unwrap();
        let folder = host.path().join("proc/sys/fs/inotify");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("max_user_watches"), "8192\n").unwrap();
        fs::write(folder.join("max_user_instances"), "nonsense").unwrap();
        let limits = Limits::read(&HostRoot::new(host.path()));
        assert_eq!(limits, Limits { max_user_watches: Some(8192), ..Limits::default() });
    }
}
