//! Those who follow the agent: `trace` shows what it sees, `record` keeps what its findings rest on.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use super::Agent;
use crate::enrich::{Content, Process};
use crate::model::{Anomaly, BootNanos, FileEvent, InodeId, Place, ProcessFacts, RootId, SessionReport};
use crate::profile::Root;
use crate::report::{FileFacts, Finding};
use crate::source::{Source, SourceKind};

/// Something that findings rest on, in the order in which the agent takes it in. Whoever goes through the same steps with
/// the same engine comes to the same findings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Step<'a> {
    /// An agent begins to look, with a new engine and an empty memory.
    Begin {
        /// Where its events come from.
        source: SourceKind,
        /// When; the ids of its findings begin with it.
        started: BootNanos,
        /// The wall time of the moment of boot, in nanoseconds since the epoch.
        boot_unix_ns: u64,
    },
    /// A root stands, or another directory stands for it now.
    Root {
        /// How events name it.
        id: RootId,
        /// The runtime.
        runtime: Cow<'a, str>,
        /// Its path on the host.
        path: Cow<'a, str>,
        /// The runtime takes a lock that the source does not see: nothing is said for certain.
        locks_unseen: bool,
    },
    /// Wall time is read anew, and processes that are too old are forgotten.
    Clock {
        /// Now.
        at: BootNanos,
        /// The wall time of the moment of boot, in nanoseconds since the epoch.
        boot_unix_ns: u64,
    },
    /// What the kernel side saw of a process.
    Facts(Cow<'a, ProcessFacts>),
    /// A process as it was read from /proc.
    Process {
        /// When.
        seen: BootNanos,
        /// What was read.
        process: Cow<'a, Process>,
    },
    /// The engine is told an event.
    Event(Cow<'a, FileEvent>),
    /// The source cannot explain something.
    Anomaly(Cow<'a, Anomaly>),
    /// The engine is told the time.
    Advance(BootNanos),
    /// What the engine said so far is turned into findings.
    Conclude {},
    /// What is known of a file from now on, when a finding is about it.
    File {
        /// The file.
        place: Cow<'a, Place>,
        /// What is known.
        facts: Cow<'a, FileFacts>,
    },
    /// A file was read after a session, and the session's finding is made.
    Aftermath {
        /// The session.
        session: SessionId,
        /// What the session left; `None` when that could not be told.
        content: Option<Content>,
        /// What is known of the file.
        facts: Cow<'a, FileFacts>,
    },
    /// A file was found damaged, and nobody is known to have left it so.
    Damaged {
        /// When.
        at: BootNanos,
        /// How.
        content: Content,
        /// What is known of the file.
        facts: Cow<'a, FileFacts>,
    },
    /// The agent ends.
    End {},
}

/// What tells a session from all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionId {
    /// The state file.
    pub place: Place,
    /// The file that was written.
    pub inode: Option<InodeId>,
    /// When it ended.
    pub ended: BootNanos,
}

impl SessionId {
    /// That of a report.
    #[must_use]
    pub fn of(report: &SessionReport) -> Self {
        Self { place: (*report.place).clone(), inode: report.inode, ended: report.window.end }
    }
}

/// Someone who follows the agent.
pub trait Follower {
    /// The agent takes a step.
    fn step(&mut self, step: &Step<'_>) {
        let _ = step;
    }

    /// An event went to the engine; `know` tells what is known of a file.
    fn event(&mut self, event: &FileEvent, know: &mut dyn FnMut(&Place) -> Option<FileFacts>) {
        let _ = (event, know);
    }

    /// There is a finding.
    fn finding(&mut self, finding: &Finding, file: &FileFacts) {
        let _ = (finding, file);
    }
}

/// A follower that several agents can have, one after the other.
pub type SharedFollower = Rc<RefCell<dyn Follower>>;

impl<S: Source> Agent<S> {
    /// Lets somebody follow.
    #[must_use]
    pub fn followed_by(mut self, follower: SharedFollower) -> Self {
        let (started, wall) = self.began;
        self.follower = Some(follower);
        let boot_unix_ns = wall.unix_nanos(BootNanos(0));
        self.follow(|| Step::Begin { source: self.source.kind(), started, boot_unix_ns });
        self
    }

    /// Tells the follower of a step, if there is one.
    pub(super) fn follow<'a>(&self, step: impl FnOnce() -> Step<'a>) {
        if let Some(follower) = &self.follower {
            follower.borrow_mut().step(&step());
        }
    }

    pub(super) fn follow_event(&mut self, event: &FileEvent) {
        let Some(follower) = self.follower.clone() else { return };
        let mut follower = follower.borrow_mut();
        follower.step(&Step::Event(Cow::Borrowed(event)));
        follower.event(event, &mut |place| self.known_facts(place));
    }

    pub(super) fn follow_root(&self, root: &Root) {
        self.follow(|| Step::Root {
            id: root.id,
            runtime: Cow::Borrowed(&root.profile.name),
            path: root.host_path.to_string_lossy(),
            locks_unseen: self.locks_are_unseen(root),
        });
    }

    /// What is known of a file that a finding is about; `None` for a root that is not in our table, which no source
    /// should name.
    pub(super) fn file_facts(&mut self, place: &Place) -> Option<FileFacts> {
        let facts = self.known_facts(place)?;
        self.follow(|| Step::File { place: Cow::Borrowed(place), facts: Cow::Borrowed(&facts) });
        Some(facts)
    }

    pub(super) fn follow_aftermath(
        &self,
        report: &SessionReport,
        content: Option<Content>,
        facts: &FileFacts,
    ) {
        let facts = Cow::Borrowed(facts);
        self.follow(|| Step::Aftermath { session: SessionId::of(report), content, facts });
    }
}
