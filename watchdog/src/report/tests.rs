use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::cli::Arguments;
use crate::clock::WallClock;
use crate::enrich::{Content, Damage, Pod, Processes};
use crate::host_root::HostRoot;
use crate::model::{
    Actor, BootNanos, Comm, ExitStatus, Follows, InodeId, OpenId, Operation, OperationRecord, Outcome, Pid,
    Place, ProcessFacts, ReadCall, ReadReport, ReaderExit, ReaderResult, Role, RootId, SessionReport, Span,
    Verdict,
};
use crate::source::SourceKind;

const YOUKI: Actor = Actor { pid: Pid(800), tid: 801, comm: Comm(*b"youki\0\0\0\0\0\0\0\0\0\0\0") };
const RUNC: Actor = Actor { pid: Pid(812), tid: 812, comm: Comm(*b"runc\0\0\0\0\0\0\0\0\0\0\0\0") };
const OPEN: OpenId = OpenId { file: 1, opened: 2 };

fn file() -> FileFacts {
    FileFacts {
        runtime: "youki".to_owned(),
        root: "/run/youki".to_owned(),
        path: "/run/youki/abc/state.json".to_owned(),
        name: "state.json".to_owned(),
        container: "abc".to_owned(),
        pod: None,
        image: None,
    }
}

fn span(start: u64, end: u64) -> Span {
    Span::new(BootNanos(start), BootNanos(end))
}

fn reporter() -> Reporter {
    Reporter::new(SourceKind::Syscalls, WallClock::booted_at(1_700_000_000_000_000_000), BootNanos(0))
}

fn processes() -> Processes {
    let mut processes = Processes::new(HostRoot::new("/nonexistent"), Arguments::default());
    processes.learn(&ProcessFacts {
        pid: Pid(800),
        started: BootNanos(0),
        seen: BootNanos(1),
        since: BootNanos(0),
        program: 0,
        exe: None,
        comm: Comm::new("youki"),
        uid: 0,
        cgroup_id: 5,
        args: b"youki\0pause\0a\x1bc".to_vec(),
        args_cut: false,
        ancestors: vec![(Pid(20), Comm::new("shim")), (Pid(1), Comm::new("init"))],
    });
    processes
}

fn place() -> Arc<Place> {
    Arc::new(Place { root: RootId(0), container: "abc".into(), name: "state.json".into(), role: Role::State })
}

fn operations() -> Vec<OperationRecord> {
    vec![OperationRecord {
        operation: Operation::OpenTruncate,
        span: span(1_000, 1_500),
        actor: YOUKI,
        offset: None,
        length: None,
        size: Some(0),
    }]
}

fn session() -> SessionReport {
    SessionReport {
        place: place(),
        inode: None,
        outcome: Outcome::InPlace,
        durable: None,
        operation: Some(Operation::OpenTruncate),
        writer: YOUKI,
        window: span(1_000, 266_000),
        operations: operations(),
        operation_count: 2,
        size_before: Some(5000),
        size_after: Some(5120),
        writer_died: false,
        content: None,
        writer_exited: false,
    }
}

fn read(verdict: Verdict) -> ReadReport {
    ReadReport {
        place: place(),
        inode: InodeId { dev: 1, ino: 2, generation: 0 },
        open: OPEN,
        verdict,
        reader: RUNC,
        writer: YOUKI,
        window: span(1_000, 266_000),
        operations: operations(),
        read: Some(ReadCall {
            span: span(2_000, 3_000),
            offset: Some(0),
            requested: 512,
            returned: 0,
            size_at_read: Some(0),
            merged: 1,
        }),
        read_calls: 1,
        bytes: 0,
        size_before: Some(5000),
        final_size: Some(5120),
        judged: BootNanos(266_000),
    }
}

fn json(finding: &Finding) -> Value {
    serde_json::to_value(finding).unwrap()
}

#[test]
fn a_torn_read_names_everything() {
    let finding = reporter().read(&file(), &read(Verdict::Torn), &processes()).unwrap();
    let expected = json!({
        "id": "17979cfe362a0000-1",
        "time": "2023-11-14T22:13:20.000266000Z",
        "kind": "torn_read",
        "verdict": "torn",
        "runtime": "youki",
        "root": "/run/youki",
        "path": "/run/youki/abc/state.json",
        "container_id": "abc",
        "writer": {
            "pid": 800, "tid": 801, "comm": "youki", "args": ["youki", "pause", "a\\u{1b}c"], "uid": 0,
            "ancestors": [{"pid": 20, "comm": "shim"}, {"pid": 1, "comm": "init"}],
            "attribution": "process",
        },
        "reader": {"pid": 812, "tid": 812, "comm": "runc", "ancestors": [], "attribution": "none"},
        "window": {
            "start": "2023-11-14T22:13:20.000001000Z",
            "end": "2023-11-14T22:13:20.000266000Z",
            "duration_ns": 265_000,
            "operations": [
                {"operation": "open_truncate", "after_ns": 0, "duration_ns": 500, "pid": 800, "size": 0},
            ],
        },
        "read": {
            "time": "2023-11-14T22:13:20.000003000Z", "offset": 0, "length": 512, "returned": 0,
            "size_at_read": 0, "size_before": 5000, "final_size": 5120, "calls": 1, "bytes": 0,
        },
        "attribution": "none",
        "source": "syscalls",
        "message": "runc (pid 812) read 0 of 5120 bytes of container abc's state.json while youki (pid 800) \
                    was rewriting it in place",
    });
    assert_eq!(json(&finding), expected);
    assert_eq!(
        line(&finding),
        "22:13:20.000  TORN READ    youki       abc           runc (pid 812) read 0 of 5120 bytes of container \
         abc's state.json while youki (pid 800) was rewriting it in place"
    );
}

#[test]
fn pod_and_image_are_named_as_far_as_they_are_known() {
    let text = |text: &str| Some(text.to_owned());
    let pod = Pod { name: text("web-0"), namespace: text("shop"), container: text("app"), uid: text("u-1") };
    let said = |pod: Pod| {
        let file = FileFacts { pod: Some(pod), image: text("shop:1"), ..file() };
        json(&reporter().damage(&file, Damage::Empty, None, BootNanos(1), &processes()))
    };
    let finding = said(pod.clone());
    let whole = json!({"name": "web-0", "namespace": "shop", "container": "app", "uid": "u-1"});
    assert_eq!((&finding["pod"], &finding["image"]), (&whole, &json!("shop:1")));
    assert_eq!(finding["message"], "state.json of container app in pod shop/web-0 is empty on disk");
    let sandbox = said(Pod { container: None, ..pod });
    assert_eq!(sandbox["message"], "state.json of container abc in pod shop/web-0 is empty on disk");
    let finding = said(Pod { uid: text("u-1"), ..Pod::default() });
    assert_eq!(finding["pod"], json!({"uid": "u-1"}));
    assert_eq!(finding["message"], "container abc's state.json is empty on disk");
}

#[test]
fn a_file_of_no_container_is_named_by_its_path() {
    let path = "/var/lib/kubelet/cpu_manager_state".to_owned();
    let file = FileFacts { container: String::new(), path, ..file() };
    let finding = reporter().damage(&file, Damage::Empty, None, BootNanos(1), &processes());
    assert_eq!(finding.message, "/var/lib/kubelet/cpu_manager_state is empty on disk");
}

#[test]
fn a_write_names_its_window_and_aftermath() {
    let finding = json(&reporter().session(&file(), &session(), Some(Content::Valid), &processes()));
    assert_eq!(finding["kind"], "nonatomic_write");
    assert_eq!(finding["outcome"], "in_place");
    assert_eq!(finding["aftermath"], "valid");
    assert_eq!(finding["writer_died"], false);
    assert_eq!(finding["window"]["operation_count"], 2);
    assert_eq!(
        finding["message"],
        "youki (pid 800) rewrote container abc's state.json in place: for 265 µs readers could see part of it"
    );
}

#[test]
fn an_exit_points_to_its_torn_read() {
    let mut reporter = reporter();
    let torn = reporter.read(&file(), &read(Verdict::Torn), &processes()).unwrap();
    let exit = ReaderExit {
        place: place(),
        open: OPEN,
        follows: Follows::Torn,
        reader: RUNC,
        result: ReaderResult::Failure,
        status: Some(ExitStatus::Code(1)),
        at: BootNanos(300_000),
    };
    let finding = json(&reporter.reader_exit(&file(), &exit, &processes()));
    assert_eq!(
        finding["exit"],
        json!({"result": "failure", "follows": "torn", "code": 1, "torn_read": torn.id})
    );
    assert_eq!(
        finding["message"],
        "runc (pid 812) got a torn read of container abc's state.json and failed with exit 1"
    );
    let again = json(&reporter.reader_exit(&file(), &exit, &processes()));
    assert_eq!(again["exit"]["torn_read"], Value::Null);
    assert_ne!(again["id"], finding["id"]);
}

#[test]
fn guarded_and_unknown_reads_are_no_findings() {
    for (verdict, kind) in [
        (Verdict::Torn, Some("torn_read")),
        (Verdict::Overlapping, Some("overlapping_read")),
        (Verdict::Exposed, Some("exposed_reader")),
        (Verdict::Guarded, None),
        (Verdict::Unknown, None),
    ] {
        let finding = reporter().read(&file(), &read(verdict), &processes());
        assert_eq!(finding.map(|finding| finding.kind.as_str()), kind, "{verdict:?}");
    }
}

#[test]
fn damage_is_laid_at_the_writers_door_when_it_is_known() {
    let mut reporter = reporter();
    let died = SessionReport { writer_died: true, ..session() };
    let at = BootNanos(1);
    let finding = reporter.damage(&file(), Damage::Empty, Some(&died), at, &processes());
    assert_eq!(
        finding.message,
        "container abc's state.json was left empty by youki (pid 800), which ended while writing it"
    );
    let finding = reporter.damage(&file(), Damage::Truncated, None, at, &processes());
    assert_eq!(finding.message, "container abc's state.json is cut short on disk");
    assert!(finding.writer.is_none());
}

#[test]
fn hostile_names_are_escaped_everywhere() {
    let hostile = FileFacts {
        container: "a\nb\u{1b}[2J".to_owned(),
        path: "/run/youki/a\nb\u{1b}[2J/state.json".to_owned(),
        ..file()
    };
    let pod = Pod { name: Some("p\u{1b}".to_owned()), ..Pod::default() };
    let hostile = FileFacts { pod: Some(pod), ..hostile };
    let reader = Actor { comm: Comm(*b"x\n\xff\x1b\0\0\0\0\0\0\0\0\0\0\0\0"), ..RUNC };
    let report = ReadReport { reader, ..read(Verdict::Torn) };
    let finding = reporter().read(&hostile, &report, &processes()).unwrap();
    let text = serde_json::to_string(&finding).unwrap() + &line(&finding);
    assert!(!text.chars().any(char::is_control), "{text}");
    assert_eq!(finding.container_id, "a\\nb\\u{1b}[2J");
    // Text that runs backwards, as the name of a process of which nothing else is known.
    let comm = Comm(*b"x\xe2\x80\xae\0\0\0\0\0\0\0\0\0\0\0\0");
    let reader = Actor { comm, pid: Pid(RUNC.pid.0 + 1_000), ..RUNC };
    let finding = reporter().read(&hostile, &ReadReport { reader, ..report }, &processes()).unwrap();
    assert!(finding.reader.is_some_and(|reader| reader.comm == "x\\u{202e}"));
    assert!(!finding.message.contains('\u{202e}'), "{}", finding.message);
}
