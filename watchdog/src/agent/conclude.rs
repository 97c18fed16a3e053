//! From what the engine concluded to what people and Prometheus see.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use super::pods::Container;
use super::unpublished::{Unpublished, subject};
use super::work::Job;
use super::{Agent, Step};
use crate::cli::FindingsFormat;
use crate::clock::boot_now;
use crate::enrich::{Content, Damage, Owner, Pod, Process, Reading};
use crate::model::{
    Actor, BootNanos, Outcome, Output, Place, ReadReport, ReaderExit, SessionReport, Verdict,
};
use crate::profile::{Root, Sighting};
use crate::report::{FileFacts, Finding, line};
use crate::source::Source;

/// True when the engine asks for the file that this session left.
fn asks_for(next: &Output, report: &SessionReport) -> bool {
    matches!(next, Output::Check(request) if request.place == report.place)
}

impl<S: Source> Agent<S> {
    /// Deals with all that the engine said, when it is known whose containers it is about, or soon after.
    pub(super) fn conclude(&mut self) {
        if self.outputs.is_empty() {
            return;
        }
        self.answer_checks();
        let places: Vec<Place> = self.outputs.iter().filter_map(subject).cloned().collect();
        for place in &places {
            self.look_for_owner(place);
        }
        let now = boot_now();
        if !self.is_ending && places.iter().any(|place| self.pods.awaited(place, now).is_some()) {
            return;
        }
        self.follow(|| Step::Conclude {});
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut concluded = outputs.drain(..).peekable();
        while let Some(output) = concluded.next() {
            match output {
                Output::Session(report) => {
                    // What the engine asks for behind a session is what is read for the session's finding.
                    let is_asked = concluded.peek().is_some_and(|next| asks_for(next, &report));
                    if self.conclude_session(report, is_asked) {
                        concluded.next();
                    }
                }
                Output::Read(report) => self.conclude_read(report),
                Output::ReaderExit(exit) => self.conclude_exit(&exit),
                Output::DamagedRead(report) => self.conclude_damaged_read(&report),
                Output::Check(request) => self.read(Job::Check(Arc::clone(&request.place)), &request.place),
                Output::Anomaly(anomaly) => {
                    self.shared.metrics.anomaly(anomaly.kind);
                    tracing::debug!(kind = anomaly.kind.as_str(), place = ?anomaly.place, "an anomaly");
                }
            }
        }
        drop(concluded);
        self.outputs = outputs;
    }

    /// True when the file that `is_asked` for is read for the session's finding.
    fn conclude_session(&mut self, mut report: Box<SessionReport>, is_asked: bool) -> bool {
        if report.outcome.is_nonatomic() && self.may_be_guarded_unseen(&report.place) {
            report.outcome = Outcome::Unknown;
        }
        let Some(file) = self.file_facts(&report.place) else { return false };
        let writer = self.label(&report.writer, report.window.start);
        self.shared.metrics.session(&file.runtime, &report, &writer);
        if !report.outcome.is_nonatomic() {
            return false;
        }
        self.shared.metrics.detected(boot_now().since(report.window.end));
        if is_asked {
            let place = Arc::clone(&report.place);
            self.read(Job::Aftermath(report), &place);
        } else {
            // It ended otherwise than by a release: what it left is known, or gone.
            self.look_for_owner(&report.place);
            let content = report.content;
            self.unpublished.push(Unpublished::Session(report, content));
        }
        is_asked
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
        self.shared.metrics.reader_exit(&file.runtime, exit.follows, exit.result);
        let finding = self.reporter.reader_exit(&file, exit, &self.processes);
        self.publish(&finding, &file);
    }

    /// A file that lay there unchanged was read.
    pub(super) fn judge_settled(&mut self, sighting: &Sighting, reading: Option<Reading>, is_still_so: bool) {
        // Somebody has been at it meanwhile. When that one is done, the file will be seen to have settled again.
        if !is_still_so {
            return;
        }
        let Some(reading) = reading else { return self.survey.refused(sighting) };
        self.note_content(&sighting.place, Some(&reading));
        self.learn(&sighting.place, &reading);
        let new = self.survey.note(&sighting.place, reading.content);
        if let Content::Damaged(damage) = reading.content
            && new
        {
            self.look_for_owner(&sighting.place);
            self.unpublished.push(Unpublished::Damage(Arc::clone(&sighting.place), damage));
        }
        self.show_damage();
    }

    /// The file of a session was read, or could not be.
    pub(super) fn judge_aftermath(&mut self, report: Box<SessionReport>, reading: Option<Reading>) {
        self.note_content(&report.place, reading.as_ref());
        // Another size than the session left: somebody has been at it since, and this is not its aftermath. Where the
        // size is not known, a damaged file may be the next session's doing; the survey will find it if it stays.
        let own = reading.filter(|reading| match report.size_after {
            Some(size) => size == reading.size,
            None => reading.content == Content::Valid,
        });
        if let Some(reading) = &own {
            self.learn(&report.place, reading);
        }
        self.look_for_owner(&report.place);
        let content = own.map(|reading| reading.content);
        self.unpublished.push(Unpublished::Session(report, content));
    }

    pub(super) fn publish_unpublished(&mut self, unpublished: Unpublished) {
        match unpublished {
            Unpublished::Session(report, content) => self.publish_session(&report, content),
            Unpublished::Damage(place, damage) => self.publish_damage(&place, damage),
        }
    }

    pub(super) fn publish_damage(&mut self, place: &Place, damage: Damage) {
        let Some(file) = self.known_facts(place) else { return };
        self.shared.metrics.damage(&file.runtime, damage);
        let at = boot_now();
        let content = Content::Damaged(damage);
        self.follow(|| Step::Damaged { at, content, facts: Cow::Borrowed(&file) });
        let finding = self.reporter.damage(&file, damage, None, at, &self.processes);
        self.publish(&finding, &file);
    }

    fn publish_session(&mut self, report: &SessionReport, content: Option<Content>) {
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
        let Some((directory, id)) = container(root, place) else { return };
        let container = Container { place, directory: &directory, id };
        if let Some(search) = self.pods.learn(container, &reading.identity, boot_now()) {
            self.search(search);
        }
    }

    /// Has somebody look for whom a container belongs to, unless that was done.
    pub(super) fn look_for_owner(&mut self, place: &Place) {
        let Some(root) = self.roots.get(place.root) else { return };
        let Some((directory, id)) = container(root, place) else { return };
        if let Some(search) = self.pods.ask(Container { place, directory: &directory, id }, boot_now()) {
            self.search(search);
        }
    }

    pub(super) fn publish(&mut self, finding: &Finding, file: &FileFacts) {
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
    pub(super) fn label(&self, actor: &Actor, at: BootNanos) -> String {
        if !actor.is_known() {
            return "unknown".to_owned();
        }
        let known = self.processes.find(actor.pid, at).map(Process::name);
        crate::report::clean(known.unwrap_or(&actor.comm.to_string()))
    }

    /// `None` for a root that is not in our table, which no source should name.
    pub(super) fn known_facts(&self, place: &Place) -> Option<FileFacts> {
        let root = self.roots.get(place.root)?;
        let path = root.host_path.join(&*place.container).join(&*place.name);
        let Owner { pod, image } = self.pods.find(place);
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
}

/// The directory of a container on the host, and its id; `None` for files that belong to no container.
fn container<'a>(root: &'a Root, place: &'a Place) -> Option<(PathBuf, &'a str)> {
    let id = root.profile.container_id(&place.container, &place.name);
    (!id.is_empty()).then(|| (root.host_path.join(&*place.container), id))
}
