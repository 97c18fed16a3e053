//! The periodic look at the roots: which stand, which state files they hold, which of these are damaged.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use super::steady::size_of;
use super::work::{Answer, Job, Look};
use super::{Agent, millis};
use crate::clock::{boot_now, thread_time};
use crate::enrich::Content;
use crate::files::{Directory, Gate, Kind};
use crate::http::RootView;
use crate::model::{Actor, BootNanos, EventOperation, FileEvent, InodeId, MAX_FILES, Place, RootId, Span};
use crate::profile::{Census, Changes, Looked, Root, Settled, Sighting, Walked};
use crate::source::Source;
use crate::workers::Work;

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Survey {
    census: Census,
    damaged: HashMap<Arc<Place>, Content>,
    /// What stood there, not yet told to the engine.
    seen: VecDeque<Seen>,
    /// Files that are to be read.
    settled: VecDeque<Settled>,
    /// Those that could not be read in time, and when they were last tried again.
    unread_yet: Vec<Settled>,
    put_back: BootNanos,
    /// Since when some of them are being read.
    reading: Option<BootNanos>,
    /// Since when somebody looks for roots.
    looking: Option<BootNanos>,
    walk: Option<Walk>,
    /// Names that are new, and how many looks at such are under way.
    fresh: VecDeque<Settled>,
    looks: usize,
    next: BootNanos,
    next_reading: BootNanos,
    next_roots: BootNanos,
    /// When a look was last brought forward because of a loss.
    hastened: BootNanos,
    /// Roots that the source could not watch; said once.
    unwatched: bool,
    /// A state file could not be read; said once.
    unread: bool,
    /// There is more than is looked at; said once.
    unseen: bool,
}

/// A file that stood there when it was looked at.
#[derive(Debug)]
pub(super) struct Seen {
    span: Span,
    place: Arc<Place>,
    inode: Option<InodeId>,
    size: Option<u64>,
}

/// A walk through all roots that is under way.
#[derive(Debug)]
struct Walk {
    began: BootNanos,
    /// Processor time.
    took: u64,
    missing: usize,
    walked: Vec<Walked>,
}

impl Seen {
    /// What stood at a place within the span.
    pub(super) fn new(span: Span, place: &Arc<Place>, inode: Option<InodeId>, size: u64) -> Self {
        Self { span, place: Arc::clone(place), inode, size: Some(size) }
    }
}

impl Survey {
    /// So many looks at new names are under way at once.
    const LOOKS: usize = 2;
    /// Time between two looks at the files.
    const PERIOD: u64 = millis(1_000);
    /// After a loss, the next look comes within this time, but no more often than that.
    const SOON: u64 = millis(50);
    const HASTE: u64 = millis(500);
    /// Time between two looks for roots: what happens below a new root is not seen before.
    const ROOTS_PERIOD: u64 = millis(100);
    /// A look at roots never takes more than this part of the time.
    const ROOTS_SHARE: u64 = 50;
    /// A look at files never takes more than this part of a processor's time, reading included.
    const SHARE: u64 = 50;
    /// Nor does a look that finds nothing to read.
    const IDLE_SHARE: u64 = 500;
    /// Reading files for the first time never takes more than this part of the time: at start there may be thousands.
    const READING_SHARE: u64 = 5;
    /// More time than this is not made up for: threads waited for something else.
    const LONGEST_READING: u64 = millis(200);
    /// What could not be read in time is tried again so often.
    const AGAIN: u64 = millis(60_000);
    /// At most so many of these are remembered.
    const MAX_UNREAD: usize = 1_024;
    /// So many of them are read in one turn.
    const READ_AT_ONCE: usize = 16;
    /// At most so many damaged files are remembered: as many as state files are.
    const MAX_DAMAGED: usize = MAX_FILES;

    /// Other roots: what cannot be watched now was not said yet.
    pub(super) fn may_warn_again(&mut self) {
        self.unwatched = false;
    }

    /// Events were lost, so the sizes and names that the engine knows may be old: the next look shows all files, and comes
    /// soon where it does not take long.
    pub(super) fn look_again(&mut self, now: BootNanos) {
        self.census.show_again();
        if self.next <= now.plus(Self::PERIOD) && now.since(self.hastened) >= Self::HASTE {
            self.hastened = now;
            self.next = self.next.min(now.plus(Self::SOON));
        }
    }

    pub(super) fn is_due(&self, now: BootNanos) -> bool {
        self.next <= now && self.walk.is_none()
    }

    pub(super) fn are_roots_due(&self, now: BootNanos) -> bool {
        self.next_roots <= now && self.looking.is_none()
    }

    /// The roots, and what lies below them, are looked at soon.
    pub(super) fn hurry(&mut self, now: BootNanos) {
        (self.next, self.next_roots) = (now, now);
    }

    pub(super) fn next(&self) -> BootNanos {
        let far = BootNanos(u64::MAX);
        let next = if self.walk.is_some() { far } else { self.next };
        let next = next.min(if self.looking.is_some() { far } else { self.next_roots });
        if self.settled.is_empty() { next } else { next.min(self.next_reading) }
    }

    /// A file that stands there was not to be read.
    pub(super) fn refused(&mut self, sighting: &Sighting) {
        if !std::mem::replace(&mut self.unread, true) {
            tracing::warn!(
                path = %sighting.path.display(),
                "a state file cannot be read, so its content is not judged; let the agent read it, as `scan` must"
            );
        }
    }

    /// Gives back the room of queues that were long once.
    pub(super) fn shrink(&mut self) {
        self.seen.shrink_to_fit();
        self.settled.shrink_to_fit();
        self.fresh.shrink_to_fit();
    }

    /// The engine is to learn of a file that stands behind a link.
    pub(super) fn see(&mut self, seen: Seen) {
        self.seen.push_back(seen);
    }

    /// Says what a scan left out.
    fn admit(&mut self, Changes { settled: _, gone: _, links: _, refused }: &Changes) {
        let beyond = self.census.beyond();
        if beyond == 0 && refused.is_none() || std::mem::replace(&mut self.unseen, true) {
            return;
        }
        if let Some((path, error)) = refused {
            tracing::warn!(
                path = %path.display(),
                %error,
                "a directory cannot be looked into to its end; state files there are told when they are written, not before"
            );
        }
        if beyond > 0 {
            tracing::warn!(
                known = MAX_FILES,
                beyond,
                "there are more state files than are remembered; the others are told when they are written, not before"
            );
        }
    }

    /// Notes a verdict; true when the file was not known to be damaged before.
    pub(super) fn note(&mut self, place: &Arc<Place>, content: Content) -> bool {
        match content {
            Content::Valid => {
                self.damaged.remove(place);
                false
            }
            Content::Damaged(_) if self.damaged.len() < Self::MAX_DAMAGED => {
                self.damaged.insert(Arc::clone(place), content).is_none()
            }
            Content::Damaged(_) | Content::NotJudged => false,
        }
    }
}

impl<S: Source> Agent<S> {
    /// Has somebody look for new roots.
    pub(super) fn find_roots(&mut self) {
        if self.survey.looking.is_some() {
            return;
        }
        let plan = self.roots.plan();
        self.survey.looking = Some(boot_now());
        self.send(Work::Root, Job::Roots, move |gate| Answer::Roots(plan.look(gate)));
    }

    /// Takes over which roots stand; the source watches new ones.
    pub(super) fn take_roots(&mut self, looked: Option<Looked>) {
        let started = self.survey.looking.take().unwrap_or_else(boot_now);
        let found = looked.map(|looked| self.roots.take(looked)).unwrap_or_default();
        for id in self.roots.take_departed() {
            self.root_departed(id, started);
        }
        let any = !found.is_empty();
        for id in found {
            let Some(root) = self.roots.get(id) else { continue };
            self.follow_root(root);
            match self.source.watch(&root.spec()) {
                Ok(()) => {
                    tracing::info!(
                        runtime = &*root.profile.name,
                        root = %root.host_path.display(),
                        "watching a runtime root"
                    );
                    for place in self.survey.census.forget(id) {
                        self.leave(&place, started);
                    }
                    // What stands there is looked at soon.
                    self.survey.next = boot_now();
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.survey.unwatched, true) {
                        let error = format!("{:#}", anyhow::Error::from(error));
                        tracing::warn!(error, "a root cannot be watched; trying again until it can");
                    }
                    self.roots.retry(id);
                }
            }
        }
        if any {
            self.search_descriptions();
        }
        let now = boot_now();
        let rest = (now.since(started) * Survey::ROOTS_SHARE).min(Survey::PERIOD);
        self.survey.next_roots = now.plus(Survey::ROOTS_PERIOD.max(rest));
    }

    /// A root's directory went from its place. What stood there is told no longer under that path.
    fn root_departed(&mut self, id: RootId, at: BootNanos) {
        if self.roots.get(id).is_some_and(|root| !root.present) {
            self.source.leave(id);
        }
        let operation = EventOperation::MoveDirectory { root: id, container: Arc::from(""), to: None };
        let event = FileEvent { span: Span::new(at, at), actor: Actor::UNKNOWN, lost: self.lost, operation };
        self.shared.metrics.event(self.source.kind(), &event.operation);
        self.tell(&event);
        for place in self.survey.census.forget(id) {
            self.leave(&place, at);
        }
    }

    /// Has somebody walk through the roots.
    pub(super) fn look_around(&mut self) {
        if self.survey.walk.is_some() {
            return;
        }
        let present: Vec<Root> = self.roots.table().iter().filter(|root| root.present).cloned().collect();
        self.survey.walk =
            Some(Walk { began: boot_now(), took: 0, missing: present.len(), walked: Vec::new() });
        for root in present {
            self.send(Work::Root, Job::Walk(root.id), move |gate| {
                let begun = thread_time();
                let walked = Walked::through(&root, gate);
                Answer::Walked(walked, thread_time().saturating_sub(begun))
            });
        }
        self.take_walks();
    }

    /// Takes over what stands in a root.
    pub(super) fn take_walk(&mut self, walked: Walked, took: u64) {
        if let Some(walk) = &mut self.survey.walk {
            walk.took += took;
            walk.missing = walk.missing.saturating_sub(1);
            walk.walked.push(walked);
        }
        self.take_walks();
    }

    /// When all roots were walked through, it is known what is new and what is gone.
    fn take_walks(&mut self) {
        let Some(Walk { began, took, missing: _, walked }) =
            self.survey.walk.take_if(|walk| walk.missing == 0)
        else {
            return;
        };
        for walked in &walked {
            self.source.set_silent(walked.root, walked.is_silent(&self.roots));
        }
        let begun = thread_time();
        let Survey { census, fresh, .. } = &mut self.survey;
        let mut new = 0;
        let changes = census.scan(&self.roots, walked, &mut |sighting| {
            new += 1;
            fresh.push_back(sighting.clone().into());
        });
        // Where most of it is new, as at the start, the next look comes soon: what nobody writes by then is read.
        let is_known = new < self.survey.census.total() / 2;
        let looked = took + thread_time().saturating_sub(begun);
        let scanned = if is_known { looked } else { 0 };
        self.survey.admit(&changes);
        for place in &changes.gone {
            self.leave(place, began);
        }
        self.survey.settled.extend(changes.settled);
        self.look_at_fresh();
        self.follow_links(changes.links);
        self.show_roots();
        let now = boot_now();
        let rest = (looked * Survey::SHARE).max(scanned * Survey::IDLE_SHARE);
        // Whatever it waited for, it does not come again before it was away as long.
        self.survey.next = now.plus(Survey::PERIOD.max(rest).max(now.since(began)));
    }

    /// Has somebody look which files stand at names that are new.
    pub(super) fn look_at_fresh(&mut self) {
        while self.survey.looks < Survey::LOOKS && !self.survey.fresh.is_empty() {
            let mut roots = Vec::new();
            for _ in 0..Survey::READ_AT_ONCE {
                let Some(fresh) = self.survey.fresh.pop_front() else { break };
                let Some(sighting) = fresh.sighting(&self.roots) else { continue };
                let Some(root) = self.roots.get(sighting.place.root) else { continue };
                roots.push((root.path.clone(), sighting));
            }
            self.survey.looks += 1;
            self.send(Work::Root, Job::Look, move |gate| {
                Answer::Looked(
                    roots.iter().filter_map(|(root, sighting)| look_at(root, sighting, gate)).collect(),
                )
            });
        }
    }

    /// Which files stand there; the engine learns their sizes.
    pub(super) fn take_looks(&mut self, looks: Vec<Look>) {
        self.survey.looks = self.survey.looks.saturating_sub(1);
        for Look { span, place, file, size } in looks {
            let inode = self.source.identify(&file);
            self.survey.seen.push_back(Seen { span, place, inode, size });
        }
        self.look_at_fresh();
    }

    /// The files are not known; what else is new is looked at in the next turn.
    pub(super) fn no_looks(&mut self) {
        self.survey.looks = self.survey.looks.saturating_sub(1);
    }

    /// True while the first look is not over.
    pub(super) fn is_looking(&self) -> bool {
        self.survey.looking.is_some() || self.survey.walk.is_some() || self.survey.looks > 0
    }

    /// No state file stands there any more.
    fn leave(&mut self, place: &Arc<Place>, at: BootNanos) {
        self.survey.damaged.remove(place);
        self.pods.leave(place, at);
    }

    /// Has some of the files read that nobody is writing, when those before were read.
    pub(super) fn read_settled(&mut self, now: BootNanos) {
        if now.since(self.survey.put_back) > Survey::AGAIN {
            self.survey.put_back = now;
            self.survey.settled.extend(self.survey.unread_yet.drain(..));
        }
        if self.survey.settled.is_empty() || now < self.survey.next_reading || self.settling() > 0 {
            return;
        }
        if let Some(began) = self.survey.reading.take() {
            let took = now.since(began).min(Survey::LONGEST_READING);
            self.survey.next_reading = now.plus(took * Survey::READING_SHARE);
            return;
        }
        self.survey.reading = Some(now);
        for _ in 0..Survey::READ_AT_ONCE {
            let Some(settled) = self.survey.settled.pop_front() else { break };
            let Some(sighting) = settled.sighting(&self.roots) else { continue };
            let place = Arc::clone(&sighting.place);
            self.read(Job::Settled(sighting), &place);
        }
    }

    /// What stands where, for `/status`.
    pub(super) fn root_views(&self) -> Vec<RootView> {
        let view = |(index, entry): (usize, &crate::profile::RootEntry)| {
            let here = self.roots.table().iter().filter(|root| root.entry == index && root.present);
            RootView {
                runtime: entry.profile.name.to_string(),
                root: entry.pattern.clone(),
                directories: here.map(|root| root.host_path.display().to_string()).collect(),
            }
        };
        self.roots.entries().iter().enumerate().map(view).collect()
    }

    /// The source has told all that was before that time: the engine learns what was seen before it.
    pub(super) fn say_seen(&mut self, told: BootNanos) {
        self.told = self.told.max(told);
        while let Some(Seen { span, place, inode, size }) =
            self.survey.seen.pop_front_if(|seen| seen.span.end <= told)
        {
            let operation = EventOperation::Present { place, inode, size };
            let event = FileEvent { span, actor: Actor::default(), lost: self.lost, operation };
            self.shared.metrics.event(self.source.kind(), &event.operation);
            self.tell(&event);
        }
        self.feed_contents(told);
    }

    fn show_roots(&self) {
        for (index, entry) in self.roots.entries().iter().enumerate() {
            self.shared.metrics.root_present(entry, self.roots.is_present(index));
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for entry in self.roots.entries() {
            counts.entry(&entry.profile.name).or_default();
        }
        for root in self.roots.table() {
            if let Some(count) = counts.get_mut(&*root.profile.name) {
                *count += self.survey.census.count(root.id);
            }
        }
        for (runtime, count) in counts {
            self.shared.metrics.state_files(runtime, count);
        }
        self.show_damage();
    }

    /// A file could not be read in time: it is tried again later.
    pub(super) fn put_back(&mut self, sighting: Sighting) {
        if self.survey.unread_yet.len() < Survey::MAX_UNREAD {
            self.survey.unread_yet.push(sighting.into());
        }
    }

    /// How many files are damaged now.
    pub(super) fn show_damage(&self) {
        for entry in self.roots.entries() {
            let runtime = &entry.profile.name;
            let of_runtime = |place: &&Arc<Place>| {
                self.roots.get(place.root).is_some_and(|root| root.profile.name == *runtime)
            };
            let count = self.survey.damaged.keys().filter(of_runtime).count();
            self.shared.metrics.damaged_now(runtime, count);
        }
    }
}

/// Which file stands there now. The engine is told when it knows all that was before: a file may have taken the name a
/// moment ago, by a rename that the source has yet to tell of.
fn look_at(root: &Path, sighting: &Sighting, gate: &dyn Gate) -> Option<Look> {
    let start = boot_now();
    let look = || {
        let relative = sighting.path.strip_prefix(root).ok()?;
        let directory = Directory::open(root, gate).ok()?.below(relative.parent()?).ok()?;
        let node = directory.child(relative.file_name()?).ok()?;
        let is_file = node.kind() == Kind::File;
        let file = node.into_file();
        let (at, size) = size_of(&file);
        let span = Span::new(start, at);
        is_file.then(|| Look { span, place: Arc::clone(&sighting.place), file, size })
    };
    let found = look();
    // The others are looked at all the same.
    gate.skip();
    found
}
