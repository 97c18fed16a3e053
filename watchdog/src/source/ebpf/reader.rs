//! A source of eBPF programs, whatever they are attached to: takes records from the ring and hands out events.

use std::fs::File;
use std::io;
use std::marker::PhantomData;

use aya::maps::{MapData, RingBuf};
use tokio::io::Interest as Ready;
use tokio::io::unix::AsyncFd;
use watchdog_common::{LossCounter, RootKey, RootValue};

use super::copies::Programs;
use super::decode::{self, Record};
use super::load::{self, Doors, Interest, LoadError, Options, Probes};
use super::marked::Marked;
use super::names::Names;
use super::reconcile::{Files, Reconciliation};
use super::translate::{Discarded, Translator};
use super::words::Words;
use crate::clock::boot_now;
use crate::model::{Actor, BootNanos, EventOperation, FileEvent, InodeId, OpenId, Pid, Place, RootId, Span};
use crate::source::inotify::Sight;
use crate::source::{
    CANARY, Elsewhere, Item, LossReason, Losses, ProbeStatus, RootSpec, Source, SourceError, SourceKind,
};

/// How many records one read hands over at most, so that the agent's loop turns.
const BATCH: usize = 1024;

/// The source, with its programs attached to doors of one kind.
pub struct EbpfSource<D> {
    ring: AsyncFd<RingBuf<MapData>>,
    probes: Attached,
    names: Names,
    translator: Translator,
    marked: Marked,
    reconciliation: Reconciliation,
    malformed: u64,
    /// Records that left open what they did.
    unresolved: u64,
    missed: u64,
    /// The loss total that was handed out last.
    said: u64,
    doors: PhantomData<D>,
}

/// [`Probes`] but for the ring.
struct Attached {
    control: super::control::Control,
    interest: Interest,
    losses: Words,
    files: Files,
    gate: aya::maps::Array<MapData, u64>,
    status: Vec<ProbeStatus>,
    programs: Programs,
}

impl<D: Doors> EbpfSource<D> {
    /// Loads and attaches the probes. Must run inside a tokio runtime.
    ///
    /// # Errors
    /// The kernel refuses, see [`LoadError`].
    pub fn attach(options: &Options) -> Result<Self, LoadError> {
        let Probes { ring, control, interest, losses, files, gate, status, programs } =
            load::attach::<D>(options)?;
        #[expect(unsafe_code, reason = "AsyncFd asks for the promise that the descriptor stays the same")]
        // SAFETY: the ring buffer owns its descriptor and never exchanges it.
        let ring = unsafe { AsyncFd::register_with_interest(ring, Ready::READABLE) }
            .map_err(|error| LoadError::Runtime(error.into()))?;
        let probes = Attached { control, interest, losses, files, gate, status, programs };
        Ok(Self {
            ring,
            probes,
            names: Names::default(),
            translator: Translator::new(),
            marked: Marked::new(D::KIND == SourceKind::Vfs),
            reconciliation: Reconciliation::default(),
            malformed: 0,
            unresolved: 0,
            missed: 0,
            said: 0,
            doors: PhantomData,
        })
    }

    /// How many descriptions the probes track, operations in flight on them included. While it is 0, calls on
    /// descriptions cost next to nothing.
    #[must_use]
    pub fn tracked(&self) -> u64 {
        self.probes.gate.get(&0, 0).unwrap_or(0)
    }

    /// Takes what is in the ring, at most [`BATCH`] records; false when it was empty.
    fn drain(&mut self, out: &mut Vec<Item>) -> bool {
        // What was missed before this look is missing before its records, at the latest.
        self.missed = self.probes.programs.watch();
        let ring = self.ring.get_mut();
        for taken in 0..BATCH {
            let Some(bytes) = ring.next() else { return taken > 0 };
            let lost = self.malformed + self.unresolved + self.missed + self.marked.lost();
            let item = match decode::record(&bytes) {
                Ok(Record::Path(path)) => {
                    let call = self.translator.call(path);
                    let lost = path.header.lost.saturating_add(lost);
                    call.map(|call| self.marked.call(call, lost, &mut self.translator, out)).err()
                }
                Ok(record) => match self.translator.item(&record, lost) {
                    Ok(item) if self.reconciliation.is_told(&item) => None,
                    Ok(item) => {
                        self.marked.follow(&item, &mut self.translator, out);
                        out.push(item);
                        None
                    }
                    Err(discarded) => Some(discarded),
                },
                Err(error) => {
                    tracing::debug!(%error, "the probes sent a record that cannot be read");
                    Some(Discarded::Malformed)
                }
            };
            match item {
                None | Some(Discarded::Irrelevant) => {}
                Some(Discarded::Unresolved) => self.unresolved += 1,
                Some(Discarded::Malformed) => self.malformed += 1,
            }
        }
        true
    }

    /// The ring is empty: takes what the marks have, and what waited for the last record. False when there is nothing.
    fn listen(&mut self, out: &mut Vec<Item>) -> bool {
        let (lost, before) = (self.lost(), out.len());
        self.marked.idle(lost, &mut self.translator, out);
        out.len() > before || self.marked.has_sights()
    }

    /// All that was lost so far and that the engine is told.
    fn lost(&self) -> u64 {
        // As the probes write it into each record.
        let counted =
            [LossCounter::RingFull, LossCounter::TableFull, LossCounter::IoUring, LossCounter::Missed];
        let in_kernel: u64 = counted.into_iter().map(|counter| self.counter(counter)).sum();
        in_kernel + self.malformed + self.unresolved + self.missed + self.marked.lost()
    }

    /// The ring is empty: what was lost and no record told of is told now, so that what begins after it is certain,
    /// however long that takes. False when there is nothing to tell.
    fn say_lost(&mut self, out: &mut Vec<Item>) -> bool {
        let (lost, at) = (self.lost(), boot_now());
        if lost <= self.said {
            return false;
        }
        // A record in between is told first.
        if !self.drain(out) {
            self.said = lost;
            let (span, actor) = (Span::new(at, at), Actor::UNKNOWN);
            out.push(Item::Event(FileEvent { span, actor, lost, operation: EventOperation::Heartbeat }));
        }
        true
    }

    /// The ring is empty: descriptions that are gone, and of which it held no release, are told now. False when there are
    /// none.
    fn say_gone(&mut self, out: &mut Vec<Item>) -> bool {
        let gone = self.reconciliation.take_missing();
        out.extend(gone.iter().copied().map(Item::Gone));
        !gone.is_empty()
    }

    /// A container's directory, or each of a root's, stands nowhere else any more.
    fn drop_elsewhere(&mut self, root: RootId, container: Option<&str>) {
        for number in self.translator.elsewhere.remove(root, container) {
            if let Err(error) = self.probes.interest.remove(number, &self.names) {
                tracing::warn!(%error, "the probes cannot be told that a directory is not watched any more");
            }
        }
    }

    fn counter(&self, counter: LossCounter) -> u64 {
        self.probes.losses.get(counter as u32)
    }
}

impl<D: Doors> Source for EbpfSource<D> {
    fn kind(&self) -> SourceKind {
        D::KIND
    }

    async fn read(&mut self, out: &mut Vec<Item>) -> Result<(), SourceError> {
        loop {
            let before = out.len();
            if self.drain(out) || self.listen(out) || self.say_lost(out) || self.say_gone(out) {
                for item in &out[before..] {
                    if let Item::Event(event) = item {
                        self.said = self.said.max(event.lost);
                    }
                }
                return Ok(());
            }
            let failed = |cause| SourceError::Read { source_kind: D::KIND, cause };
            // Not armed before the ring was found empty: a record in between makes it readable at once.
            tokio::select! {
                ready = self.ring.readable_mut() => ready.map_err(failed)?.clear_ready(),
                () = self.marked.due() => {}
            }
        }
    }

    fn watch(&mut self, root: &RootSpec) -> Result<(), SourceError> {
        let refused =
            |cause: io::Error| SourceError::Watch { path: root.path.clone(), cause: Box::new(cause) };
        let directory = File::open(&root.path).map_err(refused)?;
        let key = self
            .probes
            .control
            .identify(&directory)
            .ok_or_else(|| refused(io::Error::other(LoadError::Silent)))?;
        let failed = |cause| SourceError::Watch { path: root.path.clone(), cause };
        let names = self.names.add(root).map_err(|error| failed(error.into()))?;
        let (depths, locks) = (root.depths.bits(), root.locks.bits());
        let value = RootValue { root: root.id.0, depths, locks, names };
        // Where a record of the new root can come, its patterns are known.
        let control = &self.probes.control;
        self.translator.paths.add(root, key, &|file: &File| control.identify(file));
        self.translator.set_patterns(root.id, &root.names);
        self.probes.interest.add(key, value, &self.names).map_err(|error| failed(error.into()))?;
        // The probes look first: they see all that the marks see.
        if root.id != CANARY {
            self.marked.watch(root, &mut self.translator);
        }
        Ok(())
    }

    fn leave(&mut self, id: RootId) {
        self.marked.unwatch(id, &mut self.translator);
        if let Err(error) = self.probes.interest.leave(id.0) {
            tracing::warn!(%error, "the probes cannot be told that a root went from its place");
        }
    }

    fn set_silent(&mut self, id: RootId, is_silent: bool) {
        self.marked.set_silent(id, is_silent, &mut self.translator);
    }

    fn unwatch(&mut self, id: RootId) {
        self.drop_elsewhere(id, None);
        self.names.remove(id);
        self.marked.unwatch(id, &mut self.translator);
        self.translator.forget(id);
        if let Err(error) = self.probes.interest.remove(id.0, &self.names) {
            tracing::warn!(%error, "the probes cannot be told that a root is not watched any more");
        }
    }

    fn poll_released(&mut self, opens: &[OpenId]) -> Result<(), SourceError> {
        for &open in opens {
            self.reconciliation.ask(open, &self.probes.control);
        }
        Ok(())
    }

    fn reconcile(&mut self, now: BootNanos) -> Option<BootNanos> {
        let state = (self.lost(), self.tracked());
        Some(self.reconciliation.proceed(now, state, &self.probes.files, &self.probes.control))
    }

    fn losses(&self) -> Losses {
        let mut losses = Losses::default();
        losses.0[LossReason::RingFull as usize] = self.counter(LossCounter::RingFull);
        losses.0[LossReason::TableFull as usize] = self.counter(LossCounter::TableFull);
        losses.0[LossReason::Compat as usize] = self.counter(LossCounter::Compat);
        losses.0[LossReason::IoUring as usize] = self.counter(LossCounter::IoUring);
        losses.0[LossReason::Malformed as usize] = self.malformed;
        losses.0[LossReason::Unresolved as usize] = self.unresolved + self.marked.unresolved();
        losses.0[LossReason::QueueOverflow as usize] = self.marked.overflows();
        losses.0[LossReason::ProbeMissed as usize] =
            self.probes.programs.missed() + self.counter(LossCounter::Missed);
        losses
    }

    fn probes(&self) -> Vec<ProbeStatus> {
        let mut probes = self.probes.status.clone();
        probes.push(self.marked.status());
        probes
    }

    fn sights(&mut self) -> Option<Vec<Sight>> {
        self.marked.sights()
    }

    fn watch_elsewhere(&mut self, found: &Elsewhere<'_>) -> Result<(), SourceError> {
        let Some(known) = self.probes.control.look(found.file) else { return Ok(()) };
        if known.is_named != 0 {
            return Ok(());
        }
        let Some(directory) = found.directory else {
            self.probes.control.adopt(found.file, found.place.root.0);
            return Ok(());
        };
        let Some(key) = self.probes.control.identify(directory) else { return Ok(()) };
        let Some(root) = self.names.root(found.place.root).cloned() else { return Ok(()) };
        let failed = |cause| SourceError::Watch { path: root.path.join(&*found.place.container), cause };
        let level = u32::try_from(found.place.container.split('/').count()).unwrap_or(u32::MAX);
        let below = |set: u8| set.checked_shr(level).unwrap_or(0);
        let (depths, locks) = (below(root.depths.bits()), below(root.locks.bits()));
        if depths == 0 {
            return Ok(());
        }
        // Another directory may stand there than before.
        self.drop_elsewhere(root.id, Some(&found.place.container));
        let (number, _) = self.translator.elsewhere.add(found.place).map_err(|error| failed(error.into()))?;
        let value = RootValue { root: number, depths, locks, names: self.names.bits(&root) };
        self.names.look_elsewhere(depths, locks);
        self.probes.interest.add(key, value, &self.names).map_err(|error| failed(error.into()))?;
        self.marked.watch_elsewhere(found, &mut self.translator);
        Ok(())
    }

    fn leave_elsewhere(&mut self, place: &Place) {
        self.marked.leave_elsewhere(place, &mut self.translator);
        self.drop_elsewhere(place.root, Some(&place.container));
    }

    fn needs_open_descriptions(&self) -> bool {
        true
    }

    fn take_over(&mut self, file: &File, holder: Pid) {
        self.probes.control.track(file, holder.0);
    }

    fn identify(&self, file: &File) -> Option<InodeId> {
        let RootKey { ino, dev, generation } = self.probes.control.identify(file)?;
        Some(InodeId { dev, ino, generation })
    }
}
