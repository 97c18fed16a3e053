//! Where the ways are gone: one root, a container for each way.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Found;
use crate::program::Program;
use crate::table::Answer;
use crate::ways::{Early, Way};

/// Until then each way has been answered, a session without a release a few seconds after its last change.
const LATEST: Duration = Duration::from_secs(5);
/// So many ordinary saves are found meanwhile, however slow the machine is.
const SAVES: usize = 5;

pub(crate) struct Site {
    base: TempDir,
}

/// A state file's content, of which each version has another length.
pub(crate) fn document(version: usize) -> Vec<u8> {
    format!("{{\"version\": {version}, \"pad\": \"{}\"}}", "x".repeat(3_000 + version)).into_bytes()
}

impl Site {
    pub(crate) fn new() -> Self {
        let site = Self { base: tempfile::Builder::new().prefix("ways-").tempdir_in("/dev/shm").unwrap() };
        for directory in [site.root(), site.outside("")] {
            fs::create_dir(directory).unwrap();
        }
        site.make("marker");
        site
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.base.path().join("root")
    }

    /// A place that no root reaches.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        self.base.path().join("outside").join(name)
    }

    pub(crate) fn directory(&self, container: &str) -> PathBuf {
        self.root().join(container)
    }

    pub(crate) fn state(&self, container: &str) -> PathBuf {
        self.directory(container).join("state.json")
    }

    /// A container with a whole state file.
    pub(crate) fn make(&self, container: &str) -> PathBuf {
        let state = self.state(container);
        if let Some(directory) = state.parent() {
            fs::create_dir_all(directory).unwrap();
        }
        fs::write(&state, document(0)).unwrap();
        state
    }

    /// Goes a way, and waits for what becomes of it: what is expected, or what there is by the time when several ordinary saves
    /// that came later have been found.
    pub(crate) fn go(&self, agent: &Program, way: &Way, container: &str, early: Early) -> Found {
        let before = counts(agent);
        (way.act)(self, agent, container, early)?;
        let deadline = Instant::now() + LATEST;
        for save in 1.. {
            self.save_the_marker(agent);
            if way.findings.iter().any(|finding| agent.count(container, finding) > 0) {
                return Some(Answer::Seen);
            }
            if save >= SAVES && Instant::now() >= deadline {
                break;
            }
        }
        Some(if counts(agent) > before { Answer::Counted } else { Answer::Blind })
    }

    /// Waits until the agent has looked at its roots several times since now, so that it knows all that stands there.
    pub(crate) fn settle(&self, agent: &Program) {
        for _ in 0..2 {
            self.make("passing");
            agent.waits("a new state file", || state_files(agent) == self.state_files());
            fs::remove_dir_all(self.directory("passing")).unwrap();
            agent.waits("the end of a state file", || state_files(agent) == self.state_files());
        }
    }

    /// How many state files stand in directories of their own.
    fn state_files(&self) -> usize {
        let entries = fs::read_dir(self.root()).unwrap().map(Result::unwrap);
        let is_one = |entry: &fs::DirEntry| {
            entry.file_type().unwrap().is_dir() && entry.path().join("state.json").symlink_metadata().is_ok()
        };
        entries.filter(is_one).count()
    }

    /// An ordinary save in place, and the wait for its finding.
    fn save_the_marker(&self, agent: &Program) {
        let known = agent.count("marker", "nonatomic_write");
        fs::write(self.state("marker"), document(known % 7)).unwrap();
        agent.waits("an ordinary save", || agent.count("marker", "nonatomic_write") > known);
    }
}

fn state_files(agent: &Program) -> usize {
    let page = agent.page("/metrics");
    let line = page.lines().find(|line| line.starts_with("state_watchdog_state_files{")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

/// What was lost and what could not be explained, in all.
fn counts(agent: &Program) -> u64 {
    let value = |line: String| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
    counters(agent).into_iter().filter_map(value).sum()
}

/// The counters of that which are not zero, as the agent's page has them.
pub(crate) fn counters(agent: &Program) -> Vec<String> {
    let is_one = |line: &&str| {
        let names = ["state_watchdog_events_lost_total", "state_watchdog_anomalies_total"];
        names.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
    };
    agent.page("/metrics").lines().filter(is_one).map(str::to_owned).collect()
}

/// Renames a whole file over the name.
pub(crate) fn replace(path: &Path, content: &[u8]) {
    let temporary = path.with_extension("tmp");
    fs::write(&temporary, content).unwrap();
    fs::rename(&temporary, path).unwrap();
}
