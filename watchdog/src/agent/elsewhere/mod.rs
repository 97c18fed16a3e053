//! State files that are reached by other ways than their names below a root: through symbolic links, over mounts, and by open
//! file descriptions that are older than the watch.
//!
//! All of that leads to where others point, so a thread of its own looks, and the loop takes what it found.

mod descriptors;
mod links;

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self as jobs, SyncSender, TrySendError};
use std::thread;

use tokio::sync::mpsc::{self as results, Receiver, Sender};

use super::survey::Seen;
use super::work::Job as Reading;
use super::{Agent, millis};
use crate::clock::boot_now;
use crate::host_root::HostRoot;
use crate::model::{BootNanos, Pid, Place};
use crate::profile::{Link, Sighting, Stamp};
use crate::source::{Elsewhere as Way, RootSpec, Source};
use links::Target;

/// At most so many questions wait; what finds no room is asked again at the next look.
const MAX_JOBS: usize = 256;
/// At most so many state files behind links are remembered.
const MAX_TARGETS: usize = 1_024;
/// How long readiness waits for the descriptions that are open already.
const PATIENCE: u64 = millis(3_000);

/// What the thread is asked.
enum Job {
    /// Who has files of these roots open.
    Descriptions(Vec<RootSpec>),
    /// Where a link leads.
    Link(Link),
}

/// What it found.
pub(super) enum Found {
    /// Somebody has a file open that may be a state file.
    Held { file: File, holder: Pid },
    /// All descriptions were looked at.
    AllHeld,
    /// Where a link leads; `None` when that is no regular file.
    Target(Link, Option<Target>),
}

/// The thread's other end.
pub(super) struct Elsewhere {
    jobs: SyncSender<Job>,
    found: Receiver<Found>,
    targets: HashMap<Arc<Place>, Known>,
    /// Set while descriptions are looked for: until when readiness waits.
    searching: Option<BootNanos>,
    /// A root came while they were looked for.
    again: bool,
}

/// A state file behind a link.
#[derive(Debug)]
struct Known {
    stamp: Option<Stamp>,
    judged: bool,
    /// Without links.
    path: Option<PathBuf>,
}

impl Elsewhere {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn start(host: HostRoot) -> Self {
        let (jobs, mut taken) = jobs::sync_channel(MAX_JOBS);
        let (tell, found) = results::channel(MAX_JOBS);
        let work = move || run(&host, &mut taken, &tell);
        if let Err(error) = thread::Builder::new().name("elsewhere".to_owned()).spawn(work) {
            tracing::error!(%error, "state files behind links and open descriptions are not looked for");
        }
        Self { jobs, found, targets: HashMap::new(), searching: None, again: false }
    }

    /// The next find. Never ends when the thread is gone.
    pub(super) async fn next(&mut self) -> Found {
        match self.found.recv().await {
            Some(found) => found,
            None => std::future::pending().await,
        }
    }

    /// True while a description may be open that nobody knows of, but not for long.
    pub(super) fn is_searching(&self, now: BootNanos) -> bool {
        self.searching.is_some_and(|until| now < until)
    }

    /// Where the file of a place is that a link or a mount leads to.
    pub(super) fn target(&self, place: &Place) -> Option<&Path> {
        self.targets.get(place)?.path.as_deref()
    }

    fn ask(&self, job: Job) -> bool {
        match self.jobs.try_send(job) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        }
    }
}

fn run(host: &HostRoot, jobs: &mut jobs::Receiver<Job>, tell: &Sender<Found>) {
    for job in jobs.iter() {
        let told = match job {
            Job::Descriptions(roots) => {
                descriptors::search(host, &roots, &mut |file, holder| {
                    tell.blocking_send(Found::Held { file, holder }).is_ok()
                });
                tell.blocking_send(Found::AllHeld)
            }
            Job::Link(link) => {
                let target = links::follow(host, &link.path);
                tell.blocking_send(Found::Target(link, target))
            }
        };
        if told.is_err() {
            return;
        }
    }
}

impl<S: Source> Agent<S> {
    /// Looks for descriptions that were opened before their root was watched.
    pub(super) fn search_descriptions(&mut self) {
        if !self.source.needs_open_descriptions() {
            return;
        }
        if self.elsewhere.searching.is_some() {
            self.elsewhere.again = true;
            return;
        }
        let roots = self.roots.table().iter().filter(|root| root.present).map(|root| root.spec()).collect();
        if self.elsewhere.ask(Job::Descriptions(roots)) {
            self.elsewhere.searching = Some(boot_now().plus(PATIENCE));
        }
    }

    /// Asks where links lead that stand at, or on the way to, state files.
    pub(super) fn follow_links(&mut self, links: Vec<Link>) {
        self.elsewhere.targets.retain(|place, _| {
            let stays = links.iter().any(|link| link.place == *place);
            if !stays {
                self.source.leave_elsewhere(place);
            }
            stays
        });
        for link in links.into_iter().take(MAX_TARGETS) {
            if !self.elsewhere.ask(Job::Link(link)) {
                return;
            }
        }
    }

    /// Takes what the thread found.
    pub(super) fn take_elsewhere(&mut self, found: Found) {
        match found {
            Found::Held { file, holder } => self.source.take_over(&file, holder),
            Found::AllHeld => {
                self.elsewhere.searching = None;
                if std::mem::take(&mut self.elsewhere.again) {
                    self.search_descriptions();
                }
                self.show_status();
            }
            Found::Target(link, target) => self.take_target(&link, target),
        }
    }

    fn take_target(&mut self, link: &Link, target: Option<Target>) {
        let place = &link.place;
        let stamp = target.as_ref().map(|target| target.stamp);
        let known = self.elsewhere.targets.entry(Arc::clone(place));
        let known = known.or_insert(Known { stamp: None, judged: false, path: None });
        let (is_same, is_new) =
            (known.stamp == stamp, known.stamp.map(Stamp::file) != stamp.map(Stamp::file));
        let has_settled = is_same && !known.judged && link.is_followed;
        let path = target.as_ref().map(|target| target.path.clone());
        *known = Known { stamp, judged: is_same, path };
        let Some(target) = target else {
            if has_settled {
                self.judge_link(place);
            }
            return;
        };
        if is_new {
            let way = Way { place, file: &target.file, directory: target.directory.as_ref() };
            if let Err(error) = self.source.watch_elsewhere(&way) {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, path = %target.path.display(), "a state file behind a link cannot be watched");
            }
            if let Some(seen) = Seen::new(&self.source, place, &target.file) {
                self.survey.see(seen);
            }
        }
        if has_settled {
            let sighting = Sighting::new(Arc::clone(place), target.path, target.stamp);
            self.read(Reading::Settled(sighting), place);
        }
    }

    /// A link that leads to no regular file is what stands there.
    fn judge_link(&mut self, place: &Arc<Place>) {
        let Some(root) = self.roots.get(place.root) else { return };
        let path = root.path.join(&*place.container).join(&*place.name);
        let link = std::fs::symlink_metadata(&path).ok().filter(std::fs::Metadata::is_symlink);
        let Some(link) = link else { return };
        let sighting = Sighting::new(Arc::clone(place), path, Stamp::of(&link));
        self.read(Reading::Settled(sighting), place);
    }
}
