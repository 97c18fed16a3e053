//! Work for commands that have no loop: one piece after the other, each waited for.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use super::{Urgency, Work, Workers};
use crate::files::Gate;

/// A piece of work is tried again so often where something does not answer: each time without what was found silent before.
const TRIES: usize = 8;
/// Longer than any piece of work takes that gets on.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// An operation that takes longer than this has a thread written off. A busy disk takes some of it.
const STUCK: Duration = Duration::from_secs(3);

/// Threads for a command. Answers are of type `A`.
pub struct Asking<A> {
    workers: Workers<A>,
    runtime: Runtime,
}

impl<A: Send + 'static> Asking<A> {
    /// No thread yet.
    ///
    /// # Errors
    /// The system gives no timer.
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        Ok(Self { workers: Workers::new(STUCK), runtime })
    }

    /// Has a piece of work done, from its beginning as often as something in it does not answer. `None` when that is so
    /// every time.
    pub fn ask(&mut self, task: impl Fn(&dyn Gate) -> A + Send + Sync + 'static) -> Option<A> {
        let task = Arc::new(task);
        for _ in 0..TRIES {
            let task = Arc::clone(&task);
            self.workers.submit(Work::Root, Urgency::Soon, PATIENCE, move |gate| task(gate))?;
            if let (_, Some(answer)) = self.runtime.block_on(self.workers.next()) {
                return Some(answer);
            }
        }
        None
    }
}
