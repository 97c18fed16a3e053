//! What the agent itself reads of state files becomes news for the engine, in the order of all the others.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Agent;
use super::unpublished::Unpublished;
use super::work::Job;
use crate::clock::boot_now;
use crate::enrich::Reading;
use crate::model::{
    Actor, BootNanos, CheckRequest, Content, DamagedReadReport, EventOperation, FileEvent, Output, Place,
    Span,
};
use crate::source::Source;

/// Readings that the engine has yet to hear of.
#[derive(Debug, Default)]
pub(super) struct Contents {
    waiting: VecDeque<(Span, Arc<Place>, u64, Content)>,
}

impl Contents {
    /// A call that was under way while the file was read has returned by then, and the engine knows of it.
    const MARGIN: u64 = 20_000_000;
    /// More than this many at once are not told of.
    const MAX: usize = 4_096;

    /// When the engine is to hear of the next one.
    pub(super) fn next(&self) -> Option<BootNanos> {
        Some(self.waiting.front()?.0.end.plus(Self::MARGIN))
    }

    fn due(&mut self, told: BootNanos) -> Option<(Span, Arc<Place>, u64, Content)> {
        self.waiting.pop_front_if(|(span, ..)| span.end.plus(Self::MARGIN) <= told)
    }
}

impl<S: Source> Agent<S> {
    /// Has the files read of open sessions, which must not wait for what is said of others. What is asked for behind a
    /// session's report is read for its finding.
    pub(super) fn answer_checks(&mut self) {
        let mut index = 0;
        while let Some(output) = self.outputs.get(index) {
            let before = index.checked_sub(1).and_then(|before| self.outputs.get(before));
            let is_alone = |request: &CheckRequest| !matches!(before, Some(Output::Session(report)) if report.place == request.place);
            if let Output::Check(request) = output
                && is_alone(request)
            {
                let place = Arc::clone(&request.place);
                self.outputs.remove(index);
                self.read(Job::Check(Arc::clone(&place)), &place);
            } else {
                index += 1;
            }
        }
    }

    /// A state file was read, or could not be.
    pub(super) fn note_content(&mut self, place: &Arc<Place>, reading: Option<&Reading>) {
        let now = boot_now();
        let unread = (Span::new(now, now), Content::NotJudged, 0);
        let (span, content, size) =
            reading.map_or(unread, |reading| (reading.span, reading.content, reading.size));
        if self.contents.waiting.len() < Contents::MAX {
            self.contents.waiting.push_back((span, Arc::clone(place), size, content));
        }
    }

    /// The source has told all that was before that time: the engine hears of what was read well before it.
    pub(super) fn feed_contents(&mut self, told: BootNanos) {
        while let Some((span, place, size, content)) = self.contents.due(told) {
            let operation = EventOperation::Content { place, inode: None, size, content };
            let event = FileEvent { span, actor: Actor::UNKNOWN, lost: self.lost, operation };
            self.tell(&event);
        }
    }

    /// The answer to a check for which no session's finding waits.
    pub(super) fn judge_check(&mut self, place: &Arc<Place>, reading: Option<&Reading>) {
        self.note_content(place, reading);
        let Some(reading) = reading else { return };
        let new = self.survey.note(place, reading.content);
        if let Content::Damaged(damage) = reading.content
            && new
        {
            self.look_for_owner(place);
            self.unpublished.push(Unpublished::Damage(Arc::clone(place), damage));
        }
        self.show_damage();
    }

    pub(super) fn conclude_damaged_read(&mut self, report: &DamagedReadReport) {
        let Some(file) = self.file_facts(&report.place) else { return };
        let reader = self.label(&report.reader, report.judged);
        self.shared.metrics.damaged_read(&file.runtime, report.damage, &reader);
        let finding = self.reporter.damaged_read(&file, report, &self.processes);
        self.publish(&finding, &file);
    }
}
