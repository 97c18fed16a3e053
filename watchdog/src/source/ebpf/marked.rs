//! The marks beside the probes: they name the directory of each call by path.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::translate::Translator;
use crate::clock::boot_now;
use crate::model::{EventOperation, FileEvent, Place, Role, RootId};
use crate::source::inotify::{Mark, Marks, Sight};
use crate::source::names::{Call, Join, Joined, NameEvent};
use crate::source::{Elsewhere, Item, ProbeStatus, RootSpec};

/// Marks, and what they tell of calls.
pub(super) struct Marked {
    /// `None` when there are none.
    marks: Option<Marks>,
    /// Why there are none.
    refusal: Option<String>,
    join: Join,
    news: Vec<Mark>,
    joined: Vec<Joined>,
    /// For the cross-check.
    sights: Vec<Sight>,
    /// Somebody asks for them.
    checked: bool,
    /// Overflows of queues that are gone.
    overflows: u64,
    /// When directories that could not be watched are tried again.
    retry: Option<Instant>,
}

impl Marked {
    /// Room for so much is kept; reading all roots brings thousands at once, and seldom.
    const USUAL: usize = 1_024;
    /// After so long, directories that could not be watched are tried again.
    const RETRY: Duration = Duration::from_secs(60);

    /// `probes_name` where the probes name the files themselves. Must run inside a tokio runtime.
    pub(super) fn new(probes_name: bool) -> Self {
        let marks = Marks::new();
        if let Err(error) = &marks {
            tracing::warn!(%error, "cannot watch directories: names rest on the text of paths alone");
        }
        let refusal = marks.as_ref().err().map(ToString::to_string);
        let join = if probes_name { Join::beside_names() } else { Join::default() };
        let (overflows, checked) = (0, false);
        let (news, joined, sights) = (Vec::new(), Vec::new(), Vec::new());
        let retry = None;
        Self { marks: marks.ok(), refusal, join, news, joined, sights, checked, overflows, retry }
    }

    /// Waits until [`Self::idle`] has something to do. Cancel-safe.
    pub(super) async fn due(&mut self) {
        let due = self.join.due().map(|due| Instant::now() + Duration::from_nanos(due.since(boot_now())));
        let due = [due, self.retry].into_iter().flatten().min();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let filled = async {
            match &mut self.marks {
                // An error comes back when the queue is read.
                Some(marks) => drop(marks.filled().await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = filled => {}
            () = timer => {}
        }
    }

    pub(super) fn watch(&mut self, root: &RootSpec, translator: &mut Translator) {
        if let Some(marks) = &mut self.marks
            && let Err(error) = marks.watch(root, &mut self.news)
        {
            tracing::debug!(%error, root = %root.path.display(), "cannot watch a root's directories");
        }
        self.spread(translator);
    }

    pub(super) fn unwatch(&mut self, id: RootId, translator: &mut Translator) {
        if let Some(marks) = &mut self.marks {
            marks.unwatch(id, &mut self.news);
        }
        self.spread(translator);
        self.join.forget(id);
    }

    /// Notes whether a root answers.
    pub(super) fn set_silent(&mut self, id: RootId, is_silent: bool, translator: &mut Translator) {
        if let Some(marks) = &mut self.marks {
            marks.set_silent(id, is_silent, &mut self.news);
        }
        self.spread(translator);
    }

    /// Marks a directory that stands for a container's.
    pub(super) fn watch_elsewhere(&mut self, found: &Elsewhere<'_>, translator: &mut Translator) {
        if let Some(marks) = &mut self.marks
            && let Err(error) = marks.watch_elsewhere(found, &mut self.news)
        {
            tracing::debug!(%error, container = &*found.place.container, "cannot watch a directory");
        }
        self.spread(translator);
    }

    pub(super) fn leave_elsewhere(&mut self, place: &Place, translator: &mut Translator) {
        if let Some(marks) = &mut self.marks {
            marks.leave_elsewhere(place, &mut self.news);
        }
        self.spread(translator);
    }

    /// Takes in a call. `lost` is the total of losses at its time.
    pub(super) fn call(&mut self, call: Call, lost: u64, translator: &mut Translator, out: &mut Vec<Item>) {
        // The kernel queued the marks' events of this call before the call returned.
        self.take(translator);
        let mut places = |root, container: &str, name: &str| translator.place_of(root, container, name);
        self.join.call(call, &mut places, &mut self.joined);
        self.report(lost, out);
    }

    /// Takes in what a record says, before others do.
    pub(super) fn follow(&mut self, item: &Item, translator: &mut Translator, out: &mut Vec<Item>) {
        let Item::Event(FileEvent { operation, lost, .. }) = item else { return };
        match operation {
            EventOperation::Open { created: true, place, .. } if place.role == Role::State => {
                self.take(translator);
                self.join.created(place, &mut self.joined);
            }
            EventOperation::Rename { .. } | EventOperation::Link { .. } | EventOperation::Unlink { .. } => {
                self.take(translator);
                self.join.reported(operation, &mut self.joined);
            }
            _ => return,
        }
        self.report(*lost, out);
    }

    /// There is no record left: takes what the marks have.
    pub(super) fn idle(&mut self, lost: u64, translator: &mut Translator, out: &mut Vec<Item>) {
        self.try_again();
        self.take(translator);
        let mut places = |root, container: &str, name: &str| translator.place_of(root, container, name);
        self.join.idle(boot_now(), &mut places, &mut self.joined);
        self.report(lost, out);
    }

    fn try_again(&mut self) {
        let Some(marks) = self.marks.as_mut().filter(|marks| marks.refused().is_some()) else {
            self.retry = None;
            return;
        };
        let due = *self.retry.get_or_insert_with(|| Instant::now() + Self::RETRY);
        if due <= Instant::now() {
            self.retry = None;
            marks.rescan(&mut self.news);
        }
    }

    fn take(&mut self, translator: &mut Translator) {
        let Some(marks) = &mut self.marks else { return };
        if let Err(error) = marks.drain(&mut self.news) {
            tracing::warn!(%error, "directories cannot be watched any more");
            self.refusal = Some(error.to_string());
            self.overflows += marks.overflows() + 1;
            self.marks = None;
            self.join.lost(boot_now());
        }
        self.spread(translator);
    }

    fn spread(&mut self, translator: &mut Translator) {
        for mark in self.news.drain(..) {
            match mark {
                Mark::Name(event) => {
                    // What everybody else calls this name.
                    let place = &event.place;
                    let place = translator.place_of(place.root, &place.container, &place.name);
                    self.join.change(NameEvent { place, ..event }, &mut self.joined);
                }
                Mark::Directory(directory) => self.join.directory(directory),
                Mark::Sight(sight) => {
                    match &sight {
                        Sight::Begins(root, container) => {
                            self.join.begins(*root, Arc::clone(container), boot_now());
                        }
                        Sight::Ends(root, container) => self.join.ends(*root, container),
                        Sight::Lost(at) => self.join.lost(*at),
                        Sight::Modified(..) | Sight::Closed(..) | Sight::Replaced(..) => {}
                    }
                    if self.checked {
                        self.sights.push(sight);
                    }
                }
            }
        }
        self.news.shrink_to(Self::USUAL);
    }

    fn report(&mut self, lost: u64, out: &mut Vec<Item>) {
        let event = |Joined { span, actor, operation }| FileEvent { span, actor, lost, operation };
        out.extend(self.joined.drain(..).map(event).map(Item::Event));
    }

    /// The sights since the last call, once somebody asked for them.
    pub(super) fn sights(&mut self) -> Option<Vec<Sight>> {
        self.marks.as_ref()?;
        self.checked = true;
        Some(std::mem::take(&mut self.sights))
    }

    pub(super) fn has_sights(&self) -> bool {
        !self.sights.is_empty()
    }

    pub(super) fn unresolved(&self) -> u64 {
        self.join.unresolved()
    }

    pub(super) fn overflows(&self) -> u64 {
        self.overflows + self.marks.as_ref().map_or(0, Marks::overflows)
    }

    /// All that was lost here.
    pub(super) fn lost(&self) -> u64 {
        self.unresolved() + self.overflows()
    }

    pub(super) fn status(&self) -> ProbeStatus {
        let refused = self.marks.as_ref().and_then(Marks::refused);
        let refused = refused.map(|(count, error)| format!("{count} directories cannot be watched: {error}"));
        let reason = self.refusal.clone().or(refused);
        ProbeStatus { probe: "names", mechanism: "inotify", attached: reason.is_none(), reason }
    }
}
