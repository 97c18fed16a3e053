//! `state-watchdog`: finds non-atomic writes of container state files and the reads that overlap them.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use watchdog::cli::{Cli, Command, RunArgs, ScanArgs};
use watchdog::config::Config;
use watchdog::exit::Exit;
use watchdog::{agent, doctor, scan, telemetry};

fn main() -> ExitCode {
    let exit = match Cli::try_parse() {
        Ok(cli) => run(cli.command),
        Err(error) => {
            // A closed stdout is no reason to say anything else.
            let _ = error.print();
            if error.use_stderr() { Exit::Usage } else { Exit::Fine }
        }
    };
    exit.into()
}

fn run(command: Command) -> Exit {
    match command {
        Command::Run(args) => with_config(&args, |config| agent::start(&config, &args)),
        Command::Doctor(args) => with_config(&args.run, |config| {
            let report = doctor::examine(&config);
            print(&if args.json { report.to_json() } else { report.to_text() });
            report.exit()
        }),
        Command::Scan(ScanArgs { place, json }) => with_config(&place.into(), |config| {
            telemetry::start(config.log_format);
            let report = scan::scan(&config);
            print(&if json { report.to_json() } else { report.to_text() });
            report.exit()
        }),
        Command::Config(args) => with_config(&args, |config| {
            print(&config.to_toml());
            Exit::Fine
        }),
    }
}

fn with_config(args: &RunArgs, then: impl FnOnce(Config) -> Exit) -> Exit {
    match Config::load(args) {
        Ok(config) => then(config),
        Err(error) => {
            eprintln!("error: {:#}", anyhow::Error::from(error));
            Exit::Usage
        }
    }
}

/// Like `print!`, but a reader that closed the pipe is no panic.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
