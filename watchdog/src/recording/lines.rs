//! A recording's lines.

use std::io::{self, BufRead, Read as _};

use super::{FORMAT, Header};
use crate::agent::Step;

/// A longer line is none.
const MAX_LINE: u64 = 4 << 20;

/// What is wrong with a recording.
#[derive(Debug, thiserror::Error)]
pub enum BadRecording {
    /// It cannot be read.
    #[error("cannot read on after line {line}")]
    Read {
        /// The last line that could be read.
        line: u64,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The first line is no header.
    #[error("line 1 is no header of a recording")]
    NoHeader(#[source] Option<serde_json::Error>),
    /// Another format.
    #[error("line 1: the recording has format {0}, this version reads {FORMAT}")]
    Format(u32),
    /// A line is no step.
    #[error("line {line} is broken")]
    Broken {
        /// Its number, from 1.
        line: u64,
        /// What the parser said.
        #[source]
        cause: serde_json::Error,
    },
    /// A line is too long.
    #[error("line {line} is longer than {} MiB", MAX_LINE >> 20)]
    TooLong {
        /// Its number, from 1.
        line: u64,
    },
}

/// Reads steps.
pub struct Lines<R> {
    input: R,
    line: u64,
    buffer: Vec<u8>,
    cut: bool,
}

impl<R: BufRead> Lines<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// It is none, or one of another format.
    pub fn open(input: R) -> Result<(Header, Self), BadRecording> {
        let mut lines = Self { input, line: 0, buffer: Vec::new(), cut: false };
        if !lines.fill()? {
            return Err(BadRecording::NoHeader(None));
        }
        let no_header = |error| BadRecording::NoHeader(Some(error));
        // A later format may have other members; its number is told all the same.
        let value: serde_json::Value = serde_json::from_slice(&lines.buffer).map_err(no_header)?;
        let format = value.get("state_watchdog_recording").and_then(serde_json::Value::as_u64);
        match format.map(u32::try_from) {
            Some(Ok(format)) if format != FORMAT => Err(BadRecording::Format(format)),
            _ => Ok((serde_json::from_value(value).map_err(no_header)?, lines)),
        }
    }

    /// The next step; `None` at the end.
    ///
    /// # Errors
    /// A line is broken. One at the very end that lacks its line break was cut short when the writer was killed, and ends
    /// the recording.
    pub fn step(&mut self) -> Result<Option<Step<'static>>, BadRecording> {
        if self.cut || !self.fill()? {
            return Ok(None);
        }
        let whole = self.buffer.ends_with(b"\n");
        match serde_json::from_slice(&self.buffer) {
            Ok(step) => Ok(Some(step)),
            Err(_) if !whole => {
                self.cut = true;
                Ok(None)
            }
            Err(cause) => Err(BadRecording::Broken { line: self.line, cause }),
        }
    }

    /// The last line is a piece of one.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Reads a line; false at the end.
    fn fill(&mut self) -> Result<bool, BadRecording> {
        self.buffer.clear();
        let mut input = self.input.by_ref().take(MAX_LINE);
        let failed = |cause| BadRecording::Read { line: self.line, cause };
        if input.read_until(b'\n', &mut self.buffer).map_err(failed)? == 0 {
            return Ok(false);
        }
        self.line += 1;
        if self.buffer.len() as u64 == MAX_LINE && !self.buffer.ends_with(b"\n") {
            return Err(BadRecording::TooLong { line: self.line });
        }
        Ok(true)
    }
}
