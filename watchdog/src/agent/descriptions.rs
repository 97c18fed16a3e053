//! Open descriptions that may be gone already: when to ask the kernel about them. Pure.
//!
//! Each description is asked about again and again until its release was reported, so one whose release was lost is
//! found out too. The number of questions in a second is bounded whatever is open.

use std::collections::{BTreeSet, HashMap};

use super::millis;
use crate::model::{BootNanos, EventOperation, FileEvent, OpenId, Pid, Target};

/// Descriptions whose release was not seen, with the time to ask for it.
#[derive(Debug, Default)]
pub(super) struct Descriptions {
    live: HashMap<OpenId, Live>,
    /// All of them by the time to ask.
    queue: BTreeSet<(BootNanos, OpenId)>,
    /// All of them by the process that opened them.
    openers: BTreeSet<(Pid, OpenId)>,
    /// When all are asked for because of a loss, and when they were last.
    suspicion: Option<BootNanos>,
    suspected: BootNanos,
}

#[derive(Debug)]
struct Live {
    opener: Pid,
    /// When it was last heard of.
    last: BootNanos,
    due: BootNanos,
    wait: u64,
}

impl Descriptions {
    /// A description is asked for when it was silent for so long, then after twice the time, and so on.
    const FIRST_WAIT: u64 = millis(1);
    /// A description that stays open is asked for this often, as long as there are no more than [`Self::A_SECOND`].
    const LONGEST_WAIT: u64 = millis(1_000);
    /// So many questions are asked in a second, of descriptions that stay open.
    const A_SECOND: usize = 4_096;
    /// As many as the probes track: none that they have room for is left out.
    const MAX: usize = 16_384;
    /// At most so many are asked for at once.
    const MAX_BATCH: usize = 256;
    /// All are asked for because of losses this often at most.
    const SUSPICION: u64 = millis(500);
    /// How much room is made when there is none.
    const ROOM: usize = Self::MAX / 16;

    /// Notes what an event reports of descriptions.
    pub(super) fn follow(&mut self, event: &FileEvent) {
        let at = event.at();
        match &event.operation {
            EventOperation::Open { id, .. } => {
                if self.live.len() >= Self::MAX {
                    self.make_room();
                }
                self.forget(*id);
                let (due, opener) = (at.plus(Self::FIRST_WAIT), event.actor.pid);
                self.live.insert(*id, Live { opener, last: at, due, wait: Self::FIRST_WAIT });
                self.queue.insert((due, *id));
                self.openers.insert((opener, *id));
            }
            EventOperation::Read { id, .. }
            | EventOperation::Write { id, .. }
            | EventOperation::WriteFailed { id }
            | EventOperation::Map { id, .. }
            | EventOperation::Sync { id }
            | EventOperation::Lock { id, .. }
            | EventOperation::Truncate { target: Target::Open(id) | Target::Opening(id), .. } => {
                if let Some(live) = self.live.get_mut(id) {
                    live.last = live.last.max(at);
                    self.ask(*id, at.plus(Self::FIRST_WAIT));
                }
            }
            EventOperation::Release { id } => self.forget(*id),
            EventOperation::Exit { .. } => {
                // The process is ending; its files are closed a moment before or after this event.
                let pid = event.actor.pid;
                let all =
                    (pid, OpenId { file: 0, opened: 0 })..=(pid, OpenId { file: u64::MAX, opened: u64::MAX });
                let opened: Vec<OpenId> = self.openers.range(all).map(|(_, id)| *id).collect();
                for id in opened {
                    self.ask(id, at);
                }
            }
            EventOperation::Truncate { target: Target::Place(_), .. }
            | EventOperation::Rename { .. }
            | EventOperation::Link { .. }
            | EventOperation::Unlink { .. }
            | EventOperation::Present { .. }
            | EventOperation::Content { .. }
            | EventOperation::MoveDirectory { .. }
            | EventOperation::Heartbeat => {}
        }
    }

    /// Events were lost: the release of each may be among them, so all are asked for at once. While losses go on, that is
    /// done again from time to time.
    pub(super) fn suspect_all(&mut self, at: BootNanos) {
        self.suspicion.get_or_insert(at.max(self.suspected.plus(Self::SUSPICION)));
    }

    fn ask_all(&mut self, now: BootNanos) {
        (self.suspicion, self.suspected) = (None, now);
        self.queue.clear();
        for (id, live) in &mut self.live {
            (live.due, live.wait) = (now, Self::FIRST_WAIT);
            self.queue.insert((now, *id));
        }
    }

    /// When a description that is still followed was last heard of.
    pub(super) fn last_heard(&self, id: OpenId) -> Option<BootNanos> {
        self.live.get(&id).map(|live| live.last)
    }

    /// Those to ask for now.
    pub(super) fn due(&mut self, now: BootNanos) -> Vec<OpenId> {
        if self.suspicion.is_some_and(|due| due <= now) {
            self.ask_all(now);
        }
        let of_all = self.live.len().max(Self::A_SECOND) as u64;
        let longest = Self::LONGEST_WAIT * of_all / Self::A_SECOND as u64;
        let mut due = Vec::new();
        while due.len() < Self::MAX_BATCH
            && let Some(&(at, id)) = self.queue.first()
            && at <= now
        {
            self.queue.pop_first();
            let Some(live) = self.live.get_mut(&id) else { continue };
            live.due = now.plus(live.wait);
            live.wait = (live.wait * 2).min(longest);
            self.queue.insert((live.due, id));
            due.push(id);
        }
        due
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<BootNanos> {
        self.queue.first().map(|(due, _)| *due).into_iter().chain(self.suspicion).min()
    }

    /// Asks for one at `due`, and then again at growing distances.
    fn ask(&mut self, id: OpenId, due: BootNanos) {
        let Some(live) = self.live.get_mut(&id) else { return };
        self.queue.remove(&(live.due, id));
        (live.due, live.wait) = (due, Self::FIRST_WAIT);
        self.queue.insert((due, id));
    }

    fn forget(&mut self, id: OpenId) {
        if let Some(live) = self.live.remove(&id) {
            self.queue.remove(&(live.due, id));
            self.openers.remove(&(live.opener, id));
        }
    }

    /// Forgets those that were silent for the longest time. The engine has forgotten them before: it holds fewer.
    fn make_room(&mut self) {
        let mut oldest: Vec<(BootNanos, OpenId)> =
            self.live.iter().map(|(id, live)| (live.last, *id)).collect();
        oldest.sort_unstable();
        for (_, id) in oldest.into_iter().take(Self::ROOM) {
            self.forget(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Access, Actor, Comm, ExitStatus, InodeId, Place, Role, RootId, Span};

    const ID: OpenId = OpenId { file: 1, opened: 1 };

    fn event(at: u64, operation: EventOperation) -> FileEvent {
        let at = BootNanos(at);
        let actor = Actor { pid: Pid(7), tid: 7, comm: Comm::new("x") };
        FileEvent { span: Span::new(at, at), actor, lost: 0, operation }
    }

    fn open(id: OpenId) -> EventOperation {
        let place = Place { root: RootId(0), container: "c".into(), name: "n".into(), role: Role::State };
        EventOperation::Open {
            id,
            inode: InodeId { dev: 1, ino: 1, generation: 0 },
            place: Arc::new(place),
            access: Access { read: true, write: false },
            created: false,
            truncated: false,
            size: None,
        }
    }

    fn id(file: u64) -> OpenId {
        OpenId { file, opened: 0 }
    }

    fn opened(count: u64) -> Descriptions {
        let mut descriptions = Descriptions::default();
        for file in 0..count {
            descriptions.follow(&event(file, open(id(file))));
        }
        descriptions
    }

    fn are_consistent(descriptions: &Descriptions) -> bool {
        let count = descriptions.live.len();
        descriptions.queue.len() == count && descriptions.openers.len() == count
    }

    #[test]
    fn a_silent_description_is_asked_for_at_growing_distances() {
        let mut descriptions = Descriptions::default();
        assert_eq!(descriptions.next_due(), None);
        descriptions.follow(&event(0, open(ID)));
        assert!(descriptions.due(BootNanos(millis(1) - 1)).is_empty());
        let mut asked = Vec::new();
        while asked.len() < 13 {
            let next = descriptions.next_due().unwrap();
            assert_eq!(descriptions.due(next), [ID]);
            asked.push(next.0 / millis(1));
        }
        assert_eq!(asked, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2024, 3024]);
    }

    #[test]
    fn use_and_exit_bring_the_question_forward_and_release_ends_it() {
        let mut descriptions = Descriptions::default();
        descriptions.follow(&event(0, open(ID)));
        for _ in 0..8 {
            let next = descriptions.next_due().unwrap();
            descriptions.due(next);
        }
        descriptions.follow(&event(millis(300), EventOperation::Sync { id: ID }));
        assert_eq!(descriptions.next_due(), Some(BootNanos(millis(301))));
        assert_eq!(descriptions.last_heard(ID), Some(BootNanos(millis(300))));
        descriptions.follow(&event(millis(300), EventOperation::Exit { status: ExitStatus::Code(0) }));
        assert_eq!(descriptions.next_due(), Some(BootNanos(millis(300))));
        descriptions.follow(&event(millis(300), EventOperation::Release { id: ID }));
        assert_eq!(descriptions.next_due(), None);
        assert_eq!(descriptions.last_heard(ID), None);
        assert!(are_consistent(&descriptions));
    }

    #[test]
    fn a_loss_brings_every_question_forward() {
        let mut descriptions = opened(3);
        for _ in 0..30 {
            let next = descriptions.next_due().unwrap();
            descriptions.due(next);
        }
        let now = BootNanos(millis(5_000));
        descriptions.suspect_all(now);
        assert_eq!(descriptions.due(now).len(), 3);
        assert!(are_consistent(&descriptions));
        descriptions.suspect_all(now);
        descriptions.suspect_all(now);
        assert!(
            descriptions.suspicion > Some(now),
            "a loss with every event costs no more than one from time to time"
        );
    }

    #[test]
    fn the_newest_of_a_hostile_number_of_descriptions_are_followed() {
        let most = Descriptions::MAX as u64;
        let mut descriptions = opened(2 * most);
        assert!(descriptions.live.len() <= Descriptions::MAX && are_consistent(&descriptions));
        assert_eq!(descriptions.last_heard(id(2 * most - 1)), Some(BootNanos(2 * most - 1)));
        assert_eq!(descriptions.last_heard(id(0)), None);
        assert_eq!(descriptions.due(BootNanos(millis(50))).len(), Descriptions::MAX_BATCH);
    }

    #[test]
    fn the_number_of_questions_in_a_second_is_bounded() {
        let mut descriptions = opened(Descriptions::MAX as u64);
        let mut asked_between = |from: u64, until: u64| {
            let mut asked = 0;
            while let Some(next) = descriptions.next_due().filter(|next| next.0 < millis(until)) {
                let count = descriptions.due(next).len();
                asked += if next.0 >= millis(from) { count } else { 0 };
            }
            asked
        };
        let asked = asked_between(100_000, 140_000);
        let most = 40 * Descriptions::A_SECOND;
        assert!(asked <= most + Descriptions::MAX && asked >= most / 2, "{asked} questions in 40 s");
    }
}
