//! Two witnesses: beside a source of eBPF programs, a light inotify watch on the same directories. A session that one
//! of them saw and the other did not is an anomaly.

mod story;
mod testimony;

use std::fs::File;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::boot_now;
use crate::model::{BootNanos, InodeId, OpenId, Pid, Place, RootId};
use crate::source::{Elsewhere, Item, Losses, ProbeStatus, Proof, RootSpec, Source, SourceError, SourceKind};
use story::{SourceStory, WitnessStory};
use testimony::Testimony;

/// A source with a witness beside it.
pub struct Witnessed<S> {
    source: S,
    /// The marks beside the source are asked.
    witness: bool,
    testimony: Testimony,
    source_story: SourceStory,
    witness_story: WitnessStory,
    /// What was before that time, the source has told.
    told: BootNanos,
}

impl<S: Source> Witnessed<S> {
    /// The source, cross-checked when that is `wanted` and the source has marks.
    #[must_use]
    pub fn new(mut source: S, wanted: bool) -> Self {
        let witness = wanted && source.sights().is_some();
        if wanted && !witness {
            tracing::warn!("no marks on directories: sessions are not cross-checked");
        }
        Self {
            source,
            witness,
            testimony: Testimony::default(),
            source_story: SourceStory::default(),
            witness_story: WitnessStory::default(),
            told: BootNanos(0),
        }
    }

    /// Waits for the source and its marks, or until a session is to be judged.
    async fn wait(&mut self, out: &mut Vec<Item>) -> Result<(), SourceError> {
        let asked = boot_now();
        let due = self.testimony.due();
        let judge = async {
            match due {
                Some(due) => tokio::time::sleep(Duration::from_nanos(due.since(boot_now()))).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            read = self.source.read(out) => return read,
            () = judge => {}
        }
        // The source had nothing more.
        self.told = asked;
        Ok(())
    }

    /// Takes what the marks saw.
    fn listen(&mut self, now: BootNanos) {
        if !self.witness {
            return;
        }
        for sight in self.source.sights().unwrap_or_default() {
            self.witness_story.sight(sight, now, &mut self.testimony);
        }
    }

    fn judge(&mut self, now: BootNanos, out: &mut Vec<Item>) {
        let mut anomalies = Vec::new();
        self.testimony.judge(now, self.told, &mut anomalies);
        out.extend(anomalies.into_iter().map(Item::Anomaly));
    }
}

impl<S: Source> Source for Witnessed<S> {
    fn kind(&self) -> SourceKind {
        self.source.kind()
    }

    async fn read(&mut self, out: &mut Vec<Item>) -> Result<(), SourceError> {
        if !self.witness {
            return self.source.read(out).await;
        }
        let before = out.len();
        loop {
            self.wait(out).await?;
            let now = boot_now();
            for item in out.iter().skip(before) {
                if let Item::Event(event) = item {
                    self.source_story.event(event, now, &mut self.testimony);
                }
            }
            self.listen(now);
            self.judge(now, out);
            if out.len() > before {
                return Ok(());
            }
        }
    }

    fn watch(&mut self, root: &RootSpec) -> Result<(), SourceError> {
        let result = self.source.watch(root);
        self.listen(boot_now());
        result
    }

    fn leave(&mut self, id: RootId) {
        self.source.leave(id);
        self.listen(boot_now());
    }

    fn set_silent(&mut self, id: RootId, is_silent: bool) {
        self.source.set_silent(id, is_silent);
        self.listen(boot_now());
    }

    fn unwatch(&mut self, id: RootId) {
        self.source.unwatch(id);
        self.listen(boot_now());
    }

    fn has_descriptions(&self) -> bool {
        self.source.has_descriptions()
    }

    fn reconcile(&mut self, now: BootNanos) -> Option<BootNanos> {
        self.source.reconcile(now)
    }

    fn poll_released(&mut self, opens: &[OpenId]) -> Result<(), SourceError> {
        self.source.poll_released(opens)
    }

    fn losses(&self) -> Losses {
        self.source.losses()
    }

    fn probes(&self) -> Vec<ProbeStatus> {
        let mut probes = self.source.probes();
        if self.witness {
            let (probe, mechanism) = ("witness", "inotify");
            probes.push(ProbeStatus { probe, mechanism, attached: true, reason: None });
        }
        probes
    }

    fn proofs(&self) -> &'static [Proof] {
        self.source.proofs()
    }

    fn identify(&self, file: &File) -> Option<InodeId> {
        self.source.identify(file)
    }

    fn watch_elsewhere(&mut self, found: &Elsewhere<'_>) -> Result<(), SourceError> {
        self.source.watch_elsewhere(found)
    }

    fn leave_elsewhere(&mut self, place: &Place) {
        self.source.leave_elsewhere(place);
    }

    fn needs_open_descriptions(&self) -> bool {
        self.source.needs_open_descriptions()
    }

    fn take_over(&mut self, file: &File, holder: Pid) {
        self.source.take_over(file, holder);
    }

    fn reads_itself(&mut self, place: &Arc<Place>) {
        self.source.reads_itself(place);
    }
}

#[cfg(test)]
mod tests;
