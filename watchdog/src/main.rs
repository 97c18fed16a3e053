//! `state-watchdog`: finds non-atomic writes of container state files and the reads that overlap them.

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser as _;
use watchdog::cli::{
    Cli, Command, CompletionsArgs, FindingsFormat, RecordArgs, ReplayArgs, RunArgs, ScanArgs, TraceArgs,
};
use watchdog::completions::completions;
use watchdog::config::Config;
use watchdog::exit::Exit;
use watchdog::trace::Filter;
use watchdog::{agent, doctor, recording, scan, telemetry, trace};

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
        Command::Trace(TraceArgs { watch, runtimes, containers }) => {
            with_config(&watch.into(), |config| trace::start(&config, Filter { runtimes, containers }))
        }
        Command::Record(RecordArgs { watch, findings, file }) => {
            let findings = findings.unwrap_or(FindingsFormat::None);
            if file.as_os_str() == "-" && findings != FindingsFormat::None {
                eprintln!(
                    "error: stdout takes either the recording or findings; name a file, or say --findings none"
                );
                return Exit::Usage;
            }
            with_config(&watch.into(), |config| {
                recording::record(&Config { findings, ..config }, &file).unwrap_or_else(|error| {
                    let exit = error.exit();
                    eprintln!("error: {:#}", anyhow::Error::from(error));
                    exit
                })
            })
        }
        Command::Replay(ReplayArgs { findings, arguments, file }) => {
            recording::replay(&file, findings.unwrap_or_default(), arguments.unwrap_or_default())
        }
        Command::Completions(CompletionsArgs { shell }) => {
            print(&completions(shell));
            Exit::Fine
        }
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
