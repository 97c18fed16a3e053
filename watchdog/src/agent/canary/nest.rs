//! The canary's directory and what it does there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::model::Role;
use crate::profile::Profile;
use crate::source::{CANARY, Depths, NamePattern, RootSpec, Shape};

/// A directory of our own; it goes when this is dropped.
#[derive(Debug)]
pub(super) struct Nest {
    directory: TempDir,
    /// Where the file lies.
    container: PathBuf,
    name: String,
    depths: Depths,
    locks: Depths,
    names: Vec<NamePattern>,
}

/// All nests are called so, with the pid of their owner and something random behind.
const PREFIX: &str = "state-watchdog-canary.";

impl Nest {
    /// Makes a directory that looks like a root of the profile. Says where it tried when it cannot.
    pub(super) fn build(profile: &Profile) -> Result<Self, String> {
        let Some(name) = state_file(&profile.names) else {
            return Err("no profile names a state file".to_owned());
        };
        let runtime_directory = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
        let mut tried = Vec::new();
        for place in runtime_directory.into_iter().chain(["/dev/shm", "/run", "/tmp"].map(PathBuf::from)) {
            sweep(&place);
            match dig(&place, profile.depths.iter().next().unwrap_or_default()) {
                Ok((directory, container)) => {
                    let (depths, locks, names) = (profile.depths, profile.locks(), profile.names.clone());
                    return Ok(Self { directory, container, name, depths, locks, names });
                }
                Err(error) => tried.push(format!("{}: {error}", place.display())),
            }
        }
        Err(format!("no directory can be made ({})", tried.join("; ")))
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn root(&self) -> RootSpec {
        let path = self.directory().to_owned();
        RootSpec { id: CANARY, path, depths: self.depths, locks: self.locks, names: self.names.clone() }
    }

    /// Does with the file once what a runtime may do. Names are relative: of the agent's own calls, the probes show only
    /// those that begin in its own root.
    pub(super) fn sing(&self) -> io::Result<()> {
        let directory = File::open(&self.container)?;
        let beside = "canary";
        File::create(self.container.join(beside))?.write_all(b"{}")?;
        rustix::fs::renameat(&directory, beside, &directory, &self.name)?;
        let path = self.container.join(&self.name);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        file.read_at(&mut [0; 2], 0)?;
        file.write_all_at(b"[]", 0)?;
        file.set_len(0)?;
        drop(file);
        Ok(rustix::fs::unlinkat(&directory, &self.name, rustix::fs::AtFlags::empty())?)
    }
}

/// A new directory that nobody else may enter, and the one in it where a state file lies.
fn dig(place: &Path, depth: u8) -> io::Result<(TempDir, PathBuf)> {
    let prefix = format!("{PREFIX}{}.", std::process::id());
    let directory = tempfile::Builder::new().prefix(&prefix).tempdir_in(place)?;
    let container = (0..depth).fold(directory.path().to_owned(), |path, _| path.join("canary"));
    fs::create_dir_all(&container)?;
    Ok((directory, container))
}

/// A name that the patterns take for a state file's.
fn state_file(names: &[NamePattern]) -> Option<String> {
    let state = || names.iter().filter(|name| name.role == Role::State);
    let exact = state().find(|name| name.shape == Shape::Exact);
    // A name that is nothing but its beginning or end matches, too.
    exact.or_else(|| state().next()).map(|name| name.text.clone())
}

/// Removes the nests of agents that were killed.
fn sweep(place: &Path) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let rest = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        let owner = rest.and_then(|rest| rest.split_once('.')?.0.parse::<u32>().ok());
        let is_left = owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists());
        // Anybody may make a directory of that name in /tmp.
        let is_ours = |entry: &fs::DirEntry| {
            let mine = fs::metadata("/proc/self").map(|me| me.uid()).ok();
            entry.metadata().is_ok_and(|metadata| metadata.is_dir() && Some(metadata.uid()) == mine)
        };
        if is_left && is_ours(&entry) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
