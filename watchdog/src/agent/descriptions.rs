//! Open descriptions that may be gone already: when to ask the kernel about them. Pure.

use std::collections::HashMap;

use super::millis;
use crate::model::{BootNanos, EventOperation, FileEvent, OpenId, Pid, Target};

/// Descriptions whose release was not seen, with the time to ask for it.
#[derive(Debug, Default)]
pub(super) struct Descriptions {
    live: HashMap<OpenId, Live>,
}

#[derive(Debug)]
struct Live {
    opener: Pid,
    due: BootNanos,
    wait: u64,
}

impl Descriptions {
    /// A description is asked for when it was silent for so long, then after twice the time, and so on.
    const FIRST_WAIT: u64 = millis(1);
    /// A description that stays open is asked for this often.
    const LONGEST_WAIT: u64 = millis(1_000);
    /// More are not followed: they end at the engine's deadline.
    const MAX: usize = 4_096;
    /// At most so many are asked for at once.
    const MAX_BATCH: usize = 256;

    /// Notes what an event says of descriptions.
    pub(super) fn follow(&mut self, event: &FileEvent) {
        match &event.operation {
            EventOperation::Open { id, .. } => {
                if self.live.len() < Self::MAX {
                    let due = event.at().plus(Self::FIRST_WAIT);
                    self.live.insert(*id, Live { opener: event.actor.pid, due, wait: Self::FIRST_WAIT });
                }
            }
            EventOperation::Read { id, .. }
            | EventOperation::Write { id, .. }
            | EventOperation::WriteFailed { id }
            | EventOperation::Map { id, .. }
            | EventOperation::Sync { id }
            | EventOperation::Lock { id, .. }
            | EventOperation::Truncate { target: Target::Open(id) | Target::Opening(id), .. } => {
                if let Some(live) = self.live.get_mut(id) {
                    live.wait = Self::FIRST_WAIT;
                    live.due = event.at().plus(Self::FIRST_WAIT);
                }
            }
            EventOperation::Release { id } => {
                self.live.remove(id);
            }
            EventOperation::Exit { .. } => {
                // The process is ending; its files are closed a moment before or after this event.
                for live in self.live.values_mut().filter(|live| live.opener == event.actor.pid) {
                    live.wait = Self::FIRST_WAIT;
                    live.due = event.at();
                }
            }
            EventOperation::Truncate { target: Target::Place(_), .. }
            | EventOperation::Rename { .. }
            | EventOperation::Link { .. }
            | EventOperation::Unlink { .. }
            | EventOperation::Present { .. }
            | EventOperation::Content { .. }
            | EventOperation::Heartbeat => {}
        }
    }

    /// Those to ask for now.
    pub(super) fn due(&mut self, now: BootNanos) -> Vec<OpenId> {
        let mut due = Vec::new();
        for (id, live) in self.live.iter_mut().filter(|(_, live)| live.due <= now).take(Self::MAX_BATCH) {
            due.push(*id);
            live.due = now.plus(live.wait);
            live.wait = (live.wait * 2).min(Self::LONGEST_WAIT);
        }
        due
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<BootNanos> {
        self.live.values().map(|live| live.due).min()
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
        descriptions.follow(&event(millis(300), EventOperation::Exit { status: ExitStatus::Code(0) }));
        assert_eq!(descriptions.next_due(), Some(BootNanos(millis(300))));
        descriptions.follow(&event(millis(300), EventOperation::Release { id: ID }));
        assert_eq!(descriptions.next_due(), None);
    }

    #[test]
    fn a_hostile_number_of_descriptions_is_bounded() {
        let mut descriptions = Descriptions::default();
        for file in 0..2 * Descriptions::MAX as u64 {
            descriptions.follow(&event(0, open(OpenId { file, opened: 0 })));
        }
        assert_eq!(descriptions.live.len(), Descriptions::MAX);
        assert_eq!(descriptions.due(BootNanos(millis(5))).len(), Descriptions::MAX_BATCH);
    }
}
