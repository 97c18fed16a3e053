//! The readers: a server that starts one process for each read.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, Result};
use serde::de::IgnoredAny;
use workload::{Content, ReadRecord, Style, classify};

use crate::{mapped, process, progress::Progress};

/// How many readers are alive at once.
const READERS: u64 = 3;
/// How long a reader waits for a window to begin at most.
const WAIT: Duration = Duration::from_micros(400);
/// No version is longer, however much a writer appends.
const LONGEST: usize = 4 << 20;

/// Starts `reads` readers while `writes` saves go on; each prints its record and exits with 1 when it cannot parse.
/// With `reuse`, a reader takes over the process id of one that has ended.
pub(crate) fn run(
    file: &Path,
    style: Style,
    progress: &Progress,
    reads: u64,
    writes: u64,
    reuse: bool,
) -> Result<()> {
    process::rename(c"wl-reader");
    for number in 0..reads {
        let ended = if number >= READERS {
            process::reap(None).context("cannot wait for a reader")?.filter(|_| reuse)
        } else {
            None
        };
        progress.wait_for_windows((number * writes / reads).saturating_sub(1))?;
        let work = || read_once(file, style, number, progress);
        match ended {
            Some(pid) => process::fork_as(pid, work),
            None => process::fork(work),
        }
        .context("cannot start a reader")?;
    }
    for _ in 0..reads.min(READERS) {
        process::reap(None).context("cannot wait for a reader")?;
    }
    Ok(())
}

fn read_once(file: &Path, style: Style, number: u64, progress: &Progress) -> u8 {
    progress.read_begins();
    if number % 4 == 1 {
        progress.meet_window(WAIT);
    }
    let begin = process::now();
    let got = match style {
        Style::Mapped => mapped::read(file, begin, || {
            if number % 4 >= 2 {
                progress.meet_window(WAIT);
            }
        }),
        Style::Go | Style::Blocks | Style::Whole | Style::Bytes => read(file, style, number, progress),
    };
    let end = process::now();
    progress.read_ends();
    let (content, generation) = match &got {
        Ok(got) => classify(&got.bytes, got.end_of_file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Content::Missing, None),
        Err(error) => {
            eprintln!("cannot read {}: {error}", file.display());
            return 2;
        }
    };
    let got = got.unwrap_or_default();
    let parsed = parses(&got.bytes, style);
    let record = ReadRecord {
        pid: std::process::id(),
        style,
        content,
        generation,
        bytes: got.bytes.len() as u64,
        calls: got.calls,
        first_end: got.first_end,
        parsed,
        begin,
        end,
    };
    // One write of one line: lines of several readers do not mix in a pipe.
    let line = serde_json::to_string(&record).map(|text| text + "\n").unwrap_or_default();
    match io::stdout().write_all(line.as_bytes()).and_then(|()| io::stdout().flush()) {
        Ok(()) => u8::from(!parsed),
        Err(_) => 2,
    }
}

/// What a reader got.
#[derive(Debug, Default)]
pub(crate) struct Got {
    pub(crate) bytes: Vec<u8>,
    pub(crate) calls: u64,
    pub(crate) first_end: u64,
    pub(crate) end_of_file: bool,
}

fn read(file: &Path, style: Style, number: u64, progress: &Progress) -> io::Result<Got> {
    let mut source = File::open(file)?;
    if number % 4 == 2 {
        progress.meet_window(WAIT);
    }
    let mut size = match style {
        Style::Go => 512,
        Style::Blocks | Style::Mapped => 8192,
        Style::Bytes => 1,
        Style::Whole => usize::try_from(source.metadata()?.len()).unwrap_or(0).clamp(511, LONGEST) + 1,
    };
    let mut got = Got::default();
    while got.bytes.len() < LONGEST {
        let start = got.bytes.len();
        got.bytes.resize(start + size, 0);
        let count = source.read(&mut got.bytes[start..])?;
        got.bytes.truncate(start + count);
        got.calls += 1;
        if got.calls == 1 {
            got.first_end = process::now();
        }
        if count == 0 {
            got.end_of_file = true;
            break;
        }
        if style == Style::Go {
            if closes(&got.bytes) {
                break;
            }
            size = got.bytes.len().max(512);
        }
        if number % 4 == 3 && got.calls == 1 {
            progress.meet_window(WAIT);
        }
    }
    Ok(got)
}

/// True when a JSON value ends within the bytes, or when they can no longer become one.
fn closes(bytes: &[u8]) -> bool {
    match serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>().next() {
        None => false,
        Some(Ok(IgnoredAny)) => true,
        Some(Err(error)) => !error.is_eof(),
    }
}

fn parses(bytes: &[u8], style: Style) -> bool {
    match style {
        // A decoder takes the first value and does not look behind it.
        Style::Go => {
            matches!(
                serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>().next(),
                Some(Ok(_))
            )
        }
        Style::Blocks | Style::Whole | Style::Bytes | Style::Mapped => {
            serde_json::from_slice::<IgnoredAny>(bytes).is_ok()
        }
    }
}
