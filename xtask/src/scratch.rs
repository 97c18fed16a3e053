//! Folders of a check's own, gone when it ends.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result};

/// Where state files are kept: real nodes keep them in memory, and disks tear more often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Medium {
    /// A tmpfs.
    Memory,
    /// The disk.
    Disk,
}

impl Medium {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::Memory, Self::Disk];

    /// For headings and runtime names.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "tmpfs",
            Self::Disk => "disk",
        }
    }

    fn base(self) -> &'static Path {
        match self {
            Self::Memory => Path::new("/dev/shm"),
            // Survives a reboot, so it is on a disk, and is not a tmpfs even where /tmp is one.
            Self::Disk => Path::new("/var/tmp"),
        }
    }
}

/// A folder that is removed with all it holds.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder that nothing else uses.
    pub(crate) fn new(medium: Medium) -> Result<Self> {
        Self::below(medium.base())
    }

    /// The same in a folder that is there already.
    pub(crate) fn below(base: &Path) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = base.join(format!("state-watchdog-{}-{number}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self(folder))
    }

    /// Removes the folders that a process which was killed left on the disk.
    pub(crate) fn remove_of(process: u32) -> Result<()> {
        let prefix = format!("state-watchdog-{process}-");
        for entry in fs::read_dir(Medium::Disk.base())? {
            let path = entry?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
                fs::remove_dir_all(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            }
        }
        Ok(())
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A new folder in it.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.0.join(name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("left behind: {} ({error})", self.0.display());
        }
    }
}
