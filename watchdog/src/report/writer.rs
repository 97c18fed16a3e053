//! Makes findings out of what the engine concluded and what is known beyond.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::finding::{ExitView, Finding, Kind, OperationView, ProcessView, ReadView, WindowView};
use super::{clean, message};
use crate::clock::WallClock;
use crate::enrich::{Attribution, Content, Damage, Pod, Process, Processes, pod_of_cgroup};
use crate::model::{
    Actor, BootNanos, DamagedReadReport, ExitStatus, Follows, OpenId, OperationRecord, ReadReport,
    ReaderExit, SessionReport, Span, UNKNOWN_LENGTH, Verdict,
};
use crate::source::SourceKind;

/// Which file a finding is about, in the host's words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// The runtime.
    pub runtime: String,
    /// The runtime root.
    pub root: String,
    /// The state file.
    pub path: String,
    /// The file's own name.
    pub name: String,
    /// The container.
    pub container: String,
    /// Its pod, as far as it is known.
    pub pod: Option<Pod>,
    /// Its image.
    pub image: Option<String>,
}

impl FileFacts {
    /// `state.json of container app in pod shop/web-0`, or `container abc's state.json`.
    fn words(&self) -> String {
        let Self { path, name: file, container, pod, .. } = self;
        let pod = pod.as_ref().and_then(|pod| Some((pod, pod.name.as_deref()?)));
        clean(&match pod {
            Some((pod, name)) => {
                let container = pod.container.as_deref().unwrap_or(container);
                let namespace = pod.namespace.as_deref().map(|namespace| format!("{namespace}/"));
                format!("{file} of container {container} in pod {}{name}", namespace.unwrap_or_default())
            }
            // Some files belong to no container.
            None if container.is_empty() => path.clone(),
            None => format!("container {container}'s {file}"),
        })
    }
}

/// Numbers and words the findings of one run.
#[derive(Debug)]
pub struct Reporter {
    run: String,
    next: u64,
    source: SourceKind,
    wall: WallClock,
    /// Ids of the last torn reads' findings, for the exits that follow.
    torn: VecDeque<(OpenId, String)>,
}

impl Reporter {
    /// How many torn reads may wait for their reader's exit.
    const MAX_TORN: usize = 1_024;

    /// A reporter for a run that started at `started`; two runs on one machine never start at the same nanosecond.
    #[must_use]
    pub fn new(source: SourceKind, wall: WallClock, started: BootNanos) -> Self {
        let run = format!("{:x}", wall.unix_nanos(started));
        Self { run, next: 0, source, wall, torn: VecDeque::new() }
    }

    /// Takes over the wall clock as it is now.
    pub fn set_wall(&mut self, wall: WallClock) {
        self.wall = wall;
    }

    /// A non-atomic write session.
    pub fn session(
        &mut self,
        file: &FileFacts,
        report: &SessionReport,
        aftermath: Option<Content>,
        processes: &Processes,
    ) -> Finding {
        let writer = view(&report.writer, report.window.start, processes);
        let mut window = self.window(report.window, &report.operations);
        window.operation_count = Some(report.operation_count);
        Finding {
            outcome: Some(report.outcome.as_str()),
            window: Some(window),
            aftermath: aftermath.map(Content::as_str),
            writer_died: writer.as_ref().map(|_| died(report, aftermath)),
            message: message::session(&name(writer.as_ref()), &file.words(), report, died(report, aftermath)),
            ..self.finding(Kind::NonatomicWrite, report.window.end, file, writer, None)
        }
    }

    /// A read; `None` for verdicts that are counted only.
    pub fn read(&mut self, file: &FileFacts, report: &ReadReport, processes: &Processes) -> Option<Finding> {
        let kind = match report.verdict {
            Verdict::Torn => Kind::TornRead,
            Verdict::Overlapping => Kind::OverlappingRead,
            Verdict::Exposed => Kind::ExposedReader,
            Verdict::Guarded | Verdict::Unknown => return None,
        };
        let read_at = report.read.map_or(report.judged, |call| call.span.end);
        let writer = view(&report.writer, report.window.start, processes);
        let reader = view(&report.reader, read_at, processes);
        let measured = report.read.filter(|call| call.requested < UNKNOWN_LENGTH);
        let read = ReadView {
            time: report.read.map(|call| self.wall.rfc3339(call.span.end)),
            offset: measured.and_then(|call| call.offset),
            length: measured.map(|call| call.requested),
            returned: measured.map(|call| call.returned),
            size_at_read: report.read.and_then(|call| call.size_at_read),
            merged: report.read.map(|call| call.merged).filter(|merged| *merged > 1),
            size_before: report.size_before,
            final_size: report.final_size,
            calls: report.read_calls,
            bytes: report.reader.is_known().then_some(report.bytes),
        };
        let finding = Finding {
            verdict: Some(report.verdict.as_str()),
            window: Some(self.window(report.window, &report.operations)),
            read: Some(read),
            message: message::read(&name(reader.as_ref()), &name(writer.as_ref()), &file.words(), report),
            ..self.finding(kind, report.judged, file, writer, reader)
        };
        // One who was killed by SIGBUS when it looked through a mapping has an exit, too.
        if matches!(kind, Kind::TornRead | Kind::OverlappingRead) {
            self.await_exit(report.open, &finding);
        }
        Some(finding)
    }

    /// A read of a version that is damaged at rest.
    pub fn damaged_read(
        &mut self,
        file: &FileFacts,
        report: &DamagedReadReport,
        processes: &Processes,
    ) -> Finding {
        let read_at = report.read.map_or(report.judged, |call| call.span.end);
        let writer = view(&report.by, report.since, processes);
        let reader = view(&report.reader, read_at, processes);
        let measured = report.read.filter(|call| call.requested < UNKNOWN_LENGTH);
        let read = ReadView {
            time: report.read.map(|call| self.wall.rfc3339(call.span.end)),
            offset: measured.and_then(|call| call.offset),
            length: measured.map(|call| call.requested),
            returned: measured.map(|call| call.returned),
            size_at_read: report.read.and_then(|call| call.size_at_read),
            merged: report.read.map(|call| call.merged).filter(|merged| *merged > 1),
            size_before: None,
            final_size: Some(report.size),
            calls: report.read_calls,
            bytes: report.reader.is_known().then_some(report.bytes),
        };
        let words = message::damaged_read(
            &name(reader.as_ref()),
            &file.words(),
            report.damage,
            writer.as_ref().map(|writer| name(Some(writer))).as_deref(),
        );
        let finding = Finding {
            damage: Some(report.damage.as_str()),
            since: Some(self.wall.rfc3339(report.since)),
            read: Some(read),
            message: words,
            ..self.finding(Kind::DamagedRead, report.judged, file, writer, reader)
        };
        self.await_exit(report.open, &finding);
        finding
    }

    /// An exit may follow this finding.
    fn await_exit(&mut self, open: OpenId, finding: &Finding) {
        if self.torn.len() >= Self::MAX_TORN {
            self.torn.pop_front();
        }
        self.torn.push_back((open, finding.id.clone()));
    }

    /// The end of a torn or damaged reader's process.
    pub fn reader_exit(&mut self, file: &FileFacts, exit: &ReaderExit, processes: &Processes) -> Finding {
        let reader = view(&exit.reader, exit.at, processes);
        let torn = self.torn.iter().position(|(open, _)| *open == exit.open);
        let read = torn.and_then(|index| self.torn.remove(index)).map(|(_, id)| id);
        let (torn_read, damaged_read) = match exit.follows {
            Follows::Torn => (read, None),
            Follows::Damaged => (None, read),
        };
        let (code, signal) = match exit.status {
            Some(ExitStatus::Code(code)) => (Some(code), None),
            Some(ExitStatus::Signal(signal)) => (None, Some(signal)),
            None => (None, None),
        };
        Finding {
            exit: Some(ExitView {
                result: exit.result.as_str(),
                follows: exit.follows.as_str(),
                code,
                signal,
                torn_read,
                damaged_read,
            }),
            message: message::reader_exit(&name(reader.as_ref()), &file.words(), exit),
            ..self.finding(Kind::ReaderExit, exit.at, file, None, reader)
        }
    }

    /// A damaged file; with the session that left it so, when that was seen.
    pub fn damage(
        &mut self,
        file: &FileFacts,
        damage: Damage,
        session: Option<&SessionReport>,
        at: BootNanos,
        processes: &Processes,
    ) -> Finding {
        let writer = session.and_then(|report| view(&report.writer, report.window.start, processes));
        let writer_name = session.map(|_| name(writer.as_ref()));
        let died = session.is_some_and(|report| died(report, Some(Content::Damaged(damage))));
        Finding {
            window: session.map(|report| self.window(report.window, &report.operations)),
            outcome: session.map(|report| report.outcome.as_str()),
            aftermath: Some(damage.as_str()),
            writer_died: session.filter(|report| report.writer.is_known()).map(|_| died),
            message: message::damage(&file.words(), damage, writer_name.as_deref(), died),
            ..self.finding(Kind::DamagedStateFile, at, file, writer, None)
        }
    }

    /// What all kinds have; the rest is empty.
    fn finding(
        &mut self,
        kind: Kind,
        at: BootNanos,
        file: &FileFacts,
        writer: Option<ProcessView>,
        reader: Option<ProcessView>,
    ) -> Finding {
        self.next += 1;
        let known = [&writer, &reader].into_iter().flatten().map(|process| process.attribution).min();
        Finding {
            id: format!("{}-{}", self.run, self.next),
            time: self.wall.rfc3339(at),
            kind,
            verdict: None,
            outcome: None,
            runtime: clean(&file.runtime),
            root: clean(&file.root),
            path: clean(&file.path),
            container_id: clean(&file.container),
            image: file.image.as_deref().map(clean),
            pod: file.pod.as_ref().map(clean_pod).or_else(|| pod(&file.container, [&writer, &reader])),
            writer,
            reader,
            window: None,
            read: None,
            exit: None,
            aftermath: None,
            damage: None,
            since: None,
            writer_died: None,
            attribution: known.unwrap_or(Attribution::None),
            source: self.source.as_str(),
            message: String::new(),
        }
    }

    fn window(&self, window: Span, operations: &[OperationRecord]) -> WindowView {
        let operation = |record: &OperationRecord| OperationView {
            operation: record.operation.as_str(),
            after_ns: record.span.start.since(window.start),
            duration_ns: record.span.end.since(record.span.start),
            pid: record.actor.is_known().then_some(record.actor.pid.0),
            offset: record.offset,
            length: record.length,
            size: record.size,
        };
        WindowView {
            start: self.wall.rfc3339(window.start),
            end: self.wall.rfc3339(window.end),
            duration_ns: window.end.since(window.start),
            operations: operations.iter().map(operation).collect(),
            operation_count: None,
        }
    }
}

/// A writer died that was killed by a signal, or that ended without closing a file which it left damaged.
fn died(report: &SessionReport, left: Option<Content>) -> bool {
    report.writer_died || report.writer_exited && matches!(left, Some(Content::Damaged(_)))
}

fn clean_pod(pod: &Pod) -> Pod {
    let Pod { name, namespace, container, uid } = pod;
    let clean = |text: &Option<String>| text.as_deref().map(clean);
    Pod { name: clean(name), namespace: clean(namespace), container: clean(container), uid: clean(uid) }
}

fn pod(container: &str, processes: [&Option<ProcessView>; 2]) -> Option<Pod> {
    let cgroups = processes.into_iter().flatten().filter_map(|process| process.cgroup.as_deref());
    cgroups.into_iter().find_map(|cgroup| pod_of_cgroup(cgroup, container))
}

/// What is known of an actor at that time; `None` when the source could not tell who it was.
fn view(actor: &Actor, at: BootNanos, processes: &Processes) -> Option<ProcessView> {
    if !actor.is_known() {
        return None;
    }
    let (pid, tid) = (actor.pid.0, actor.tid);
    let Some(process) = processes.find(actor.pid, at) else {
        return Some(ProcessView {
            pid,
            tid,
            comm: clean(&actor.comm.to_string()),
            exe: None,
            args: Vec::new(),
            uid: None,
            cgroup: None,
            ancestors: Vec::new(),
            attribution: Attribution::None,
        });
    };
    let Process { exe, args, uid, cgroup, ancestors, attribution, .. } = process;
    let mut ancestors = ancestors.clone();
    for ancestor in &mut ancestors {
        ancestor.comm = clean(&ancestor.comm);
    }
    Some(ProcessView {
        pid,
        tid,
        comm: clean(process.name()),
        exe: exe.as_deref().map(clean),
        args: args.iter().map(|arg| clean(arg)).collect(),
        uid: *uid,
        cgroup: cgroup.as_deref().map(clean),
        ancestors,
        attribution: *attribution,
    })
}

/// `runc (pid 812)`.
fn name(process: Option<&ProcessView>) -> String {
    process.map_or_else(
        || "an unseen process".to_owned(),
        |process| format!("{} (pid {})", process.comm, process.pid),
    )
}
