//! `cargo xtask chaos`: faults during the ground truth. After each: nothing complete is told as torn, what was lost is
//! counted, the agent goes on or says why not, and the workload is unharmed.

mod bursts;
mod crowds;
mod hostile;
mod limits;
mod mount;
mod processes;
mod shim;
mod silent;
mod stage;
mod surroundings;

use std::{fmt::Write as _, time::Instant};

use anyhow::{Result, bail, ensure};

use crate::{
    build::Profile,
    privilege,
    programs::{PrebuiltPrograms, Programs},
    tally::Tally,
};

use stage::Stage;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// The agent is killed, and started again.
    Kill,
    /// The agent is stopped for seconds.
    Stop,
    /// The ring buffer is filled.
    Ring,
    /// No file descriptor is left.
    Descriptors,
    /// No inotify watch is left.
    Watches,
    /// No memory is left.
    Memory,
    /// Standard output is a file on a full disk.
    Disk,
    /// The HTTP port is taken.
    Port,
    /// Roots are removed and made again.
    Roots,
    /// Another file system is mounted over the roots.
    Remount,
    /// The clock is set.
    Clock,
    /// Processes come and go, and reuse process ids.
    Flood,
    /// Containers come and go, 200 a second.
    Churn,
    /// Containers and processes have names that are meant to do harm.
    Names,
    /// There are more files than anyone has.
    Files,
    /// HTTP clients are slow, and many.
    Clients,
    /// A mount does not answer.
    Silent,
}

impl Fault {
    /// All of them.
    const ALL: [Self; 17] = [
        Self::Kill,
        Self::Stop,
        Self::Ring,
        Self::Descriptors,
        Self::Watches,
        Self::Memory,
        Self::Disk,
        Self::Port,
        Self::Roots,
        Self::Remount,
        Self::Clock,
        Self::Flood,
        Self::Churn,
        Self::Names,
        Self::Files,
        Self::Clients,
        Self::Silent,
    ];

    /// The name as typed.
    fn as_str(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Ring => "ring",
            Self::Descriptors => "descriptors",
            Self::Watches => "watches",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Port => "port",
            Self::Roots => "roots",
            Self::Remount => "remount",
            Self::Clock => "clock",
            Self::Flood => "flood",
            Self::Churn => "churn",
            Self::Names => "names",
            Self::Files => "files",
            Self::Clients => "clients",
            Self::Silent => "silent",
        }
    }

    /// Lets it happen, and gives what was seen.
    fn strike(self, stage: &Stage<'_>) -> Result<String> {
        match self {
            Self::Kill => processes::kill(stage),
            Self::Stop => processes::stop(stage),
            Self::Ring => processes::ring(stage),
            Self::Descriptors => limits::descriptors(stage),
            Self::Watches => limits::watches(stage),
            Self::Memory => limits::memory(stage),
            Self::Disk => surroundings::disk(stage),
            Self::Port => surroundings::port(stage),
            Self::Roots => surroundings::roots(stage),
            Self::Remount => surroundings::remount(stage),
            Self::Clock => surroundings::clock(stage),
            Self::Flood => crowds::flood(stage),
            Self::Churn => crowds::churn(stage),
            Self::Names => hostile::names(stage),
            Self::Files => hostile::files(stage),
            Self::Clients => hostile::clients(stage),
            Self::Silent => silent::silent(stage),
        }
    }
}

/// Which faults, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each fault strikes.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// This fault alone; may be given again.
    #[arg(long, value_enum)]
    fault: Vec<Fault>,
    #[command(flatten)]
    programs: PrebuiltPrograms,
}

/// Builds, then lets everything go wrong.
pub(crate) fn run(options: &Options) -> Result<()> {
    ensure!(privilege::is_root(), "the agent loads probes and so needs root; run this with sudo");
    let (agent, workload) = options.programs.or_built(Profile::Release)?;
    let faults = if options.fault.is_empty() { &Fault::ALL[..] } else { &options.fault };
    let mut failures = String::new();
    for fault in faults {
        let (mut good, mut last) = (0, String::new());
        let begun = Instant::now();
        for round in 1..=options.rounds.max(1) {
            match Stage::new(&agent, &workload).and_then(|stage| fault.strike(&stage)) {
                Ok(detail) => (good, last) = (good + 1, detail),
                Err(error) => {
                    let failure = format!("{} (round {round}): {error:#}", fault.as_str());
                    println!("{failure}");
                    writeln!(failures, "{failure}")?;
                }
            }
        }
        let (name, rounds, seconds) = (fault.as_str(), options.rounds.max(1), begun.elapsed().as_secs());
        println!("{name:<12} {good:>3} of {rounds} good in {seconds} s; the last: {last}");
    }
    if failures.is_empty() { Ok(()) } else { bail!("{failures}") }
}

/// Each fault once, as a check each.
pub(crate) fn check(programs: &Programs, tally: &mut Tally) {
    for fault in Fault::ALL {
        tally.check(&format!("chaos: {}", fault.as_str()), || {
            fault.strike(&Stage::new(&programs.agent, &programs.workload)?)
        });
    }
}
