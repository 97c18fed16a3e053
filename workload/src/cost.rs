//! What system calls cost that have nothing to do with state files.

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
    time::Instant,
};

use serde::{Deserialize, Serialize};

/// Nanoseconds for one call of each kind.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// The shortest call there is.
    pub getppid: f64,
    /// 1 KiB from a file in memory.
    pub pread: f64,
    /// 1 KiB into a file in memory.
    pub pwrite: f64,
    /// Opening an unrelated file for reading, and closing it.
    pub open_close: f64,
}

impl Cost {
    /// The kinds, in the order of [`Cost::values`].
    pub const NAMES: [&'static str; 4] = ["getppid", "pread 1 KiB", "pwrite 1 KiB", "open+close"];

    /// The figures, in the order of [`Cost::NAMES`].
    #[must_use]
    pub fn values(&self) -> [f64; 4] {
        let Self { getppid, pread, pwrite, open_close } = *self;
        [getppid, pread, pwrite, open_close]
    }

    /// Measures in a folder, best on a tmpfs: the disk is not the question.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn measure(folder: &Path) -> io::Result<Self> {
        let path = folder.join(format!("cost-{}", std::process::id()));
        let mut buffer = [0; 1024];
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all_at(&buffer, 0)?;
        let cost = Self {
            getppid: each(200_000, || {
                let _ = std::os::unix::process::parent_id();
                Ok(())
            })?,
            pread: each(100_000, || file.read_exact_at(&mut buffer, 0))?,
            pwrite: each(100_000, || file.write_all_at(&[1; 1024], 0))?,
            open_close: each(50_000, || File::open(&path).map(drop))?,
        };
        std::fs::remove_file(&path)?;
        Ok(cost)
    }
}

fn each(count: u32, mut call: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    // The first calls fill caches.
    for _ in 0..count / 20 {
        call()?;
    }
    let begin = Instant::now();
    for _ in 0..count {
        call()?;
    }
    Ok(begin.elapsed().as_secs_f64() * 1e9 / f64::from(count))
}
