//! A clock that can be set for one process alone: the machine's own belongs to everybody on it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

/// Preloaded into a program, adds a number of seconds to the wall clock that it reads, and to no other clock.
const SOURCE: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile long *offset;

__attribute__((constructor)) static void map(void) {
    const char *file = getenv("CHAOS_CLOCK");
    int fd = file ? open(file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *at = mmap(0, sizeof *offset, PROT_READ, MAP_SHARED, fd, 0);
    if (at != MAP_FAILED) offset = at;
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *time) {
    int result = (int)syscall(SYS_clock_gettime, id, time);
    if (result == 0 && id == CLOCK_REALTIME && offset) time->tv_sec += *offset;
    return result;
}
"#;

/// The shim and the file that holds the offset.
pub(super) struct Clock {
    pub(super) library: PathBuf,
    pub(super) offset: PathBuf,
}

impl Clock {
    /// Builds it; it tells the right time.
    pub(super) fn build(folder: &Path) -> Result<Self> {
        let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
        fs::write(&source, SOURCE)?;
        let output = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&library, &source])
            .output()
            .context("cannot start cc, which Rust needs as well")?;
        ensure!(
            output.status.success(),
            "the clock does not build: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let clock = Self { library, offset: folder.join("clock-offset") };
        clock.set(0)?;
        Ok(clock)
    }

    /// Sets the clock so many seconds ahead of the true time.
    pub(super) fn set(&self, seconds: i64) -> Result<()> {
        use std::os::unix::fs::FileExt as _;
        // Written over in place: the process has it mapped.
        let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&self.offset)?;
        Ok(file.write_all_at(&seconds.to_ne_bytes(), 0)?)
    }
}
