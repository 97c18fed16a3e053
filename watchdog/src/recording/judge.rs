//! Goes through the steps of a recording as the agent did, and comes to the same findings. Pure.

use std::collections::{HashMap, VecDeque};

use super::Told;
use crate::agent::{SessionId, Step};
use crate::cli::Arguments;
use crate::clock::WallClock;
use crate::detect::{Engine, Limits};
use crate::enrich::{Content, Processes};
use crate::host_root::HostRoot;
use crate::model::{BootNanos, Outcome, Output, Place, ReadReport, RootId, SessionReport, Verdict};
use crate::report::{FileFacts, Finding, Reporter};
use crate::source::SourceKind;

/// One agent, without a source, without a clock, without files.
pub struct Judge {
    engine: Engine,
    processes: Processes,
    reporter: Reporter,
    /// The roots whose locks the source does not see.
    locks_unseen: HashMap<RootId, bool>,
    files: Told,
    /// What the engine said, before the agent dealt with it.
    outputs: Vec<Output>,
    /// What the agent dealt with, in this order.
    concluded: VecDeque<Output>,
    /// Sessions whose file was still being read, or whose pod was sought, while the agent went on.
    unread: Vec<SessionReport>,
    findings: Vec<Finding>,
    arguments: Arguments,
}

impl Judge {
    /// At most so many sessions wait for their finding: as many as the pods that the agent remembers.
    const MAX_UNREAD: usize = 4_096;

    /// A judge for a recording that begins with this step; a recording begins with no other. Findings hold as much of
    /// processes' arguments as `arguments` says.
    #[must_use]
    pub fn new(source: SourceKind, started: BootNanos, boot_unix_ns: u64, arguments: Arguments) -> Self {
        Self {
            engine: Engine::new(Limits::default()),
            processes: Processes::new(HostRoot::default(), arguments),
            reporter: Reporter::new(source, WallClock::booted_at(boot_unix_ns), started),
            locks_unseen: HashMap::new(),
            files: Told::default(),
            outputs: Vec::new(),
            concluded: VecDeque::new(),
            unread: Vec::new(),
            findings: Vec::new(),
            arguments,
        }
    }

    /// Takes a step.
    pub fn take(&mut self, step: Step<'_>) {
        if let Step::File { place, facts } = step {
            self.files.note(&place, &facts);
            return;
        }
        // The agent had dealt with all of it before it went on to this step.
        while let Some(output) = self.concluded.pop_front() {
            self.conclude(output);
        }
        match step {
            Step::Begin { source, started, boot_unix_ns } => {
                self.finish();
                let findings = std::mem::take(&mut self.findings);
                *self = Self { findings, ..Self::new(source, started, boot_unix_ns, self.arguments) };
            }
            Step::Root { id, runtime: _, path: _, locks_unseen } => {
                self.locks_unseen.insert(id, locks_unseen);
            }
            Step::Clock { at, boot_unix_ns } => {
                self.reporter.set_wall(WallClock::booted_at(boot_unix_ns));
                self.processes.expire(at);
            }
            Step::Facts(facts) => self.processes.learn(&facts),
            Step::Process { seen, process } => self.processes.remember(process.into_owned(), seen),
            Step::Event(event) => self.engine.observe(&event, &mut self.outputs),
            Step::Anomaly(anomaly) => self.outputs.push(Output::Anomaly(anomaly.into_owned())),
            Step::Advance(now) => self.engine.advance(now, &mut self.outputs),
            Step::Conclude {} => self.concluded.extend(self.outputs.drain(..)),
            Step::Damaged { at, content, facts } => {
                if let Content::Damaged(damage) = content {
                    let finding = self.reporter.damage(&facts, damage, None, at, &self.processes);
                    self.findings.push(finding);
                }
            }
            Step::Aftermath { session, content, facts } => self.aftermath(&session, content, &facts),
            Step::File { .. } | Step::End {} => {}
        }
    }

    /// The recording is over: what the agent had not dealt with yet is told as far as it is known.
    pub fn finish(&mut self) {
        self.concluded.extend(self.outputs.drain(..));
        while let Some(output) = self.concluded.pop_front() {
            self.conclude(output);
        }
        for report in std::mem::take(&mut self.unread) {
            if let Some(facts) = self.files.get(&report.place).cloned() {
                self.session(&report, None, &facts);
            }
        }
    }

    /// The findings so far, each given once.
    pub fn findings(&mut self) -> impl Iterator<Item = Finding> {
        self.findings.drain(..)
    }

    fn conclude(&mut self, output: Output) {
        match output {
            Output::Session(report) => {
                if report.outcome.is_nonatomic() && !self.is_uncertain(&report.place) {
                    self.unread.push(*report);
                }
                if self.unread.len() > Self::MAX_UNREAD {
                    self.unread.remove(0);
                }
            }
            Output::Read(report) => self.read(report),
            Output::ReaderExit(exit) => {
                if let Some(facts) = self.files.get(&exit.place) {
                    self.findings.push(self.reporter.reader_exit(facts, &exit, &self.processes));
                }
            }
            Output::DamagedRead(report) => {
                if let Some(facts) = self.files.get(&report.place) {
                    self.findings.push(self.reporter.damaged_read(facts, &report, &self.processes));
                }
            }
            Output::Check(_) | Output::Anomaly(_) => {}
        }
    }

    fn read(&mut self, mut report: Box<ReadReport>) {
        if self.is_uncertain(&report.place) {
            report.verdict = Verdict::Unknown;
        }
        if let Some(facts) = self.files.get(&report.place) {
            self.findings.extend(self.reporter.read(facts, &report, &self.processes));
        }
    }

    /// The agent made the session's finding: after it had dealt with all that the engine had said by then.
    fn aftermath(&mut self, id: &SessionId, content: Option<Content>, facts: &FileFacts) {
        let is_it = |report: &SessionReport| SessionId::of(report) == *id;
        if let Some(index) = self.unread.iter().position(is_it) {
            let report = self.unread.remove(index);
            self.session(&report, content, facts);
        }
    }

    fn session(&mut self, report: &SessionReport, content: Option<Content>, facts: &FileFacts) {
        debug_assert!(report.outcome != Outcome::Unknown);
        self.findings.push(self.reporter.session(facts, report, content, &self.processes));
        if let Some(Content::Damaged(damage)) = content {
            let at = report.window.end;
            let finding = self.reporter.damage(facts, damage, Some(report), at, &self.processes);
            self.findings.push(finding);
        }
    }

    fn is_uncertain(&self, place: &Place) -> bool {
        self.locks_unseen.get(&place.root).copied().unwrap_or(false)
    }
}
