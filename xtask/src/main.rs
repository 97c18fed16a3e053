//! What cargo cannot say: the toolchain, the demonstration, the checks that need a kernel.

mod privilege;
mod tools;

use anyhow::Result;
use clap::{Parser, Subcommand};

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
    },
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Setup { toolchain } => tools::set_up_bpf(&Cache::open()?, toolchain),
    }
}
