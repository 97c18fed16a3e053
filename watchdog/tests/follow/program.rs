//! The program as it runs beside a test: `trace` or `record`.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_state-watchdog");

/// On a loaded machine everything takes its time; what is waited for is always a condition.
const PATIENCE: Duration = Duration::from_secs(90);

/// A program that dies with its test.
pub(crate) struct Program {
    pub(crate) child: Child,
    stdout: Collected,
    stderr: Collected,
}

impl Program {
    /// Starts it on a root of runtime `test` and waits until it knows what stands there: of a file that is truncated
    /// before, nobody can tell what a reader lost. `None`, and said, where the source cannot run, which is a failure
    /// where `CI=true`.
    pub(crate) fn start(command: &str, source: &str, root: &Path, options: &[&str]) -> Option<Self> {
        let mut child = Command::new(PROGRAM)
            .args([command, "--source", source, "--root"])
            .arg(format!("test={}", root.display()))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Collected::from(child.stdout.take().unwrap());
        let stderr = Collected::from(child.stderr.take().unwrap());
        let mut program = Self { child, stdout, stderr };
        wait("it is ready", || {
            program.child.try_wait().unwrap().is_some() || program.stderr.has("readiness has changed", 1)
        });
        if let Some(status) = program.child.try_wait().unwrap() {
            let said = program.stderr.lines().join("\n");
            assert!(matches!(status.code(), Some(69 | 77)), "it ended with {status}: {said}");
            println!("skipped: the source {source} cannot run here: {said}");
            assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "CI must not skip: {said}");
            return None;
        }
        Some(program)
    }

    /// Waits until so many lines of stdout hold `text`.
    #[track_caller]
    pub(crate) fn shows(&self, text: &str, count: usize) {
        let said = || [self.stdout.lines(), self.stderr.lines()].concat().join("\n");
        wait_or(|| self.stdout.has(text, count), || format!("{count} times {text}\n{}", said()));
    }

    /// Ends it with a signal, and gives how it ended and what stdout said.
    pub(crate) fn end(mut self, signal: &str) -> (ExitStatus, Vec<String>) {
        send(&self.child, signal);
        let status = self.wait();
        (status, self.stdout.finish())
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let mut ended = None;
        wait("it ends", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn send(child: &Child, signal: &str) {
    let sent = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Waits until it is so.
#[track_caller]
pub(crate) fn wait(what: &str, so: impl FnMut() -> bool) {
    wait_or(so, || what.to_owned());
}

/// The same, and says in the end what never happened.
#[track_caller]
fn wait_or(mut so: impl FnMut() -> bool, what: impl FnOnce() -> String) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        if Instant::now() >= deadline {
            panic!("never happened: {}", what());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The lines of a stream, as they come.
struct Collected {
    lines: Arc<Mutex<Vec<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Collected {
    fn from(stream: impl Read + Send + 'static) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::spawn({
            let lines = Arc::clone(&lines);
            move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    lines.lock().unwrap().push(line);
                }
            }
        });
        Self { lines, thread: Some(thread) }
    }

    fn has(&self, text: &str, count: usize) -> bool {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).count() >= count
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn finish(&mut self) -> Vec<String> {
        self.thread.take().unwrap().join().unwrap();
        self.lines()
    }
}
