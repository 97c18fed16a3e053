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
    ended: Ended,
}

impl Stop {
    pub(super) fn new(ended: Ended) -> io::Result<Self> {
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Self { terminate, interrupt, ended })
    }

    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            () = &mut self.ended => {}
        }
    }
}
