//! What a recording says of each step, line by line.

use std::borrow::Cow;
use std::fs;

use super::{FORMAT, Header, Told};
use crate::agent::Step;
use crate::cli::Arguments;
use crate::enrich::Process;
use crate::model::ProcessFacts;

/// Turns steps into a recording's lines, the header first.
#[derive(Debug)]
pub struct Scribe {
    configuration: String,
    arguments: Arguments,
    begun: bool,
    told: Told,
}

impl Scribe {
    /// Begins a recording of agents that run with this configuration, with as much of processes' arguments as that says.
    #[must_use]
    pub fn new(configuration: String, arguments: Arguments) -> Self {
        Self { configuration, arguments, begun: false, told: Told::default() }
    }

    /// The line for a step, with its line break; none where the recording says the same already.
    ///
    /// # Errors
    /// The step cannot be written as JSON.
    pub fn line(&mut self, step: &Step<'_>) -> serde_json::Result<Option<Vec<u8>>> {
        if matches!(step, Step::Begin { .. }) {
            self.told = Told::default();
        }
        if !std::mem::replace(&mut self.begun, true)
            && let Some(header) = self.header(step)
        {
            return written(&header).map(Some);
        }
        match step {
            Step::Facts(facts) if self.arguments != Arguments::Full => {
                let mut facts = ProcessFacts::clone(facts);
                self.arguments.hide_in_facts(&mut facts);
                written(&Step::Facts(Cow::Owned(facts))).map(Some)
            }
            Step::Process { seen, process } if self.arguments != Arguments::Full => {
                let mut process = Process::clone(process);
                self.arguments.hide(&mut process);
                written(&Step::Process { seen: *seen, process: Cow::Owned(process) }).map(Some)
            }
            Step::File { place, facts } if !self.told.note(place, facts) => Ok(None),
            _ => written(step).map(Some),
        }
    }

    fn header(&self, step: &Step<'_>) -> Option<Header> {
        let Step::Begin { source, started, boot_unix_ns } = *step else { return None };
        Some(Header {
            state_watchdog_recording: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            source,
            started,
            boot_unix_ns,
            configuration: self.configuration.clone(),
        })
    }
}

fn written(line: &impl serde::Serialize) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(line)?;
    line.push(b'\n');
    Ok(line)
}
