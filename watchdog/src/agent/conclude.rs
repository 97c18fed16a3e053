//! From what the engine concluded to what people and Prometheus see.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinError;

use super::pods::Container;
use super::{Agent, Step};
use crate::cli::FindingsFormat;
use crate::clock::boot_now;
use crate::enrich::{Content, Owner, Pod, Process, Reading, SMALL_FILE, read_state_file};
use crate::model::{
    Actor, BootNanos, Outcome, Output, Place, ReadReport, ReaderExit, SessionReport, Verdict,
};
use crate::profile::{self, Root, Sighting};
use crate::report::{FileFacts, Finding, line};
use crate::source::Source;

/// Why a state file is read.
pub(super) enum Job {
    /// A session on it has ended.
    Aftermath(Box<SessionReport>),
    /// It lies there unchanged and was not judged yet.
    Settled(Sighting),
}

impl Job {
    fn place(&self) -> &Arc<Place> {
        match self {
            Self::Aftermath(report) => &report.place,
            Self::Settled(sighting) => &sighting.place,
        }
    }
}

/// At most so many large files are read at once; more are not judged.
const MAX_READING: usize = 8;

impl<S: Source> Agent<S> {
    /// Deals with all that the engine said.
    pub(super) fn conclude(&mut self) {
        if self.outputs.is_empty() {
            return;
        }
        self.follow(|| Step::Conclude {});
        let mut outputs = std::mem::take(&mut self.outputs);
        for output in outputs.drain(..) {
            match output {
                Output::Session(report) => self.conclude_session(report),
                Output::Read(report) => self.conclude_read(report),
                Output::ReaderExit(exit) => self.conclude_exit(&exit),
                Output::DamagedRead(_) | Output::Check(_) => {}
                Output::Anomaly(anomaly) => {
                    self.shared.metrics.anomaly(anomaly.kind);
                    tracing::debug!(kind = anomaly.kind.as_str(), place = ?anomaly.place, "an anomaly");
                }
            }
        }
        self.outputs = outputs;
    }

    fn conclude_session(&mut self, mut report: Box<SessionReport>) {
        if report.outcome.is_nonatomic() && self.may_be_guarded_unseen(&report.place) {
            report.outcome = Outcome::Unknown;
        }
        let Some(file) = self.file_facts(&report.place) else { return };
        let writer = self.label(&report.writer, report.window.start);
        self.shared.metrics.session(&file.runtime, &report, &writer);
        if report.outcome.is_nonatomic() {
            self.shared.metrics.detected(boot_now().since(report.window.end));
            if let Some(path) = self.open_path(&report.place) {
                self.read(Job::Aftermath(report), path);
            }
        }
    }

    fn conclude_read(&mut self, mut report: Box<ReadReport>) {
        if self.may_be_guarded_unseen(&report.place) {
            report.verdict = Verdict::Unknown;
        }
        let Some(file) = self.file_facts(&report.place) else { return };
        let reader = self.label(&report.reader, report.judged);
        self.shared.metrics.read(&file.runtime, report.verdict, &reader);
        if let Some(finding) = self.reporter.read(&file, &report, &self.processes) {
            self.publish(&finding, &file);
        }
    }

    fn conclude_exit(&mut self, exit: &ReaderExit) {
        let Some(file) = self.file_facts(&exit.place) else { return };
        self.shared.metrics.reader_exit(&file.runtime, exit.result);
        let finding = self.reporter.reader_exit(&file, exit, &self.processes);
        self.publish(&finding, &file);
    }

    /// Reads a state file: a small one here, a large one beside the loop.
    pub(super) fn read(&mut self, job: Job, path: PathBuf) {
        if self.roots.get(job.place().root).is_some_and(|root| root.profile.content == profile::Content::None)
        {
            // A session is told without an aftermath; of a file that lies there is nothing to tell.
            return if let Job::Aftermath(_) = job {
                self.judge(job, None)
            };
        }
        let metadata = std::fs::symlink_metadata(&path).ok();
        let large = metadata.as_ref().is_some_and(|metadata| metadata.len() > SMALL_FILE);
        let has_hands = !large || self.reading.len() < MAX_READING;
        if has_hands && metadata.is_some_and(|metadata| metadata.is_file()) {
            self.source.reads_itself(job.place());
        }
        if !large {
            let reading = read_state_file(&path);
            self.judge(job, reading);
        } else if has_hands {
            self.reading.spawn_blocking(move || (job, read_state_file(&path)));
        } else {
            match job {
                Job::Aftermath(_) => self.judge(job, None),
                Job::Settled(sighting) => self.put_back(sighting),
            }
        }
    }

    /// A large file was read.
    pub(super) fn take_reading(&mut self, done: Result<(Job, Option<Reading>), JoinError>) {
        match done {
            Ok((job, reading)) => self.judge(job, reading),
            Err(error) => tracing::error!(%error, "reading a state file failed"),
        }
    }

    fn judge(&mut self, job: Job, reading: Option<Reading>) {
        match job {
            Job::Aftermath(report) => self.judge_aftermath(&report, reading),
            Job::Settled(sighting) => {
                let Some(reading) = reading else { return self.survey.refused(&sighting) };
                // Somebody has been at it meanwhile. When that one is done, the file will be seen to have settled again.
                if !sighting.is_still_so() {
                    return;
                }
                self.learn(&sighting.place, &reading);
                let new = self.survey.note(&sighting.place, reading.content);
                if let Content::Damaged(damage) = reading.content
                    && new
                    && let Some(file) = self.known_facts(&sighting.place)
                {
                    self.shared.metrics.damage(&file.runtime, damage);
                    let at = boot_now();
                    self.follow(|| Step::Damaged {
                        at,
                        content: reading.content,
                        facts: Cow::Borrowed(&file),
                    });
                    let finding = self.reporter.damage(&file, damage, None, at, &self.processes);
                    self.publish(&finding, &file);
                }
                self.show_damage();
            }
        }
    }

    fn judge_aftermath(&mut self, report: &SessionReport, reading: Option<Reading>) {
        // Another size than the session left: somebody has been at it since, and this is not its aftermath. Where the
        // size is not known, a damaged file may be the next session's doing; the survey will find it if it stays.
        let own = reading.filter(|reading| match report.size_after {
            Some(size) => size == reading.size,
            None => reading.content == Content::Valid,
        });
        if let Some(reading) = &own {
            self.learn(&report.place, reading);
        }
        let content = own.map(|reading| reading.content);
        let Some(file) = self.known_facts(&report.place) else { return };
        self.follow_aftermath(report, content, &file);
        let finding = self.reporter.session(&file, report, content, &self.processes);
        self.publish(&finding, &file);
        let Some(content) = content else { return };
        self.survey.note(&report.place, content);
        if let Content::Damaged(damage) = content {
            self.shared.metrics.damage(&file.runtime, damage);
            let at = report.window.end;
            let finding = self.reporter.damage(&file, damage, Some(report), at, &self.processes);
            self.publish(&finding, &file);
        }
        self.show_damage();
    }

    /// Remembers whose the container is.
    fn learn(&mut self, place: &Place, reading: &Reading) {
        if reading.content != Content::Valid {
            return;
        }
        let Some(root) = self.roots.get(place.root) else { return };
        if let Some((directory, id)) = container(root, place) {
            self.pods.learn(Container { place, directory: &directory, id }, &reading.identity);
        }
    }

    fn publish(&mut self, finding: &Finding, file: &FileFacts) {
        if let Some(follower) = &self.follower {
            follower.borrow_mut().finding(finding, file);
        }
        let json = match serde_json::to_string(finding) {
            Ok(json) => json,
            Err(error) => {
                tracing::error!(%error, "a finding cannot be written as JSON");
                return;
            }
        };
        self.shared.recent().push(&json);
        match self.findings {
            FindingsFormat::Json => self.outlet.send(json),
            FindingsFormat::Text => self.outlet.send(line(finding)),
            FindingsFormat::None => {}
        }
    }

    /// The profile knows a lock that makes writing in place harmless, and the source sees no locks.
    fn may_be_guarded_unseen(&self, place: &Place) -> bool {
        self.roots.get(place.root).is_some_and(|root| self.locks_are_unseen(root))
    }

    /// The root's profile knows a lock, and the source sees no locks.
    pub(super) fn locks_are_unseen(&self, root: &Root) -> bool {
        root.profile.is_locked() && !self.source.kind().sees_locks()
    }

    /// The process's name as a label value: that of the process where it is known, else that of the thread.
    fn label(&self, actor: &Actor, at: BootNanos) -> String {
        if !actor.is_known() {
            return "unknown".to_owned();
        }
        let known = self.processes.find(actor.pid, at).map(Process::name);
        crate::report::clean(known.unwrap_or(&actor.comm.to_string()))
    }

    /// `None` for a root that is not in our table, which no source should name.
    pub(super) fn known_facts(&mut self, place: &Place) -> Option<FileFacts> {
        let root = self.roots.get(place.root)?;
        let path = root.host_path.join(&*place.container).join(&*place.name);
        let owner = container(root, place).and_then(|(directory, id)| {
            self.pods.find(Container { place, directory: &directory, id }, boot_now())
        });
        let Owner { pod, image } = owner.unwrap_or_default();
        Some(FileFacts {
            runtime: root.profile.name.to_string(),
            root: root.host_path.display().to_string(),
            path: path.display().to_string(),
            name: place.name.to_string(),
            container: root.profile.container_id(&place.container, &place.name).to_owned(),
            pod: Some(pod).filter(|pod| *pod != Pod::default()),
            image,
        })
    }

    /// Where the file of a place can be opened. A name that is no plain relative path is never followed.
    fn open_path(&self, place: &Arc<Place>) -> Option<PathBuf> {
        let root = self.roots.get(place.root)?;
        let relative = Path::new(&*place.container).join(&*place.name);
        let plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
        plain.then(|| root.path.join(relative))
    }
}

/// The directory of a container on the host, and its id; `None` for files that belong to no container.
fn container<'a>(root: &'a Root, place: &'a Place) -> Option<(PathBuf, &'a str)> {
    let id = root.profile.container_id(&place.container, &place.name);
    (!id.is_empty()).then(|| (root.host_path.join(&*place.container), id))
}
