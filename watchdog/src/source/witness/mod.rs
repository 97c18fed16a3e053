//! Two witnesses: beside a source of eBPF programs, a light inotify watch on the same directories. A session that one
//! of them saw and the other did not is an anomaly.

mod story;
mod testimony;

use std::fs::File;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::boot_now;
use crate::model::{BootNanos, InodeId, OpenId, Place, RootId};
use crate::source::inotify::{Sight, Witness};
use crate::source::{CANARY, Item, Losses, ProbeStatus, Proof, RootSpec, Source, SourceError, SourceKind};
use story::{SourceStory, WitnessStory};
use testimony::Testimony;

/// A source with a witness beside it.
pub struct Witnessed<S> {
    source: S,
    /// `None` when there is none, or no more.
    witness: Option<Witness>,
    testimony: Testimony,
    source_story: SourceStory,
    witness_story: WitnessStory,
    sights: Vec<Sight>,
    /// What was before that time, the source has told.
    told: BootNanos,
}

impl<S: Source> Witnessed<S> {
    /// Room for so many sights is kept; a look at all roots brings thousands at once, and seldom.
    const USUAL_SIGHTS: usize = 1_024;

    /// The source, and a witness when one is `wanted` and can be had. Must run inside a tokio runtime.
    #[must_use]
    pub fn new(source: S, wanted: bool) -> Self {
        let witness = wanted.then(Witness::new).and_then(|witness| {
            witness
                .inspect_err(|error| tracing::warn!(%error, "no witness: sessions are not cross-checked"))
                .ok()
        });
        Self {
            source,
            witness,
            testimony: Testimony::default(),
            source_story: SourceStory::default(),
            witness_story: WitnessStory::default(),
            sights: Vec::new(),
            told: BootNanos(0),
        }
    }

    /// Waits for either of the two, or until a session is to be judged.
    async fn wait(&mut self, out: &mut Vec<Item>) -> Result<(), SourceError> {
        let asked = boot_now();
        let due = self.testimony.due();
        let judge = async {
            match due {
                Some(due) => tokio::time::sleep(Duration::from_nanos(due.since(boot_now()))).await,
                None => pending().await,
            }
        };
        let filled = async {
            match &mut self.witness {
                Some(witness) => witness.filled().await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            read = self.source.read(out) => return read,
            // An error comes back when the queue is read.
            _ = filled => {}
            () = judge => {}
        }
        // The source had nothing more.
        self.told = asked;
        Ok(())
    }

    /// Takes what the witness has.
    fn listen(&mut self, now: BootNanos) {
        let Some(witness) = &mut self.witness else { return };
        if let Err(error) = witness.drain(&mut self.sights) {
            tracing::warn!(%error, "the witness is gone: sessions are not cross-checked");
            self.witness = None;
        }
        self.take_sights(now);
    }

    fn take_sights(&mut self, now: BootNanos) {
        for sight in self.sights.drain(..) {
            self.witness_story.sight(sight, now, &mut self.testimony);
        }
        self.sights.shrink_to(Self::USUAL_SIGHTS);
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
        if self.witness.is_none() {
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

    /// The witness watches what the source does, and later: what it sees, the source must have seen.
    fn watch(&mut self, root: &RootSpec) -> Result<(), SourceError> {
        self.source.watch(root)?;
        if let Some(witness) = &mut self.witness
            && root.id != CANARY
            && let Err(error) = witness.watch(root, &mut self.sights)
        {
            tracing::debug!(%error, root = %root.path.display(), "the witness cannot watch a root");
        }
        self.take_sights(boot_now());
        Ok(())
    }

    fn unwatch(&mut self, id: RootId) {
        self.source.unwatch(id);
        if let Some(witness) = &mut self.witness {
            witness.unwatch(id, &mut self.sights);
        }
        self.take_sights(boot_now());
    }

    fn poll_released(&mut self, opens: &[OpenId]) -> Result<(), SourceError> {
        self.source.poll_released(opens)
    }

    fn losses(&self) -> Losses {
        self.source.losses()
    }

    fn probes(&self) -> Vec<ProbeStatus> {
        let mut probes = self.source.probes();
        if self.witness.is_some() {
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

    fn reads_itself(&mut self, place: &Arc<Place>) {
        self.source.reads_itself(place);
    }
}

#[cfg(test)]
mod tests;
