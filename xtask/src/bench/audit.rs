//! The kernel's audit with its daemon, unpacked beside the system: no service starts, and no configuration is touched.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::process::Process;
use crate::tools::{self, Cache};

/// A rule by which new processes are left alone.
///
/// Once audit was on, `audit_alloc` (kernel 6.18) makes each new process go the long way at each system call until the
/// machine boots, though audit be off again; but not those that this rule excepts. So it stands while others are measured,
/// and stays when all is done. A system's own auditd takes it away when it starts.
const NOBODY: &str = "never,task";

/// The programs.
#[derive(Clone)]
pub(super) struct Audit {
    control: PathBuf,
    daemon: PathBuf,
    libraries: OsString,
}

impl Audit {
    pub(super) fn unpacked(cache: &Cache) -> Result<Self> {
        let control = tools::unpacked(cache, "auditd", "sbin/auditctl")?;
        let daemon = tools::unpacked(cache, "auditd", "sbin/auditd")?;
        let folder = format!("lib/{}-linux-gnu", env::consts::ARCH);
        let parse = tools::unpacked(cache, "libauparse0", &format!("{folder}/libauparse.so.0"))?;
        let wrap = tools::unpacked(cache, "libwrap0", &format!("usr/{folder}/libwrap.so.0"))?;
        let libraries = env::join_paths([parse, wrap].iter().filter_map(|file| file.parent()))?;
        Ok(Self { control, daemon, libraries })
    }

    /// Turns it on with a watch on `root`.
    pub(super) fn start(&self, root: &Path, folder: &Path) -> Result<Session> {
        let status = self.said(&["-s"])?;
        if !["enabled 0", "pid 0"].iter().all(|line| status.lines().any(|said| said == *line)) {
            bail!("audit is at work already, so nothing here goes without it");
        }
        let folder = folder.join("audit");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let log = folder.join("audit.log");
        let _ = fs::remove_file(&log);
        fs::write(folder.join("auditd.conf"), configuration(&folder, &log))?;
        let output = File::create(folder.join("daemon.log"))?;
        let child = self
            .command(&self.daemon)
            .args(["-n", "-s", "enable", "-c"])
            .arg(&folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start auditd")?;
        let session =
            Session { audit: self.clone(), process: Process::new(child), root: root.to_owned(), folder };
        // It is there from the second round on.
        let _ = self.said(&["-d", NOBODY]);
        self.said(&[&["-w", &root.display().to_string()], &WATCH[..]].concat())?;
        Ok(session)
    }

    fn said(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(&self.control).args(arguments).output().context("cannot start auditctl")?;
        ensure!(output.status.success(), "auditctl {}: {}", arguments.join(" "), words(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }
}

/// What is watched, and by what name it is told.
const WATCH: [&str; 4] = ["-p", "rwa", "-k", "peer"];

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stderr[..], &output.stdout].concat()).trim().to_owned()
}

fn configuration(folder: &Path, log: &Path) -> String {
    format!(
        "local_events = yes\nwrite_logs = yes\nlog_file = {}\nlog_group = root\nlog_format = RAW\n\
         flush = INCREMENTAL_ASYNC\nfreq = 50\nmax_log_file = 64\nnum_logs = 2\nmax_log_file_action = ROTATE\n\
         space_left = 2\nspace_left_action = IGNORE\nadmin_space_left = 1\nadmin_space_left_action = IGNORE\n\
         disk_full_action = IGNORE\ndisk_error_action = IGNORE\nverify_email = no\nplugin_dir = {}\n",
        log.display(),
        folder.display()
    )
}

/// Audit that is on. Dropping it takes the watch away, turns audit off and ends the daemon.
pub(super) struct Session {
    audit: Audit,
    process: Process,
    root: PathBuf,
    folder: PathBuf,
}

impl Session {
    /// Where the daemon writes what it is told.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("audit.log")
    }

    pub(super) fn still_runs(&mut self) -> Result<()> {
        self.process.still_runs(&self.folder.join("daemon.log"))
    }

    fn undo(&self) -> Result<()> {
        self.audit.said(&[&["-W", &self.root.display().to_string()], &WATCH[..]].concat())?;
        if self.audit.said(&["-s"])?.lines().any(|line| line == "enabled 1") {
            self.audit.said(&["-a", NOBODY])?;
            self.audit.said(&["-e", "0"])?;
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Err(error) = self.undo() {
            eprintln!("cannot undo what audit was told: {error:#}");
        }
    }
}
