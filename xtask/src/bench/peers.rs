//! Other programs that can tell who opens files in a directory: what users have today.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    deadline::until,
    tools::{self, Cache},
};

/// The file by which it is found out that a peer sees the root. No command line holds the name, lest a peer shows its own.
const PROBE: [&str; 2] = ["peer-", "probe"];
/// The slowest compile their programs first.
const READY: Duration = Duration::from_secs(60);

/// One of them.
pub(super) struct Peer {
    pub(super) name: &'static str,
    command: fn(&Path) -> Command,
    /// Undoes what outlives the process.
    after: Option<fn(&Path) -> Command>,
    /// It says nothing by itself: that its command ends well is all that there is to see.
    silent: bool,
    /// Why it was not installed.
    missing: Option<String>,
}

/// All of them, installed where Debian has them.
pub(super) fn all(cache: &Cache) -> Vec<Peer> {
    let peer = |name, package: &str, command: fn(&Path) -> Command| Peer {
        name,
        command,
        after: None,
        silent: false,
        missing: tools::installed(cache, &[package]).err().map(|error| format!("{error:#}")),
    };
    vec![
        Peer {
            after: Some(|root| audit(&["-W"], root)),
            silent: true,
            ..peer("audit watch", "auditd", |root| audit(&["-w"], root))
        },
        peer("fatrace", "fatrace", |root| {
            let mut command = Command::new("fatrace");
            command.arg("--current-mount").current_dir(root);
            command
        }),
        peer("inotifywait", "inotify-tools", |root| {
            let mut command = Command::new("inotifywait");
            command.args(["--monitor", "--recursive"]).arg(root);
            command
        }),
        peer("bpftrace, opens", "bpftrace", |_| {
            let mut command = Command::new("bpftrace");
            let text =
                "tracepoint:syscalls:sys_enter_openat { printf(\"%s %s\\n\", comm, str(args->filename)); }";
            command.args(["-B", "line", "-e", text]);
            command
        }),
        peer("opensnoop (bcc)", "bpfcc-tools", |_| Command::new("opensnoop-bpfcc")),
        peer("sysdig", "sysdig", |_| {
            let mut command = Command::new("sysdig");
            command.args(["--unbuffered", "evt.type in (open, openat)"]);
            command
        }),
        peer("perf trace", "linux-perf", |_| {
            let mut command = Command::new("perf");
            command.args(["trace", "--all-cpus", "--event", "openat", "--output", "/dev/stdout"]);
            command
        }),
    ]
}

fn audit(how: &[&str], root: &Path) -> Command {
    let mut command = Command::new("auditctl");
    command.args(how).arg(root).args(["-p", "rwa", "-k", "peer"]);
    command
}

impl Peer {
    /// Starts it and waits until it tells of an open in `root`.
    pub(super) fn start(&self, root: &Path, log: &Path) -> Result<Running> {
        if let Some(missing) = &self.missing {
            bail!("{missing}");
        }
        let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        let mut command = (self.command)(root);
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))?;
        let after = self.after.map(|after| after(root));
        let mut running = Running { child, after };
        if self.silent {
            let status = running.child.wait()?;
            ensure!(status.success(), "{}", said(log));
            return Ok(running);
        }
        let probe = root.join(PROBE.concat());
        fs::write(&probe, "")?;
        let seen = until(READY, || {
            if let Some(status) = running.child.try_wait()? {
                bail!("it ended with {status}: {}", said(log));
            }
            File::open(&probe)?;
            Ok(fs::read_to_string(log).is_ok_and(|text| text.contains(&PROBE.concat())).then_some(()))
        })?;
        ensure!(seen.is_some(), "it showed nothing within {} s: {}", READY.as_secs(), said(log));
        Ok(running)
    }
}

fn said(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or("nothing")
        .to_owned()
}

/// A peer at work. Dropping it ends it.
pub(super) struct Running {
    child: Child,
    after: Option<Command>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // As a person at a terminal would, so that it can detach what it attached.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
            && matches!(self.child.try_wait(), Ok(None))
        {
            let _ = kill_process(pid, Signal::INT);
            let ended = until(Duration::from_secs(5), || Ok(self.child.try_wait()?));
            if !matches!(ended, Ok(Some(_))) {
                let _ = self.child.kill();
                let _ = self.child.wait();
            }
        }
        if let Some(after) = &mut self.after
            && let Err(error) = after.output()
        {
            eprintln!("cannot undo a peer's work: {error}");
        }
    }
}
