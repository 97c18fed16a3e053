//! Who holds a lock on a state file, and who held one a moment ago.

use std::sync::Arc;

use crate::model::{BootNanos, InodeId, LockMode, LockOwner, OpenId, Pid, Place, Role, Span};

/// The locks on state files: on their own descriptions, and on the lock files that guard them.
#[derive(Debug, Default)]
pub(super) struct Locks {
    holds: Vec<Hold>,
}

/// What a lock guards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Guarded {
    /// The file on which it was taken.
    File(InodeId),
    /// The state file at this name. The place is the lock file's.
    Place(Arc<Place>),
}

/// One lock, from when it was certainly there until it was given back.
#[derive(Debug)]
struct Hold {
    guarded: Guarded,
    description: OpenId,
    pid: Pid,
    owner: LockOwner,
    exclusive: bool,
    from: BootNanos,
    until: Option<BootNanos>,
}

impl Hold {
    fn is(&self, guarded: &Guarded, owner: LockOwner, id: OpenId, pid: Pid) -> bool {
        self.until.is_none()
            && self.owner == owner
            && self.guarded == *guarded
            && match owner {
                LockOwner::Description => self.description == id,
                LockOwner::Process => self.pid == pid,
            }
    }
}

impl Locks {
    /// True when there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.holds.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.holds.len()
    }

    /// Takes in a lock event. False when there was no room for it.
    #[must_use]
    pub(super) fn note(
        &mut self,
        guarded: Guarded,
        (id, pid): (OpenId, Pid),
        (mode, owner): (LockMode, LockOwner),
        span: Span,
        (oldest, room): (BootNanos, usize),
    ) -> bool {
        for hold in self.holds.iter_mut().filter(|hold| hold.is(&guarded, owner, id, pid)) {
            hold.until = Some(span.start);
        }
        self.holds.retain(|hold| hold.until.is_none_or(|until| until >= oldest));
        if mode == LockMode::Unlocked {
            return true;
        }
        if self.holds.len() >= room.max(1) {
            return false;
        }
        let exclusive = mode == LockMode::Exclusive;
        self.holds.push(Hold {
            guarded,
            description: id,
            pid,
            owner,
            exclusive,
            from: span.end,
            until: None,
        });
        true
    }

    /// A description's release gives its locks back. So does, for a process's locks, the release of any description
    /// of theirs.
    pub(super) fn release(&mut self, id: OpenId, at: BootNanos) {
        for hold in self.holds.iter_mut().filter(|hold| hold.until.is_none() && hold.description == id) {
            hold.until = Some(at);
        }
    }

    /// A process's end gives back what it held as a process.
    pub(super) fn exit(&mut self, pid: Pid, at: BootNanos) {
        let ended =
            |hold: &&mut Hold| hold.until.is_none() && hold.owner == LockOwner::Process && hold.pid == pid;
        for hold in self.holds.iter_mut().filter(ended) {
            hold.until = Some(at);
        }
    }

    /// Forgets locks that ended before `oldest`.
    pub(super) fn forget(&mut self, oldest: BootNanos) {
        self.holds.retain(|hold| hold.until.is_none_or(|until| until >= oldest));
    }

    /// True when an operation by `pid` through `id` was under a lock for its whole span: an exclusive one, when
    /// `exclusive` is asked for.
    pub(super) fn cover(
        &self,
        inode: InodeId,
        names: &[Arc<Place>],
        (id, pid): (Option<OpenId>, Pid),
        span: Span,
        exclusive: bool,
    ) -> bool {
        self.holds.iter().any(|hold| {
            hold.from <= span.start
                && hold.until.is_none_or(|until| span.end <= until)
                && (hold.exclusive || !exclusive)
                && (id == Some(hold.description) || hold.pid == pid)
                && match &hold.guarded {
                    Guarded::File(file) => *file == inode,
                    Guarded::Place(lock) => names.iter().any(|name| guards(lock, name)),
                }
        })
    }
}

/// True when `lock`, a lock file's place, is that of the state file `name`, or of a directory in which it lies.
fn guards(lock: &Place, name: &Place) -> bool {
    if name.role != Role::State || lock.root != name.root {
        return false;
    }
    let below = name.container.strip_prefix(&*lock.container);
    if lock.name.is_empty() {
        lock.container.is_empty() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    } else {
        lock.name == name.name && below == Some("")
    }
}
