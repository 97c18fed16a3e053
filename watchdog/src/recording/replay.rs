//! `replay`: a recording judged anew.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

use super::{BadRecording, Judge, Lines};
use crate::agent::Step;
use crate::cli::{Arguments, FindingsFormat};
use crate::exit::Exit;
use crate::report::{Finding, clean, complain, line};

/// More is not said of what is wrong.
const MAX_SAID: usize = 1_000;

/// What a replay went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Events that the engine was told.
    pub events: u64,
    /// Findings that it came to.
    pub findings: u64,
    /// The recording ends where the agent did.
    pub whole: bool,
}

/// Judges a recording; every finding goes to `publish` as it is made.
///
/// # Errors
/// The recording is broken somewhere. What stands before is judged.
pub fn judge(
    input: impl BufRead,
    arguments: Arguments,
    publish: &mut dyn FnMut(&Finding) -> io::Result<()>,
) -> Result<io::Result<Replayed>, BadRecording> {
    let (header, mut lines) = Lines::open(input)?;
    let mut judge = Judge::new(header.source, header.started, header.boot_unix_ns, arguments);
    let mut replayed = Replayed::default();
    let mut hand_out = |judge: &mut Judge, replayed: &mut Replayed| -> io::Result<()> {
        for finding in judge.findings() {
            replayed.findings += 1;
            publish(&finding)?;
        }
        Ok(())
    };
    let ended = loop {
        match lines.step() {
            Ok(Some(step)) => {
                replayed.events += u64::from(matches!(step, Step::Event(_)));
                replayed.whole = matches!(step, Step::End {});
                judge.take(step);
                if let Err(error) = hand_out(&mut judge, &mut replayed) {
                    return Ok(Err(error));
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    judge.finish();
    let handed = hand_out(&mut judge, &mut replayed);
    ended?;
    replayed.whole &= !lines.is_cut();
    Ok(handed.map(|()| replayed))
}

/// What is wrong, with its causes, in one line. The parser quotes the recording, and whoever wrote that may mean harm.
#[must_use]
pub fn words(error: BadRecording) -> String {
    let said = format!("{:#}", anyhow::Error::from(error));
    match said.char_indices().nth(MAX_SAID) {
        Some((end, _)) => clean(&said[..end]) + " …",
        None => clean(&said),
    }
}

/// Judges the recording at `path`, `-` for standard input, and prints its findings.
#[must_use]
pub fn replay(path: &Path, format: FindingsFormat, arguments: Arguments) -> Exit {
    let input: Box<dyn BufRead> = if path == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        match File::open(path) {
            Ok(file) => Box::new(BufReader::new(file)),
            Err(error) => {
                complain(&format!("error: cannot open {}: {error}", path.display()));
                let denied = error.kind() == io::ErrorKind::PermissionDenied;
                return if denied { Exit::Permission } else { Exit::Usage };
            }
        }
    };
    let mut stdout = io::stdout().lock();
    let mut publish = |finding: &Finding| match format {
        FindingsFormat::Json => writeln!(stdout, "{}", serde_json::to_string(finding)?),
        FindingsFormat::Text => writeln!(stdout, "{}", line(finding)),
        FindingsFormat::None => Ok(()),
    };
    match judge(input, arguments, &mut publish) {
        Ok(Ok(Replayed { events, findings, whole })) => {
            if !whole {
                complain(&format!("warning: {}: cut short, the agent's end is missing", path.display()));
            }
            complain(&format!("{events} events, {findings} findings"));
            Exit::Fine
        }
        // Whoever read the findings has enough.
        Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine,
        Ok(Err(error)) => {
            complain(&format!("error: cannot write findings: {error}"));
            Exit::Unusable
        }
        Err(error) => {
            complain(&format!("error: {}: {}", path.display(), words(error)));
            Exit::Usage
        }
    }
}
