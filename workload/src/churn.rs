//! Containers that come and go.

use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use workload::{Churned, render};

use crate::process;

/// Every so many containers, one is saved in place.
const IN_PLACE: u64 = 10;
/// So many containers are there at once.
const ALIVE: u64 = 20;

/// Makes `containers`, at most `per_second` of them in a second, each saved, read and removed again.
pub(crate) fn run(root: &Path, containers: u64, per_second: u64, guarded: bool) -> Result<Churned> {
    process::rename(c"wl-churn");
    let begin = Instant::now();
    let mut churned = Churned::default();
    for number in 0..containers {
        let due = Duration::from_secs(1) * u32::try_from(number)? / u32::try_from(per_second)?;
        thread::sleep(due.saturating_sub(begin.elapsed()));
        let folder = root.join(format!("churn-{number}"));
        live(&folder, number, guarded, &mut churned).with_context(|| folder.display().to_string())?;
        if let Some(old) = number.checked_sub(ALIVE) {
            fs::remove_dir_all(root.join(format!("churn-{old}")))?;
        }
    }
    for old in containers.saturating_sub(ALIVE)..containers {
        fs::remove_dir_all(root.join(format!("churn-{old}")))?;
    }
    churned.seconds = begin.elapsed().as_secs_f64();
    Ok(churned)
}

/// As runc: a temporary file that takes over the name, then a command that reads it; some write in place.
fn live(folder: &Path, number: u64, guarded: bool, churned: &mut Churned) -> Result<()> {
    fs::create_dir(folder)?;
    let (file, temporary) = (folder.join("state.json"), folder.join("state-1"));
    let mut target = File::create_new(&temporary)?;
    target.write_all(&render(number))?;
    drop(target);
    fs::rename(&temporary, &file)?;
    fs::read(&file)?;
    churned.containers += 1;
    if number.is_multiple_of(IN_PLACE) {
        let mut target = OpenOptions::new().write(true).truncate(true).open(&file)?;
        target.write_all(&render(number + 1))?;
        churned.in_place += 1;
    }
    if guarded && number % IN_PLACE == 5 {
        let lock = File::create(folder.join("lock"))?;
        lock.lock()?;
        let mut target = OpenOptions::new().write(true).truncate(true).open(&file)?;
        target.write_all(&render(number + 1))?;
        drop(target);
        lock.unlock()?;
        churned.guarded += 1;
    }
    Ok(())
}
