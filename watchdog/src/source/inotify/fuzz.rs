//! The way from inotify's events to the model's, without a kernel that tells the truth.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use ::inotify::{EventMask, WatchDescriptor};

use super::queue::Raw;
use super::{INTEREST, InotifySource};
use crate::model::{BootNanos, FileEvent};
use crate::source::{RootSpec, Source as _, SourceError};

/// A source that is told what it never saw.
pub struct Untrue {
    source: InotifySource,
    directories: Vec<WatchDescriptor>,
}

impl Untrue {
    /// Watches a root and, to name them in events, `directories`. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The kernel refuses to watch.
    pub fn new(root: &RootSpec, directories: &[&Path]) -> Result<Self, SourceError> {
        let mut source = InotifySource::new()?;
        source.watch(root)?;
        let mut watches = source.intake.queue.watches();
        let failed = |cause: io::Error| SourceError::Kernel { what: "watching", cause: cause.into() };
        let directories = directories
            .iter()
            .map(|directory| watches.add(directory, INTEREST | ::inotify::WatchMask::MASK_ADD))
            .collect::<Result<_, _>>()
            .map_err(failed)?;
        Ok(Self { source, directories })
    }

    /// Says that something happened in one of the directories, and what that means.
    pub fn tell(
        &mut self,
        directory: usize,
        mask: u32,
        cookie: u32,
        name: Option<&[u8]>,
        at: u64,
    ) -> Vec<FileEvent> {
        let Some(directory) = self.directories.get(directory % self.directories.len().max(1)) else {
            return Vec::new();
        };
        let raw = Raw {
            directory: directory.clone(),
            mask: EventMask::from_bits_truncate(mask),
            cookie,
            name: name.map(|name| OsString::from_vec(name.to_vec())),
            since: BootNanos(at),
            at: BootNanos(at),
        };
        self.source.with(|intake, mut tell| intake.take(&raw, &mut tell));
        self.source.translator.flush(BootNanos(at), &mut self.source.ahead);
        std::mem::take(&mut self.source.ahead)
    }
}
