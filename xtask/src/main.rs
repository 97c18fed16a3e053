//! What cargo cannot say: the toolchain, the demonstration, the checks that need a kernel.

mod again;
mod agent;
mod architecture;
mod bench;
mod build;
mod chaos;
mod check;
mod dashboards;
mod deadline;
mod demo;
mod deploy;
mod finding;
mod fuzz;
mod image;
mod kernels;
mod kubernetes;
mod load;
mod markdown;
mod marks;
mod metrics;
mod page;
mod privilege;
mod programs;
mod prometheus;
mod repository;
mod runtimes;
mod scale;
mod scrape;
mod scratch;
mod soak;
mod supply;
mod tally;
mod tools;
mod truth;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use check::Installed;
use tools::{Cache, Origin};

#[derive(Parser)]
#[command(about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what is needed to build the eBPF object.
    Setup {
        /// Whose rustc to use, instead of the first that works.
        #[arg(long, value_enum)]
        toolchain: Option<Origin>,
        /// What the emulated machines need, too: emulators and kernels. `test` does the same when it comes to them.
        #[arg(long)]
        kernels: bool,
    },
    /// Run the agent beside an unsafe and a safe writer, and compare its counts with theirs.
    Demo(programs::PrebuiltPrograms),
    /// Draw the dashboards for the documentation, after minutes of work on three agents; as root.
    Pictures,
    /// Measure what the agent costs everybody else, and how much memory it takes.
    Bench(bench::Options),
    /// Build the container image: a static agent and nothing else.
    Image(image::Options),
    /// Let everything go wrong that can, beside a workload that records the truth.
    Chaos(chaos::Options),
    /// Let the agent watch a mixed workload for long, and see that it holds no more at the end.
    Soak(soak::Options),
    /// Throw arbitrary bytes at everything that takes foreign ones.
    Fuzz(fuzz::Options),
    /// Run the checks, all that are quick unless more is asked for.
    Test(check::Options),
    /// Make the trees of real runtimes anew that the agent's tests read; needs root.
    Fixtures(runtimes::FixtureOptions),
    /// Be a node of Kubernetes, in namespaces that are there already.
    #[command(hide = true)]
    Node(kubernetes::Within),
    /// Run a part of the checks as root, with programs that are there already.
    #[command(hide = true)]
    Installed(Installed),
}

fn set_up(toolchain: Option<Origin>, machines: bool) -> anyhow::Result<()> {
    let cache = Cache::open()?;
    tools::set_up_bpf(&cache, toolchain)?;
    if machines { kernels::set_up(&cache) } else { Ok(()) }
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Setup { toolchain, kernels } => set_up(toolchain, kernels),
        Task::Demo(options) => demo::run(&options),
        Task::Pictures => dashboards::draw(),
        Task::Bench(options) => bench::run(&options),
        Task::Image(options) => image::run(&options),
        Task::Chaos(options) => chaos::run(&options),
        Task::Soak(options) => soak::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Test(options) => check::run(&options),
        Task::Fixtures(options) => runtimes::make_fixtures(&options),
        Task::Node(within) => kubernetes::run_within(&within),
        Task::Installed(installed) => check::run_installed(installed),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
