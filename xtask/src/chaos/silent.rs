//! A mount that answers nobody, as a dead file server: other programs wait there by every kind of call, and a bundle, a
//! container's directory and a link lead there. Other containers are told as soon as without it.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::stage::Stage;
use crate::{agent::Agent, finding::Finding};

/// Saves that each agent has to report.
const SAVES: usize = 60;
/// No save waits longer to be reported, on the busiest machine.
const LONGEST: Duration = Duration::from_secs(60);
/// The median with the mount is at most so many times that without it.
const SLOWER: f64 = 1.2;
/// Below this, the machine decides and not the agent.
const NOISE: Duration = Duration::from_millis(1);

/// What other programs do there.
const CALLS: [&str; 9] = [
    "cat \"$1/state.json\"",
    "echo x > \"$1/state.json\"",
    "rm -f \"$1/state.json\"",
    "mv \"$1/a\" \"$1/state.json\"",
    "ln \"$1/a\" \"$1/state.json\"",
    "truncate -s 0 \"$1/state.json\"",
    "mkdir \"$1/status\"",
    "ls \"$1\"",
    "cd \"$1\" && mv a state.json",
];

/// A FUSE file system whose server reads no request. Dropping it lets all who wait go on.
struct Mount(PathBuf);

impl Mount {
    fn new(folder: &Path) -> Result<Self> {
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse").context("no FUSE here")?;
        let options = "fd=0,rootmode=40000,user_id=0,group_id=0,allow_other";
        // The mount holds the server open.
        let status = Command::new("mount")
            .args(["-i", "-t", "fuse.silent", "-o", options, "state-watchdog-chaos"])
            .arg(folder)
            .stdin(Stdio::from(server.try_clone()?))
            .status()
            .context("cannot start mount")?;
        ensure!(status.success(), "cannot mount FUSE on {}", folder.display());
        // As long as this process lives: when the last descriptor is closed, everybody is answered.
        std::mem::forget(server);
        Ok(Self(folder.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let status = Command::new("umount").args(["--force", "--lazy"]).arg(&self.0).status();
        if !status.is_ok_and(|status| status.success()) {
            eprintln!("left behind: the mount on {}", self.0.display());
        }
    }
}

/// Programs that wait there, and are killed when this is dropped.
struct Waiting(Vec<Child>);

impl Drop for Waiting {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Strikes, and gives what was seen.
pub(super) fn silent(stage: &Stage<'_>) -> Result<String> {
    let calm = Stage::new(stage.program, stage.workload)?;
    let (with, without) = (furnish(stage)?, furnish(&calm)?);
    let (dead, over) = (stage.scratch.folder("dead")?, stage.root.join("mounted"));
    fs::create_dir_all(&over)?;
    let mounts = [Mount::new(&dead)?, Mount::new(&over)?];
    for (container, target) in [("link", "state.json"), ("below", "a/b")] {
        fs::create_dir_all(stage.root.join(container))?;
        symlink(dead.join(target), stage.root.join(container).join("state.json"))?;
    }
    fs::create_dir_all(stage.root.join("bundle"))?;
    let state = format!("{{\"id\":\"bundle\",\"pid\":4000000,\"bundle\":\"{}/b\"}}", dead.display());
    fs::write(stage.root.join("bundle/state.json"), state)?;
    let programs = CALLS.iter().map(|call| {
        let mut program = Command::new("sh");
        program.args(["-c", call, "sh"]).arg(&dead).stdout(Stdio::null()).stderr(Stdio::null());
        program.spawn().context("cannot start sh")
    });
    let waiting = Waiting(programs.collect::<Result<_>>()?);
    let (agent, other) = (stage.agent(&[])?, calm.agent(&[])?);
    let (mut slow, mut quick) = (Vec::new(), Vec::new());
    for number in 0..SAVES {
        slow.push(report(&agent, &with, number)?);
        quick.push(report(&other, &without, number)?);
        let alive = agent.get("/livez")?;
        ensure!(alive.trim() == "alive", "/livez says {alive:?} after save {number}");
    }
    let stuck = agent.metrics()?.count("state_watchdog_stuck_threads", &[]);
    drop((waiting, mounts));
    agent.stop()?;
    other.stop()?;
    let (slow, quick) = (median(slow), median(quick));
    let most = quick.mul_f64(SLOWER).max(quick + NOISE);
    ensure!(slow <= most, "reported within {slow:.1?} at the median, {quick:.1?} without the mount");
    Ok(format!("median {slow:.1?} with it and {quick:.1?} without, {SAVES} saves each; {stuck} threads wait"))
}

fn furnish(stage: &Stage<'_>) -> Result<PathBuf> {
    let folder = stage.root.join("victim");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("state.json"), "{}")?;
    Ok(folder.join("state.json"))
}

/// Saves in place, and gives how long it took until that was reported.
fn report(agent: &Agent, file: &Path, number: usize) -> Result<Duration> {
    let told = |finding: &Finding| {
        finding.kind == "nonatomic_write" && finding.container_id.as_deref() == Some("victim")
    };
    let before = agent.count(told);
    fs::write(file, format!("{{\"number\":{number:06}}}"))?;
    let saved = Instant::now();
    while agent.count(told) == before {
        ensure!(saved.elapsed() < LONGEST, "save {number} is never reported");
        thread::sleep(Duration::from_micros(200));
    }
    Ok(saved.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
