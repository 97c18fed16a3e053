//! Standard output, kept at arm's length: a reader that stalls must not stall the agent.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::privilege;

/// Lines on their way to a writer, in a thread of their own.
pub struct Outlet {
    lines: Option<SyncSender<String>>,
    thread: Option<JoinHandle<()>>,
    dropped: u64,
}

impl Outlet {
    /// At most so many lines wait; more are dropped and said.
    const MAX_WAITING: usize = 1_024;
    /// At the end so long is waited for the last lines to be taken.
    const PATIENCE: Duration = Duration::from_secs(2);

    /// Starts writing to `sink`.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(sink: impl Write + Send + 'static) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(Self::MAX_WAITING);
        let thread = std::thread::Builder::new()
            .name("findings".to_owned())
            .stack_size(64 << 10)
            .spawn(move || write_all(sink, &waiting))?;
        Ok(Self { lines: Some(lines), thread: Some(thread), dropped: 0 })
    }

    /// An outlet that swallows everything.
    #[must_use]
    pub fn closed() -> Self {
        Self { lines: None, thread: None, dropped: 0 }
    }

    /// Hands a line over; never waits.
    pub fn send(&mut self, line: String) {
        let Some(lines) = &self.lines else { return };
        match lines.try_send(line) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                if self.dropped.is_power_of_two() || self.dropped == 0 {
                    tracing::warn!(
                        dropped = self.dropped + 1,
                        "standard output is not being read, findings are dropped there"
                    );
                }
                self.dropped += 1;
            }
            Err(TrySendError::Disconnected(_)) => {
                tracing::warn!("standard output is closed, findings go to /findings and /metrics alone");
                self.lines = None;
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

fn write_all(mut sink: impl Write, waiting: &Receiver<String>) {
    privilege::shed_all();
    while let Ok(mut line) = waiting.recv() {
        line.push('\n');
        if sink.write_all(line.as_bytes()).and_then(|()| sink.flush()).is_err() {
            return;
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
        outlet.finish();
    }

    #[test]
    fn a_reader_that_stalls_stalls_nobody() {
        let (_reader, writer) = pipe().unwrap();
        let mut outlet = Outlet::start(writer).unwrap();
        for _ in 0..4 * Outlet::MAX_WAITING {
            outlet.send("x".repeat(100));
        }
        assert!(outlet.dropped > 0);
    }
}
