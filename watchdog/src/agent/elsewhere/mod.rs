//! State files that are reached by other ways than their names below a root: through symbolic links, over mounts, and by open
//! file descriptions that are older than the watch.
//!
//! All of that leads to where others point, so the loop's threads follow links, and a thread of its own looks for
//! descriptions. The loop takes what they found, and asks no file system.

mod descriptors;

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self as jobs, Receiver as Jobs, Sender as Asker};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{self as results, Receiver, Sender};

use super::links::{Closing, Followed, Leads, Target, follow, stamp_of_link};
use super::survey::Seen;
use super::work::{Answer, Job as Reading};
use super::{Agent, millis};
use crate::clock::boot_now;
use crate::host_root::HostRoot;
use crate::model::{BootNanos, Pid, Place};
use crate::profile::{Link, Sighting, Stamp};
use crate::source::{Elsewhere as Way, RootSpec, Source};
use crate::workers::{Urgency, Work};

/// At most so many descriptions wait to be taken over.
const MAX_FOUND: usize = 256;
/// At most so many state files behind links are remembered.
const MAX_TARGETS: usize = 1_024;
/// So many links are followed by one job: a place that does not answer holds up no more.
const LINKS_AT_ONCE: usize = 16;
/// How long readiness waits for the descriptions that are open already.
const PATIENCE: u64 = millis(3_000);

/// What the thread is asked.
enum Job {
    /// Who has files of these roots open, which lie on these devices.
    Descriptions(Vec<RootSpec>, HashSet<(u32, u32)>),
    /// To close a copy of somebody's descriptor, which may have to wait for its file system.
    Close(File),
}

/// What it found.
pub(super) enum Found {
    /// Somebody has a file open that may be a state file.
    Held { file: File, holder: Pid },
    /// All descriptions were looked at.
    AllHeld,
}

/// The thread's other end.
pub(super) struct Elsewhere {
    jobs: Asker<Job>,
    found: Receiver<Found>,
    targets: HashMap<Arc<Place>, Known>,
    /// How many jobs follow links now.
    following: usize,
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
    device: Option<(u32, u32)>,
}

impl Elsewhere {
    /// Starts the thread. It ends when this is dropped.
    pub(super) fn start(host: HostRoot) -> Self {
        let (jobs, taken) = jobs::channel();
        let (tell, found) = results::channel(MAX_FOUND);
        let work = move || run(&host, &taken, &tell);
        if let Err(error) = thread::Builder::new().name("elsewhere".to_owned()).spawn(work) {
            tracing::error!(%error, "open descriptions are not looked for");
        }
        Self { jobs, found, targets: HashMap::new(), following: 0, searching: None, again: false }
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
}

fn run(host: &HostRoot, jobs: &Jobs<Job>, tell: &Sender<Found>) {
    while let Ok(job) = jobs.recv() {
        let (roots, devices) = match job {
            Job::Descriptions(roots, devices) => (roots, devices),
            Job::Close(file) => {
                drop(file);
                continue;
            }
        };
        descriptors::search(host, &roots, &devices, &mut |file, holder| {
            // One search is asked for at a time, so what waits here is to be closed.
            jobs.try_iter().for_each(drop);
            tell.blocking_send(Found::Held { file, holder }).is_ok()
        });
        if tell.blocking_send(Found::AllHeld).is_err() {
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
        let present = || self.roots.table().iter().filter(|root| root.present);
        let devices = present().filter_map(|root| root.device());
        let devices =
            devices.chain(self.elsewhere.targets.values().filter_map(|known| known.device)).collect();
        let roots = present().map(|root| root.spec()).collect();
        if self.elsewhere.jobs.send(Job::Descriptions(roots, devices)).is_ok() {
            self.elsewhere.searching = Some(boot_now().plus(PATIENCE));
        }
    }

    /// Asks where links lead that stand at, or on the way to, state files.
    pub(super) fn follow_links(&mut self, links: Vec<Link>) {
        let standing: HashSet<&Arc<Place>> = links.iter().map(|link| &link.place).collect();
        self.elsewhere.targets.retain(|place, _| {
            let stays = standing.contains(place);
            if !stays {
                self.source.leave_elsewhere(place);
            }
            stays
        });
        drop(standing);
        if self.elsewhere.following > 0 {
            // Somebody waits for those that were asked before.
            return;
        }
        let mut links = links.into_iter().take(MAX_TARGETS).map(|link| {
            let known = self.elsewhere.targets.get(&link.place).and_then(|known| known.stamp);
            (link, known.map(Stamp::file))
        });
        let mut batches = Vec::new();
        loop {
            let batch: Vec<(Link, Option<u64>)> = links.by_ref().take(LINKS_AT_ONCE).collect();
            if batch.is_empty() {
                break;
            }
            batches.push(batch);
        }
        drop(links);
        for batch in batches {
            self.elsewhere.following += 1;
            let host = self.config.host();
            self.send(Work::Link, Reading::Links, move |gate| {
                let mut followed = Vec::new();
                for (link, known) in &batch {
                    match follow(&host, &link.path, *known, gate) {
                        Ok(Some(target)) => followed.push(Followed(link.clone(), Leads::To(target))),
                        Ok(None) => {
                            let link_itself = stamp_of_link(&host, &link.path, gate);
                            followed.push(Followed(link.clone(), Leads::Nowhere(link_itself)));
                        }
                        // Where nobody answers, all stays as it was.
                        Err(_) => {}
                    }
                    // The others are followed all the same.
                    gate.skip();
                }
                Answer::Links(followed)
            });
        }
    }

    /// Takes where links lead.
    pub(super) fn take_links(&mut self, followed: Vec<Followed>) {
        self.elsewhere.following = self.elsewhere.following.saturating_sub(1);
        for Followed(link, leads) in followed {
            self.take_target(&link, leads);
        }
    }

    /// Takes what the thread found.
    pub(super) fn take_elsewhere(&mut self, found: Found) {
        match found {
            Found::Held { file, holder } => {
                self.source.take_over(&file, holder);
                // Dropped here when the thread is gone.
                let _ = self.elsewhere.jobs.send(Job::Close(file));
            }
            Found::AllHeld => {
                self.elsewhere.searching = None;
                if std::mem::take(&mut self.elsewhere.again) {
                    self.search_descriptions();
                }
                self.show_status();
            }
        }
    }

    fn take_target(&mut self, link: &Link, leads: Leads) {
        let place = &link.place;
        let (target, link_itself) = match leads {
            Leads::To(target) => (Some(target), None),
            Leads::Nowhere(link_itself) => (None, link_itself),
        };
        let stamp = target.as_ref().map(|target| target.stamp);
        let known = self.elsewhere.targets.entry(Arc::clone(place));
        let known = known.or_insert(Known { stamp: None, judged: false, path: None, device: None });
        let is_same = known.stamp == stamp;
        let has_settled = is_same && !known.judged && link.is_followed;
        let path = target.as_ref().map(|target| target.path.clone());
        *known = Known { stamp, judged: is_same, path, device: target.as_ref().map(|target| target.device) };
        let Some(Target { path, stamp, device: _, opened }) = target else {
            if let Some(link_itself) = link_itself.filter(|_| has_settled) {
                self.judge_link(place, link_itself);
            }
            return;
        };
        if let Some(opened) = opened {
            let way = Way { place, file: &opened.file, directory: opened.directory.as_ref() };
            if let Err(error) = self.source.watch_elsewhere(&way) {
                let error = format!("{:#}", anyhow::Error::from(error));
                tracing::warn!(error, path = %path.display(), "a state file behind a link cannot be watched");
            }
            if let Some(size) = opened.size {
                let inode = self.source.identify(&opened.file);
                self.survey.see(Seen::new(opened.span, place, inode, size));
            }
            self.close(Closing::of(opened));
        }
        if has_settled {
            let sighting = Sighting::new(Arc::clone(place), path, stamp);
            self.read(Reading::Settled(sighting), place);
        }
    }

    /// Has somebody close files, who may wait for their file system.
    fn close(&mut self, mut closing: Closing) {
        let task = move |gate: &dyn crate::files::Gate| {
            closing.close(gate);
            Answer::Done
        };
        let _ = self.workers.submit(Work::Link, Urgency::Whenever, Duration::from_secs(10), task);
    }

    /// A link that leads to no regular file is what stands there.
    fn judge_link(&mut self, place: &Arc<Place>, stamp: Stamp) {
        let Some(root) = self.roots.get(place.root) else { return };
        let path = root.path.join(&*place.container).join(&*place.name);
        let sighting = Sighting::new(Arc::clone(place), path, stamp);
        self.read(Reading::Settled(sighting), place);
    }
}
