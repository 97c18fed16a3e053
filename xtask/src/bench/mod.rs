//! `cargo xtask bench`: what the agent costs everybody else, how much memory it takes, and how many events.
//!
//! Figures of shared machines are noisy, so every comparison alternates within one run and says medians and ratios.

mod audit;
mod cost;
mod engine;
mod fleet;
mod growth;
mod memory;
mod page;
mod peers;
mod plot;
mod process;
mod rules;
mod throughput;
mod watches;

use anyhow::{Result, ensure};

use crate::{
    build::Profile, kernels, privilege, programs::PrebuiltPrograms, repository::Repository, scale,
    tools::Cache,
};

/// How much is measured. Without one of the options that say "do nothing else", all but the growth, the peers and
/// the kernels. `UPDATE_DOCS=1` writes what was measured into docs/OVERHEAD.md.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Options {
    /// How often the agent is turned on and off.
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// How many saves make up the memory test: 36,000 is what 100 containers that are updated every 10 s see in an
    /// hour.
    #[arg(long, default_value_t = 36_000)]
    saves: u64,
    /// Send state-file events at these rates a second, 0 for as fast as it goes; may be given again.
    #[arg(long = "rate", default_values_t = [1_000, 10_000, 50_000, 100_000, 0])]
    rates: Vec<u64>,
    /// For so many seconds each.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Compare with others of the same trade, install those that Debian has, and do nothing else.
    #[arg(long)]
    peers: bool,
    /// Nothing but the rates.
    #[arg(long)]
    throughput: bool,
    /// How many containers stand there when nothing happens; 0 leaves that out.
    #[arg(long, default_value_t = 10_000)]
    containers: usize,
    /// Nothing but the containers.
    #[arg(long)]
    only_containers: bool,
    /// Measure the engine alone, without a kernel, and do nothing else; needs no root.
    #[arg(long)]
    engine: bool,
    /// Nothing but the memory.
    #[arg(long)]
    memory: bool,
    /// Count what a Prometheus has to bear for many nodes, and do nothing else.
    #[arg(long)]
    fleet: bool,
    /// Measure how the agent grows with containers and with what happens to their state files, and do nothing else.
    #[arg(long)]
    growth: bool,
    /// Measure what the watches on directories cost, and do nothing else.
    #[arg(long)]
    watches: bool,
    /// Count instructions on other kernels, in emulated machines, and do nothing else; needs no root.
    #[arg(long)]
    kernels: bool,
    #[command(flatten)]
    machines: kernels::Options,
    #[command(flatten)]
    programs: PrebuiltPrograms,
}

/// Sets up, builds, measures, prints.
pub(crate) fn run(options: &Options) -> Result<()> {
    let repository = Repository::find()?;
    if options.kernels {
        return kernels::count(&options.machines, &repository, &Cache::open()?);
    }
    if options.engine {
        return engine::engine(&repository);
    }
    ensure!(privilege::is_root(), "measuring loads the probes and so needs root; run it with sudo");
    let cache = Cache::open()?;
    let (agent, workload) = options.programs.or_built(Profile::Release)?;
    let rounds = options.rounds.max(1);
    let throughput =
        || throughput::throughput(options.seconds.max(1), &options.rates, &agent, &workload, &repository);
    if options.only_containers {
        return scale::print(&agent, options.containers);
    }
    if options.memory {
        return memory::memory(options.saves, &agent, &workload, &repository);
    }
    if options.growth {
        return growth::growth(&agent, &workload, &repository);
    }
    if options.throughput {
        return throughput();
    }
    if options.watches {
        return watches::watches(rounds, &agent, &repository);
    }
    if options.fleet {
        return fleet::fleet(&agent, &workload, &cache, &repository);
    }
    if options.peers {
        return cost::peers(rounds, &agent, &workload, &cache, &repository);
    }
    cost::attachments(&repository)?;
    cost::calls(rounds, &agent, &workload, &repository)?;
    memory::memory(options.saves, &agent, &workload, &repository)?;
    engine::engine(&repository)?;
    if options.containers > 0 {
        scale::print(&agent, options.containers)?;
    }
    throughput()
}
