//! What system calls cost that have nothing to do with state files, in instructions: only in a machine whose time-stamp
//! counter counts them, as QEMU's does with `-icount shift=0`.
#![expect(unsafe_code, reason = "the processor's counter has no safe door on every compiler")]

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use serde::{Deserialize, Serialize};

/// How often each call is counted. An interrupt lengthens few of them, so the median has none in it.
const ROUNDS: usize = 501;

/// Instructions of one call of each kind, user space and kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instructions {
    /// The shortest call there is.
    pub getppid: u64,
    /// 1 KiB from a file in memory.
    pub read: u64,
    /// 1 KiB into a file in memory.
    pub write: u64,
    /// Opening an unrelated file for reading.
    pub open: u64,
    /// Closing it, which is its last descriptor.
    pub close: u64,
}

impl Instructions {
    /// Counts in a folder on a tmpfs.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn count(folder: &Path) -> io::Result<Self> {
        let path = folder.join("unrelated");
        let mut buffer = [0; 1024];
        let file =
            File::options().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        file.write_all_at(&buffer, 0)?;
        Ok(Self {
            getppid: median(|| Ok(count(std::os::unix::process::parent_id).0))?,
            read: median(|| both(count(|| file.read_exact_at(&mut buffer, 0))))?,
            write: median(|| both(count(|| file.write_all_at(&[1; 1024], 0))))?,
            open: median(|| both(count(|| File::open(&path))))?,
            close: median(|| File::open(&path).map(|file| count(|| drop(file)).0))?,
        })
    }
}

fn median(mut call: impl FnMut() -> io::Result<u64>) -> io::Result<u64> {
    let mut counts = (0..ROUNDS).map(|_| call()).collect::<io::Result<Vec<u64>>>()?;
    counts.sort_unstable();
    Ok(counts[ROUNDS / 2])
}

/// The instructions of one call, and what it gave.
fn count<T>(call: impl FnOnce() -> T) -> (u64, T) {
    let before = counter();
    let answer = call();
    (counter().wrapping_sub(before), answer)
}

fn both<T>((count, result): (u64, io::Result<T>)) -> io::Result<u64> {
    result.map(|_| count)
}

#[cfg(target_arch = "x86_64")]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "aarch64")]
fn counter() -> u64 {
    let count;
    // SAFETY: Linux lets every process read the virtual counter.
    unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack)) };
    count
}
