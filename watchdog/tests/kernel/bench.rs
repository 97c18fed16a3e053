//! The source, attached once for all cases, and the run of a case.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write as _;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use watchdog::detect::{Engine, Limits};
use watchdog::model::{
    BootNanos, EventOperation as Operation, ExitStatus, FileEvent, InodeId, OpenId, Output, Pid, Place,
    ProcessFacts, RootId,
};
use watchdog::source::ebpf::Options;
use watchdog::source::{Item, LossReason, Losses};

use crate::call::sys;
use crate::child::{self, Child, Message, Parent};
use crate::site::{self, Filesystem, Site};
use crate::tale::Cast;
use crate::watched::Watched;

/// The container whose state file every child opens first: proof that the source sees it.
const CANARY: &str = "canary";

/// No description outlives its last holder by so much.
const SETTLED: Duration = Duration::from_secs(60);

/// The bench that all cases share, one at a time.
static SHARED: LazyLock<Option<Mutex<Bench>>> = LazyLock::new(|| Bench::attach(1 << 20).map(Mutex::new));

/// Runs `calls` in a process of its own on each filesystem and compares what the source says with `expected`. What
/// stands in brackets behind words, `[vfs disk: …]`, is expected only where all of them hold: the source's name, its
/// mechanism's, the filesystem's; `!` means that it is another.
#[track_caller]
pub(crate) fn check(calls: impl Fn(&Site), expected: &str) {
    check_with(|_| {}, |site, _| calls(site), expected);
}

/// The same, where `calls` can wait for the source, and after `prepare` has changed the site.
#[track_caller]
pub(crate) fn check_with(prepare: impl Fn(&mut Site), calls: impl Fn(&Site, &Parent), expected: &str) {
    compare(prepare, calls, expected, str::to_owned);
}

/// The same as [`check`], whoever did it: each line without its actor.
#[track_caller]
pub(crate) fn check_deeds(calls: impl Fn(&Site), expected: &str) {
    let deed = |line: &str| line.split_once(' ').unwrap().1.to_owned();
    compare(|_| {}, |site, _| calls(site), expected, deed);
}

/// Notes that the running test is about what a source or mechanism of this name does not see, where it is the one that is
/// tested: whoever runs the tests may ask for the list by `STATE_WATCHDOG_TEST_UNSEEN`.
pub(crate) fn unseen_by(source: &str) {
    let Some(list) = std::env::var_os("STATE_WATCHDOG_TEST_UNSEEN") else { return };
    if SHARED.is_some() && [Watched::name(), mechanism()].contains(&source) {
        let mut list = File::options().append(true).create(true).open(list).unwrap();
        writeln!(list, "{}", std::thread::current().name().unwrap()).unwrap();
    }
}

#[track_caller]
fn compare(
    prepare: impl Fn(&mut Site),
    calls: impl Fn(&Site, &Parent),
    expected: &str,
    word: impl Fn(&str) -> String,
) {
    for mut site in sites() {
        prepare(&mut site);
        let story = run(&site, |parent| calls(&site, parent));
        let lines: Vec<String> = story.lines.iter().map(|line| word(line)).collect();
        let expected = expected_here(expected, site.filesystem);
        assert_eq!(lines, expected, "on {:?}:\n{}\n", site.filesystem, story.lines.join("\n"));
    }
}

/// How the return of a read is watched.
pub(crate) fn mechanism() -> &'static str {
    SHARED.as_ref().unwrap().lock().unwrap_or_else(PoisonError::into_inner).source.mechanism()
}

/// The file as the probes know it.
pub(crate) fn identify(file: &File) -> Option<InodeId> {
    SHARED.as_ref().unwrap().lock().unwrap_or_else(PoisonError::into_inner).source.identify(file)
}

/// The lines, with what stands in brackets only where its words hold.
fn expected_here(expected: &str, filesystem: Filesystem) -> Vec<String> {
    let here = [Watched::name(), mechanism(), filesystem.name()];
    let holds = |word: &str| match word.strip_prefix('!') {
        Some(word) => !here.contains(&word),
        None => here.contains(&word),
    };
    let told = |line: &str| {
        let mut parts = line.split('[');
        let mut text = parts.next().unwrap().to_owned();
        for part in parts {
            let (words, rest) = part.split_once(": ").unwrap();
            let (conditional, rest) = rest.split_once(']').unwrap();
            if words.split(' ').all(holds) {
                text.push_str(conditional);
            }
            text.push_str(rest);
        }
        text
    };
    expected.lines().map(|line| told(line.trim())).filter(|line| !line.is_empty()).collect()
}

/// What the source said of a case.
pub(crate) struct Story {
    /// The events in words, without those of the canary and without the ordinary end of the case's own process.
    pub(crate) lines: Vec<String>,
    /// The events themselves.
    pub(crate) events: Vec<FileEvent>,
    /// The processes that were introduced.
    pub(crate) facts: Vec<ProcessFacts>,
    /// What was lost meanwhile.
    pub(crate) losses: Losses,
    pub(crate) pid: Pid,
}

impl Story {
    /// What the engine makes of it.
    pub(crate) fn judged(&self) -> Vec<Output> {
        let (mut engine, mut outputs) = (Engine::new(Limits::default()), Vec::new());
        let lost = self.events.first().map_or(0, |event| event.lost);
        for event in &self.events {
            engine.observe(&FileEvent { lost: event.lost - lost, ..event.clone() }, &mut outputs);
        }
        engine.advance(BootNanos(u64::MAX), &mut outputs);
        outputs
    }
}

/// A site of depth 1 on each filesystem; none when this machine cannot run the probes.
pub(crate) fn sites() -> impl Iterator<Item = Site> {
    let able = SHARED.is_some();
    Filesystem::all().filter(move |_| able).map(|filesystem| Site::new(filesystem, 1))
}

/// Waits until no other case runs, and keeps others from running. Each bench receives the paths that the probes cannot
/// resolve, whichever process used them, so a case beside another could fill its ring.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one case on the shared bench, on a site that there is only where this machine can.
pub(crate) fn run(site: &Site, calls: impl FnOnce(&Parent)) -> Story {
    let _alone = alone();
    let mut bench = SHARED.as_ref().unwrap().lock().unwrap_or_else(PoisonError::into_inner);
    bench.run(site, calls)
}

/// A source and what it needs.
pub(crate) struct Bench {
    runtime: Runtime,
    pub(crate) source: Watched,
    roots: u16,
}

impl Bench {
    /// `None` when this machine cannot run the probes: the reason is printed.
    pub(crate) fn attach(ring_bytes: u32) -> Option<Self> {
        Self::with(&Options { ring_bytes, key: None })
    }

    /// Attaches the source with these options.
    pub(crate) fn with(options: &Options) -> Option<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let guard = runtime.enter();
        match Watched::attach(options) {
            Ok(source) => {
                drop(guard);
                Some(Self { runtime, source, roots: 0 })
            }
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
                eprintln!("skipped: {error}: {cause}");
                assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip: {error}");
                None
            }
        }
    }

    /// Everything that the source has by now.
    pub(crate) fn drain(&mut self, items: &mut Vec<Item>) {
        let Self { runtime, source, .. } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    biased;
                    read = source.read(items) => read.unwrap(),
                    () = async {} => break,
                }
            }
        });
    }

    /// Watches the site's root.
    pub(crate) fn watch(&mut self, site: &Site) {
        self.source.watch(&site.spec(RootId(self.roots))).unwrap();
        self.roots += 1;
    }

    fn run(&mut self, site: &Site, calls: impl FnOnce(&Parent)) -> Story {
        self.drain(&mut Vec::new());
        let before = self.source.losses();
        let root = RootId(self.roots);
        self.watch(site);
        let start = watchdog::clock::boot_now();
        let mut child = child::start(|parent| {
            canary(site);
            calls(parent);
        });
        let pid = Pid(u32::try_from(child.pid).unwrap());
        let (items, status) = self.follow(&mut child, root);
        let losses = difference(&self.source.losses(), &before);
        // What becomes of the site is nobody's business.
        self.source.unwatch(root);
        assert_eq!(losses.get(LossReason::RingFull), 0, "the ring is too small for this case");
        assert_eq!(losses.get(LossReason::Malformed), 0);
        assert_eq!(self.source.tracked(), 0, "descriptions are tracked that nobody holds");
        let (events, facts) = sort(items, root, start);
        let lines = tell(&events, pid, status);
        Story { lines, events, facts, losses, pid }
    }

    /// Takes what the source says until the child has ended and every description is gone.
    fn follow(&mut self, child: &mut Child, root: RootId) -> (Vec<Item>, i32) {
        let mut items = Vec::new();
        loop {
            let message = child.listen();
            self.drain(&mut items);
            self.source.poll_released(&held(&items, root)).unwrap();
            self.drain(&mut items);
            match message {
                Message::Checkpoint => child.go_on(),
                Message::Ended(status) => {
                    self.settle(&mut items);
                    return (items, status);
                }
            }
        }
    }

    /// What io_uring held is let go some time after the process is gone.
    fn settle(&mut self, items: &mut Vec<Item>) {
        let deadline = Instant::now() + SETTLED;
        while self.source.tracked() != 0 && Instant::now() < deadline {
            self.drain(items);
            std::thread::yield_now();
        }
    }
}

fn canary(site: &Site) {
    let container = ["", CANARY, "n/canary"][usize::from(site.depth)];
    let directory = site.root().join(container);
    std::fs::create_dir_all(&directory).unwrap();
    let path = site::path(directory.join("state-canary"));
    let fd = sys!(SYS_openat, libc::AT_FDCWD, path, libc::O_CREAT | libc::O_WRONLY, 0o600);
    sys!(SYS_close, fd);
}

fn is_canary(place: &Place) -> bool {
    place.container.ends_with(CANARY) || (place.container.is_empty() && &*place.name == "state-canary")
}

/// The descriptions below the root whose release was not seen.
fn held(items: &[Item], root: RootId) -> Vec<OpenId> {
    let mut held = Vec::new();
    for item in items {
        match item {
            Item::Event(FileEvent { operation: Operation::Open { id, place, .. }, .. })
                if place.root == root =>
            {
                held.push(*id);
            }
            Item::Event(FileEvent { operation: Operation::Release { id }, .. }) => {
                held.retain(|other| other != id);
            }
            _ => {}
        }
    }
    held
}

/// Events apart from introductions. Other processes of the machine may rename such names too, and so be
/// introduced: who did nothing to a file of ours is left out.
fn sort(items: Vec<Item>, root: RootId, start: BootNanos) -> (Vec<FileEvent>, Vec<ProcessFacts>) {
    let (mut events, mut facts) = (Vec::new(), Vec::<ProcessFacts>::new());
    let mut ours = HashSet::from([Pid(std::process::id())]);
    for item in items {
        match item {
            Item::Process(process) => facts.push(*process),
            Item::Anomaly(anomaly) => panic!("{anomaly:?}"),
            Item::Gone(id) => panic!("the release of {id:?} was lost"),
            Item::Event(event) => {
                let pid = event.actor.pid;
                let is_exit = matches!(event.operation, Operation::Exit { .. });
                if let Operation::Open { place, .. } = &event.operation {
                    assert_eq!(place.root, root);
                }
                if is_exit && !ours.contains(&pid) {
                    continue;
                }
                ours.insert(pid);
                // What a mark alone tells happened at some time since its queue was empty.
                let since = if event.actor.is_known() { event.span.start } else { event.span.end };
                assert!(start <= since && event.span.start <= event.span.end, "{event:?}");
                events.push(event);
            }
        }
    }
    facts.retain(|process| ours.contains(&process.pid));
    (events, facts)
}

fn tell(events: &[FileEvent], pid: Pid, status: i32) -> Vec<String> {
    let mut cast = Cast::default();
    let (mut lines, mut canaries, mut ends) = (Vec::new(), HashSet::new(), 0);
    for event in events {
        match &event.operation {
            Operation::Open { id, place, .. } if is_canary(place) => {
                canaries.insert(*id);
                cast.meet(event);
            }
            Operation::Release { id } if canaries.contains(id) => {}
            Operation::Exit { status: told } if event.actor.pid == pid => {
                ends += 1;
                assert_eq!(*told, as_told(status), "the source and wait(2) disagree");
            }
            _ => lines.push(cast.tell(event)),
        }
    }
    assert_eq!(canaries.len(), 1, "the source did not see the canary");
    assert_eq!(ends, 1, "the process has one end");
    lines
}

fn as_told(status: i32) -> ExitStatus {
    if libc::WIFSIGNALED(status) {
        ExitStatus::Signal(u8::try_from(libc::WTERMSIG(status)).unwrap())
    } else {
        ExitStatus::Code(u8::try_from(libc::WEXITSTATUS(status)).unwrap())
    }
}

fn difference(after: &Losses, before: &Losses) -> Losses {
    Losses(std::array::from_fn(|reason| after.0[reason] - before.0[reason]))
}
