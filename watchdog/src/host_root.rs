//! Turns a path of the host into a path that this process can open.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// So many symbolic links are followed on the way to one file, as the kernel does it.
const MAX_LINKS: usize = 40;

/// Where the host's `/` is: `/` itself, the mount point in a DaemonSet, a folder in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoot(PathBuf);

/// A step on the way down.
enum Step {
    Up,
    Into(OsString),
}

impl HostRoot {
    /// A host whose `/` is at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The same path below the prefix; `..` cannot lead out. For /proc and /sys, which may be links to this process's own:
    /// a symbolic link that stands there leads where it leads in this process's view.
    #[must_use]
    pub fn path(&self, host: impl AsRef<Path>) -> PathBuf {
        let mut path = self.0.clone();
        for step in steps(host.as_ref()) {
            self.take(&mut path, step);
        }
        path
    }

    /// The openable path of a directory of the host. Symbolic links lead where they lead on the host: an absolute one
    /// begins at its `/` and not at ours. What is returned holds no links, so that it means the same to everybody.
    ///
    /// # Errors
    /// Something on the way is not there, cannot be passed, or leads in a circle.
    pub fn directory(&self, host: impl AsRef<Path>) -> io::Result<PathBuf> {
        let host = host.as_ref();
        // The kernel knows its own links best.
        if self.0 == Path::new("/") {
            return Ok(self.path(host));
        }
        let mut path = self.0.clone();
        let mut ahead: Vec<Step> = steps(host).rev().collect();
        let mut links = 0;
        while let Some(step) = ahead.pop() {
            self.take(&mut path, step);
            if path == self.0 || !fs::symlink_metadata(&path)?.is_symlink() {
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::from_raw_os_error(libc::ELOOP));
            }
            let target = fs::read_link(&path)?;
            if target.is_absolute() {
                path.clone_from(&self.0);
            } else {
                path.pop();
            }
            ahead.extend(steps(&target).rev());
        }
        Ok(path)
    }

    /// The openable path of a file of the host: as [`Self::directory`] up to its name, which is not looked at.
    ///
    /// # Errors
    /// As there, or the path has no last name.
    pub fn file(&self, host: impl AsRef<Path>) -> io::Result<PathBuf> {
        let host = host.as_ref();
        let name = host.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.directory(host.parent().unwrap_or(Path::new("/")))?.join(name))
    }

    fn take(&self, path: &mut PathBuf, step: Step) {
        match step {
            Step::Into(name) => path.push(name),
            Step::Up if *path != self.0 => drop(path.pop()),
            Step::Up => {}
        }
    }
}

fn steps(path: &Path) -> impl DoubleEndedIterator<Item = Step> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(Step::Into(name.to_owned())),
        Component::ParentDir => Some(Step::Up),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

impl Default for HostRoot {
    fn default() -> Self {
        Self::new("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn host_paths_lie_below_the_prefix() {
        let host = HostRoot::new("/host");
        assert_eq!(host.path("/run/runc"), Path::new("/host/run/runc"));
        assert_eq!(host.path("/../../etc/./passwd"), Path::new("/host/etc/passwd"));
        assert_eq!(HostRoot::default().path("/run/runc"), Path::new("/run/runc"));
    }

    /// A host as distributions lay it out, and a few traps.
    fn host() -> (tempfile::TempDir, HostRoot) {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for directory in ["run/runc/abc", "var/lib", "data/docker/containers"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        for (target, link) in [
            ("/run", "var/run"),
            ("/data/docker", "var/lib/docker"),
            ("../../run/runc", "var/lib/relative"),
            ("../../../../../../run", "var/lib/climber"),
            ("/var/lib/round", "var/lib/about"),
            ("about", "var/lib/round"),
            ("/nowhere", "run/dangling"),
            ("/etc/passwd", "run/runc/abc/state.json"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        fs::write(at("run/file"), "").unwrap();
        let host = HostRoot::new(folder.path());
        (folder, host)
    }

    #[test]
    fn symbolic_links_lead_where_they_lead_on_the_host() {
        let (folder, host) = host();
        let found = |path: &str| {
            let found = host.directory(path).map_err(|error| error.raw_os_error().unwrap());
            found.map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string())
        };
        for (path, expected) in [
            ("/run/runc", "run/runc"),
            ("/var/run/runc", "run/runc"),
            ("/var/lib/docker/containers", "data/docker/containers"),
            ("/var/lib/relative/abc", "run/runc/abc"),
            ("/var/lib/climber/runc", "run/runc"),
            ("/var/run/../data", "data"),
            ("/../../run", "run"),
            ("/", ""),
        ] {
            assert_eq!(found(path).as_deref(), Ok(expected), "{path}");
        }
        for (path, error) in [
            ("/var/lib/round", libc::ELOOP),
            ("/run/dangling", libc::ENOENT),
            ("/var/run/dangling/deeper", libc::ENOENT),
            ("/run/file/deeper", libc::ENOTDIR),
            ("/run/none", libc::ENOENT),
        ] {
            assert_eq!(found(path), Err(error), "{path}");
        }
    }

    #[test]
    fn a_file_s_own_name_is_not_followed() {
        let (folder, host) = host();
        let path = host.file("/var/run/runc/abc/state.json").unwrap();
        assert_eq!(path, folder.path().join("run/runc/abc/state.json"));
        assert!(host.file("/var/run/dangling/state.json").is_err());
        assert!(host.file("/").is_err());
    }
}
