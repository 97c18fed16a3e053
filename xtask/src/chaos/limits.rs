//! A limit is reached: descriptors, watches, memory.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};

use super::stage::{AFTER, BEFORE, DURING, Stage, settle};
use crate::{
    agent::Agent,
    deadline::{output, until},
};

const PATIENCE: Duration = Duration::from_secs(60);

/// No descriptor can be opened: pages do not answer and less is known of processes, but events are told on. When there
/// are some again, all is as before.
pub(super) fn descriptors(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    settle(&agent, calm.saves())?;
    let before = getrlimit(Resource::Nofile);
    prlimit(Some(agent.pid()?), Resource::Nofile, Rlimit { current: Some(3), ..before })?;
    ensure!(!answers(&agent)?, "it answers a new client without a descriptor");
    let during = stage.play(DURING)?;
    // The witness and the engine have said what they have to say by then.
    let told = |finding: &crate::finding::Finding| finding.kind == "nonatomic_write";
    let in_place = calm.in_place() + during.in_place();
    let all = until(PATIENCE, || Ok((agent.count(told) as u64 >= in_place).then_some(())))?;
    ensure!(all.is_some(), "{} of {in_place} saves in place were told", agent.count(told));
    prlimit(Some(agent.pid()?), Resource::Nofile, before)?;
    until(PATIENCE, || Ok(answers(&agent)?.then_some(())))?.context("it never answers again")?;
    let after = stage.play(AFTER)?;
    let metrics = settle(&agent, calm.saves() + during.saves() + after.saves())?;
    let findings = agent.stop()?;
    metrics.nothing_lost()?;
    during.exact(&findings)?;
    after.exact(&findings)?;
    let refused = refusal(stage, "ulimit -n 8")?;
    Ok(format!(
        "all of {} saves told without a descriptor; started with 8: {refused}; saves x{:.1}",
        during.saves(),
        during.slowed(&calm)?
    ))
}

/// Whether a new client gets an answer.
fn answers(agent: &Agent) -> Result<bool> {
    let mut stream = TcpStream::connect(agent.address())?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n")?;
    let mut answer = Vec::new();
    Ok(stream.read_to_end(&mut answer).is_ok() && answer.starts_with(b"HTTP/1."))
}

/// The same agent under a limit that it cannot start with: how it ends, and what it says.
fn refusal(stage: &Stage<'_>, limit: &str) -> Result<String> {
    let (words, _) = stage.command(&[])?;
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit} && exec \"$@\""), "sh"]).args(words);
    let output = output(&mut command, &format!("an agent under {limit}"), PATIENCE)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!said.contains("panicked"), "it panicked: {said}");
    let code = output.status.code().context("it was killed")?;
    ensure!([69, 70, 77].contains(&code), "exit code {code}: {said}");
    let why = said.lines().rfind(|line| line.contains("ERROR")).context("it gives no reason")?;
    let why = why.split_once("ERROR").map_or(why, |(_, why)| why);
    Ok(format!("exit code {code}, {:?}", why.trim()))
}

/// The user's inotify watches are used up, in a user namespace of the agent's own: the directories that are not watched
/// are counted, and watched when there is room.
pub(super) fn watches(stage: &Stage<'_>) -> Result<String> {
    let (words, address) = stage.command(&["--source", "inotify"])?;
    let mut command = Command::new("unshare");
    command
        .args(["-U", "-r", "sh", "-c", "echo 5 > /proc/sys/user/max_inotify_watches && exec \"$@\"", "sh"])
        .args(words);
    let agent = Agent::launch(command, address, &stage.log(), None)?;
    let refused = agent.metrics()?.count("state_watchdog_events_lost_total", &[("reason", "watch_limit")]);
    ensure!(refused > 0, "the limit was never reached");
    ensure!(agent.get("/readyz")?.contains("degraded"), "it says that all is well");
    let calm = stage.play(BEFORE)?;
    let during = stage.play(DURING)?;
    let raised = Command::new("nsenter")
        .args(["--user", "--preserve-credentials", "--target", &agent.pid()?.as_raw_nonzero().to_string()])
        .args(["sh", "-c", "echo 1000 > /proc/sys/user/max_inotify_watches"])
        .status()?;
    ensure!(raised.success(), "the limit cannot be raised");
    until(PATIENCE, || {
        Ok(agent
            .get("/readyz")
            .is_ok_and(|said| said.contains("ready") && !said.contains("degraded"))
            .then_some(()))
    })?
    .context("the directories were never watched")?;
    let before = agent.findings();
    let after = stage.play(AFTER)?;
    let in_place = after.in_place();
    let since = |agent: &Agent| agent.findings().split_off(before.len());
    until(PATIENCE, || {
        let told = since(&agent).iter().filter(|finding| finding.kind == "nonatomic_write").count();
        Ok((told as u64 >= in_place).then_some(()))
    })?;
    let late = since(&agent);
    let findings = agent.stop()?;
    let (told, of) = during.honest(&findings)?;
    let (told_after, of_after) = after.honest(&late)?;
    ensure!(told_after == of_after, "{told_after} of {of_after} saves told when all was watched");
    Ok(format!(
        "{refused} directories refused and counted, {told} of {of} saves told meanwhile, all {of_after} afterwards; \
         saves x{:.1}",
        during.slowed(&calm)?
    ))
}

/// A memory control group.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    peak: &'static str,
}

impl Group {
    /// Makes one with a limit; an error where the kernel has no controller for us.
    fn new(name: &str, bytes: u64) -> Result<Self> {
        let [first, second] = [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            ("/sys/fs/cgroup", "memory.max", "memory.peak"),
        ];
        let (base, limit, peak) = if Path::new(first.0).is_dir() { first } else { second };
        let folder = Path::new(base).join(format!("state-watchdog-{}-{name}", std::process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make the group {}", folder.display()))?;
        let group = Self { folder, limit, peak };
        let file = group.folder.join(group.limit);
        fs::write(&file, bytes.to_string()).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(group)
    }

    /// A command that runs within it.
    fn command(&self, words: &[std::ffi::OsString]) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$1/cgroup.procs\" && shift && exec \"$@\"", "sh"])
            .arg(&self.folder)
            .args(words);
        command
    }

    fn peak(&self) -> Result<u64> {
        Ok(fs::read_to_string(self.folder.join(self.peak))?.trim().parse()?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is busy until the kernel has buried its last process.
        let gone = until(PATIENCE, || Ok(fs::remove_dir(&self.folder).ok()));
        if !gone.is_ok_and(|gone| gone.is_some()) {
            eprintln!("left behind: {}", self.folder.display());
        }
    }
}

/// What the agent gets in normal use.
const ROOM: u64 = 64 << 20;

/// Within its limit, the kernel's maps and buffers included, it does all its work; with far too little it is killed or
/// says so, and the workload does not notice.
pub(super) fn memory(stage: &Stage<'_>) -> Result<String> {
    let group = Group::new("room", ROOM)?;
    let (words, address) = stage.command(&[])?;
    let command = group.command(&words);
    let agent = Agent::launch(command, address, &stage.log(), None)?;
    let calm = stage.play(BEFORE)?;
    let during = stage.play(DURING)?;
    let metrics = settle(&agent, calm.saves() + during.saves())?;
    let findings = agent.stop()?;
    metrics.nothing_lost()?;
    during.exact(&findings)?;
    let peak = group.peak()?;
    let tight = Group::new("tight", 2 << 20)?;
    let (words, _) = stage.command(&[])?;
    let playing = stage.begin(AFTER)?;
    let mut starved =
        tight.command(&words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let ended = until(PATIENCE, || Ok(starved.try_wait()?));
    let _ = starved.kill();
    let _ = starved.wait();
    let status = ended?.context("it hangs with 2 MiB")?;
    playing.finish()?;
    ensure!(!status.success(), "it says that all is well with 2 MiB");
    let peak = peak as f64 / f64::from(1 << 20);
    Ok(format!(
        "at most {peak:.1} MiB of 64 with all its kernel memory; with 2 MiB: {status}; saves x{:.1}",
        during.slowed(&calm)?
    ))
}
