//! Several loops at once, each calling a runtime again and again until all are told to stop.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};

use super::container::Call;
use crate::deadline::until;

/// One loop: does one call, given how many it has done before.
pub(super) type Turn<'a> = Box<dyn Fn(u64) -> Result<Call> + Send + Sync + 'a>;

/// Runs `loops` at once until `enough` holds for the calls of each so far, or `limit` passes. Gives all calls of
/// each loop.
pub(super) fn run(
    loops: &[Turn<'_>],
    limit: Duration,
    enough: impl Fn(&[Vec<Call>]) -> bool,
) -> Result<Vec<Vec<Call>>> {
    let stop = AtomicBool::new(false);
    let calls = Mutex::new(vec![Vec::new(); loops.len()]);
    let lock = || calls.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| -> Result<()> {
        let workers: Vec<_> = loops
            .iter()
            .enumerate()
            .map(|(index, turn)| {
                let (stop, lock) = (&stop, &lock);
                scope.spawn(move || -> Result<()> {
                    for number in 0.. {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let call = turn(number)?;
                        lock()[index].push(call);
                    }
                    Ok(())
                })
            })
            .collect();
        let waited = until(limit, || {
            let ended = workers.iter().any(thread::ScopedJoinHandle::is_finished);
            Ok((ended || enough(&lock())).then_some(()))
        });
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().ok().context("a loop panicked")??;
        }
        waited.map(|_| ())
    })?;
    Ok(calls.into_inner().unwrap_or_else(PoisonError::into_inner))
}
