//! `watchdog-workload`: one writer, or one reader after another, with a record of each save and each read.

mod process;
mod progress;
mod read;
mod storm;
mod write;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use workload::{Cost, How, Style};

use progress::Progress;

#[derive(Parser)]
#[command(about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Write the first version.
    Prepare {
        /// The state file.
        file: PathBuf,
    },
    /// Save version after version.
    Write {
        #[arg(long)]
        how: How,
        #[command(flatten)]
        both: Both,
    },
    /// Measure what unrelated system calls cost, and print it as JSON.
    Cost {
        /// Where to put a file, best on a tmpfs.
        folder: PathBuf,
    },
    /// Read and save many state files at a given rate, and print what was done as JSON.
    Storm {
        #[command(flatten)]
        storm: storm::Storm,
        /// Make the containers, and nothing else.
        #[arg(long)]
        prepare: bool,
    },
    /// Count the instructions of unrelated system calls, and print them as JSON.
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    Instructions {
        /// Where to put a file, on a tmpfs.
        folder: PathBuf,
    },
    /// Read again and again, each time in a new process.
    Read {
        #[arg(long)]
        style: Style,
        #[command(flatten)]
        both: Both,
    },
}

/// What the writer and the readers of one file must agree on.
#[derive(Args)]
struct Both {
    /// The state file.
    #[arg(long)]
    file: PathBuf,
    /// The file of the shared counters, outside of what is watched.
    #[arg(long)]
    progress: PathBuf,
    /// How many saves there will be.
    #[arg(long)]
    writes: u64,
    /// How many reads there will be.
    #[arg(long)]
    reads: u64,
}

fn main() -> Result<()> {
    match Arguments::parse().task {
        Task::Prepare { file } => write::prepare(&file),
        Task::Cost { folder } => {
            println!("{}", serde_json::to_string(&Cost::measure(&folder)?)?);
            Ok(())
        }
        Task::Storm { storm, prepare: true } => storm::prepare(&storm),
        Task::Storm { storm, prepare: false } => {
            println!("{}", serde_json::to_string(&storm::run(&storm)?)?);
            Ok(())
        }
        #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
        Task::Instructions { folder } => {
            println!("{}", serde_json::to_string(&workload::Instructions::count(&folder)?)?);
            Ok(())
        }
        Task::Write { how, both } => {
            write::run(&both.file, how, Progress::open(&both.progress)?, both.writes.max(1), both.reads)
        }
        Task::Read { style, both } => {
            read::run(&both.file, style, Progress::open(&both.progress)?, both.reads.max(1), both.writes)
        }
    }
}
