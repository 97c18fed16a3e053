//! A source for tests: it says what it is told, when it is told.

use std::fs::File;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::{Item, Losses, ProbeStatus, Proof, RootSpec, Source, SourceError, SourceKind};
use crate::model::{InodeId, OpenId, RootId};

/// The file that every story is about.
pub(crate) const INODE: InodeId = InodeId { dev: 1, ino: 2, generation: 0 };

/// What the agent asked of a scripted source.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    pub(crate) watched: Vec<RootSpec>,
    pub(crate) unwatched: Vec<RootId>,
    pub(crate) polled: Vec<OpenId>,
}

/// The source's half; the test keeps the sender.
pub(crate) struct Scripted {
    script: UnboundedReceiver<Vec<Item>>,
    asked: Arc<Mutex<Asked>>,
}

/// A source, what feeds it, and what it was asked.
pub(crate) fn scripted() -> (Scripted, UnboundedSender<Vec<Item>>, Arc<Mutex<Asked>>) {
    let (sender, script) = unbounded_channel();
    let asked = Arc::new(Mutex::new(Asked::default()));
    (Scripted { script, asked: Arc::clone(&asked) }, sender, asked)
}

impl Source for Scripted {
    fn kind(&self) -> SourceKind {
        SourceKind::Syscalls
    }

    /// When the test drops its sender, the stream breaks.
    async fn read(&mut self, out: &mut Vec<Item>) -> Result<(), SourceError> {
        match self.script.recv().await {
            Some(items) => {
                out.extend(items);
                Ok(())
            }
            None => Err(SourceError::Read {
                source_kind: self.kind(),
                cause: std::io::ErrorKind::UnexpectedEof.into(),
            }),
        }
    }

    fn watch(&mut self, root: &RootSpec) -> Result<(), SourceError> {
        self.asked.lock().unwrap().watched.push(root.clone());
        Ok(())
    }

    fn unwatch(&mut self, id: RootId) {
        self.asked.lock().unwrap().unwatched.push(id);
    }

    fn poll_released(&mut self, opens: &[OpenId]) -> Result<(), SourceError> {
        self.asked.lock().unwrap().polled.extend_from_slice(opens);
        Ok(())
    }

    /// A story has no canary.
    fn proofs(&self) -> &'static [Proof] {
        &[]
    }

    fn losses(&self) -> Losses {
        Losses(std::array::from_fn(|reason| if reason == 0 { 3 } else { 0 }))
    }

    /// All files are this one; a story has no other.
    fn identify(&self, _: &File) -> Option<InodeId> {
        Some(INODE)
    }

    fn probes(&self) -> Vec<ProbeStatus> {
        vec![ProbeStatus { probe: "script", mechanism: "test", attached: true, reason: None }]
    }
}
