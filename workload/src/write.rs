//! The writers.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use workload::{APPENDED, How, WriteRecord, render};

use crate::{process, progress::Progress};

/// How long a writer lingers inside its window at most: old runc took 265 µs on average.
const LINGER: Duration = Duration::from_micros(300);

/// How long a file that may be damaged stays as it is, so that the agent looks at it.
const AT_REST: Duration = Duration::from_secs(1);
/// What the second of two writers saves is another version than any that the first one saves.
const SECOND_WRITER: u64 = 1_000_000;

/// Saves `writes` versions while `reads` reads go on, and prints a record of each.
pub(crate) fn run(file: &Path, how: How, progress: &Progress, writes: u64, reads: u64) -> Result<()> {
    process::rename(c"wl-writer");
    let mut kept = None;
    for generation in 1..=writes {
        progress.wait_for_reads((generation - 1) * reads / writes)?;
        let begin = process::now();
        let own = |pid| (pid, None);
        let (pid, other) = match how {
            How::Daemon => keep(&mut kept, file, generation, progress).map(own),
            How::Pair => pair(file, generation, progress),
            _ => save(file, how, generation, progress).map(own),
        }
        .with_context(|| format!("cannot save generation {generation} ({})", how.as_str()))?;
        let record = WriteRecord { pid, other, generation, how, begin, end: process::now() };
        writeln!(io::stdout(), "{}", serde_json::to_string(&record)?)?;
        if how.leaves_damage() && (other.is_some() || pid != std::process::id()) {
            // A time, not a condition: nothing here shows whether the agent has looked.
            std::thread::sleep(AT_REST);
        }
    }
    Ok(())
}

/// The first version, written before anyone watches.
pub(crate) fn prepare(file: &Path) -> Result<()> {
    fs::write(file, render(0)).with_context(|| format!("cannot prepare {}", file.display()))
}

fn save(file: &Path, how: How, generation: u64, progress: &Progress) -> Result<u32> {
    let version = render(generation);
    let open = || OpenOptions::new().write(true).open(file);
    match how {
        How::Truncate => {
            progress.window_begins();
            let mut target = truncated(file)?;
            linger(generation, progress);
            target.write_all(&version)?;
        }
        How::Chunks => {
            progress.window_begins();
            let mut target = truncated(file)?;
            for chunk in version.chunks(1500) {
                target.write_all(chunk)?;
                linger(generation, progress);
            }
        }
        How::Ftruncate => {
            let mut target = open()?;
            progress.window_begins();
            target.set_len(0)?;
            linger(generation, progress);
            target.write_all(&version)?;
        }
        How::Overwrite => {
            let target = open()?;
            progress.window_begins();
            let (first, second) = version.split_at(version.len() / 2);
            target.write_all_at(first, 0)?;
            linger(generation, progress);
            target.write_all_at(second, first.len() as u64)?;
            target.set_len(version.len() as u64)?;
        }
        How::Append => {
            let mut target = OpenOptions::new().append(true).open(file)?;
            progress.window_begins();
            target.write_all(&[b' '; APPENDED])?;
            linger(generation, progress);
        }
        How::Recreate => {
            progress.window_begins();
            fs::remove_file(file)?;
            let mut target = OpenOptions::new().write(true).create_new(true).open(file)?;
            linger(generation, progress);
            target.write_all(&version)?;
        }
        How::Die => return die(file, &version, generation, progress),
        How::Rename | How::RenameSync => {
            let temporary = file.with_file_name(format!("state-{generation}"));
            let mut target = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            progress.window_begins();
            target.write_all(&version)?;
            linger(generation, progress);
            if how == How::RenameSync {
                target.sync_all()?;
            }
            drop(target);
            fs::rename(&temporary, file)?;
        }
        How::RenameEarly => {
            let temporary = file.with_file_name(format!("state-{generation}"));
            let mut target = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
            let (first, second) = version.split_at(version.len() / 2);
            target.write_all(first)?;
            progress.window_begins();
            fs::rename(&temporary, file)?;
            linger(generation, progress);
            target.write_all(second)?;
        }
        How::Killed => return killed(file, &version, generation, progress),
        How::Daemon | How::Pair => bail!("{} is no save by itself", how.as_str()),
    }
    Ok(std::process::id())
}

/// Every other save dies after emptying the file; the one after it writes the file whole.
fn die(file: &Path, version: &[u8], generation: u64, progress: &Progress) -> Result<u32> {
    progress.window_begins();
    if generation.is_multiple_of(2) {
        truncated(file)?.write_all(version)?;
        return Ok(std::process::id());
    }
    let child = process::fork(|| {
        // The descriptor is left to the kernel: that is what dying means.
        std::mem::forget(truncated(file));
        linger(generation, progress);
        1
    })?;
    process::reap(Some(child))?;
    Ok(u32::try_from(child.as_raw_nonzero().get())?)
}

/// Saves through the descriptor that it keeps.
fn keep(kept: &mut Option<File>, file: &Path, generation: u64, progress: &Progress) -> Result<u32> {
    let target = match kept {
        Some(target) => target,
        None => kept.insert(OpenOptions::new().write(true).open(file)?),
    };
    let version = render(generation);
    let (first, second) = version.split_at(version.len() / 2);
    progress.window_begins();
    target.set_len(0)?;
    linger(generation, progress);
    target.write_all_at(first, 0)?;
    linger(generation + 1, progress);
    target.write_all_at(second, first.len() as u64)?;
    Ok(std::process::id())
}

/// Two processes save, each its own version, and neither knows of the other.
fn pair(file: &Path, generation: u64, progress: &Progress) -> Result<(u32, Option<u32>)> {
    let half_by_half = |generation: u64| -> io::Result<()> {
        let version = render(generation);
        let (first, second) = version.split_at(version.len() / 2);
        let mut target = truncated(file)?;
        linger(generation, progress);
        target.write_all(first)?;
        linger(generation / 2, progress);
        target.write_all(second)
    };
    progress.window_begins();
    let child = process::fork(|| u8::from(half_by_half(SECOND_WRITER + generation).is_err()))?;
    let saved = half_by_half(generation);
    process::reap(Some(child))?;
    saved?;
    Ok((std::process::id(), Some(u32::try_from(child.as_raw_nonzero().get())?)))
}

/// Every other save is killed half way; the one after it writes the file whole.
fn killed(file: &Path, version: &[u8], generation: u64, progress: &Progress) -> Result<u32> {
    progress.window_begins();
    if generation.is_multiple_of(2) {
        truncated(file)?.write_all(version)?;
        return Ok(std::process::id());
    }
    let child = process::fork(|| {
        let half = version.get(..version.len() / 2).unwrap_or_default();
        let _target = truncated(file).and_then(|mut target| {
            linger(generation, progress);
            target.write_all(half)?;
            linger(generation + 1, progress);
            Ok(target)
        });
        let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
        1
    })?;
    process::reap(Some(child))?;
    Ok(u32::try_from(child.as_raw_nonzero().get())?)
}

/// Old runc's open.
fn truncated(file: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o666).open(file)
}

/// Stays in the window for a while that differs from save to save.
fn linger(generation: u64, progress: &Progress) {
    match generation % 4 {
        0 => {}
        1 => progress.meet_beginning_read(LINGER),
        2 => progress.meet_ending_read(LINGER),
        _ => progress.meet_ending_read(LINGER / 4),
    }
}
