//! The kernel's queue of inotify events.

use std::ffi::OsString;
use std::io;

use ::inotify::{EventMask, Inotify, WatchDescriptor, Watches};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::clock::boot_now;
use crate::model::BootNanos;

/// One read takes some two thousand events.
const BUFFER: usize = 64 << 10;

/// One event as the kernel wrote it.
#[derive(Debug)]
pub(super) struct Raw {
    /// The directory.
    pub(super) directory: WatchDescriptor,
    /// What happened.
    pub(super) mask: EventMask,
    /// Joins the two halves of a rename.
    pub(super) cookie: u32,
    /// In that directory; `None` when it happened to the directory itself.
    pub(super) name: Option<OsString>,
    /// It had not happened yet at that time.
    pub(super) since: BootNanos,
    /// It had happened by that time.
    pub(super) at: BootNanos,
}

/// One inotify instance.
pub(super) struct Queue {
    inotify: AsyncFd<Inotify>,
    buffer: Vec<u8>,
    /// When the queue was last seen empty.
    empty_at: BootNanos,
    /// The last look found it empty.
    is_empty: bool,
}

impl Queue {
    /// Must run inside a tokio runtime.
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init()?;
        #[expect(unsafe_code, reason = "AsyncFd asks for the promise that the descriptor stays the same")]
        // SAFETY: the instance owns its descriptor and never exchanges it.
        let inotify = unsafe { AsyncFd::register_with_interest(inotify, Interest::READABLE) }
            .map_err(io::Error::from)?;
        Ok(Self { inotify, buffer: vec![0; BUFFER], empty_at: boot_now(), is_empty: false })
    }

    /// Adds and removes watches.
    pub(super) fn watches(&self) -> Watches {
        self.inotify.get_ref().watches()
    }

    /// Takes what one read gives; false when the queue was empty.
    pub(super) fn take(&mut self, out: &mut Vec<Raw>) -> io::Result<bool> {
        let asked = boot_now();
        let events = match self.inotify.get_mut().read_events(&mut self.buffer) {
            Ok(events) => events,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.empty_at = asked;
                self.is_empty = true;
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        self.is_empty = false;
        let (since, at) = (self.empty_at, boot_now());
        out.extend(events.map(|event| Raw {
            directory: event.wd,
            mask: event.mask,
            cookie: event.cookie,
            name: event.name.map(ToOwned::to_owned),
            since,
            at,
        }));
        Ok(true)
    }

    /// Waits until there may be something. Cancel-safe.
    pub(super) async fn filled(&mut self) -> io::Result<()> {
        // The kernel says once that something came; what is left of that, nobody says again.
        if !self.is_empty {
            return Ok(());
        }
        // Not armed before the queue was found empty: an event in between makes it readable at once.
        let mut ready = self.inotify.readable_mut().await?;
        ready.clear_ready();
        Ok(())
    }
}
