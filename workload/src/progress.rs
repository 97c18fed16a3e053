//! Counters that the writer and the readers of one file share: each paces itself by what the other has done, so that
//! they meet often without anyone sleeping.

use std::{
    fs::OpenOptions,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// How long one side waits for the other before it takes it for dead.
const PATIENCE: Duration = Duration::from_secs(30);

/// The counters, in memory that all processes see.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Progress {
    reads_begun: AtomicU64,
    reads_done: AtomicU64,
    windows_begun: AtomicU64,
}

impl Progress {
    /// Maps the counters in `file`, making it when it is not there. They stay for the life of the process.
    pub(crate) fn open(file: &Path) -> Result<&'static Self> {
        let shared = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(file)
            .with_context(|| format!("cannot open the counters {}", file.display()))?;
        let size = size_of::<Self>();
        shared.set_len(size as u64)?;
        Self::map(&shared, size).with_context(|| format!("cannot map the counters {}", file.display()))
    }

    #[expect(unsafe_code, reason = "memory shared between processes has no safe door")]
    fn map(shared: &std::fs::File, size: usize) -> rustix::io::Result<&'static Self> {
        // SAFETY: a new mapping of `size` bytes of a file that long, page-aligned and never unmapped. Every bit
        // pattern is a valid counter, and all access is atomic.
        unsafe {
            let flags = ProtFlags::READ | ProtFlags::WRITE;
            let address = mmap(std::ptr::null_mut(), size, flags, MapFlags::SHARED, shared, 0)?;
            Ok(&*address.cast::<Self>())
        }
    }

    /// A reader is about to open the file.
    pub(crate) fn read_begins(&self) {
        self.reads_begun.fetch_add(1, Ordering::SeqCst);
    }

    /// A reader has closed the file.
    pub(crate) fn read_ends(&self) {
        self.reads_done.fetch_add(1, Ordering::SeqCst);
    }

    /// A writer is about to change the file.
    pub(crate) fn window_begins(&self) {
        self.windows_begun.fetch_add(1, Ordering::SeqCst);
    }

    /// Until `count` reads have begun.
    pub(crate) fn wait_for_reads(&self, count: u64) -> Result<()> {
        wait(|| self.reads_begun.load(Ordering::SeqCst) >= count)
    }

    /// Until `count` windows have begun.
    pub(crate) fn wait_for_windows(&self, count: u64) -> Result<()> {
        wait(|| self.windows_begun.load(Ordering::SeqCst) >= count)
    }

    /// Until another read begins, or `limit` has passed.
    pub(crate) fn meet_beginning_read(&self, limit: Duration) {
        meet(&self.reads_begun, limit);
    }

    /// Until another read ends, or `limit` has passed.
    pub(crate) fn meet_ending_read(&self, limit: Duration) {
        meet(&self.reads_done, limit);
    }

    /// Until another window begins, or `limit` has passed.
    pub(crate) fn meet_window(&self, limit: Duration) {
        meet(&self.windows_begun, limit);
    }
}

fn wait(reached: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !reached() {
        if start.elapsed() > PATIENCE {
            bail!("the other side made no progress for {} s", PATIENCE.as_secs());
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn meet(counter: &AtomicU64, limit: Duration) {
    let (start, seen) = (Instant::now(), counter.load(Ordering::SeqCst));
    while counter.load(Ordering::SeqCst) == seen && start.elapsed() < limit {
        std::thread::yield_now();
    }
}
