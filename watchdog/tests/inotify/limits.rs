//! Limits on watches, lowered in a user namespace of the test's own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// An agent that may have so many watches or instances.
fn limited(limit: &str, value: u32, root: &str) -> Option<Child> {
    let may = Command::new("unshare").args(["-U", "-r", "true"]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("skipped: a user namespace cannot be made here");
        assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip");
        return None;
    }
    let script = format!(
        "echo {value} > /proc/sys/user/{limit} && exec {} run --source inotify --listen 127.0.0.1:0 --root x={root}",
        env!("CARGO_BIN_EXE_state-watchdog")
    );
    let mut command = Command::new("unshare");
    command.args(["-U", "-r", "sh", "-c", &script]).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command.spawn().unwrap())
}

/// An agent that dies with its test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn page(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn directories_beyond_the_limit_are_counted_and_the_remedy_is_named() {
    let root = tempfile::tempdir().unwrap();
    for container in 0..10 {
        fs::create_dir(root.path().join(container.to_string())).unwrap();
    }
    // The parent, the root and four containers.
    let Some(child) = limited("max_inotify_watches", 6, root.path().to_str().unwrap()) else { return };
    let mut agent = Agent(child);
    let mut log = BufReader::new(agent.0.stderr.take().unwrap()).lines().map_while(Result::ok);
    let line = log.find(|line| line.contains("running")).unwrap();
    let (_, rest) = line.split_once("address=").unwrap();
    let address = rest.split_whitespace().next().unwrap().to_owned();
    let said = log.find(|line| line.contains("cannot be watched")).unwrap();
    assert!(said.contains("raise fs.inotify.max_user_watches"), "{said}");

    let deadline = Instant::now() + Duration::from_secs(10);
    let wanted = "state_watchdog_events_lost_total{reason=\"watch_limit\",source=\"inotify\"} 6";
    while !page(&address, "/metrics").contains(wanted) {
        assert!(Instant::now() < deadline, "{}", page(&address, "/metrics"));
    }
    let status = page(&address, "/status");
    assert!(status.contains("6 directories cannot be watched") && status.contains("degraded"), "{status}");
}

#[test]
fn without_an_instance_the_source_cannot_run_and_the_remedy_is_named() {
    let Some(child) = limited("max_inotify_instances", 0, "/nonexistent") else { return };
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{said}");
    assert!(said.contains("raise fs.inotify.max_user_instances"), "{said}");
}
