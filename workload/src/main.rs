//! `watchdog-workload`: one writer, or one reader after another, with a record of each save and each read; and crowds
//! of containers and processes, with a record of how many.

mod churn;
mod flood;
mod forge;
mod mapped;
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
        /// Each reader takes over the process id of one that has ended.
        #[arg(long)]
        reuse: bool,
        #[command(flatten)]
        both: Both,
    },
    /// Let containers come and go, and print what was done as JSON.
    Churn {
        /// The runtime root.
        root: PathBuf,
        /// How many.
        #[arg(long)]
        containers: u64,
        /// How many begin in a second.
        #[arg(long)]
        per_second: u64,
        /// Some are saved in place under a lock, too.
        #[arg(long)]
        guarded: bool,
    },
    /// Give containers and processes names that are meant to do harm, and print how many saves that were.
    Forge {
        /// The runtime root.
        root: PathBuf,
        /// How many further processes, each of another name.
        #[arg(long)]
        comms: u64,
    },
    /// Start processes that end at once, one after another, and print how many as JSON.
    Flood {
        /// A state file that every fourth of them reads.
        file: PathBuf,
        /// For so long.
        #[arg(long)]
        seconds: f64,
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
        Task::Read { style, reuse, both } => {
            let Both { file, progress, writes, reads } = both;
            read::run(&file, style, Progress::open(&progress)?, reads.max(1), writes, reuse)
        }
        Task::Churn { root, containers, per_second, guarded } => {
            let churned = churn::run(&root, containers, per_second.max(1), guarded)?;
            println!("{}", serde_json::to_string(&churned)?);
            Ok(())
        }
        Task::Forge { root, comms } => {
            println!("{}", forge::run(&root, comms)?);
            Ok(())
        }
        Task::Flood { file, seconds } => {
            println!("{}", serde_json::to_string(&flood::run(&file, seconds)?)?);
            Ok(())
        }
    }
}
