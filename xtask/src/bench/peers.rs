//! Other programs that can tell who opens files in a directory: what users have today.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{
    audit::{Audit, Session},
    process::{Process, said},
};
use crate::{
    deadline::until,
    tools::{self, Cache},
};

/// The file by which it is found out that a peer sees the root.
const PROBE: &str = "peer-probe";
/// The slowest compile their programs first.
const READY: Duration = Duration::from_secs(60);
const TRACEFS: &str = "/sys/kernel/tracing";

/// One of them.
pub(super) struct Peer {
    pub(super) name: &'static str,
    kind: Kind,
    /// Why it was not installed.
    missing: Option<String>,
}

enum Kind {
    /// A program that writes what it sees to its standard output.
    Writes(fn(&Path) -> Command, Sign),
    /// The kernel's audit with its daemon.
    Audit(Option<Audit>),
}

/// How an open is told.
#[derive(Clone, Copy)]
enum Sign {
    /// By the file's name.
    File,
    /// By the process alone: the name is a number there.
    Process,
}

/// All of them, installed where Debian has them.
pub(super) fn all(cache: &Cache) -> Vec<Peer> {
    let peer = |name, package: &str, sign, command: fn(&Path) -> Command| Peer {
        name,
        kind: Kind::Writes(command, sign),
        missing: tools::installed(cache, &[package]).err().map(|error| format!("{error:#}")),
    };
    let audit = Audit::unpacked(cache);
    vec![
        Peer {
            name: "auditd, a watch",
            missing: audit.as_ref().err().map(|error| format!("{error:#}")),
            kind: Kind::Audit(audit.ok()),
        },
        peer("fatrace", "fatrace", Sign::File, |root| {
            let mut command = Command::new("fatrace");
            command.arg("--current-mount").current_dir(root);
            command
        }),
        peer("inotifywait", "inotify-tools", Sign::File, |root| {
            let mut command = Command::new("inotifywait");
            command.args(["--monitor", "--recursive"]).arg(root);
            command
        }),
        peer("bpftrace, opens", "bpftrace", Sign::File, |_| {
            let mut command = Command::new("bpftrace");
            let text =
                "tracepoint:syscalls:sys_enter_openat { printf(\"%s %s\\n\", comm, str(args->filename)); }";
            command.args(["-B", "line", "-e", text]);
            command
        }),
        peer("bcc's opensnoop, Python", "bpfcc-tools", Sign::File, |_| Command::new("opensnoop-bpfcc")),
        peer("bcc's opensnoop, libbpf", "libbpf-tools", Sign::File, |_| Command::new("/usr/sbin/opensnoop")),
        peer("sysdig", "sysdig", Sign::File, |_| {
            let mut command = Command::new("sysdig");
            command.args(["--unbuffered", "evt.type in (open, openat)"]);
            command
        }),
        peer("perf trace", "linux-perf", Sign::Process, |_| {
            let mut command = Command::new("perf");
            command.args(["trace", "--all-cpus", "--event", "openat", "--output", "/dev/stdout"]);
            command
        }),
    ]
}

impl Peer {
    /// Starts it and waits until it tells of an open in `root`. `folder` takes what it writes.
    pub(super) fn start(&self, root: &Path, folder: &Path) -> Result<Running> {
        if let Some(missing) = &self.missing {
            bail!("{missing}");
        }
        match &self.kind {
            Kind::Audit(audit) => {
                let mut session = audit.as_ref().context("it is not unpacked")?.start(root, folder)?;
                let log = session.log();
                seen(root, &log, Sign::File, || session.still_runs())?;
                Ok(Running::Audit { _session: session })
            }
            Kind::Writes(command, sign) => {
                let log = folder.join("peer.log");
                let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
                let child = command(root)
                    .stdin(Stdio::null())
                    .stdout(output.try_clone()?)
                    .stderr(output)
                    .spawn()
                    .with_context(|| format!("cannot start {}", self.name))?;
                let mut process = Process::new(child);
                seen(root, &log, *sign, || process.still_runs(&log))?;
                Ok(Running::Program { _process: process })
            }
        }
    }
}

/// Opens a file in the root, again and again, until the log tells of it.
fn seen(root: &Path, log: &Path, sign: Sign, mut still_runs: impl FnMut() -> Result<()>) -> Result<()> {
    let probe = root.join(PROBE);
    fs::write(&probe, "")?;
    let mut tells = Vec::new();
    let seen = until(READY, || {
        still_runs()?;
        // Another process each time: audit does not see those that are older than itself.
        let mut opener = Command::new("cat").arg(&probe).stdout(Stdio::null()).spawn()?;
        tells.push(match sign {
            Sign::File => PROBE.to_owned(),
            Sign::Process => format!("cat/{} openat(", opener.id()),
        });
        opener.wait()?;
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        Ok(tells.iter().any(|tell| text.contains(tell)).then_some(()))
    })?;
    seen.with_context(|| format!("it showed nothing within {} s: {}", READY.as_secs(), said(log)))
}

/// A peer at work. Dropping it ends it.
pub(super) enum Running {
    Program { _process: Process },
    Audit { _session: Session },
}

/// The kernel's tracepoints as files, which most peers want. What was mounted for them is unmounted after them.
pub(super) struct Tracepoints(Option<PathBuf>);

impl Tracepoints {
    pub(super) fn mounted() -> Result<Self> {
        let folder = Path::new(TRACEFS);
        if folder.join("events").is_dir() {
            return Ok(Self(None));
        }
        let status = Command::new("mount").args(["-t", "tracefs", "tracefs"]).arg(folder).status()?;
        ensure!(status.success(), "cannot mount tracefs on {TRACEFS}");
        Ok(Self(Some(folder.to_owned())))
    }
}

impl Drop for Tracepoints {
    fn drop(&mut self) {
        if let Some(folder) = &self.0 {
            let _ = Command::new("umount").arg(folder).status();
        }
    }
}
