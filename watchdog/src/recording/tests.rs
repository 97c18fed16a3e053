use std::borrow::Cow;
use std::io::Cursor;
use std::sync::Arc;

use super::*;
use crate::agent::SessionId;
use crate::cli::Arguments;
use crate::enrich::{Attribution, Content, Damage, Pod, Process};
use crate::model::{
    Access, Actor, Comm, EventOperation as Operation, ExitStatus, FileEvent, InodeId, OpenId, Pid,
    ProcessFacts, Role, RootId, Span,
};
use crate::report::Finding;

mod arguments;

const WRITER: Actor = Actor { pid: Pid(800), tid: 800, comm: Comm(*b"youki\0\0\0\0\0\0\0\0\0\0\0") };
/// A name that is no text.
const READER: Actor = Actor { pid: Pid(812), tid: 813, comm: Comm(*b"\xff\x1brunc\0\0x\0\0\0\0\0\0\0") };

fn place() -> Arc<Place> {
    let (container, name) = ("abc".into(), "state.json".into());
    Arc::new(Place { root: RootId(0), container, name, role: Role::State })
}

fn facts(pod: Option<&str>) -> FileFacts {
    FileFacts {
        runtime: "youki".to_owned(),
        root: "/r".to_owned(),
        path: "/r/abc/state.json".to_owned(),
        name: "state.json".to_owned(),
        container: "abc".to_owned(),
        pod: pod.map(|name| Pod { name: Some(name.to_owned()), ..Pod::default() }),
        ..FileFacts::default()
    }
}

fn event(at: u64, actor: Actor, operation: Operation) -> Step<'static> {
    let span = Span::new(BootNanos(at), BootNanos(at + 900));
    Step::Event(Cow::Owned(FileEvent { span, actor, lost: 0, operation }))
}

/// A torn read, a reader that is told with what was known before the writer's file was read, and a damaged file.
fn steps() -> Vec<Step<'static>> {
    let (write, read) = (OpenId { file: 1, opened: 1 }, OpenId { file: 2, opened: 2 });
    let inode = InodeId { dev: 1, ino: u64::MAX, generation: 3 };
    let open = |id, write: bool, size| Operation::Open {
        id,
        inode,
        place: place(),
        access: Access { read: !write, write },
        created: false,
        truncated: write,
        size: Some(size),
    };
    let zero = Some(0);
    let eof = Operation::Read {
        id: read,
        offset: zero,
        requested: 512,
        returned: 0,
        size_before: zero,
        size: zero,
    };
    let whole = Operation::Write { id: write, offset: zero, length: 10, size_before: zero, size: Some(10) };
    let process = Process {
        pid: READER.pid,
        started: BootNanos(0),
        since: BootNanos(0),
        program: None,
        comm: "runc".to_owned(),
        exe: Some("/usr/bin/runc".to_owned()),
        args: vec!["runc".to_owned(), "exec\n".to_owned()],
        uid: Some(3),
        cgroup: None,
        ancestors: Vec::new(),
        attribution: Attribution::Full,
    };
    let kernel = ProcessFacts {
        pid: WRITER.pid,
        started: BootNanos(0),
        seen: BootNanos(1),
        since: BootNanos(0),
        program: 0,
        exe: None,
        comm: WRITER.comm,
        uid: 0,
        cgroup_id: 0,
        args: b"youki\0\xfe\0".to_vec(),
        args_cut: true,
        ancestors: vec![(Pid(1), Comm::new("init"))],
    };
    let session = SessionId { place: (*place()).clone(), inode: Some(inode), ended: BootNanos(6_900) };
    vec![
        Step::Root { id: RootId(0), runtime: "youki".into(), path: "/r".into(), locks_unseen: false },
        event(50, Actor::UNKNOWN, Operation::Present { place: place(), inode: Some(inode), size: Some(20) }),
        Step::Facts(Cow::Owned(kernel)),
        event(1_000, WRITER, open(write, true, 0)),
        Step::Process { seen: BootNanos(2_000), process: Cow::Owned(process) },
        event(2_000, READER, open(read, false, 0)),
        event(3_000, READER, eof),
        event(4_000, WRITER, whole),
        event(6_000, WRITER, Operation::Release { id: write }),
        event(7_000, READER, Operation::Release { id: read }),
        event(8_000, READER, Operation::Exit { status: ExitStatus::Signal(9) }),
        Step::Conclude {},
        Step::File { place: Cow::Owned((*place()).clone()), facts: Cow::Owned(facts(None)) },
        Step::Aftermath {
            session,
            content: Some(Content::Damaged(Damage::Truncated)),
            facts: Cow::Owned(facts(Some("web-0"))),
        },
        Step::File { place: Cow::Owned((*place()).clone()), facts: Cow::Owned(facts(Some("web-0"))) },
        Step::Clock { at: BootNanos(9_000), boot_unix_ns: 1_700_000_000_000_000_005 },
        Step::Damaged {
            at: BootNanos(10_000),
            content: Content::Damaged(Damage::Empty),
            facts: Cow::Owned(facts(None)),
        },
        Step::Advance(BootNanos(11_000)),
        Step::End {},
    ]
}

fn header() -> Header {
    Header {
        state_watchdog_recording: FORMAT,
        version: "0.1.0".to_owned(),
        kernel: "6.18".to_owned(),
        source: SourceKind::Vfs,
        started: BootNanos(5),
        boot_unix_ns: 1_700_000_000_000_000_000,
        configuration: "source = \"auto\"\n".to_owned(),
    }
}

fn written(steps: &[Step<'_>]) -> Vec<u8> {
    let mut text = serde_json::to_string(&header()).unwrap() + "\n";
    for step in steps {
        text += &(serde_json::to_string(step).unwrap() + "\n");
    }
    text.into_bytes()
}

fn judged(recording: &[u8]) -> (Vec<Finding>, Result<Replayed, String>) {
    let mut findings = Vec::new();
    let mut publish = |finding: &Finding| {
        findings.push(finding.clone());
        Ok(())
    };
    let replayed = judge(Cursor::new(recording), Arguments::Full, &mut publish);
    let replayed = replayed.map(Result::unwrap).map_err(|error| format!("{:#}", anyhow::Error::from(error)));
    (findings, replayed)
}

#[test]
fn every_step_reads_as_it_was_written() {
    for step in steps() {
        let text = serde_json::to_string(&step).unwrap();
        assert!(text.starts_with('{'), "{text}");
        assert_eq!(serde_json::from_str::<Step<'_>>(&text).unwrap(), step, "{text}");
    }
}

#[test]
fn findings_come_in_the_agents_order_and_with_what_it_knew_then() {
    let (findings, replayed) = judged(&written(&steps()));
    let told: Vec<_> = findings
        .iter()
        .map(|finding| {
            let pod = finding.pod.as_ref().and_then(|pod| pod.name.as_deref());
            (finding.kind.as_str(), pod, finding.aftermath)
        })
        .collect();
    let named = Some("web-0");
    let expected = [
        ("torn_read", None, None),
        ("reader_exit", None, None),
        ("nonatomic_write", named, Some("truncated")),
        ("damaged_state_file", named, Some("truncated")),
        ("damaged_state_file", None, Some("empty")),
    ];
    assert_eq!(told, expected);
    assert_eq!(replayed, Ok(Replayed { events: 8, findings: 5, whole: true }));
    let torn = &findings[0];
    assert_eq!(torn.source, "vfs");
    assert_eq!(torn.id, "17979cfe362a0005-1");
    assert_eq!(torn.reader.as_ref().unwrap().args, ["runc", "exec\\n"]);
    assert_eq!(torn.writer.as_ref().unwrap().ancestors[0].comm, "init");
    assert_eq!(findings[1].exit.as_ref().unwrap().torn_read.as_ref(), Some(&torn.id));
}

#[test]
fn a_file_that_was_read_beside_the_loop_is_judged_when_that_was_done() {
    let mut late = steps();
    let aftermath = late.iter().position(|step| matches!(step, Step::Aftermath { .. })).unwrap();
    let aftermath = late.remove(aftermath);
    let advance = late.iter().position(|step| matches!(step, Step::Advance(_))).unwrap();
    late.insert(advance, aftermath);
    let kinds: Vec<_> = judged(&written(&late)).0.iter().map(|finding| finding.kind.as_str()).collect();
    let expected =
        ["torn_read", "reader_exit", "damaged_state_file", "nonatomic_write", "damaged_state_file"];
    assert_eq!(kinds, expected);
}

#[test]
fn as_many_sessions_wait_for_their_file_and_their_pod_as_the_agent_lets_wait() {
    let mut many = vec![steps().swap_remove(0)];
    let mut aftermaths = Vec::new();
    for number in 0..700 {
        let mut place = (*place()).clone();
        place.container = number.to_string().into();
        let begun = 1_000 + 10_000 * number;
        let id = OpenId { file: number, opened: begun };
        let inode = InodeId { dev: 1, ino: number, generation: 0 };
        let access = Access { read: false, write: true };
        let open = Operation::Open {
            id,
            inode,
            place: Arc::new(place.clone()),
            access,
            created: false,
            truncated: true,
            size: Some(0),
        };
        let (offset, size) = (Some(0), Some(10));
        let write = Operation::Write { id, offset, length: 10, size_before: offset, size };
        many.push(event(begun, WRITER, open));
        many.push(event(begun + 1_000, WRITER, write));
        many.push(event(begun + 2_000, WRITER, Operation::Release { id }));
        let session = SessionId { place, inode: Some(inode), ended: BootNanos(begun + 2_900) };
        let facts = Cow::Owned(facts(None));
        aftermaths.push(Step::Aftermath { session, content: Some(Content::Valid), facts });
    }
    many.push(Step::Conclude {});
    many.extend(aftermaths);
    assert_eq!(judged(&written(&many)).0.len(), 700);
}

#[test]
fn another_source_that_took_over_begins_anew() {
    let mut both = steps();
    both.pop();
    both.push(Step::Begin {
        source: SourceKind::Inotify,
        started: BootNanos(12_000),
        boot_unix_ns: 1_700_000_000_000_000_000,
    });
    both.extend(steps());
    let findings = judged(&written(&both)).0;
    assert_eq!(findings.len(), 10);
    assert_eq!((findings[4].source, findings[5].source), ("vfs", "inotify"));
    assert!(findings[5].id.ends_with("-1"));
}

#[test]
fn where_locks_are_not_seen_nothing_is_certain() {
    let mut steps = steps();
    let Step::Root { locks_unseen, .. } = &mut steps[0] else { panic!("no root") };
    *locks_unseen = true;
    let kinds: Vec<_> = judged(&written(&steps)).0.iter().map(|finding| finding.kind.as_str()).collect();
    assert_eq!(kinds, ["reader_exit", "damaged_state_file"]);
}

#[test]
fn a_recording_may_be_cut_anywhere() {
    let whole = written(&steps());
    let header_end = whole.iter().position(|byte| *byte == b'\n').unwrap();
    let all = judged(&whole).0.len();
    let mut most = 0;
    for length in 0..whole.len() {
        let (findings, replayed) = judged(&whole[..length]);
        if length < header_end {
            assert!(replayed.unwrap_err().starts_with("line 1 is no header of a recording"), "{length}");
            continue;
        }
        let replayed = replayed.unwrap();
        // The last line is complete without its line break, too.
        assert_eq!(replayed.whole, length == whole.len() - 1, "{length}");
        assert!(findings.len() >= most, "{length}: what stands before the cut was judged already");
        most = findings.len();
    }
    assert_eq!(most, all);
}

#[test]
fn a_broken_line_is_named_and_what_stands_before_it_is_judged() {
    let mut lines: Vec<_> = written(&steps()).split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
    let end = lines.iter().position(|line| line.starts_with(b"{\"clock\"")).unwrap();
    for broken in
        [&b"{\"clock\":"[..], b"", b"{\"clock\":{\"at\":-1,\"boot_unix_ns\":0}}", b"\xff", b"{\"other\":1}"]
    {
        lines[end] = broken.to_vec();
        let (findings, replayed) = judged(&lines.join(&b'\n'));
        let error = replayed.unwrap_err();
        assert!(error.starts_with(&format!("line {} is broken: ", end + 1)), "{error}");
        assert_eq!(findings.len(), 4);
    }
}

#[test]
fn what_is_said_of_a_broken_line_steers_no_terminal_and_is_short() {
    let header = serde_json::to_string(&header()).unwrap();
    for name in ["\\u001b]0;x\\u0007\\u202e", &"x".repeat(100_000)] {
        let text = format!("{header}\n{{\"{name}\":{{}}}}\n");
        let error = judge(Cursor::new(text), Arguments::Full, &mut |_| Ok(())).unwrap_err();
        let said = words(error);
        assert!(said.starts_with("line 2 is broken: unknown variant"), "{said}");
        assert_eq!(crate::report::clean(&said), said);
        assert!(said.len() < 10_000, "{} bytes", said.len());
    }
}

#[test]
fn other_formats_and_other_files_are_refused() {
    let mut other = header();
    other.state_watchdog_recording = 2;
    let text = serde_json::to_string(&other).unwrap() + "\n";
    let error = judged(text.as_bytes()).1.unwrap_err();
    assert_eq!(error, "line 1: the recording has format 2, this version reads 1");
    for text in ["", "\n", "{}\n", "[]\n", "{\"state_watchdog_recording\":\"1\"}\n", "nonsense"] {
        let error = judged(text.as_bytes()).1.unwrap_err();
        assert!(error.starts_with("line 1 is no header of a recording"), "{text}: {error}");
    }
}

#[test]
fn what_was_told_of_files_is_bounded_and_forgotten_at_one_point() {
    let (mut writer, mut reader) = (Told::default(), Told::default());
    for number in 0..3 * Told::MAX {
        let place = Place { container: (number % (2 * Told::MAX)).to_string().into(), ..(*place()).clone() };
        if writer.note(&place, &facts(None)) {
            reader.note(&place, &facts(None));
        }
        assert!(writer.0.len() <= Told::MAX);
        assert_eq!(reader.get(&place), Some(&facts(None)));
    }
    assert!(writer.note(&place(), &facts(Some("web-0"))) && !writer.note(&place(), &facts(Some("web-0"))));
}
