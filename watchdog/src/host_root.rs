//! Turns a path of the host into a path that this process can open.

use std::path::{Component, Path, PathBuf};

/// Where the host's `/` is: `/` itself, the mount point in a DaemonSet, a folder in a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRoot(PathBuf);

impl HostRoot {
    /// A host whose `/` is at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The openable path for a path of the host. `..` cannot lead out.
    #[must_use]
    pub fn path(&self, host: impl AsRef<Path>) -> PathBuf {
        let mut path = self.0.clone();
        for component in host.as_ref().components() {
            match component {
                Component::Normal(name) => path.push(name),
                Component::ParentDir => {
                    if path != self.0 {
                        path.pop();
                    }
                }
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
        path
    }
}

impl Default for HostRoot {
    fn default() -> Self {
        Self::new("/")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_paths_lie_below_the_prefix() {
        let host = HostRoot::new("/host");
        assert_eq!(host.path("/run/runc"), Path::new("/host/run/runc"));
        assert_eq!(host.path("/../../etc/./passwd"), Path::new("/host/etc/passwd"));
        assert_eq!(HostRoot::default().path("/run/runc"), Path::new("/run/runc"));
    }
}
