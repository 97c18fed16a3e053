//! A scripted source beside a real inotify watch.

use std::fs;
use std::path::Path;

use tokio::sync::mpsc::UnboundedSender;

use super::*;
use crate::model::{
    Access, Actor, AnomalyKind, EventOperation, FileEvent, Role, RootId, Span, UNKNOWN_LENGTH,
};
use crate::profile::Profile;
use crate::source::Depths;
use crate::source::scripted::{INODE, Scripted, scripted};

struct Bench {
    base: tempfile::TempDir,
    source: Witnessed<Scripted>,
    script: UnboundedSender<Vec<Item>>,
    opens: u64,
}

impl Bench {
    fn new(wanted: bool) -> Self {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("root/a")).unwrap();
        fs::write(base.path().join("root/a/state.json"), "{}").unwrap();
        let (source, script, _) = scripted();
        let mut source = Witnessed::new(source.marked(), wanted);
        let (path, names) = (base.path().join("root"), Profile::unknown("x").names);
        source
            .watch(&RootSpec { id: RootId(0), path, depths: Depths::only(1), locks: Depths::NONE, names })
            .unwrap();
        Self { base, source, script, opens: 0 }
    }

    fn write(&self) {
        fs::write(self.base.path().join("root/a/state.json"), "{\"a\": 1}").unwrap();
    }

    fn replace(&self) {
        let container = self.base.path().join("root/a");
        fs::write(container.join("state-1"), "{}").unwrap();
        fs::rename(container.join("state-1"), container.join("state.json")).unwrap();
    }

    /// The source tells of what `act` did.
    fn tell(&mut self, act: impl FnOnce(&Self), operations: impl Fn(OpenId) -> Vec<EventOperation>) {
        let start = boot_now();
        act(self);
        let span = Span::new(start, boot_now());
        self.opens += 1;
        let id = OpenId { file: self.opens, opened: span.end.0 };
        let event = |operation| Item::Event(FileEvent { span, actor: Actor::UNKNOWN, lost: 0, operation });
        self.script.send(operations(id).into_iter().map(event).collect()).unwrap();
    }

    /// The anomalies that come when both had time to speak.
    async fn anomalies(&mut self) -> Vec<AnomalyKind> {
        let patience = Duration::from_nanos(Testimony::PATIENCE + 500_000_000);
        let mut items = Vec::new();
        let all = async {
            loop {
                self.source.read(&mut items).await.unwrap();
            }
        };
        let _ = tokio::time::timeout(patience, all).await;
        let anomaly = |item| if let Item::Anomaly(anomaly) = item { Some(anomaly.kind) } else { None };
        items.into_iter().filter_map(anomaly).collect()
    }
}

fn place(name: &str) -> Arc<Place> {
    let role = if name == "state.json" { Role::State } else { Role::Temporary };
    Arc::new(Place { root: RootId(0), container: "a".into(), name: name.into(), role })
}

fn in_place(id: OpenId) -> Vec<EventOperation> {
    let access = Access { read: false, write: true };
    let (length, size) = (UNKNOWN_LENGTH, None);
    vec![
        EventOperation::Open {
            id,
            inode: INODE,
            place: place("state.json"),
            access,
            created: false,
            truncated: true,
            size,
        },
        EventOperation::Write { id, offset: None, length, size_before: size, size },
        EventOperation::Release { id },
    ]
}

fn renamed(_: OpenId) -> Vec<EventOperation> {
    vec![EventOperation::Rename {
        from: Some(place("state-1")),
        to: Some(place("state.json")),
        inode: None,
        exchange: false,
        still_open_for_writing: None,
    }]
}

#[tokio::test]
async fn two_that_agree_are_no_anomaly() {
    let mut bench = Bench::new(true);
    bench.tell(Bench::write, in_place);
    bench.tell(Bench::replace, renamed);
    assert_eq!(bench.anomalies().await, []);
}

#[tokio::test]
async fn what_the_source_missed_is_an_anomaly() {
    let mut bench = Bench::new(true);
    bench.write();
    assert_eq!(bench.anomalies().await, [AnomalyKind::SessionMissed]);
}

#[tokio::test]
async fn a_rename_that_the_source_missed_is_an_anomaly() {
    let mut bench = Bench::new(true);
    bench.replace();
    assert_eq!(bench.anomalies().await, [AnomalyKind::SessionMissed]);
}

#[tokio::test]
async fn what_the_witness_did_not_see_is_an_anomaly() {
    for operations in [in_place, renamed] {
        let mut bench = Bench::new(true);
        bench.tell(|_| {}, operations);
        assert_eq!(bench.anomalies().await, [AnomalyKind::SessionUnwitnessed]);
    }
}

#[tokio::test]
async fn without_a_witness_nothing_is_compared() {
    let mut bench = Bench::new(false);
    bench.write();
    bench.tell(|_| {}, in_place);
    assert_eq!(bench.anomalies().await, []);
    assert!(bench.source.probes().iter().all(|probe| probe.probe != "witness"));
}

#[tokio::test]
async fn a_container_that_is_made_meanwhile_is_compared_from_then_on() {
    let mut bench = Bench::new(true);
    let other = bench.base.path().join("root/b");
    fs::create_dir(&other).unwrap();
    // A writer that was quicker than the watch is nobody's anomaly.
    fs::write(other.join("state.json"), "{}").unwrap();
    assert_eq!(bench.anomalies().await, []);
    fs::write(Path::new(&other).join("state.json"), "{}").unwrap();
    assert_eq!(bench.anomalies().await, [AnomalyKind::SessionMissed]);
}
