use std::fs;
use std::io::{BufRead, BufReader, pipe};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::*;
use crate::cli::RunArgs;
use crate::health::Readiness;
use crate::http::Status;
use crate::metrics::Metrics;
use crate::model::{
    Access, Actor, BootNanos, Comm, ExitStatus, OpenId, Pid, Place, ProcessFacts, Role, RootId, Span,
};
use crate::source::scripted::{Asked, INODE, Scripted, scripted};

/// An agent over a folder with one root `/r` of runtime `youki` that holds container `abc`, and no process to be
/// found in /proc.
struct House {
    host: tempfile::TempDir,
    script: UnboundedSender<Vec<Item>>,
    asked: Arc<Mutex<Asked>>,
    shared: Arc<Shared>,
    stop: oneshot::Sender<()>,
    agent: JoinHandle<Result<(), SourceError>>,
    stdout: std::io::PipeReader,
    clock: u64,
}

const WRITER: Actor = Actor { pid: Pid(800), tid: 800, comm: Comm(*b"youki\0\0\0\0\0\0\0\0\0\0\0") };
const READER: Actor = Actor { pid: Pid(812), tid: 812, comm: Comm(*b"runc\0\0\0\0\0\0\0\0\0\0\0\0") };
const WRITE: OpenId = OpenId { file: 1, opened: 1 };
const READ: OpenId = OpenId { file: 2, opened: 2 };

impl House {
    async fn start(set: tokio::task::LocalSet) -> (Self, tokio::task::LocalSet) {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("r/abc")).unwrap();
        fs::write(host.path().join("r/abc/state.json"), "{\"old\":1}").unwrap();
        let args = RunArgs {
            roots: vec!["youki=/r".to_owned()],
            host_root: Some(host.path().to_owned()),
            ..RunArgs::default()
        };
        let config = Config::resolve(&args, None).unwrap();
        let (source, script, asked) = scripted();
        let status = Status::starting(config.hash());
        let shared = Arc::new(Shared::new(Metrics::new(&config.roots).unwrap(), status));
        let (stdout, write_end) = pipe().unwrap();
        let outlet = Outlet::start(write_end).unwrap();
        let agent: Agent<Scripted> = Agent::new(&config, source, Arc::clone(&shared), outlet);
        let (stop, stopped) = oneshot::channel();
        let agent = set.spawn_local(agent.run(async {
            // A test that drops the sender stops the agent as well.
            let _ = stopped.await;
        }));
        (Self { host, script, asked, shared, stop, agent, stdout, clock: 0 }, set)
    }

    fn place(&self) -> Arc<Place> {
        let (container, name) = ("abc".into(), "state.json".into());
        Arc::new(Place { root: RootId(0), container, name, role: Role::State })
    }

    fn state_file(&self) -> PathBuf {
        self.host.path().join("r/abc/state.json")
    }

    /// An operation that took a microsecond, ten microseconds after the last one.
    fn event(&mut self, actor: Actor, operation: EventOperation) -> Item {
        self.clock += 10_000;
        let span = Span::new(BootNanos(self.clock), BootNanos(self.clock + 1_000));
        Item::Event(FileEvent { span, actor, lost: 0, operation })
    }

    fn open(&mut self, actor: Actor, id: OpenId, write: bool, size: u64) -> Item {
        let place = self.place();
        self.event(
            actor,
            EventOperation::Open {
                id,
                inode: INODE,
                place,
                access: Access { read: !write, write },
                created: false,
                truncated: write,
                size: Some(size),
            },
        )
    }

    fn write(&mut self, length: u64) -> Item {
        self.event(
            WRITER,
            EventOperation::Write {
                id: WRITE,
                offset: Some(0),
                length,
                size_before: Some(0),
                size: Some(length),
            },
        )
    }

    /// A reader that opens in the gap of a rewrite and gets nothing.
    fn torn_story(&mut self, final_size: u64) -> Vec<Item> {
        let started = BootNanos(self.clock);
        let facts = ProcessFacts {
            pid: WRITER.pid,
            started,
            seen: started,
            since: BootNanos(0),
            program: 0,
            exe: None,
            comm: WRITER.comm,
            uid: 0,
            cgroup_id: 0,
            args: b"youki\0pause\0abc\0".to_vec(),
            args_cut: false,
            ancestors: vec![(Pid(20), Comm::new("shim")), (Pid(1), Comm::new("init"))],
        };
        vec![
            Item::Process(Box::new(facts)),
            self.open(WRITER, WRITE, true, 0),
            self.open(READER, READ, false, 0),
            self.event(
                READER,
                EventOperation::Read {
                    id: READ,
                    offset: Some(0),
                    requested: 512,
                    returned: 0,
                    size_before: Some(0),
                    size: Some(0),
                },
            ),
            self.write(final_size),
            self.event(WRITER, EventOperation::Release { id: WRITE }),
            self.event(READER, EventOperation::Release { id: READ }),
            self.event(READER, EventOperation::Exit { status: ExitStatus::Code(1) }),
        ]
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let page = self.shared.metrics.render();
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(|value| value.parse().unwrap())
    }

    /// Waits until there are so many findings.
    async fn published(&self, count: usize) {
        eventually("the findings are published", || self.shared.recent().newest(count).len() == count).await;
    }

    /// Stops the agent and returns its findings.
    async fn findings(self) -> Vec<Value> {
        self.stop.send(()).unwrap();
        self.agent.await.unwrap().unwrap();
        let lines = BufReader::new(self.stdout).lines().map(Result::unwrap);
        lines.map(|line| serde_json::from_str(&line).unwrap()).collect()
    }
}

/// Runs a story with an agent beside it.
fn with_agent<F: Future<Output = ()>>(story: impl FnOnce(House) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (house, set) = House::start(tokio::task::LocalSet::new()).await;
        set.run_until(async {
            let mut house = house;
            let shared = Arc::clone(&house.shared);
            eventually("the first look", || shared.status().readiness == Readiness::Ready).await;
            // Stories happen after it; events from before it would tell of another file.
            house.clock = boot_now().0;
            story(house).await;
        })
        .await;
    });
}

/// Waits until it is so, at most a minute.
async fn eventually(what: &str, so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < deadline, "never happened: {what}");
        tokio::task::yield_now().await;
    }
}

fn of_kind<'a>(findings: &'a [Value], kind: &str) -> Vec<&'a Value> {
    findings.iter().filter(|finding| finding["kind"] == kind).collect()
}

#[test]
fn what_waited_for_seconds_is_judged_by_its_own_time() {
    with_agent(async |mut house| {
        let read = |offset, returned, size| EventOperation::Read {
            id: READ,
            offset: Some(offset),
            requested: 512,
            returned,
            size_before: Some(size),
            size: Some(size),
        };
        // A reader gets the whole old version. Then somebody saves, and somebody else begins to: it finds the end there.
        let mut story = vec![house.open(READER, READ, false, 9), house.event(READER, read(0, 9, 9))];
        for file in [3, 4] {
            let id = OpenId { file, opened: file };
            story.push(house.open(WRITER, id, true, 0));
            if file == 4 {
                story.push(house.event(READER, read(9, 0, 0)));
            }
            let write = EventOperation::Write {
                id,
                offset: Some(0),
                length: 6 + file,
                size_before: Some(0),
                size: Some(6 + file),
            };
            story.push(house.event(WRITER, write));
            story.push(house.event(WRITER, EventOperation::Release { id }));
        }
        story.push(house.event(READER, EventOperation::Release { id: READ }));
        fs::write(house.state_file(), "{\"new\":12}").unwrap();
        // The agent has no processor for so long, and takes the story piece by piece.
        std::thread::sleep(Duration::from_secs(4));
        for item in story {
            house.script.send(vec![item]).unwrap();
        }
        house.published(2).await;
        let findings = house.findings().await;
        assert_eq!(of_kind(&findings, "nonatomic_write").len(), 2, "{findings:?}");
        assert!(of_kind(&findings, "torn_read").is_empty(), "{findings:?}");
    });
}

#[test]
fn a_torn_read_is_told_from_end_to_end() {
    with_agent(async |mut house| {
        fs::write(house.state_file(), "{\"new\":12}").unwrap();
        let story = house.torn_story(10);
        house.script.send(story).unwrap();
        let series = "state_watchdog_torn_reader_exits_total{result=\"failure\",runtime=\"youki\"}";
        eventually("the exit is counted", || house.metric(series) == Some(1.0)).await;
        house.published(3).await;
        for series in [
            "state_watchdog_write_sessions_total{outcome=\"in_place\",runtime=\"youki\"}",
            "state_watchdog_nonatomic_writes_total{operation=\"open_truncate\",runtime=\"youki\",writer=\"youki\"}",
            "state_watchdog_overlapping_reads_total{reader=\"runc\",runtime=\"youki\",verdict=\"torn\"}",
            "state_watchdog_detection_latency_seconds_count",
        ] {
            assert_eq!(house.metric(series), Some(1.0), "{series}");
        }
        let recent: Vec<Value> = house
            .shared
            .recent()
            .newest(9)
            .iter()
            .map(|finding| serde_json::from_str(finding).unwrap())
            .collect();
        let findings = house.findings().await;
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert_eq!(recent.len(), 3);

        let torn = of_kind(&findings, "torn_read")[0];
        assert_eq!(torn["writer"]["args"], serde_json::json!(["youki", "pause", "abc"]));
        assert_eq!(torn["writer"]["ancestors"][1]["comm"], "init");
        assert_eq!(torn["read"]["final_size"], 10);
        assert_eq!(torn["container_id"], "abc");
        assert_eq!(torn["path"], "/r/abc/state.json");
        let write = of_kind(&findings, "nonatomic_write")[0];
        assert_eq!(write["aftermath"], "valid");
        let exit = of_kind(&findings, "reader_exit")[0];
        assert_eq!(exit["exit"]["torn_read"], torn["id"]);
        assert_eq!(exit["exit"]["code"], 1);
    });
}

#[test]
fn a_description_whose_release_was_lost_is_released_when_the_source_misses_it() {
    with_agent(async |mut house| {
        let mut story = vec![house.open(WRITER, WRITE, true, 0), house.write(9)];
        house.script.send(std::mem::take(&mut story)).unwrap();
        let asked = Arc::clone(&house.asked);
        eventually("the kernel is asked", || asked.lock().unwrap().polled.contains(&WRITE)).await;
        let never_opened = OpenId { file: 9, opened: 9 };
        house.script.send(vec![Item::Gone(never_opened), Item::Gone(WRITE), Item::Gone(WRITE)]).unwrap();
        let series = "state_watchdog_write_sessions_total{outcome=\"in_place\",runtime=\"youki\"}";
        eventually("the session ends", || house.metric(series) == Some(1.0)).await;
        let series = "state_watchdog_anomalies_total{kind=\"unknown_description\"}";
        assert_eq!(house.metric(series), Some(0.0), "what nobody knows is not told to the engine");
        let polled = || asked.lock().unwrap().polled.len();
        let so_far = polled();
        house.script.send(vec![Item::Gone(WRITE)]).unwrap();
        tokio::task::yield_now().await;
        assert_eq!(polled(), so_far, "nobody asks after it any more");
    });
}

#[test]
fn a_file_that_is_left_empty_is_damaged_until_it_is_whole() {
    with_agent(async |mut house| {
        fs::write(house.state_file(), "").unwrap();
        let story = vec![
            house.open(WRITER, WRITE, true, 0),
            house.event(WRITER, EventOperation::Release { id: WRITE }),
        ];
        house.script.send(story).unwrap();
        let now = "state_watchdog_damaged_state_files{runtime=\"youki\"}";
        let total = "state_watchdog_damaged_state_files_total{damage=\"empty\",runtime=\"youki\"}";
        eventually("the damage is seen", || house.metric(now) == Some(1.0)).await;
        assert_eq!(house.metric(total), Some(1.0));
        fs::write(house.state_file(), "{}").unwrap();
        eventually("the repair is seen", || house.metric(now) == Some(0.0)).await;
        assert_eq!(house.metric(total), Some(1.0));
        let findings = house.findings().await;
        assert_eq!(of_kind(&findings, "damaged_state_file").len(), 1);
        assert_eq!(of_kind(&findings, "nonatomic_write")[0]["aftermath"], "empty");
    });
}

#[test]
fn a_damaged_file_is_counted_as_long_as_it_lies_there() {
    with_agent(async |house| {
        let now = "state_watchdog_damaged_state_files{runtime=\"youki\"}";
        let total = "state_watchdog_damaged_state_files_total{damage=\"truncated\",runtime=\"youki\"}";
        for container in ["b", "c"] {
            fs::create_dir(house.host.path().join("r").join(container)).unwrap();
            fs::write(house.host.path().join("r").join(container).join("state.json"), "{\"id\":").unwrap();
        }
        eventually("both are seen", || house.metric(now) == Some(2.0)).await;
        fs::remove_file(house.host.path().join("r/b/state.json")).unwrap();
        eventually("one is gone", || house.metric(now) == Some(1.0)).await;
        fs::remove_dir_all(house.host.path().join("r")).unwrap();
        eventually("all are gone", || house.metric(now) == Some(0.0)).await;
        assert_eq!(house.metric(total), Some(2.0));
        let findings = house.findings().await;
        assert_eq!(of_kind(&findings, "damaged_state_file").len(), 2);
    });
}

#[test]
fn a_torn_read_names_the_pod_that_the_last_good_content_told() {
    with_agent(async |mut house| {
        let good = r#"{"id":"abc","annotations":{"io.kubernetes.cri.sandbox-name":"web-0",
            "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.container-name":"app"}}"#;
        fs::write(house.state_file(), good).unwrap();
        let size = good.len() as u64;
        let story = vec![
            house.open(WRITER, WRITE, true, 0),
            house.write(size),
            house.event(WRITER, EventOperation::Release { id: WRITE }),
        ];
        house.script.send(story).unwrap();
        let series = "state_watchdog_write_sessions_total{outcome=\"in_place\",runtime=\"youki\"}";
        eventually("the first session", || house.metric(series) == Some(1.0)).await;
        house.published(1).await;
        // What a writer left that died: the file says nothing any more.
        fs::write(house.state_file(), "{\"id\"").unwrap();
        let story = house.torn_story(5);
        house.script.send(story).unwrap();
        eventually("the second session", || house.metric(series) == Some(2.0)).await;
        let findings = house.findings().await;
        for kind in ["torn_read", "damaged_state_file", "reader_exit"] {
            let finding = of_kind(&findings, kind)[0];
            assert_eq!(
                finding["pod"],
                serde_json::json!({"name": "web-0", "namespace": "shop", "container": "app"})
            );
            let message = finding["message"].as_str().unwrap();
            assert!(message.contains("state.json of container app in pod shop/web-0"), "{message}");
        }
    });
}

#[test]
fn a_file_that_was_written_again_since_has_no_aftermath() {
    with_agent(async |mut house| {
        // The session leaves ten bytes; on disk are none, because the next writer has begun.
        fs::write(house.state_file(), "").unwrap();
        let story = vec![
            house.open(WRITER, WRITE, true, 0),
            house.write(10),
            house.event(WRITER, EventOperation::Release { id: WRITE }),
        ];
        house.script.send(story).unwrap();
        let series = "state_watchdog_write_sessions_total{outcome=\"in_place\",runtime=\"youki\"}";
        eventually("the session is counted", || house.metric(series) == Some(1.0)).await;
        let findings = house.findings().await;
        assert!(of_kind(&findings, "nonatomic_write")[0].get("aftermath").is_none());
        assert!(of_kind(&findings, "damaged_state_file").is_empty());
    });
}

#[test]
fn roots_and_state_files_that_appear_later_are_picked_up() {
    with_agent(async |house| {
        let present = "state_watchdog_runtime_root_present{root=\"/r\",runtime=\"youki\"}";
        let files = "state_watchdog_state_files{runtime=\"youki\"}";
        eventually("the first file", || house.metric(files) == Some(1.0)).await;
        fs::remove_dir_all(house.host.path().join("r")).unwrap();
        eventually("the root is gone", || house.metric(present) == Some(0.0)).await;
        assert_eq!(house.metric(files), Some(0.0));
        fs::create_dir_all(house.host.path().join("r/def")).unwrap();
        fs::write(house.host.path().join("r/def/state.json"), "{}").unwrap();
        eventually("the root is back", || house.metric(files) == Some(1.0)).await;
        assert_eq!(house.metric(present), Some(1.0));
        let watched = house.asked.lock().unwrap().watched.clone();
        assert_eq!(watched.iter().map(|root| root.id).collect::<Vec<_>>(), [RootId(0), RootId(0)]);
        assert_eq!(house.shared.status().roots[0].directories, ["/r"]);
        assert!(house.findings().await.is_empty());
    });
}

#[test]
fn our_own_reads_are_nobodys() {
    with_agent(async |mut house| {
        // The fixture's /proc says that we are pid 812 on that host.
        fs::create_dir_all(house.host.path().join("proc")).unwrap();
        std::os::unix::fs::symlink("812", house.host.path().join("proc/self")).unwrap();
        let mut own = Own::find(&crate::host_root::HostRoot::new(house.host.path()));
        for (item, ours) in [
            (house.open(READER, READ, false, 9), true),
            (house.open(WRITER, WRITE, true, 0), false),
            (house.event(READER, EventOperation::Sync { id: READ }), true),
            (house.write(3), false),
            (house.event(WRITER, EventOperation::Release { id: READ }), true),
            (house.event(READER, EventOperation::Release { id: READ }), false),
        ] {
            let Item::Event(event) = item else { panic!("no event") };
            assert_eq!(own.is_ours(&event), ours, "{event:?}");
        }
        house.findings().await;
    });
}

#[test]
fn other_watchdogs_are_no_readers_and_may_be_writers() {
    with_agent(|mut house| async move {
        let named = |comm: &str| Actor { pid: Pid(4_000), tid: 4_001, comm: Comm::new(comm) };
        let mut own = Own::find(&crate::host_root::HostRoot::new(house.host.path()));
        let mut is_ours = |item: &Item| matches!(item, Item::Event(event) if own.is_ours(event));
        // Whatever thread of theirs it is, from the open on to the release.
        for comm in ["state-watchdog", "state-watchdog1"] {
            let read = EventOperation::Read {
                id: READ,
                offset: Some(0),
                requested: 512,
                returned: 0,
                size_before: Some(0),
                size: Some(0),
            };
            let release = EventOperation::Release { id: READ };
            let opened = house.open(named(comm), READ, false, 20);
            assert!(is_ours(&opened), "{comm}");
            assert!(is_ours(&house.event(named(comm), read)), "{comm}");
            assert!(is_ours(&house.event(named(comm), release)), "{comm}");
        }
        for comm in ["state-watch", "watchdog", "xstate-watchdog"] {
            assert!(!is_ours(&house.open(named(comm), READ, false, 20)), "{comm}");
        }
        assert!(!is_ours(&house.open(named("state-watchdog"), WRITE, true, 0)), "a writer is one");
    });
}

#[test]
fn a_silent_description_is_asked_for() {
    with_agent(async |mut house| {
        let open = house.open(READER, READ, false, 9);
        house.script.send(vec![open]).unwrap();
        let asked = Arc::clone(&house.asked);
        eventually("three questions", || asked.lock().unwrap().polled.len() >= 3).await;
        assert!(asked.lock().unwrap().polled.iter().all(|id| *id == READ));
        house.findings().await;
    });
}

#[test]
fn the_status_tells_the_source_and_its_losses() {
    with_agent(async |house| {
        let shared = Arc::clone(&house.shared);
        eventually("ready", || shared.status().readiness == Readiness::Ready).await;
        let status = shared.status().clone();
        assert_eq!(status.source, Some("syscalls"));
        assert_eq!(status.losses["ring_full"], 3);
        let lost = "state_watchdog_events_lost_total{reason=\"ring_full\",source=\"syscalls\"}";
        assert_eq!(house.metric(lost), Some(3.0));
        assert_eq!(house.metric("state_watchdog_source_info{source=\"syscalls\"}"), Some(1.0));
        house.findings().await;
    });
}

#[test]
fn a_broken_stream_ends_the_agent_and_its_readiness() {
    with_agent(async |house| {
        let House { script, agent, shared, stop, .. } = house;
        eventually("ready", || shared.status().readiness == Readiness::Ready).await;
        drop(script);
        let error = agent.await.unwrap().unwrap_err();
        assert!(error.to_string().contains("cannot read events"), "{error}");
        assert_eq!(shared.status().readiness, Readiness::NotReady);
        drop(stop);
    });
}

#[test]
fn events_that_come_with_the_stop_are_still_judged() {
    with_agent(async |mut house| {
        fs::write(house.state_file(), "{\"new\":12}").unwrap();
        let story = house.torn_story(10);
        house.script.send(story).unwrap();
        // The agent has not had a turn since: the stop and the story arrive together.
        let findings = house.findings().await;
        assert_eq!(of_kind(&findings, "torn_read").len(), 1);
    });
}
