//! The engine alone: events a second on one core, and what it remembers of each file and each open description.
//!
//! `cargo bench --package watchdog --bench engine`

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use peak_alloc::PeakAlloc;
use watchdog::detect::{Engine, Limits};
use watchdog::model::{
    Access, Actor, BootNanos, Comm, EventOperation as Operation, FileEvent, InodeId, OpenId, Output, Pid,
    Place, Role, RootId, Span,
};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// As on a full node.
const CONTAINERS: u64 = 100;
const TURNS: u64 = 10_000;
const SIZE: u64 = 7_000;
/// Between two operations of one process.
const STEP: u64 = 2_000;

/// Writes down events as a source would tell them.
#[derive(Default)]
struct Scribe {
    events: Vec<FileEvent>,
    now: u64,
    opened: u64,
    inode: u64,
}

impl Scribe {
    fn add(&mut self, pid: u32, operation: Operation) {
        let span = Span::new(BootNanos(self.now), BootNanos(self.now + STEP / 2));
        self.now += STEP;
        let actor = Actor { pid: Pid(pid), tid: pid, comm: Comm(*b"runc\0\0\0\0\0\0\0\0\0\0\0\0") };
        self.events.push(FileEvent { span, actor, lost: 0, operation });
    }

    fn open(&mut self, pid: u32, place: &Arc<Place>, inode: u64, created: bool, truncated: bool) -> OpenId {
        self.opened += 1;
        // The kernel gives addresses again, and so do we.
        let id = OpenId { file: self.opened % 4_096, opened: self.opened };
        let write = created || truncated;
        let operation = Operation::Open {
            id,
            inode: InodeId { dev: 1, ino: inode, generation: 0 },
            place: Arc::clone(place),
            access: Access { read: !write, write },
            created,
            truncated,
            size: Some(if write { 0 } else { SIZE }),
        };
        self.add(pid, operation);
        id
    }

    fn read(&mut self, place: &Arc<Place>, inode: u64) {
        let id = self.open(1, place, inode, false, false);
        let read = |offset, returned| Operation::Read {
            id,
            offset: Some(offset),
            requested: 16_384,
            returned,
            size_before: Some(SIZE),
            size: Some(SIZE),
        };
        self.add(1, read(0, SIZE));
        self.add(1, read(SIZE, 0));
        self.add(1, Operation::Release { id });
    }

    fn fill(&mut self, id: OpenId) {
        let (offset, size_before, size) = (Some(0), Some(0), Some(SIZE));
        self.add(2, Operation::Write { id, offset, length: SIZE, size_before, size });
        self.add(2, Operation::Release { id });
    }

    fn replace(&mut self, place: &Arc<Place>) -> u64 {
        self.inode += 1;
        let inode = self.inode;
        let temporary =
            Arc::new(Place { name: "state-1".into(), role: Role::Temporary, ..Place::clone(place) });
        let id = self.open(2, &temporary, inode, true, false);
        self.fill(id);
        let rename = Operation::Rename {
            from: Some(temporary),
            to: Some(Arc::clone(place)),
            inode: Some(InodeId { dev: 1, ino: inode, generation: 0 }),
            exchange: false,
            still_open_for_writing: Some(false),
        };
        self.add(2, rename);
        inode
    }

    fn rewrite(&mut self, place: &Arc<Place>, inode: u64) {
        let id = self.open(2, place, inode, false, true);
        self.fill(id);
    }

    /// What the engine is told of a file that lies there.
    fn present(&mut self, place: &Arc<Place>) -> u64 {
        self.inode += 1;
        let inode = Some(InodeId { dev: 1, ino: self.inode, generation: 0 });
        self.add(0, Operation::Present { place: Arc::clone(place), inode, size: Some(SIZE) });
        self.inode
    }
}

fn place(container: u64) -> Arc<Place> {
    Arc::new(Place {
        root: RootId(0),
        container: format!("{container:064x}").into(),
        name: "state.json".into(),
        role: Role::State,
    })
}

/// A node's day in little: each turn, one container is read and saved.
fn story(save: impl Fn(&mut Scribe, &Arc<Place>, u64) -> u64) -> Vec<FileEvent> {
    let mut scribe = Scribe::default();
    let places: Vec<_> = (0..CONTAINERS).map(place).collect();
    let mut inodes: Vec<u64> = places.iter().map(|place| scribe.present(place)).collect();
    for turn in 0..TURNS {
        let index = usize::try_from(turn % CONTAINERS).unwrap_or(0);
        scribe.read(&places[index], inodes[index]);
        inodes[index] = save(&mut scribe, &places[index], inodes[index]);
    }
    scribe.events
}

fn judge(engine: &mut Engine, events: &[FileEvent], out: &mut Vec<Output>) {
    for event in events {
        engine.observe(event, out);
        out.clear();
    }
}

fn speed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    let in_place = |scribe: &mut Scribe, place: &Arc<Place>, inode| {
        scribe.rewrite(place, inode);
        inode
    };
    let stories = [
        ("reads and atomic saves", story(|scribe, place, _| scribe.replace(place))),
        ("reads and saves in place", story(in_place)),
        ("reads", story(|_, _, inode| inode)),
    ];
    for (name, events) in &stories {
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function(*name, |bencher| {
            let fresh = || (Engine::new(Limits::default()), Vec::new());
            bencher.iter_batched_ref(
                fresh,
                |(engine, out)| judge(engine, events, out),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Heap bytes that the engine keeps for `events`, for each of `count`.
fn kept(events: &[FileEvent], count: u64) -> u64 {
    let before = HEAP.current_usage();
    let mut engine = Engine::new(Limits::default());
    let mut out = Vec::new();
    judge(&mut engine, events, &mut out);
    drop(out);
    let bytes = HEAP.current_usage().saturating_sub(before);
    drop(engine);
    bytes as u64 / count
}

fn memory() {
    let count = 4_000;
    let mut files = Scribe::default();
    let mut opens = Scribe::default();
    for container in 0..count {
        files.present(&place(container));
    }
    let shared = place(0);
    opens.present(&shared);
    for _ in 0..count {
        opens.open(1, &shared, 1, false, false);
    }
    println!("| the engine keeps for | heap, bytes |\n|---|---|");
    println!("| a state file | {} |", kept(&files.events, count));
    println!("| an open description | {} |", kept(&opens.events, count));
}

criterion_group!(benches, speed);

fn main() {
    // cargo test builds and runs benches too, with this argument.
    if !std::env::args().any(|argument| argument == "--test") {
        memory();
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
