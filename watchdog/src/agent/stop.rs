//! What ends the agent.

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// When somebody else than the user ends the agent.
pub(super) type Ended = Pin<Box<dyn Future<Output = ()>>>;

/// The signals that end the agent, caught from before anything is attached.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    /// The processor time of a limit is used up (`RLIMIT_CPU`); some more follows before the kernel kills.
    used_up: Signal,
    ended: Ended,
}

impl Stop {
    pub(super) fn new(ended: Ended) -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let used_up = signal(SignalKind::from_raw(libc::SIGXCPU))?;
        Ok(Self { terminate, interrupt, used_up, ended })
    }

    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.used_up.recv() => tracing::error!("the limit of processor time is reached (RLIMIT_CPU)"),
            () = &mut self.ended => {}
        }
    }
}
