//! Who is connected, and who goes first when it gets crowded.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

/// At most so many connections at once; further ones wait in the kernel's queue.
const MAX_CONNECTIONS: usize = 64;
/// When all places are taken, who has asked nothing for so long gives its own up. A client that wants something says it at
/// once.
const GRACE: Duration = Duration::from_secs(1);

/// The connections that are open.
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    guests: VecDeque<Guest>,
}

struct Guest {
    task: AbortHandle,
    idle: Idle,
}

/// Since when a connection waits for its client to ask; nothing while a request is answered.
#[derive(Clone, Debug)]
pub(super) struct Idle(Arc<Mutex<Option<Instant>>>);

impl Idle {
    pub(super) fn now() -> Self {
        Self(Arc::new(Mutex::new(Some(Instant::now()))))
    }

    /// A request is there, or has been answered.
    pub(super) fn set(&self, idle: bool) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = idle.then(Instant::now);
    }

    fn is_over(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|since| since.elapsed() >= GRACE)
    }
}

impl Crowd {
    pub(super) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(MAX_CONNECTIONS)), guests: VecDeque::new() }
    }

    /// A place for one more, which is free again when this is dropped.
    pub(super) async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            let place = Arc::clone(&self.places).acquire_owned();
            match tokio::time::timeout(GRACE / 4, place).await {
                // The semaphore is never closed.
                Ok(place) => return place.ok(),
                Err(_) => self.send_idle_ones_away(),
            }
        }
    }

    /// One more is here.
    pub(super) fn enters(&mut self, task: AbortHandle, idle: Idle) {
        self.guests.retain(|guest| !guest.task.is_finished());
        self.guests.push_back(Guest { task, idle });
    }

    fn send_idle_ones_away(&mut self) {
        for guest in self.guests.iter().filter(|guest| guest.idle.is_over()) {
            guest.task.abort();
        }
    }
}
