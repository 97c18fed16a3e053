//! Standard output, kept at arm's length: a reader that stalls must not stall the agent.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::privilege;

/// Lines on their way to a writer, in a thread of their own.
pub struct Outlet {
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    wanted: bool,
    unread: u64,
    unread_in_all: u64,
    closed: u64,
    unwritable: Arc<AtomicU64>,
}

/// Why a finding did not get to standard output; also the label values of `reason` in `findings_dropped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The reader did not keep up.
    Unread,
    /// A write failed, as on a full disk.
    Unwritable,
    /// The reader is gone.
    Closed,
}

impl DropReason {
    /// All reasons, in label order.
    pub const ALL: [Self; 3] = [Self::Unread, Self::Unwritable, Self::Closed];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unread => "unread",
            Self::Unwritable => "unwritable",
            Self::Closed => "closed",
        }
    }
}

impl Outlet {
    /// At most so many lines wait, some 10 MiB; more are dropped and counted. After a time without a processor the agent
    /// reports all that waited in the ring at once.
    const MAX_WAITING: usize = 4_096;
    /// At the end so long is waited for the last lines to be taken.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Starts writing to `sink`.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(Self::MAX_WAITING);
        let unwritable = Arc::new(AtomicU64::new(0));
        let failed = Arc::clone(&unwritable);
        let thread = std::thread::Builder::new()
            .name("findings".to_owned())
            .stack_size(64 << 10)
            .spawn(move || write_all(sink, &waiting, &failed))?;
        Ok(Self { lines: Some(lines), thread: Some(thread), wanted: true, unwritable, ..Self::closed() })
    }

    /// An outlet that swallows everything.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            lines: None,
            thread: None,
            wanted: false,
            unread: 0,
            unread_in_all: 0,
            closed: 0,
            unwritable: Arc::default(),
        }
    }

    /// How many lines were dropped since this was last asked, in the order of [`DropReason::ALL`].
    pub fn take_dropped(&mut self) -> [u64; DropReason::ALL.len()] {
        DropReason::ALL.map(|reason| match reason {
            DropReason::Unread => std::mem::take(&mut self.unread),
            DropReason::Unwritable => self.unwritable.swap(0, Ordering::Relaxed),
            DropReason::Closed => std::mem::take(&mut self.closed),
        })
    }

    /// Hands a line over; never waits.
    pub fn send(&mut self, line: String) {
        let Some(lines) = &self.lines else {
            self.closed += u64::from(self.wanted);
            return;
        };
        match lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.unread += 1;
                self.unread_in_all += 1;
                if self.unread_in_all.is_power_of_two() {
                    tracing::warn!(
                        dropped = self.unread_in_all,
                        "standard output is not being read, findings are dropped there"
                    );
                }
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::warn!("standard output is closed, findings go to /findings and /metrics alone");
                self.lines = None;
                self.closed += 1;
            }
        }
    }

    /// Waits until all lines are written, but not for ever.
    pub fn finish(mut self) {
        self.lines = None;
        let Some(thread) = self.thread.take() else { return };
        let deadline = Instant::now() + Self::PATIENCE;
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A reader that is gone is gone for good; a full disk may have room again for the next line.
fn write_all(mut sink: impl Write, waiting: &Receiver<String>, unwritable: &AtomicU64) {
    privilege::shed_all();
    let mut broken = false;
    while let Ok(mut line) = waiting.recv() {
        line.push('\n');
        // A line that was cut off must not swallow the next one.
        let ended = if broken { sink.write_all(b"\n") } else { Ok(()) };
        match ended.and_then(|()| sink.write_all(line.as_bytes())).and_then(|()| sink.flush()) {
            Ok(()) => {
                if std::mem::take(&mut broken) {
                    tracing::info!("standard output takes findings again");
                }
            }
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return,
            Err(error) => {
                unwritable.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut broken, true) {
                    tracing::warn!(%error, "findings cannot be written to standard output, and are dropped there");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, pipe};

    #[test]
    fn lines_arrive_in_order_and_whole() {
        let (reader, writer) = pipe().unwrap();
        let mut outlet = Outlet::start(writer).unwrap();
        for i in 0..100 {
            outlet.send(i.to_string());
        }
        outlet.finish();
        let lines: Vec<_> = BufReader::new(reader).lines().map(Result::unwrap).collect();
        assert_eq!(lines, (0..100).map(|i| i.to_string()).collect::<Vec<_>>());
    }

    #[test]
    fn a_reader_that_is_gone_is_noticed() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut outlet = Outlet::start(writer).unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        while outlet.lines.is_some() {
            assert!(Instant::now() < deadline, "the broken pipe was never noticed");
            outlet.send("x".to_owned());
            std::thread::yield_now();
        }
        assert!(outlet.take_dropped()[2] > 0);
        outlet.finish();
    }

    #[test]
    fn a_reader_that_stalls_stalls_nobody() {
        let (_reader, writer) = pipe().unwrap();
        let mut outlet = Outlet::start(writer).unwrap();
        for _ in 0..4 * Outlet::MAX_WAITING {
            outlet.send("x".repeat(100));
        }
        assert!(outlet.take_dropped()[0] > 0);
        assert_eq!(outlet.take_dropped(), [0; 3]);
    }

    /// A disk with so much room.
    struct Disk {
        room: Arc<AtomicU64>,
        written: Arc<std::sync::Mutex<Vec<u8>>>,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = usize::try_from(self.room.load(Ordering::SeqCst)).unwrap();
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let taken = bytes.len().min(room);
            self.room.fetch_sub(taken as u64, Ordering::SeqCst);
            self.written.lock().unwrap().extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_costs_lines_until_it_has_room_again() {
        let (room, written) = (Arc::new(AtomicU64::new(8)), Arc::default());
        let disk = Disk { room: Arc::clone(&room), written: Arc::clone(&written) };
        let mut outlet = Outlet::start(disk).unwrap();
        for line in ["first", "second", "third"] {
            outlet.send(line.to_owned());
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut dropped = 0;
        while dropped < 2 {
            dropped += outlet.take_dropped()[1];
            assert!(Instant::now() < deadline, "the full disk was never noticed");
            std::thread::yield_now();
        }
        room.store(1_000, Ordering::SeqCst);
        outlet.send("fourth".to_owned());
        outlet.finish();
        assert_eq!(String::from_utf8_lossy(&written.lock().unwrap()), "first\nse\nfourth\n");
    }
}
