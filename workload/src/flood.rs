//! Processes that end at once.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use workload::Flooded;

use crate::process;

/// So many processes are there at once.
const ALIVE: u64 = 8;

/// Starts processes for `seconds`, the more the better. Every fourth reads `file`; half of all take over the process id
/// of one that has ended.
pub(crate) fn run(file: &Path, seconds: f64) -> Result<Flooded> {
    process::rename(c"wl-flood");
    let (begin, limit) = (Instant::now(), Duration::try_from_secs_f64(seconds)?);
    let mut flooded = Flooded::default();
    while begin.elapsed() < limit {
        let number = flooded.processes;
        let reads = number.is_multiple_of(4);
        let work = || if reads { u8::from(fs::read(file).is_err()) } else { 0 };
        let ended = if number >= ALIVE { process::reap(None)? } else { None };
        let reused = ended.filter(|_| number % 8 < 4);
        match reused {
            Some(pid) => process::fork_as(pid, work),
            None => process::fork(work),
        }
        .context("cannot start a process")?;
        flooded.processes += 1;
        flooded.reads += u64::from(reads);
        flooded.reused += u64::from(reused.is_some());
    }
    for _ in 0..ALIVE.min(flooded.processes) {
        process::reap(None)?;
    }
    flooded.seconds = begin.elapsed().as_secs_f64();
    Ok(flooded)
}
