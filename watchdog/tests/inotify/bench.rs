//! A source, the engine behind it, and a directory of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use watchdog::detect::{Engine, Limits};
use watchdog::model::{Output, Role, RootId};
use watchdog::source::inotify::InotifySource;
use watchdog::source::{Depths, Item, LossReason, NamePattern, RootSpec, Shape, Source};

/// What cannot come within this time does not come.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where roots are made: a tmpfs, the disk, and an overlay where one is named.
fn folders() -> impl Iterator<Item = PathBuf> {
    [
        ("STATE_WATCHDOG_TEST_TMPFS", Some("/dev/shm")),
        ("STATE_WATCHDOG_TEST_DISK", Some(env!("CARGO_TARGET_TMPDIR"))),
        ("STATE_WATCHDOG_TEST_OVERLAY", None),
    ]
    .into_iter()
    .filter_map(|(variable, default)| std::env::var_os(variable).or(default.map(Into::into)))
    .map(PathBuf::from)
}

/// Runs a case on each filesystem.
pub(crate) fn on_each_filesystem(case: impl Fn(Bench)) {
    for folder in folders() {
        case(Bench::new(&folder, 1));
    }
}

/// A bench on the first of them.
pub(crate) fn anywhere(depth: u8) -> Bench {
    Bench::new(&folders().next().unwrap(), depth)
}

/// A root `root` in a directory of its own, watched.
pub(crate) struct Bench {
    pub(crate) base: TempDir,
    pub(crate) source: InotifySource,
    runtime: Runtime,
    engine: Engine,
    depth: u8,
    /// What the engine said so far, in words.
    pub(crate) said: Vec<String>,
}

impl Bench {
    /// With a container `a` and its state file.
    pub(crate) fn new(parent: &Path, depth: u8) -> Self {
        let base = tempfile::Builder::new().prefix("watchdog-").tempdir_in(parent).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let guard = runtime.enter();
        let source = InotifySource::new().unwrap();
        drop(guard);
        let engine = Engine::new(Limits::default());
        let mut bench = Self { base, source, runtime, engine, depth, said: Vec::new() };
        fs::create_dir_all(bench.state("a").parent().unwrap()).unwrap();
        fs::write(bench.state("a"), "{}").unwrap();
        bench.watch().unwrap();
        bench
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }

    /// The state file of a container.
    pub(crate) fn state(&self, container: &str) -> PathBuf {
        let directory = match self.depth {
            0 => self.root(),
            1 => self.root().join(container),
            _ => self.root().join(container).join("userdata"),
        };
        directory.join("state.json")
    }

    /// A name beside it.
    pub(crate) fn beside(&self, container: &str, name: &str) -> PathBuf {
        self.state(container).with_file_name(name)
    }

    /// As the agent does when it finds the root.
    pub(crate) fn watch(&mut self) -> Result<(), String> {
        let pattern = |role, shape, text: &str| NamePattern { role, shape, text: text.to_owned() };
        let root = RootSpec {
            id: RootId(0),
            path: self.root(),
            depths: Depths::only(self.depth),
            locks: Depths::NONE,
            names: vec![
                pattern(Role::State, Shape::Exact, "state.json"),
                pattern(Role::Temporary, Shape::Prefix, "state-"),
            ],
        };
        self.source.watch(&root).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }

    /// Takes all that is there, and lets the engine judge it.
    pub(crate) fn drain(&mut self) {
        let mut items = Vec::new();
        let Self { runtime, source, .. } = self;
        runtime.block_on(async {
            loop {
                tokio::select! {
                    biased;
                    read = source.read(&mut items) => read.unwrap(),
                    () = async {} => break,
                }
            }
        });
        self.judge(items);
    }

    /// Drains until the engine has said as much; panics when it does not.
    #[track_caller]
    pub(crate) fn says(&mut self, expected: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.drain();
            if self.said == expected || Instant::now() > deadline {
                break;
            }
            self.rest();
        }
        assert_eq!(self.said, expected);
        self.said.clear();
    }

    /// Drains until `reached`; panics when it is not.
    #[track_caller]
    pub(crate) fn until(&mut self, reached: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !reached(self) {
            assert!(Instant::now() < deadline, "{:?}", self.said);
            self.drain();
            self.rest();
        }
    }

    pub(crate) fn lost(&self, reason: LossReason) -> u64 {
        self.source.losses().get(reason)
    }

    /// Waits for more, a moment at most: some things are due by the clock.
    fn rest(&mut self) {
        let mut items = Vec::new();
        let Self { runtime, source, .. } = self;
        runtime.block_on(async {
            let wait = source.read(&mut items);
            if let Ok(read) = tokio::time::timeout(Duration::from_millis(5), wait).await {
                read.unwrap();
            }
        });
        self.judge(items);
    }

    fn judge(&mut self, items: Vec<Item>) {
        let mut outputs = Vec::new();
        for item in items {
            match item {
                Item::Event(event) => {
                    assert!(!event.actor.is_known());
                    self.engine.observe(&event, &mut outputs);
                }
                Item::Process(_) | Item::Anomaly(_) | Item::Gone(_) => {
                    panic!("inotify knows no more than events")
                }
            }
        }
        // What the engine asks the agent for is no word on what happened.
        let news = outputs.iter().filter(|output| !matches!(output, Output::Check(_)));
        self.said.extend(news.map(words));
    }
}

fn words(output: &Output) -> String {
    match output {
        Output::Session(report) => format!("{} {}", report.place.container, report.outcome.as_str()),
        Output::Read(report) => format!("{} {}", report.place.container, report.verdict.as_str()),
        Output::ReaderExit(_) => "exit".to_owned(),
        Output::DamagedRead(report) => format!("damaged {}", report.place.container),
        Output::Check(_) => "check".to_owned(),
        Output::Anomaly(anomaly) => format!("anomaly {}", anomaly.kind.as_str()),
    }
}
