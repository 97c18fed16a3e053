//! `record`: an agent that writes down what it takes in.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::Scribe;
use crate::agent::{Follower, Step, follow};
use crate::config::Config;
use crate::exit::Exit;
use crate::privilege;
use crate::telemetry;

/// Why there is no recording, or an incomplete one.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The file cannot be made.
    #[error("cannot create {path}")]
    Create {
        /// Which.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It could be made, and cannot be written to any more.
    #[error("cannot write on to {path}; the recording ends here")]
    Write {
        /// Which.
        path: String,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// No thread can be started.
    #[error("cannot start to write")]
    Thread(#[source] io::Error),
}

impl RecordError {
    /// The exit code for it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Create { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied => Exit::Permission,
            Self::Create { .. } => Exit::Usage,
            Self::Write { .. } => Exit::Unusable,
            Self::Thread(_) => Exit::Internal,
        }
    }
}

/// Runs the agent and writes to `path` what it takes in, `-` for standard output, until SIGTERM or SIGINT.
///
/// # Errors
/// The recording cannot be made, or not to the end.
pub fn record(config: &Config, path: &Path) -> Result<Exit, RecordError> {
    telemetry::start(config.log_format);
    let name = path.display().to_string();
    let to_stdout = path == Path::new("-");
    let sink: Box<dyn Write + Send> = if to_stdout {
        Box::new(io::stdout())
    } else {
        // Command lines of strangers stand in it, so it is the user's alone.
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path);
        Box::new(file.map_err(|cause| RecordError::Create { path: name.clone(), cause })?)
    };
    let (recorder, failed) = Recorder::start(config, sink).map_err(RecordError::Thread)?;
    let recorder = Rc::new(RefCell::new(recorder));
    let ended = async move {
        if to_stdout {
            tokio::select! {
                () = failed.notified() => {}
                () = crate::report::closed() => {}
            }
        } else {
            failed.notified().await;
        }
    };
    let exit = follow(config, Rc::<RefCell<Recorder>>::clone(&recorder), ended);
    match recorder.borrow_mut().finish() {
        Ok(()) => Ok(exit),
        // Whoever read it has enough.
        Err(error) if to_stdout && error.kind() == io::ErrorKind::BrokenPipe => Ok(exit),
        Err(cause) => Err(RecordError::Write { path: name, cause }),
    }
}

/// Writes steps as lines, in a thread of its own.
struct Recorder {
    scribe: Scribe,
    lines: Option<SyncSender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    failure: Arc<Failure>,
}

/// Why the writing ended early.
#[derive(Default)]
struct Failure {
    error: Mutex<Option<io::Error>>,
    notify: Arc<Notify>,
}

impl Failure {
    fn set(&self, error: io::Error) {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.notify.notify_one();
    }
}

impl Recorder {
    /// At most so many lines wait.
    const MAX_WAITING: usize = 4_096;
    /// A recording with a hole would be none: whoever writes is waited for, and events wait in the kernel meanwhile, where
    /// those that find no room are counted. After this time it is given up.
    const PATIENCE: Duration = Duration::from_secs(5);

    fn start(config: &Config, sink: Box<dyn Write + Send>) -> io::Result<(Self, Arc<Notify>)> {
        let (lines, waiting) = sync_channel(Self::MAX_WAITING);
        let failure = Arc::new(Failure::default());
        let thread = std::thread::Builder::new().name("recording".to_owned()).spawn({
            let failure = Arc::clone(&failure);
            move || {
                privilege::shed_all();
                if let Err(error) = write_all(BufWriter::new(sink), &waiting) {
                    failure.set(error);
                }
            }
        })?;
        let notify = Arc::clone(&failure.notify);
        let recorder = Self {
            scribe: Scribe::new(config.to_toml(), config.arguments),
            lines: Some(lines),
            thread: Some(thread),
            failure,
        };
        Ok((recorder, notify))
    }

    fn write(&mut self, mut line: Vec<u8>) {
        let deadline = Instant::now() + Self::PATIENCE;
        while let Some(lines) = &self.lines {
            match lines.try_send(line) {
                Ok(()) => return,
                // The thread has said why it ended.
                Err(TrySendError::Disconnected(_)) => self.lines = None,
                Err(TrySendError::Full(_)) if Instant::now() > deadline => {
                    self.failure.set(io::Error::new(io::ErrorKind::TimedOut, "nothing is taken any more"));
                    self.lines = None;
                    // It may never end.
                    self.thread = None;
                }
                Err(TrySendError::Full(back)) => {
                    line = back;
                    std::thread::sleep(Duration::from_millis(1));
                    continue;
                }
            }
            return;
        }
    }

    /// Waits until all is written, but not for ever where nothing is taken.
    fn finish(&mut self) -> io::Result<()> {
        self.lines = None;
        if let Some(thread) = self.thread.take() {
            let deadline = Instant::now() + Self::PATIENCE;
            while !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            if !thread.is_finished() {
                self.failure.set(io::Error::new(io::ErrorKind::TimedOut, "nothing is taken any more"));
            }
        }
        match self.failure.error.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }
}

impl Follower for Recorder {
    fn step(&mut self, step: &Step<'_>) {
        match self.scribe.line(step) {
            Ok(Some(line)) => self.write(line),
            Ok(None) => {}
            Err(error) => self.failure.set(error.into()),
        }
    }
}

fn write_all(mut sink: impl Write, waiting: &Receiver<Vec<u8>>) -> io::Result<()> {
    loop {
        let line = match waiting.try_recv() {
            Ok(line) => line,
            Err(TryRecvError::Disconnected) => return sink.flush(),
            Err(TryRecvError::Empty) => {
                // Whoever follows the recording, or finds it after we were killed, has what was said so far.
                sink.flush()?;
                let Ok(line) = waiting.recv() else { return Ok(()) };
                line
            }
        };
        sink.write_all(&line)?;
    }
}
