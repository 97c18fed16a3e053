//! The program as it runs.

use std::cell::RefCell;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// An agent that dies with its test.
pub(crate) struct Program {
    child: Child,
    address: String,
    findings: Receiver<String>,
    known: RefCell<Vec<Value>>,
    log: Receiver<String>,
}

impl Program {
    /// Starts it by a command that ends in `state-watchdog run …`, and waits until it is ready.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let findings = lines(child.stdout.take().unwrap());
        let log = lines(child.stderr.take().unwrap());
        let known = RefCell::default();
        let mut program = Self { child, address: String::new(), findings, known, log };
        let line = program.logs("running");
        let (_, rest) = line.split_once("address=").unwrap();
        program.address = rest.split_whitespace().next().unwrap().to_owned();
        program.shows("/readyz", "200 OK");
        program
    }

    /// With this source and this root.
    pub(crate) fn run(source: &str, root: &Path) -> Self {
        let common = ["run", "--listen", "127.0.0.1:0", "--source", source, "--root"];
        Self::start(crate::agent().args(common).arg(format!("ways={}", root.display())))
    }

    /// The next line of its log that holds `text`.
    pub(crate) fn logs(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("the log never said {text}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    /// How many findings of this kind are about the container by now.
    pub(crate) fn count(&self, container: &str, kind: &str) -> usize {
        let mut known = self.known.borrow_mut();
        known.extend(self.findings.try_iter().map(|line| serde_json::from_str::<Value>(&line).unwrap()));
        known.iter().filter(|finding| finding["container_id"] == container && finding["kind"] == kind).count()
    }

    /// What was found of the container by now.
    pub(crate) fn findings(&self, container: &str) -> Vec<Value> {
        self.known.borrow().iter().filter(|finding| finding["container_id"] == container).cloned().collect()
    }

    /// Waits until something holds.
    #[track_caller]
    pub(crate) fn waits(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(Instant::now() < deadline, "{what} was never found");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Asks for a page until it holds `text`.
    #[track_caller]
    pub(crate) fn shows(&self, path: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.page(path).contains(text) {
            assert!(Instant::now() < deadline, "no {text} in {}", self.page(path));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
