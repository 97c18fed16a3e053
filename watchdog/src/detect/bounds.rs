//! What is forgotten, when, and what is said about it.

use std::sync::Arc;

use super::engine::{Engine, anomaly};
use super::file::File;
use super::judge::Occasion;
use super::limits::nanos;
use super::names::Standing;
use super::session::{Ending, Session};
use super::table::Slot;
use crate::model::{AnomalyKind, BootNanos, InodeId, OpenId, Output, Place, Span};

/// A full table gives up this part of its entries at once.
const BATCH: usize = 16;

impl Engine {
    /// A file's timer went off: gives up what is due.
    pub(super) fn look_at_file(&mut self, inode: InodeId, at: BootNanos, out: &mut Vec<Output>) {
        let (horizon, deadline) = (nanos(self.limits.horizon), nanos(self.limits.session_deadline));
        let quiet = nanos(self.limits.quiet);
        let Some(slot) = self.files.find(&inode) else { return };
        let Some(file) = self.files.get_mut(slot) else { return };
        if file.timer.is_some_and(|timer| timer > at) {
            return;
        }
        file.timer = None;
        self.confirm(slot, at, out);
        self.look_at_session(slot, at, out);
        self.judge_damage(slot, out);
        self.give_up_doubts(slot, BootNanos(at.0.saturating_sub(horizon)), at, out);
        let due = |slot: &Slot| self.descriptions.get(*slot).and_then(|description| description.due);
        let live = self.files.get(slot).map(|file| file.live.clone()).unwrap_or_default();
        let overdue: Vec<Slot> =
            live.into_iter().filter(|slot| due(slot).is_some_and(|due| due <= at)).collect();
        for reader in overdue {
            // It is set anew where it is still waited for.
            if let Some(description) = self.descriptions.get_mut(reader) {
                description.due = None;
            }
            self.settle(reader, Occasion::Due, out);
        }
        self.bound_past(slot, out);
        let mapped = self.is_stored_to(slot);
        let Some(file) = self.files.get(slot) else { return };
        let next = [
            file.current
                .as_ref()
                .and_then(|session| session.due(quiet, deadline, mapped))
                .map(|(due, _)| due),
            file.past.iter().filter(|session| session.is_pending()).map(|session| session.certain).min(),
            file.live
                .iter()
                .filter_map(|slot| self.descriptions.get(*slot).and_then(|description| description.due))
                .min(),
            file.sizes.oldest_doubt().map(|doubt| doubt.to.plus(horizon)),
            file.past
                .front()
                .and_then(|session| session.end)
                .map(|end| end.plus(horizon).plus(1))
                .filter(|due| *due > at),
        ];
        if let Some(next) = next.into_iter().flatten().min() {
            self.wake_file(slot, next.max(at.plus(1)));
        }
        self.drop_if_spent(slot);
    }

    /// Changes in size that nothing came to explain: what was read meanwhile proves nothing.
    fn give_up_doubts(&mut self, slot: Slot, until: BootNanos, at: BootNanos, out: &mut Vec<Output>) {
        let now = self.now;
        let Some(file) = self.files.get_mut(slot) else { return };
        let doubts = file.sizes.give_up(until);
        if doubts.is_empty() {
            return;
        }
        let place = file.state().or(file.current.as_ref().map(|session| &session.place)).cloned();
        let readers = file.everyone();
        for doubt in doubts {
            anomaly(AnomalyKind::SizeUnexplained, at, place.as_ref(), out);
            for reader in &readers {
                if let Some(description) = self.descriptions.get_mut(*reader) {
                    description.distrusted |= doubt.meets(description.concern(file.sessions(), now));
                }
            }
        }
        self.settle_waiting(slot, out);
    }

    /// Forgets ended sessions that are old, or too many, once the readers that they touched have their verdicts.
    pub(super) fn bound_past(&mut self, slot: Slot, out: &mut Vec<Output>) {
        let oldest = BootNanos(self.now.0.saturating_sub(nanos(self.limits.horizon)));
        loop {
            let Some(file) = self.files.get(slot) else { return };
            let Some(front) = file.past.front() else { return };
            let full = file.past.len() > self.limits.sessions_per_file.max(1);
            if !full && (front.is_pending() || front.end.is_none_or(|end| end >= oldest)) {
                return;
            }
            if !full && (self.is_needed(file, front) || !file.names.is_empty() && file.holds_no_version()) {
                return;
            }
            let waiting = self.waiting_for(file, front);
            if !waiting.is_empty() && !full {
                return;
            }
            self.forget_session(slot, waiting, out);
        }
    }

    /// True when the next session, or a later one that began before this one ended, still has readers to judge: they may
    /// have got what this one left.
    fn is_needed(&self, file: &File, session: &Session) -> bool {
        let mut later = file.sessions().filter(|other| other.number != session.number);
        let next = later.clone().next().map(|next| next.number);
        later.any(|later| {
            (Some(later.number) == next || Some(later.start) <= session.end)
                && (later.end.is_none() || later.is_pending() || !self.waiting_for(file, later).is_empty())
        })
    }

    /// Forgets the sessions that ended the longest time ago when there are too many on all files together. What comes
    /// later of their readers cannot be judged, and that is said.
    pub(super) fn bound_sessions(&mut self, out: &mut Vec<Output>) {
        while self.ended.len() > self.limits.sessions.max(1)
            && let Some((inode, number)) = self.ended.pop_front()
        {
            let Some(slot) = self.files.find(&inode) else { continue };
            let Some(file) = self.files.get(slot) else { continue };
            let Some(front) = file.past.front().filter(|front| front.number == number) else { continue };
            let (waiting, place) = (self.waiting_for(file, front), Arc::clone(&front.place));
            anomaly(AnomalyKind::Evicted, self.now, Some(&place), out);
            self.forget_session(slot, waiting, out);
            self.drop_if_spent(slot);
        }
    }

    /// The readers of a file that a session has yet to give a verdict.
    fn waiting_for(&self, file: &File, session: &Session) -> Vec<Slot> {
        let waits = |reader: &&Slot| {
            self.descriptions.get(**reader).is_some_and(|description| {
                // Most have long been settled, and what says so lies together.
                description.considered < session.number
                    && description.settled < session.number
                    && description.is_reader()
                    && description.touches(session, self.now)
            })
        };
        file.live.iter().chain(&file.retired).filter(waits).copied().collect()
    }

    /// Forgets a file's oldest ended session; those that wait for it get their verdicts now.
    fn forget_session(&mut self, slot: Slot, waiting: Vec<Slot>, out: &mut Vec<Output>) {
        let pending = self.files.get(slot).and_then(|file| file.past.front()).map(|front| front.certain);
        self.confirm(slot, pending.unwrap_or_default(), out);
        for reader in waiting {
            self.settle(reader, Occasion::Due, out);
        }
        if let Some(session) = self.files.get_mut(slot).and_then(File::forget_session) {
            self.operations = self.operations.saturating_sub(session.changes.len());
        }
    }

    /// Forgets a file's oldest released readers when there are too many.
    pub(super) fn bound_retired(&mut self, slot: Slot, out: &mut Vec<Output>) {
        while let Some(file) = self.files.get(slot)
            && file.retired.len() > self.limits.readers_per_file.max(1)
            && let Some(&oldest) = file.retired.front()
        {
            self.give_up_retired(oldest, out);
        }
    }

    /// A released description's time is over, unless its verdict still waits for a session.
    pub(super) fn forget_retired(&mut self, id: OpenId, out: &mut Vec<Output>) {
        let Some(slot) = self.descriptions.find(&id) else { return };
        let Some(description) = self.descriptions.get(slot) else { return };
        let Some(released) = description.released else { return };
        let horizon = nanos(self.limits.horizon);
        if released.end.plus(horizon) >= self.now {
            return;
        }
        let waits = description.is_reader()
            && description.file.and_then(|slot| self.files.get(slot)).is_some_and(|file| {
                let concern = description.concern(file.sessions(), self.now);
                let touched = |session: &Session| description.touches(session, self.now);
                let settled = |session: &Session| session.number <= description.considered;
                let unchecked = |session: &Session| {
                    let end = session.end.unwrap_or_default().plus(nanos(self.limits.quiet));
                    matches!(session.ending, Ending::Release | Ending::Emptied { .. })
                        && !session.checked
                        && end >= self.now
                };
                file.current.as_deref().is_some_and(touched)
                    || file
                        .past
                        .iter()
                        .any(|session| session.is_pending() && touched(session) && !settled(session))
                    || file.past.back().is_some_and(unchecked)
                    || file.sizes.in_doubt(concern)
            });
        if waits {
            self.retired.push_back((self.now.plus(horizon), id));
        } else {
            self.settle(slot, Occasion::PassEnded, out);
            self.drop_retired(id);
        }
    }

    /// Forgets a released description.
    pub(super) fn drop_retired(&mut self, id: OpenId) {
        let Some(slot) = self.descriptions.find(&id) else { return };
        let Some(description) = self.descriptions.remove(&id) else { return };
        self.calls = self.calls.saturating_sub(description.kept_calls());
        let Some(file_slot) = description.file else { return };
        let Some(file) = self.files.get_mut(file_slot) else { return };
        file.live.retain(|live| *live != slot);
        if let Some(position) = file.retired.iter().position(|retired| *retired == slot) {
            file.retired.remove(position);
        }
        if description.is_reader() && !description.modified {
            file.forgotten = file.forgotten.max(description.released.map(|released| released.start));
        }
        self.drop_if_spent(file_slot);
    }

    /// Forgets a file that stands at no name and that nobody has open.
    pub(super) fn drop_if_spent(&mut self, slot: Slot) {
        let Some(file) = self.files.get(slot).filter(|file| file.is_spent()) else { return };
        let inode = file.inode;
        if let Some(file) = self.files.remove(&inode) {
            let kept: usize = file.past.iter().map(|session| session.changes.len()).sum();
            self.operations = self.operations.saturating_sub(kept);
        }
    }

    /// An inode's number was given to a new file: whoever had the old one open has released it, and the old one
    /// stands at no name.
    pub(super) fn recycle(&mut self, slot: Slot, place: &Arc<Place>, at: BootNanos, out: &mut Vec<Output>) {
        let live = self.files.get(slot).map(|file| file.live.clone()).unwrap_or_default();
        if !live.is_empty() {
            anomaly(AnomalyKind::Reopened, self.now, Some(place), out);
        }
        for description in live {
            let last = self.descriptions.get(description).map(|description| description.last_event);
            self.release_description(description, Span::new(last.unwrap_or(at), at), out);
        }
        self.remove_file(slot, out);
    }

    pub(super) fn make_room_for_description(&mut self, out: &mut Vec<Output>) {
        let most = self.limits.descriptions.max(1);
        if self.descriptions.len() < most {
            return;
        }
        let mut room = most / BATCH + 1;
        while room > 0
            && let Some((_, id)) = self.retired.pop_front()
        {
            if let Some(slot) = self.descriptions.find(&id)
                && self.descriptions.get(slot).is_some_and(|known| known.released.is_some())
            {
                self.give_up_retired(slot, out);
                room -= 1;
            }
        }
        let mut oldest: Vec<(u64, Slot)> =
            self.descriptions.iter().map(|(slot, description)| (description.known, slot)).collect();
        if self.descriptions.len() < most {
            return;
        }
        oldest.sort_unstable();
        for (_, slot) in oldest.into_iter().take(room) {
            self.evict_description(slot, out);
        }
    }

    pub(super) fn make_room_for_file(&mut self, out: &mut Vec<Output>) {
        let most = self.limits.files.max(1);
        if self.files.len() < most {
            return;
        }
        for inode in self.files.oldest(most / BATCH + 1) {
            let Some(slot) = self.files.find(&inode) else { continue };
            let Some(file) = self.files.get(slot) else { continue };
            let place = file.names.first().cloned();
            anomaly(AnomalyKind::Evicted, self.now, place.as_ref(), out);
            for description in file.live.clone() {
                self.evict_description(description, out);
            }
            self.remove_file(slot, out);
        }
    }

    pub(super) fn make_room_for_name(&mut self, out: &mut Vec<Output>) {
        let most = self.limits.names();
        if self.names.len() < most {
            return;
        }
        let now = self.now;
        for place in self.names.oldest(most / BATCH + 1) {
            if let Some(file) = self.names.inode(&place).and_then(|inode| self.files.find(&inode)) {
                if let Some(file) = self.files.get_mut(file) {
                    file.drop_name(&place, now);
                }
                self.drop_if_spent(file);
            }
            if self.names.get(&place).is_some_and(|name| name.standing != Standing::Removed) {
                anomaly(AnomalyKind::Evicted, self.now, Some(&place), out);
            }
            self.names.remove(&place);
        }
    }

    /// Forgets a released description before its time. One whose verdict waits gets it now.
    fn give_up_retired(&mut self, slot: Slot, out: &mut Vec<Output>) {
        let Some(description) = self.descriptions.get(slot) else { return };
        let (id, place) = (description.id, Arc::clone(&description.place));
        let before = out.len();
        self.settle(slot, Occasion::Forced, out);
        if out.len() > before {
            anomaly(AnomalyKind::Evicted, self.now, Some(&place), out);
        }
        self.drop_retired(id);
    }

    /// Forgets an open description. A session that it is a writer of has no end that could be seen.
    fn evict_description(&mut self, slot: Slot, out: &mut Vec<Output>) {
        let Some(description) = self.descriptions.get(slot) else { return };
        let (id, place, last) = (description.id, Arc::clone(&description.place), description.last_event);
        anomaly(AnomalyKind::Evicted, self.now, Some(&place), out);
        if let Some(session) =
            description.file.and_then(|file| self.files.get_mut(file)).and_then(|file| file.current.as_mut())
        {
            session.obscure |= session.is_writer(id);
        }
        if let Some(description) = self.descriptions.get_mut(slot) {
            description.distrusted = true;
        }
        self.release_description(slot, Span::new(last, self.now), out);
        if let Some(slot) = self.descriptions.find(&id) {
            self.settle(slot, Occasion::Forced, out);
        }
        self.drop_retired(id);
    }

    fn remove_file(&mut self, slot: Slot, out: &mut Vec<Output>) {
        let Some(file) = self.files.get_mut(slot) else { return };
        if let Some(session) = &mut file.current {
            session.obscure = true;
            self.end_session(slot, self.now, Ending::Release, out);
        }
        let Some(file) = self.files.get_mut(slot) else { return };
        let inode = file.inode;
        let names = std::mem::take(&mut file.names);
        for reader in file.retired.clone() {
            self.settle(reader, Occasion::Forced, out);
            if let Some(id) = self.descriptions.get(reader).map(|description| description.id) {
                self.drop_retired(id);
            }
        }
        if let Some(file) = self.files.get_mut(slot) {
            let kept: usize = file.past.drain(..).map(|session| session.changes.len()).sum();
            self.operations = self.operations.saturating_sub(kept);
        }
        for place in names {
            if self.names.inode(&place) == Some(inode) {
                self.names.remove(&place);
            }
        }
        self.drop_if_spent(slot);
    }
}
