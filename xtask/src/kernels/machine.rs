//! One emulated machine: started, listened to, ended in any case.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::architecture::Architecture;

/// Memory in MiB; the files of the first program lie in it, too.
const MEMORY: u32 = 1536;

/// Two processors, each emulated by a thread, and room for as many as a node has: 5.10 gives a kretprobe one place for
/// each that there could be (`register_kretprobe`), and a call that waits for its turn on two would take both.
const PARALLEL: &[&str] = &["-smp", "2,maxcpus=8", "-accel", "tcg,thread=multi"];
/// One processor, whose time-stamp counter goes up by one with each instruction, and which does not sleep.
const COUNTING: &[&str] = &["-smp", "1", "-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"];

/// What a machine is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine<'a> {
    /// Its processor.
    pub(crate) architecture: Architecture,
    /// What it boots.
    pub(crate) kernel: &'a Path,
    /// Its first file system.
    pub(crate) initramfs: &'a Path,
    /// Its disk.
    pub(crate) disk: &'a Path,
    /// Its clock counts instructions: one processor, slower, but the same in every run.
    pub(crate) counts: bool,
}

/// What came of running it.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    /// All that it said.
    pub(crate) said: String,
    /// How long it ran.
    pub(crate) took: Duration,
    /// True when it had to be ended from outside.
    pub(crate) overdue: bool,
}

impl Machine<'_> {
    /// Runs it until it powers off, or until `limit` has passed.
    pub(crate) fn run(&self, limit: Duration) -> Result<Run> {
        let start = Instant::now();
        let mut emulator = self.command();
        let program = emulator.get_program().display().to_string();
        let child = emulator
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        let mut emulator = Emulator(child);
        let output = emulator.0.stdout.take().context("the emulator has no standard output")?;
        let (said, overdue) = listen(&lines(output), start + limit);
        Ok(Run { said, took: start.elapsed(), overdue })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.architecture.emulator().0);
        let console = self.architecture.console();
        // Where things lie decides how long some searches take.
        let layout = if self.counts { " nokaslr" } else { "" };
        command
            .args(["-machine", self.architecture.machine(), "-cpu", self.architecture.processor()])
            .args(["-m", &MEMORY.to_string()])
            .args(["-nographic", "-no-reboot", "-nic", "none"])
            .args(if self.counts { COUNTING } else { PARALLEL })
            .arg("-kernel")
            .arg(self.kernel)
            .arg("-initrd")
            .arg(self.initramfs)
            .arg("-drive")
            .arg(format!("if=none,id=disk,format=raw,cache=unsafe,file={}", self.disk.display()))
            // NVMe is the only kind of disk that these kernels have built in.
            .args(["-device", "nvme,serial=disk,drive=disk"])
            .args(["-append", &format!("console={console} quiet loglevel=1 panic=-1{layout}")]);
        command
    }
}

/// The process; it ends with us.
#[derive(Debug)]
struct Emulator(Child);

impl Drop for Emulator {
    fn drop(&mut self) {
        // Does nothing when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
    receiver
}

/// All lines until the end, or until `deadline`; says whether that came first.
fn listen(lines: &Receiver<String>, deadline: Instant) -> (String, bool) {
    let mut said = String::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                said.push_str(&line);
                said.push('\n');
            }
            Err(RecvTimeoutError::Disconnected) => return (said, false),
            Err(RecvTimeoutError::Timeout) => return (said, true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ends_with_the_machine_or_with_the_deadline() {
        let (sender, receiver) = channel();
        sender.send("one".to_owned()).unwrap();
        let begun = Instant::now();
        assert_eq!(listen(&receiver, begun + Duration::from_millis(50)), ("one\n".to_owned(), true));
        assert!(begun.elapsed() >= Duration::from_millis(50));
        sender.send("two".to_owned()).unwrap();
        drop(sender);
        assert_eq!(listen(&receiver, begun + Duration::from_secs(60)), ("two\n".to_owned(), false));
    }
}
