//! Many state-file operations at a given rate: what the agent can take before it loses any.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use clap::Args;
use workload::{Sent, render};

use crate::process;

/// One turn in so many saves in place; each makes a finding, and the agent reads the file after it.
const IN_PLACE: u64 = 100;
/// Turns between two looks at the clock.
const STRIDE: u64 = 8;
/// Making a version takes longer than saving it, so there are some in stock.
const VERSIONS: u64 = 64;

/// How much, how fast, for how long.
#[derive(Args)]
pub(crate) struct Storm {
    /// The root; a directory per container is made in it.
    #[arg(long)]
    root: PathBuf,
    /// How many containers take their turns.
    #[arg(long, default_value_t = 100)]
    containers: u64,
    /// Events a second; as fast as it goes when 0.
    #[arg(long, default_value_t = 0)]
    rate: u64,
    /// How long, in seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Opens of an unrelated file beside it, a second.
    #[arg(long, default_value_t = 0)]
    unrelated: u64,
}

/// Makes the containers.
pub(crate) fn prepare(storm: &Storm) -> Result<()> {
    for container in 0..storm.containers.max(1) {
        let file = state_file(&storm.root, container);
        fs::create_dir_all(file.with_file_name(""))?;
        fs::write(&file, render(0)).with_context(|| format!("cannot prepare {}", file.display()))?;
    }
    Ok(())
}

/// Turn after turn, a reader and a writer of one container after another.
pub(crate) fn run(storm: &Storm) -> Result<Sent> {
    process::rename(c"wl-storm");
    let files: Vec<PathBuf> =
        (0..storm.containers.max(1)).map(|container| state_file(&storm.root, container)).collect();
    let other = storm.root.with_extension("unrelated");
    File::create(&other).with_context(|| format!("cannot make {}", other.display()))?;
    let versions: Vec<Vec<u8>> = (0..VERSIONS).map(render).collect();
    let mut sent = Sent::default();
    let (start, limit) = (Instant::now(), Duration::from_secs(storm.seconds.max(1)));
    let mut turn = 0_u64;
    let mut buffer = [0; 16 << 10];
    loop {
        let passed = start.elapsed();
        if passed >= limit {
            break;
        }
        let due = |rate: u64| passed.as_secs_f64() * rate as f64;
        let mut idle = storm.rate > 0;
        if storm.rate == 0 || (sent.total() as f64) < due(storm.rate) {
            for _ in 0..STRIDE {
                let file = &files[usize::try_from(turn % files.len() as u64)?];
                read(file, &mut buffer, &mut sent)?;
                save(file, turn, &versions[usize::try_from(turn % VERSIONS)?], &mut sent)?;
                turn += 1;
            }
            idle = false;
        }
        if (sent.unrelated as f64) < due(storm.unrelated) {
            File::open(&other)?;
            sent.unrelated += 1;
            idle = false;
        }
        if idle {
            // Far below the time between two turns at any rate that is asked for.
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    sent.seconds = start.elapsed().as_secs_f64();
    let _ = fs::remove_file(&other);
    Ok(sent)
}

fn state_file(root: &Path, container: u64) -> PathBuf {
    root.join(format!("container-{container}/state.json"))
}

/// As Go's decoder reads: until the end-of-file.
fn read(path: &Path, buffer: &mut [u8], sent: &mut Sent) -> Result<()> {
    let mut file = File::open(path)?;
    sent.open += 1;
    loop {
        let length = file.read(buffer)?;
        sent.read += 1;
        if length == 0 {
            break;
        }
    }
    sent.release += 1;
    Ok(())
}

fn save(path: &Path, turn: u64, version: &[u8], sent: &mut Sent) -> Result<()> {
    let temporary = path.with_file_name(format!("state-{turn}"));
    let atomic = !turn.is_multiple_of(IN_PLACE);
    let mut options = OpenOptions::new();
    let mut file = if atomic {
        options.write(true).create_new(true).open(&temporary)?
    } else {
        options.write(true).truncate(true).open(path)?
    };
    file.write_all(version)?;
    drop(file);
    (sent.open, sent.write, sent.release) = (sent.open + 1, sent.write + 1, sent.release + 1);
    if atomic {
        fs::rename(&temporary, path)?;
        sent.rename += 1;
        sent.atomic += 1;
    } else {
        sent.in_place += 1;
    }
    Ok(())
}
