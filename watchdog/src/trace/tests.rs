use std::io::{BufRead, BufReader, pipe};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::*;
use crate::agent::Agent;
use crate::cli::RunArgs;
use crate::clock::boot_now;
use crate::health::Readiness;
use crate::http::{Shared, Status};
use crate::metrics::Metrics;
use crate::model::{
    Access, Actor, Comm, ExitStatus, LockMode, LockOwner, Role, RootId, Span, UNKNOWN_LENGTH,
};
use crate::source::Item;
use crate::source::scripted::{INODE, scripted};

fn actor(pid: u32, comm: &[u8]) -> Actor {
    let mut name = Comm::default();
    name.0[..comm.len()].copy_from_slice(comm);
    Actor { pid: Pid(pid), tid: pid, comm: name }
}

fn place(container: &str, name: &str, role: Role) -> Arc<Place> {
    Arc::new(Place { root: RootId(0), container: container.into(), name: name.into(), role })
}

fn open(id: OpenId, place: Arc<Place>, write: bool, size: u64) -> Operation {
    let access = Access { read: !write, write };
    Operation::Open { id, inode: INODE, place, access, created: false, truncated: write, size: Some(size) }
}

/// What an agent that is told these events says, without the times of day; the stories happen one microsecond after
/// another.
fn told(filter: Filter, colours: bool, story: &[(Actor, u64, Operation)]) -> Vec<String> {
    // Then its name does not show, and need not be waited for.
    let hidden = !filter.is_open() && !filter.containers.iter().any(|one| one.contains("web-0"));
    let host = tempfile::tempdir().unwrap();
    for container in ["abc", "def"] {
        std::fs::create_dir_all(host.path().join("r").join(container)).unwrap();
    }
    let named = r#"{"id":"def","annotations":{"io.kubernetes.cri.sandbox-name":"web-0",
        "io.kubernetes.cri.sandbox-namespace":"shop","io.kubernetes.cri.container-name":"app"}}"#;
    std::fs::write(host.path().join("r/abc/state.json"), "{\"new\":12}").unwrap();
    std::fs::write(host.path().join("r/def/state.json"), named).unwrap();
    let args = RunArgs {
        roots: vec!["youki=/r".to_owned()],
        host_root: Some(host.path().to_owned()),
        ..RunArgs::default()
    };
    let config = Config { findings: FindingsFormat::None, ..Config::resolve(&args, None).unwrap() };
    let (source, script, _) = scripted();
    let shared = Arc::new(Shared::new(Metrics::new(&config.roots).unwrap(), Status::starting(config.hash())));
    let (stdout, write_end) = pipe().unwrap();
    let trace = Rc::new(RefCell::new(Trace::new(filter, Outlet::start(write_end).unwrap(), colours)));
    let agent =
        Agent::new(&config, source, Arc::clone(&shared), Outlet::closed())
            .followed_by(Rc::<RefCell<Trace>>::clone(&trace));
    let lines = Arc::new(Mutex::new(Vec::new()));
    let reader = std::thread::spawn({
        let lines = Arc::clone(&lines);
        move || {
            for line in BufReader::new(stdout).lines().map(Result::unwrap) {
                lines.lock().unwrap().push(without_time(&line));
            }
        }
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let tell = async {
            let item = |at: BootNanos, (actor, lost, operation): &(Actor, u64, Operation)| {
                let span = Span::new(at, at.plus(900));
                Item::Event(FileEvent { span, actor: *actor, lost: *lost, operation: operation.clone() })
            };
            // The container's name is known when its file was read.
            let deadline = Instant::now() + Duration::from_secs(60);
            let ready = || shared.status().readiness == Readiness::Ready;
            let named = || lines.lock().unwrap().iter().any(|line: &String| line.contains("shop/web-0/app"));
            while !ready() || !(named() || hidden) {
                assert!(Instant::now() < deadline, "the container's name was never known");
                if ready() {
                    let look = open(LOOK, place("def", "state.json", Role::State), false, 5);
                    let release = Operation::Release { id: LOOK };
                    let looks = [look, release].map(|operation| item(boot_now(), &(LOOKER, 0, operation)));
                    script.send(looks.into()).unwrap();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            let now = boot_now();
            let story = story.iter().enumerate();
            let items = story.map(|(index, event)| item(now.plus(1_000 * index as u64), event));
            script.send(items.collect()).unwrap();
            stop.send(()).unwrap();
        };
        let run = agent.run(async {
            stopped.await.unwrap();
        });
        let (result, ()) = tokio::join!(run, tell);
        result.unwrap();
    });
    trace.borrow_mut().finish();
    drop(trace);
    reader.join().unwrap();
    let mut lines = std::mem::take(&mut *lines.lock().unwrap());
    lines.retain(|line| !line.contains("looker["));
    lines
}

/// Takes out `12:00:01.250000`.
fn without_time(line: &str) -> String {
    let clock = |text: &str| {
        text.len() == 15
            && text.char_indices().all(|(index, c)| match index {
                2 | 5 => c == ':',
                8 => c == '.',
                _ => c.is_ascii_digit(),
            })
    };
    let at = (0..line.len()).find(|at| line.get(*at..at + 15).is_some_and(clock));
    at.map_or_else(|| line.to_owned(), |at| format!("{}{}", &line[..at], &line[at + 15..]))
}

const WRITE: OpenId = OpenId { file: 1, opened: 1 };
const READ: OpenId = OpenId { file: 2, opened: 2 };
const LOOK: OpenId = OpenId { file: 9, opened: 9 };
const LOOKER: Actor = Actor { pid: Pid(77), tid: 77, comm: Comm(*b"looker\0\0\0\0\0\0\0\0\0\0") };
const OTHER: OpenId = OpenId { file: 3, opened: 3 };

/// A torn read in `abc`, and every other operation in `def`.
fn story() -> Vec<(Actor, u64, Operation)> {
    let (writer, reader) = (actor(800, b"youki"), actor(812, b"runc"));
    let hostile = actor(9, b"\x1b[31m\nx\xff");
    let state = || place("abc", "state.json", Role::State);
    let other = || place("def", "state.json", Role::State);
    let temporary = || Some(place("def", "state-1", Role::Temporary));
    let size = Some(0);
    let eof =
        Operation::Read { id: READ, offset: size, requested: 512, returned: 0, size_before: size, size };
    let whole = Operation::Write { id: WRITE, offset: size, length: 10, size_before: size, size: Some(10) };
    let mapped = Operation::Map { id: OTHER, shared: true, writable: true };
    let locked = Operation::Lock { id: OTHER, mode: LockMode::Exclusive, owner: LockOwner::Process };
    let unknown = Operation::Read {
        id: OTHER,
        offset: None,
        requested: UNKNOWN_LENGTH,
        returned: 0,
        size_before: None,
        size: Some(5),
    };
    let to_place =
        Operation::Truncate { target: Target::Place(other()), inode: None, to: 3, size_before: Some(5) };
    let rename = Operation::Rename {
        from: temporary(),
        to: Some(other()),
        inode: None,
        exchange: false,
        still_open_for_writing: Some(true),
    };
    vec![
        (writer, 0, open(WRITE, state(), true, 0)),
        (reader, 0, open(READ, state(), false, 0)),
        (reader, 0, eof),
        (writer, 0, whole),
        (writer, 0, Operation::Release { id: WRITE }),
        (reader, 0, Operation::Release { id: READ }),
        (reader, 0, Operation::Exit { status: ExitStatus::Code(1) }),
        (hostile, 0, open(OTHER, other(), false, 5)),
        (hostile, 0, unknown),
        (hostile, 0, mapped),
        (hostile, 0, locked),
        (hostile, 0, Operation::Sync { id: OTHER }),
        (hostile, 0, to_place),
        (hostile, 0, rename),
        (hostile, 0, Operation::Link { from: None, to: other(), inode: None }),
        (Actor::UNKNOWN, 7, Operation::Unlink { place: other(), inode: None }),
        (Actor::UNKNOWN, 7, Operation::Heartbeat),
        (hostile, 7, Operation::Release { id: OTHER }),
    ]
}

#[test]
fn every_event_is_a_line_and_findings_stand_out() {
    let lines = told(Filter::default(), false, &story()).join("\n") + "\n";
    let golden = include_str!("golden.txt");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/trace/golden.txt");
        std::fs::write(path, &lines).unwrap();
    } else {
        assert_eq!(lines, golden, "UPDATE_DOCS=1 writes it anew");
    }
    assert!(!lines.contains('\u{1b}'));
}

#[test]
fn a_filter_shows_one_container_alone() {
    let only = |containers: &[&str]| {
        let containers = containers.iter().map(|one| (*one).to_owned()).collect();
        told(Filter { containers, ..Filter::default() }, false, &story())
    };
    let lines = only(&["abc"]);
    assert!(lines.iter().any(|line| line.contains(">>> TORN READ: ")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("exit       code 1")), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("shop")), "{lines:#?}");
    let lines = only(&["shop/web-0"]);
    assert!(lines.iter().any(|line| line.contains("shop/web-0/app")), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.contains("abc")), "{lines:#?}");
    let nobody = told(Filter { runtimes: vec!["runc".to_owned()], ..Filter::default() }, false, &story());
    // What is lost may be of those that are asked for.
    assert_eq!(nobody.len(), 2, "{nobody:#?}");
    assert!(nobody[1].contains("7 EVENTS LOST"), "{nobody:#?}");
}

#[test]
fn colours_mark_findings_and_nothing_foreign() {
    let lines = told(Filter::default(), true, &story());
    let torn = lines.iter().find(|line| line.contains("TORN READ")).unwrap();
    assert!(torn.starts_with("\u{1b}[1;31m") && torn.ends_with("\u{1b}[0m"), "{torn:?}");
    let plain = lines.iter().filter(|line| !line.contains(">>>")).skip(1);
    assert!(plain.clone().count() > 10);
    assert!(plain.clone().all(|line| !line.contains('\u{1b}')), "{:#?}", plain.collect::<Vec<_>>());
}

#[test]
fn memory_is_bounded() {
    let mut bounded = Bounded::default();
    for key in 0..2 * Bounded::<usize, ()>::MAX {
        bounded.insert(key, ());
    }
    assert_eq!(bounded.0.len(), Bounded::<usize, ()>::MAX);
}
