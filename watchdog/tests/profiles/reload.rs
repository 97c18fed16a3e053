//! SIGHUP: the file is read again by the agent that runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::program::Program;
use crate::{AGENT, sources};

/// A host with two roots, and an agent that is told of them by a file.
struct House {
    host: tempfile::TempDir,
    agent: Program,
}

const ONE: &str = "[[root]]\nruntime = \"one\"\npath = \"/r1\"\n";
const TWO: &str =
    "[[root]]\nruntime = \"two\"\npath = \"/r2\"\n[[profile]]\nname = \"two\"\nstate = [\"*.status\"]\n";

impl House {
    fn start(source: &str) -> Self {
        let host = tempfile::tempdir().unwrap();
        for (directory, file) in [("r1/a", "state.json"), ("r2/b", "x.status")] {
            fs::create_dir_all(host.path().join(directory)).unwrap();
            fs::write(host.path().join(directory).join(file), "{}").unwrap();
        }
        write(host.path(), ONE);
        let mut command = Command::new(AGENT);
        command.args(["run", "--source", source, "--listen", "127.0.0.1:0", "--no-witness", "--config"]);
        let agent = Program::start(command.arg(file(host.path())).arg("--host-root").arg(host.path()));
        Self { host, agent }
    }

    /// Has the agent read this.
    fn reload(&self, text: &str) {
        write(self.host.path(), text);
        let kill = Command::new("sh").args(["-c", &format!("kill -HUP {}", self.agent.id())]).status();
        assert!(kill.unwrap().success());
    }

    fn counts(&self, result: &str, count: u32) {
        let series = format!("config_reloads_total{{result=\"{result}\"}} {count}\n");
        self.agent.shows("/metrics", &series);
    }

    fn status(&self) -> Value {
        serde_json::from_str(self.agent.page("/status").split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Waits until the agent has walked through the runtime's root, which threads do beside its loop.
    fn has_found(&self, runtime: &str) {
        self.agent.shows("/metrics", &format!("state_watchdog_state_files{{runtime=\"{runtime}\"}} 1\n"));
    }

    /// Writes in place, which must be the next thing found.
    fn is_watched(&self, file: &str, runtime: &str) {
        fs::write(self.host.path().join(file), "{\"a\": 1}").unwrap();
        let finding = self.agent.finds("nonatomic_write");
        assert_eq!(
            (&finding["runtime"], &finding["outcome"]),
            (&runtime.into(), &"in_place".into()),
            "{finding}"
        );
        assert_eq!(finding["path"], format!("/{file}"));
    }
}

fn file(host: &Path) -> PathBuf {
    host.join("sw.toml")
}

fn write(host: &Path, text: &str) {
    fs::write(file(host), text).unwrap();
}

#[test]
fn a_root_that_is_added_is_watched_and_one_that_goes_is_not() {
    for source in sources() {
        let house = House::start(source);
        house.is_watched("r1/a/state.json", "one");
        let hash = house.status()["configuration_hash"].clone();

        house.reload(&format!("log-format = \"json\"\n{ONE}{TWO}"));
        house.counts("applied", 1);
        house.agent.shows("/metrics", "write_sessions_total{outcome=\"in_place\",runtime=\"two\"} 0\n");
        house.agent.shows("/metrics", "runtime_root_present{root=\"/r2\",runtime=\"two\"} 1\n");
        let status = house.status();
        assert_ne!(status["configuration_hash"], hash);
        assert_eq!(status["configuration_reload"]["needs_restart"], serde_json::json!(["log-format"]));
        house.has_found("two");
        house.is_watched("r2/b/x.status", "two");
        house.is_watched("r1/a/state.json", "one");

        house.reload(TWO);
        house.counts("applied", 2);
        let page = house.agent.page("/metrics");
        assert!(!page.contains("root=\"/r1\"") && !page.contains("state_files{runtime=\"one\"}"), "{page}");
        assert!(page.contains("write_sessions_total{outcome=\"in_place\",runtime=\"one\"} 2\n"), "{page}");
        fs::write(house.host.path().join("r1/a/state.json"), "{\"nobody\": 1}").unwrap();
        house.is_watched("r2/b/x.status", "two");

        house.reload(ONE);
        house.counts("applied", 3);
        house.has_found("one");
        house.is_watched("r1/a/state.json", "one");
    }
}

#[test]
fn a_broken_file_leaves_the_old_one_in_force() {
    for source in sources() {
        let house = House::start(source);
        house.agent.shows("/metrics", "config_last_reload_successful 1\n");
        let hash = house.status()["configuration_hash"].clone();
        house.reload(&format!("{ONE}[[root]]\nruntim = \"two\"\n"));
        house.counts("refused", 1);
        house.agent.logs("sw.toml:5: unknown field `runtim`, expected `runtime` or `path`");
        house.agent.shows("/metrics", "config_last_reload_successful 0\n");
        let status = house.status();
        assert_eq!(status["configuration_hash"], hash);
        let reason = status["configuration_reload"]["reason"].as_str().unwrap();
        assert!(reason.contains("sw.toml:5"), "{reason}");
        house.is_watched("r1/a/state.json", "one");

        fs::remove_file(file(house.host.path())).unwrap();
        fs::create_dir(file(house.host.path())).unwrap();
        let kill = Command::new("sh").args(["-c", &format!("kill -HUP {}", house.agent.id())]).status();
        assert!(kill.unwrap().success());
        house.counts("refused", 2);
        fs::remove_dir(file(house.host.path())).unwrap();

        house.reload(ONE);
        house.counts("unchanged", 1);
        house.agent.shows("/metrics", "config_last_reload_successful 1\n");
        house.is_watched("r1/a/state.json", "one");
    }
}

#[test]
fn without_a_file_a_hangup_changes_nothing_and_ends_nothing() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("a")).unwrap();
    let agent = Program::run(&["--root", &format!("x={}", root.path().display())]);
    assert!(
        Command::new("sh").args(["-c", &format!("kill -HUP {}", agent.id())]).status().unwrap().success()
    );
    agent.shows("/metrics", "config_reloads_total{result=\"unchanged\"} 1\n");
    assert_eq!(agent.found(), Vec::<String>::new());
}
