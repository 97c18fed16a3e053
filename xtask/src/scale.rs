//! The agent over ten thousand containers: how long it takes to start, what it holds in memory, what it costs when nothing
//! happens.

use std::{
    fmt, fs,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    agent::Agent,
    deadline::until,
    programs::Programs,
    scratch::{Medium, Scratch},
    tally::Tally,
};

/// How many containers a check makes.
const CONTAINERS: usize = 10_000;
/// One in so many has an empty state file: when all of these are told, all files were read.
pub(crate) const EMPTY: usize = 100;
/// What the agent may hold, whatever the machine.
const RESIDENT_MIB: f64 = 40.0;
/// The runtime's name.
const RUNTIME: &str = "crowd";
const READ: Duration = Duration::from_secs(300);

/// What was measured of one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// From the start of the process until it is ready.
    pub(crate) ready: Duration,
    /// Until every state file was judged.
    pub(crate) judged: Duration,
    /// Resident memory after that, in MiB.
    pub(crate) resident: f64,
    /// Part of one processor that it takes when nothing happens.
    pub(crate) idle: f64,
    /// What a scrape is then.
    pub(crate) scrape: Scrape,
}

/// A scrape: the median of some.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scrape {
    pub(crate) took: Duration,
    pub(crate) bytes: usize,
    pub(crate) series: usize,
}

impl Scrape {
    /// How many are made for a median.
    const ROUNDS: usize = 9;

    pub(crate) fn of(agent: &Agent) -> Result<Self> {
        let mut times = Vec::new();
        let mut page = String::new();
        for _ in 0..Self::ROUNDS {
            let begun = Instant::now();
            page = agent.get("/metrics")?;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        let series = page.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        Ok(Self { took: times[Self::ROUNDS / 2], bytes: page.len(), series })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ready, judged, resident, idle, scrape: _ } = self;
        write!(
            f,
            "ready after {:.2} s, all files judged after {:.1} s, {resident:.1} MiB resident, idle {:.2} % of a core",
            ready.as_secs_f64(),
            judged.as_secs_f64(),
            idle * 100.0
        )
    }
}

/// Each source watches ten thousand containers in little memory. Times are printed and not judged: they are the machine's.
pub(crate) fn check(programs: &Programs, tally: &mut Tally) {
    for (name, options) in sources() {
        tally.check(&format!("{CONTAINERS} containers under {name}"), || {
            let figures = measure(&programs.agent, options, CONTAINERS, Duration::from_secs(3))?;
            ensure!(figures.resident < RESIDENT_MIB, "more than {RESIDENT_MIB} MiB resident: {figures}");
            Ok(figures.to_string())
        });
    }
}

/// Prints the figures of each source.
pub(crate) fn print(agent: &Path, containers: usize) -> Result<()> {
    println!("\n== {containers} containers, nothing happening");
    for (name, options) in sources() {
        println!("{name:<14} {}", measure(agent, options, containers, Duration::from_secs(20))?);
    }
    Ok(())
}

fn sources() -> [(&'static str, &'static [&'static str]); 2] {
    [("inotify", &["--source", "inotify"]), ("the best source", &[])]
}

/// Starts the agent over so many containers and measures it; `idle` is how long nothing happens.
pub(crate) fn measure(agent: &Path, options: &[&str], containers: usize, idle: Duration) -> Result<Figures> {
    let scratch = Scratch::new(Medium::Memory)?;
    let root = scratch.folder("root")?;
    populate(&root, containers)?;
    let log = scratch.path().join("agent.log");
    let begun = Instant::now();
    let agent = Agent::start_with(agent, options, &[(RUNTIME, &root)], &log, None)?;
    let ready = begun.elapsed();
    let empty = containers.div_ceil(EMPTY) as u64;
    let judged = until(READ, || {
        let damaged = agent.metrics()?.count("state_watchdog_damaged_state_files", &[]);
        Ok((damaged >= empty).then(|| begun.elapsed()))
    })?;
    let judged = judged.with_context(|| format!("not all files were read within {} s", READ.as_secs()))?;
    let metrics = agent.metrics()?;
    let known = metrics.sum("state_watchdog_state_files", &[("runtime", RUNTIME)]);
    ensure!(known == containers as f64, "{known} of {containers} state files are known");
    metrics.nothing_lost().context("although nothing happened")?;
    let evicted = metrics.count("state_watchdog_anomalies_total", &[("kind", "evicted")]);
    ensure!(evicted == 0, "{evicted} things were forgotten for want of room");
    // Free memory is given back every five seconds.
    let settled = Instant::now() + Duration::from_secs(8);
    let mut least = resident(&agent)?;
    until(READ, || {
        least = least.min(resident(&agent)?);
        Ok((Instant::now() > settled).then_some(()))
    })?;
    let (before, from) = (spent(&agent)?, Instant::now());
    std::thread::sleep(idle);
    let idle = (spent(&agent)? - before) / from.elapsed().as_secs_f64();
    let scrape = Scrape::of(&agent)?;
    agent.stop()?;
    Ok(Figures { ready, judged, resident: least, idle, scrape })
}

/// Resident memory in MiB.
pub(crate) fn resident(agent: &Agent) -> Result<f64> {
    Ok(agent.metrics()?.sum("process_resident_memory_bytes", &[]) / f64::from(1 << 20))
}

/// Seconds of processor time so far.
pub(crate) fn spent(agent: &Agent) -> Result<f64> {
    Ok(agent.metrics()?.sum("process_cpu_seconds_total", &[]))
}

/// Containers with state files as large as runc's.
pub(crate) fn populate(root: &Path, containers: usize) -> Result<()> {
    let state = format!("{{\"id\":\"x\",\"filler\":\"{}\"}}", "x".repeat(5_000));
    for number in 0..containers {
        let directory = root.join(format!("{number:064x}"));
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        fs::write(directory.join("state.json"), if number % EMPTY == 0 { "" } else { &state })?;
    }
    Ok(())
}
