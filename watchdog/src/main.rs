//! `state-watchdog`: finds non-atomic writes of container state files and the reads that overlap them.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;
use watchdog::apart::apart;
use watchdog::cli::{
    Cli, Command, CompletionsArgs, FindingsFormat, RecordArgs, ReplayArgs, RunArgs, ScanArgs, TraceArgs,
};
use watchdog::completions::completions;
use watchdog::config::Config;
use watchdog::exit::Exit;
use watchdog::report::complain;
use watchdog::trace::Filter;
use watchdog::{agent, doctor, memory, recording, scan, telemetry, trace};

fn main() -> ExitCode {
    watchdog::prepare::prepare();
    memory::share_one_heap();
    let exit = match Cli::try_parse() {
        // These end when their answer is printed, whatever mount they met.
        Ok(Cli { command: command @ (Command::Doctor(_) | Command::Scan(_)), .. }) => {
            return ExitCode::from(apart(|| run(command)));
        }
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
            print(&if args.json { report.to_json() } else { report.to_text() }, report.exit())
        }),
        Command::Trace(TraceArgs { watch, runtimes, containers }) => {
            with_config(&watch.into(), |config| trace::start(&config, Filter { runtimes, containers }))
        }
        Command::Record(RecordArgs { watch, findings, file }) => {
            let findings = findings.unwrap_or(FindingsFormat::None);
            if file.as_os_str() == "-" && findings != FindingsFormat::None {
                complain(
                    "error: stdout takes either the recording or findings; name a file, or say --findings none",
                );
                return Exit::Usage;
            }
            with_config(&watch.into(), |config| {
                recording::record(&Config { findings, ..config }, &file).unwrap_or_else(|error| {
                    let exit = error.exit();
                    complain(&format!("error: {:#}", anyhow::Error::from(error)));
                    exit
                })
            })
        }
        Command::Replay(ReplayArgs { findings, arguments, file }) => {
            recording::replay(&file, findings.unwrap_or_default(), arguments.unwrap_or_default())
        }
        Command::Completions(CompletionsArgs { shell }) => print(&completions(shell), Exit::Fine),
        Command::Scan(ScanArgs { place, json }) => with_config(&place.into(), |config| {
            telemetry::start(config.log_format);
            let absent = scan::absent_typed_roots(&config);
            if !absent.is_empty() {
                complain(&format!("error: no such root: {}", absent.join(", ")));
                return Exit::Usage;
            }
            match scan::scan(&config) {
                Ok(report) => print(&if json { report.to_json() } else { report.to_text() }, report.exit()),
                Err(error) => {
                    complain(&format!("error: cannot wait for files: {error}"));
                    Exit::Internal
                }
            }
        }),
        Command::Config(args) => with_config(&args, |config| print(&config.to_toml(), Exit::Fine)),
    }
}

fn with_config(args: &RunArgs, then: impl FnOnce(Config) -> Exit) -> Exit {
    match Config::load(args) {
        Ok(config) => then(config),
        Err(error) => {
            complain(&format!("error: {:#}", anyhow::Error::from(error)));
            Exit::Usage
        }
    }
}

/// Prints an answer, and returns how the command ends: as given, unless the answer could not be written. A reader that
/// closed the pipe has enough.
fn print(text: &str, exit: Exit) -> Exit {
    let mut stdout = io::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => exit,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => exit,
        Err(error) => {
            complain(&format!("error: cannot write to standard output: {error}"));
            Exit::Unusable
        }
    }
}
