//! Recordings, as `replay` reads them.

use std::io::{self, BufRead, Read};

use watchdog::cli::Arguments;
use watchdog::recording::{BadRecording, Lines, Replayed, Scribe, judge, words};
use watchdog::report::{Finding, clean, line};

/// No line of a recording is longer.
const LONGEST_LINE: usize = 4 << 20;
/// What stands behind the bytes when their last line has no end.
static ENDLESS: [u8; 64 << 10] = [b' '; 64 << 10];

/// Any bytes are judged or refused by the line that is broken, and what was judged is judged the same when it is written
/// down again. A NUL at the end stands for a line without end.
pub fn replay(bytes: &[u8]) {
    let told = Told::of(bytes);
    let Some(cut) = bytes.iter().position(|byte| *byte == b'\n') else { return };
    match told.replayed {
        Some(replayed) => {
            assert_eq!(replayed.findings, told.findings.len() as u64);
            // The writer may be killed at any time, and what it had written is worth its while.
            let middle = cut + 1 + (bytes.len() - cut) / 2;
            let mut half = &bytes[..middle.min(bytes.len())];
            while let Some(rest) = half.strip_suffix(b"\0") {
                half = rest;
            }
            let half = Told::of(half);
            assert!(half.replayed.is_some(), "cut after {middle}: {}", half.said);
        }
        None => assert!(!told.said.is_empty()),
    }
    if let Some(again) = written_again(bytes) {
        assert_eq!(Told::of(&again).findings, told.findings, "{}", again.escape_ascii());
    }
}

/// What came of a recording.
struct Told {
    findings: Vec<String>,
    replayed: Option<Replayed>,
    said: String,
}

impl Told {
    fn of(bytes: &[u8]) -> Self {
        let mut findings = Vec::new();
        let mut publish = |finding: &Finding| {
            let json = serde_json::to_string(finding)?;
            for said in [&json, &line(finding)] {
                assert_eq!(clean(said), *said, "a finding steers a terminal");
            }
            findings.push(json);
            Ok(())
        };
        let mut input = Input::new(bytes);
        let judged = judge(&mut input, Arguments::Full, &mut publish);
        let (replayed, said) = match judged {
            Ok(replayed) => (replayed.ok(), String::new()),
            Err(error) => (None, refused(bytes, error)),
        };
        assert!(!input.endless || replayed.is_none(), "a line without end was read");
        Self { findings, replayed, said }
    }
}

/// The line that is named is the broken one.
fn refused(bytes: &[u8], error: BadRecording) -> String {
    let number = match &error {
        BadRecording::Broken { line, .. } => {
            let (Ok(index), mut lines) = (usize::try_from(line - 1), bytes.split(|byte| *byte == b'\n'))
            else {
                panic!("line {line}");
            };
            let named = lines.nth(index).unwrap_or_default();
            let step = serde_json::from_slice::<watchdog::agent::Step<'_>>(named);
            assert!(step.is_err(), "line {line} is sound: {}", named.escape_ascii());
            *line
        }
        BadRecording::TooLong { line } => *line,
        BadRecording::NoHeader(_) | BadRecording::Format(_) => 1,
        BadRecording::Read { .. } => panic!("bytes in memory can be read"),
    };
    let said = words(error);
    assert!(said.starts_with(&format!("line {number}")), "no line: {said}");
    assert_eq!(clean(&said), said, "an error steers a terminal");
    assert!(said.len() < 32 << 10, "{} bytes are said", said.len());
    said
}

/// The steps up to the broken one, written as `record` writes them; each reads as it was written.
fn written_again(bytes: &[u8]) -> Option<Vec<u8>> {
    let (header, mut lines) = Lines::open(Input::new(bytes)).ok()?;
    let mut scribe = Scribe::new(header.configuration.clone(), Arguments::Full);
    let mut again = scribe.line(&header.begin()).ok()??;
    while let Ok(Some(step)) = lines.step() {
        match scribe.line(&step) {
            Ok(Some(line)) => {
                let read = serde_json::from_slice::<watchdog::agent::Step<'_>>(&line);
                assert_eq!(read.ok().as_ref(), Some(&step), "{}", line.escape_ascii());
                again.extend(line);
            }
            Ok(None) => {}
            Err(error) => panic!("{step:?} cannot be written: {error}"),
        }
    }
    Some(again)
}

/// Bytes that may go on without end, and are not asked for much more than a line then.
struct Input<'a> {
    rest: &'a [u8],
    endless: bool,
    behind: usize,
}

impl<'a> Input<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        match bytes.strip_suffix(b"\0") {
            Some(rest) => Self { rest, endless: true, behind: 0 },
            None => Self { rest: bytes, endless: false, behind: 0 },
        }
    }
}

impl BufRead for Input<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        Ok(if self.rest.is_empty() && self.endless { &ENDLESS } else { self.rest })
    }

    fn consume(&mut self, amount: usize) {
        if self.rest.is_empty() {
            self.behind += amount;
            assert!(self.behind <= LONGEST_LINE, "a line of {} bytes is read", self.behind);
        } else {
            self.rest = &self.rest[amount..];
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(into)?;
        self.consume(length);
        Ok(length)
    }
}
