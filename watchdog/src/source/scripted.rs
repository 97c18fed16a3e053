//! A source for tests: it says what it is told, when it is told.

use std::fs::File;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::inotify::{Mark, Marks, Sight};
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
    /// Real marks beside the script.
    marks: Option<Marks>,
    marked: Vec<Mark>,
}

impl Scripted {
    /// The same with real marks on the directories.
    pub(crate) fn marked(self) -> Self {
        Self { marks: Some(Marks::new().unwrap()), ..self }
    }
}

/// A source, what feeds it, and what it was asked.
pub(crate) fn scripted() -> (Scripted, UnboundedSender<Vec<Item>>, Arc<Mutex<Asked>>) {
    let (sender, script) = unbounded_channel();
    let asked = Arc::new(Mutex::new(Asked::default()));
    (Scripted { script, asked: Arc::clone(&asked), marks: None, marked: Vec::new() }, sender, asked)
}

impl Source for Scripted {
    fn kind(&self) -> SourceKind {
        SourceKind::Syscalls
    }

    /// When the test drops its sender, the stream breaks.
    async fn read(&mut self, out: &mut Vec<Item>) -> Result<(), SourceError> {
        let filled = async {
            match &mut self.marks {
                Some(marks) => marks.filled().await,
                None => std::future::pending().await,
            }
        };
        let items = tokio::select! {
            biased;
            items = self.script.recv() => items,
            filled = filled => {
                filled.unwrap();
                self.marks.as_mut().unwrap().drain(&mut self.marked).unwrap();
                return Ok(());
            }
        };
        match items {
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
        if let Some(marks) = &mut self.marks {
            marks.watch(root, &mut self.marked).unwrap();
        }
        Ok(())
    }

    fn unwatch(&mut self, id: RootId) {
        self.asked.lock().unwrap().unwatched.push(id);
    }

    fn poll_released(&mut self, opens: &[OpenId]) -> Result<(), SourceError> {
        self.asked.lock().unwrap().polled.extend_from_slice(opens);
        Ok(())
    }

    fn sights(&mut self) -> Option<Vec<Sight>> {
        self.marks.as_ref()?;
        let sight = |mark| if let Mark::Sight(sight) = mark { Some(sight) } else { None };
        Some(self.marked.drain(..).filter_map(sight).collect())
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
