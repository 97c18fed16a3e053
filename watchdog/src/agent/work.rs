//! What the loop has its threads do, and what it does with their answers.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::links::Followed;
use super::pods::Search;
use super::unpublished::{Unpublished, subject};
use super::{Agent, Step};
use crate::clock::boot_now;
use crate::enrich::{Owner, Process, Reading, capture, owner, read_state_file};
use crate::files::{Gate, Whereabouts};
use crate::model::{BootNanos, Pid, Place, RootId, SessionReport, Span};
use crate::profile::{self, Looked, Sighting, Walked};
use crate::source::Source;
use crate::workers::{Ticket, Urgency, Work};

/// Something that a thread does for the loop.
pub(super) enum Job {
    /// Read the file of a session that has ended.
    Aftermath(Box<SessionReport>),
    /// Read a file that the engine asks for.
    Check(Arc<Place>),
    /// Read a file that lies there unchanged and was not judged yet.
    Settled(Sighting),
    /// Find out whose a container is.
    Owner(Box<Search>),
    /// Read the arguments of a process that was seen then.
    Arguments(BootNanos),
    /// Look for roots.
    Roots,
    /// Walk through a root.
    Walk(RootId),
    /// Look which files stand at names that are new.
    Look,
    /// Find out where links lead.
    Links,
}

/// A file that a thread found at a state file's name.
#[derive(Debug)]
pub(super) struct Look {
    /// From before the file was opened to the moment at which it had the size.
    pub(super) span: Span,
    pub(super) place: Arc<Place>,
    /// Only stands for the place.
    pub(super) file: File,
    /// `None` when it changed whenever it was looked at.
    pub(super) size: Option<u64>,
}

/// What comes of it.
pub(super) enum Answer {
    /// A state file was read, as far as it could be.
    Read(Option<Reading>),
    /// The same, and whether the file that was seen still stands there.
    Settled(Option<Reading>, bool),
    /// What could be found out.
    Owner(Owner),
    /// The process, if it still lived.
    Arguments(Option<Process>),
    /// Which roots stand.
    Roots(Looked),
    /// What stands in one, and the processor time that this took.
    Walked(Walked, u64),
    /// The files.
    Looked(Vec<Look>),
    /// Where those links lead that answered.
    Links(Vec<Followed>),
    /// Nothing is awaited.
    Done,
}

/// A state file's content is awaited for so long.
const CONTENT: Duration = Duration::from_secs(2);
/// No finding waits for these.
const BACKGROUND: Duration = Duration::from_secs(10);

impl<S: Source> Agent<S> {
    /// Has a state file read. Where that is impossible, the job ends at once, without a reading.
    pub(super) fn read(&mut self, job: Job, place: &Arc<Place>) {
        let Some((root, relative)) = self.location(place) else {
            return match job {
                Job::Aftermath(report) => self.judge_aftermath(report, None),
                Job::Check(place) => self.judge_check(&place, None),
                // Of a file that only lies there is nothing to tell.
                Job::Settled(_)
                | Job::Owner(_)
                | Job::Roots
                | Job::Walk(_)
                | Job::Look
                | Job::Links
                | Job::Arguments(_) => {}
            };
        };
        self.source.reads_itself(place);
        let ticket = match &job {
            Job::Aftermath(_) | Job::Check(_) => {
                self.workers.submit(Work::StateFile, Urgency::Soon, CONTENT, move |gate| {
                    Answer::Read(read_state_file(&root, &relative, gate))
                })
            }
            Job::Settled(sighting) => {
                let sighting = sighting.clone();
                // The name that was seen, which may be no text.
                let relative = sighting.path.strip_prefix(&root).map_or(relative, Path::to_owned);
                self.workers.submit(Work::StateFile, Urgency::Whenever, CONTENT, move |gate| {
                    let reading = read_state_file(&root, &relative, gate);
                    Answer::Settled(reading, sighting.is_still_so())
                })
            }
            Job::Owner(_) | Job::Arguments(_) | Job::Roots | Job::Walk(_) | Job::Look | Job::Links => None,
        };
        match ticket {
            Some(ticket) => drop(self.jobs.insert(ticket, job)),
            None => self.unread(job),
        }
    }

    /// Has somebody look for whom a container belongs to.
    pub(super) fn search(&mut self, search: Search) {
        let host = self.config.host();
        let Search { directory, id, said, .. } = search.clone();
        let ticket = self.workers.submit(Work::Owner, Urgency::Soon, BACKGROUND, move |gate| {
            Answer::Owner(owner(&host, &directory, &id, &said, gate))
        });
        match ticket {
            Some(ticket) => drop(self.jobs.insert(ticket, Job::Owner(Box::new(search)))),
            None => self.pods.found(&search, None, boot_now()),
        }
    }

    /// An answer is there, or will never be.
    pub(super) fn take_answer(&mut self, ticket: Ticket, answer: Option<Answer>) {
        let Some(job) = self.jobs.remove(&ticket) else { return };
        match (job, answer) {
            (Job::Aftermath(report), Some(Answer::Read(reading))) => self.judge_aftermath(report, reading),
            (Job::Check(place), Some(Answer::Read(reading))) => self.judge_check(&place, reading.as_ref()),
            (Job::Settled(sighting), Some(Answer::Settled(reading, is_still_so))) => {
                self.judge_settled(&sighting, reading, is_still_so);
            }
            (Job::Owner(search), Some(Answer::Owner(owner))) => {
                self.pods.found(&search, Some(owner), boot_now());
            }
            (Job::Arguments(seen), Some(Answer::Arguments(Some(process)))) => {
                self.follow(|| Step::Process { seen, process: Cow::Borrowed(&process) });
                self.processes.remember(process, seen);
            }
            (Job::Roots, Some(Answer::Roots(looked))) => self.take_roots(Some(looked)),
            (Job::Walk(_), Some(Answer::Walked(walked, took))) => self.take_walk(walked, took),
            (Job::Look, Some(Answer::Looked(looks))) => self.take_looks(looks),
            (Job::Links, Some(Answer::Links(followed))) => self.take_links(followed),
            (job, _) => self.unread(job),
        }
        self.publish_what_waited();
    }

    /// Nothing can be read.
    fn unread(&mut self, job: Job) {
        match job {
            Job::Aftermath(report) => self.judge_aftermath(report, None),
            Job::Check(place) => self.judge_check(&place, None),
            Job::Settled(sighting) => self.put_back(sighting),
            Job::Owner(search) => self.pods.found(&search, None, boot_now()),
            // What the kernel side saw of them is enough.
            Job::Arguments(_) => {}
            Job::Roots => self.take_roots(None),
            Job::Walk(root) => self.take_walk(Walked { root, found: None }, 0),
            Job::Look => self.no_looks(),
            Job::Links => self.take_links(Vec::new()),
        }
    }

    /// Has somebody read a process's arguments, which may wait for its memory.
    pub(super) fn read_arguments(&mut self, pid: Pid, seen: BootNanos) {
        let host = self.config.host();
        let ticket = self.workers.submit(Work::Process, Urgency::Soon, CONTENT, move |gate| {
            let may_read = gate.enter(Whereabouts::Process(pid.0)).is_ok();
            Answer::Arguments(if may_read { capture(&host, pid) } else { None })
        });
        if let Some(ticket) = ticket {
            self.jobs.insert(ticket, Job::Arguments(seen));
        }
    }

    /// Hands over work for which no finding waits.
    pub(super) fn send(
        &mut self,
        work: Work,
        job: Job,
        task: impl FnMut(&dyn Gate) -> Answer + Send + 'static,
    ) {
        match self.workers.submit(work, Urgency::Whenever, BACKGROUND, task) {
            Some(ticket) => drop(self.jobs.insert(ticket, job)),
            None => self.unread(job),
        }
    }

    /// Looks for roots and what lies below them for the first time, and waits until that is done or does not answer.
    pub(super) async fn look_first(&mut self) {
        // One that does not answer is left out when they are looked for again.
        for _ in 0..3 {
            self.find_roots();
            self.wait_for_looks().await;
            if !self.roots.table().is_empty() {
                break;
            }
        }
        self.look_around();
        self.wait_for_looks().await;
    }

    async fn wait_for_looks(&mut self) {
        while self.is_looking() {
            let (ticket, answer) = self.workers.next().await;
            self.take_answer(ticket, answer);
        }
    }

    /// How many files are being read, or wait for it, of which nobody awaits the content.
    pub(super) fn settling(&self) -> usize {
        self.jobs.values().filter(|job| matches!(job, Job::Settled(_))).count()
    }

    /// True while a finding waits for a thread's answer.
    pub(super) fn owes_findings(&self) -> bool {
        let is_owed = |job: &Job| matches!(job, Job::Aftermath(_) | Job::Owner(_));
        self.jobs.values().any(is_owed)
    }

    /// What waits to learn whose container it is about is published when that is known, or the time is over.
    pub(super) fn publish_what_waited(&mut self) {
        let now = boot_now();
        let (mut ready, waiting): (Vec<Unpublished>, Vec<Unpublished>) =
            std::mem::take(&mut self.unpublished).into_iter().partition(|unpublished| {
                self.pods.awaited(unpublished.place(), now).is_none() && !self.is_preceded(unpublished)
            });
        ready.sort_by_key(Unpublished::order);
        self.unpublished = waiting;
        for unpublished in ready {
            self.publish_unpublished(unpublished);
        }
        self.conclude();
    }

    /// Publishes what waits with what is known now.
    pub(super) fn end_waiting(&mut self) {
        self.is_ending = true;
        for job in std::mem::take(&mut self.jobs).into_values() {
            if let Job::Aftermath(report) = job {
                self.judge_aftermath(report, None);
            }
        }
        self.conclude();
        for job in std::mem::take(&mut self.jobs).into_values() {
            self.unread(job);
        }
        let mut waiting = std::mem::take(&mut self.unpublished);
        waiting.sort_by_key(Unpublished::order);
        for unpublished in waiting {
            self.publish_unpublished(unpublished);
        }
    }

    /// True while the finding of an earlier session on the same file waits for its reading: those of one file come in order.
    fn is_preceded(&self, unpublished: &Unpublished) -> bool {
        let earlier = |job: &Job| match job {
            Job::Aftermath(report) => {
                *report.place == *unpublished.place() && report.window.end < unpublished.order()
            }
            _ => false,
        };
        matches!(unpublished, Unpublished::Session(..)) && self.jobs.values().any(earlier)
    }

    /// When something is published that waits.
    pub(super) fn next_publication(&self) -> Option<BootNanos> {
        let now = boot_now();
        let waiting = self.unpublished.iter().map(Unpublished::place);
        let outputs = self.outputs.iter().filter_map(subject);
        waiting.chain(outputs).filter_map(|place| self.pods.awaited(place, now)).min()
    }

    /// The root that a place lies below, and where. `None` for a profile whose content is not judged, and for a name that
    /// is no plain relative path.
    fn location(&self, place: &Place) -> Option<(PathBuf, PathBuf)> {
        let root = self.roots.get(place.root)?;
        let relative = Path::new(&*place.container).join(&*place.name);
        let is_plain = relative.components().all(|part| matches!(part, Component::Normal(_)));
        let is_judged = root.profile.content != profile::Content::None;
        let target = self.elsewhere.target(place).filter(|_| is_judged);
        if let Some((directory, name)) = target.and_then(|path| path.parent().zip(path.file_name())) {
            return Some((directory.to_owned(), name.into()));
        }
        (is_plain && is_judged).then(|| (root.path.clone(), relative))
    }
}
