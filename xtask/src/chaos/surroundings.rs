//! What the agent stands on gives way: disk, port, roots, mounts, clock.

use std::{
    fs::{self, File},
    net::TcpListener,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    mount::Tmpfs,
    shim::Clock,
    stage::{AFTER, BEFORE, DURING, Stage, settle},
};
use crate::{
    agent::Agent,
    deadline::{output, until},
    finding::Finding,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Findings go to a file on a disk of 64 KiB: dropped ones are counted and served all the same, and when there is room
/// again the next ones are whole lines.
pub(super) fn disk(stage: &Stage<'_>) -> Result<String> {
    let folder = stage.scratch.folder("disk")?;
    let _disk = Tmpfs::mount(&folder, "size=64k")?;
    let file = folder.join("findings");
    let (words, address) = stage.command(&[])?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).stdout(File::options().create(true).append(true).open(&file)?);
    let agent = Agent::attend(command, address, &stage.log(), None)?;
    let calm = stage.play(BEFORE)?;
    let during = stage.play(DURING)?;
    let dropped = "state_watchdog_findings_dropped_total";
    let unwritable = [("reason", "unwritable")];
    let metrics = agent.settled(|metrics| metrics.count(dropped, &unwritable) > 0)?;
    ensure!(metrics.count(dropped, &unwritable) > 0, "the disk was never full");
    settle(&agent, calm.saves() + during.saves())?;
    let served = agent.get("/findings?limit=1")?;
    ensure!(served.contains("\"kind\""), "no findings are served: {served}");
    File::options().write(true).open(&file)?.set_len(0)?;
    let after = stage.play(AFTER)?;
    let metrics = settle(&agent, calm.saves() + during.saves() + after.saves())?;
    // The last findings are written on the way out.
    agent.stop()?;
    let text = fs::read_to_string(&file)?;
    // Cut off when the disk was full; its end is the first line now.
    let mut lines = text.lines().skip_while(|line| Finding::parse(line).is_err());
    let whole = lines.by_ref().map_while(|line| Finding::parse(line).ok()).count();
    let more = metrics.count(dropped, &unwritable);
    ensure!(whole > 0, "no finding was written when there was room again: {text:.300}");
    let said = fs::read_to_string(stage.log())?;
    ensure!(said.contains("cannot be written to standard output"), "the log says nothing: {said}");
    metrics.nothing_lost()?;
    Ok(format!(
        "{more} findings dropped and counted, {whole} written afterwards; saves x{:.1}",
        during.slowed(&calm)?
    ))
}

/// The port is somebody else's: exit code 74 with the address and the remedy, before anything is attached.
pub(super) fn port(stage: &Stage<'_>) -> Result<String> {
    let taken = TcpListener::bind(("127.0.0.1", 0))?;
    let address = taken.local_addr()?;
    let playing = stage.begin(BEFORE)?;
    let words = Agent::arguments(&[], &[("chaos", &stage.root)], address);
    let mut command = Command::new(stage.program);
    let output = output(command.args(words), "an agent whose port is taken", PATIENCE)?;
    playing.finish()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(74), "it ended with {}: {said}", output.status);
    ensure!(
        said.contains(&address.to_string()) && said.contains("choose another --listen"),
        "it said: {said}"
    );
    ensure!(output.stdout.is_empty(), "findings without a port");
    Ok("exit code 74, the address and the remedy in the log".to_owned())
}

/// Roots that are removed and made again are found again.
pub(super) fn roots(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    settle(&agent, calm.saves())?;
    for _ in 0..5 {
        fs::remove_dir_all(&stage.root)?;
        present(&agent, 0.0)?;
        stage.furnish()?;
        present(&agent, 1.0)?;
    }
    let after = stage.play(AFTER)?;
    settle(&agent, calm.saves() + after.saves())?;
    // Faster than anyone looks: what is saved in a root before it is watched is not told, and nothing is made up.
    fs::remove_dir_all(&stage.root)?;
    stage.furnish()?;
    let during = stage.play(DURING)?;
    until(PATIENCE, || Ok((watching(&agent) >= 7).then_some(())))?
        .context("the last root was never watched")?;
    let findings = agent.stop()?;
    calm.exact(&findings)?;
    after.exact_but_for_the_first(&findings)?;
    let (told, of) = during.honest(&findings)?;
    Ok(format!(
        "6 times; {told} of {of} saves told right after the last; saves x{:.1}",
        during.slowed(&calm)?
    ))
}

/// A file system is mounted over the folder in which the root stands, as when /run comes anew; then it goes again.
pub(super) fn remount(stage: &Stage<'_>) -> Result<String> {
    let agent = stage.agent(&[])?;
    let calm = stage.play(BEFORE)?;
    settle(&agent, calm.saves())?;
    let folder = stage.root.parent().context("the root has no parent")?;
    let over = Tmpfs::mount(folder, "size=16m")?;
    present(&agent, 0.0)?;
    stage.furnish()?;
    present(&agent, 1.0)?;
    until(PATIENCE, || Ok((watching(&agent) >= 2).then_some(())))?
        .context("the new root was never watched")?;
    let during = stage.play(DURING)?;
    settle(&agent, calm.saves() + during.saves())?;
    drop(over);
    until(PATIENCE, || Ok((watching(&agent) >= 3).then_some(())))?
        .context("the old root was never watched")?;
    let after = stage.play(AFTER)?;
    let metrics = settle(&agent, calm.saves() + during.saves() + after.saves())?;
    let findings = agent.stop()?;
    metrics.nothing_lost()?;
    let anomalies = metrics.by("state_watchdog_anomalies_total", "kind", &[]);
    calm.exact(&findings)?;
    for act in [&during, &after] {
        act.exact_but_for_the_first(&findings).with_context(|| format!("{anomalies:?}"))?;
    }
    Ok(format!(
        "all of {} saves told below three roots at one place; saves x{:.1}",
        calm.saves() + during.saves() + after.saves(),
        during.slowed(&calm)?
    ))
}

/// The wall clock is set a day back and two days ahead: events are ordered by boot time, and findings tell the time as
/// it is set.
pub(super) fn clock(stage: &Stage<'_>) -> Result<String> {
    const DAY: i64 = 86_400;
    let clock = Clock::build(stage.scratch.path())?;
    let (words, address) = stage.command(&[])?;
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("LD_PRELOAD", &clock.library).env("CHAOS_CLOCK", &clock.offset);
    let agent = Agent::launch(command, address, &stage.log(), None)?;
    let calm = stage.play(BEFORE)?;
    settle(&agent, calm.saves())?;
    clock.set(-DAY)?;
    let playing = stage.begin(DURING)?;
    clock.set(2 * DAY)?;
    let during = playing.finish()?;
    settle(&agent, calm.saves() + during.saves())?;
    calm.exact_by(&agent)?;
    during.exact_by(&agent)?;
    let (expected, mut last) = (day(2)?, String::new());
    // The agent looks at the clock once a second; until it did, it tells the time as it was.
    let told = until(PATIENCE, || {
        let (known, saved) = (agent.findings().len(), stage.play(AFTER)?);
        let new = || agent.findings().split_off(known);
        let in_place = |finding: &&Finding| finding.kind == "nonatomic_write";
        until(PATIENCE, || {
            Ok((new().iter().filter(in_place).count() as u64 >= saved.in_place()).then_some(()))
        })?;
        last = new().last().map(|finding| finding.time.clone()).unwrap_or_default();
        Ok(expected.iter().any(|day| last.starts_with(day.as_str())).then_some(()))
    })?;
    ensure!(told.is_some(), "told {last}, it is {expected:?}");
    let metrics = agent.metrics()?;
    metrics.nothing_lost()?;
    agent.stop()?;
    let saves = calm.saves() + during.saves();
    Ok(format!("all of {saves} saves told, the last one at {last}; saves x{:.1}", during.slowed(&calm)?))
}

/// The date in so many days, and the next one, should midnight pass.
fn day(ahead: u64) -> Result<[String; 2]> {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let date = |seconds: u64| {
        let output = Command::new("date").args(["-u", "+%F", &format!("--date=@{seconds}")]).output()?;
        anyhow::Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    Ok([date(seconds + ahead * 86_400)?, date(seconds + ahead * 86_400 + 60)?])
}

/// Waits until so many roots stand in the agent's view.
fn present(agent: &Agent, count: f64) -> Result<()> {
    let metrics =
        agent.settled(|metrics| metrics.sum("state_watchdog_runtime_root_present", &[]) == count)?;
    let found = metrics.sum("state_watchdog_runtime_root_present", &[]);
    ensure!(found == count, "{found} roots stand, expected {count}");
    Ok(())
}

/// How often the agent said that it watches a root.
fn watching(agent: &Agent) -> usize {
    agent.logged().matches("watching a runtime root").count()
}
