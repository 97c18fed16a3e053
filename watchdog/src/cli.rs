//! The command line as typed. What it means is decided in [`crate::config`].

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Finds non-atomic writes of container state files and the reads that overlap them.
#[derive(Debug, Parser)]
#[command(name = "state-watchdog", version, after_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 fine, 1 the command's own negative answer, 64 bad usage or configuration, \
69 no source can run, 70 internal error, 74 a port or file that cannot be used, 77 permission missing.";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Watch until SIGTERM or SIGINT; logs on stderr, findings on stdout
    Run(RunArgs),
    /// Say what this kernel, these capabilities and these roots allow, each with its remedy
    Doctor(DoctorArgs),
    /// Show every event and every finding as a line for a person, until SIGTERM or SIGINT; serves no pages
    Trace(TraceArgs),
    /// Write all that the agent takes in to FILE as JSON lines, until SIGTERM or SIGINT; serves no pages
    Record(RecordArgs),
    /// Judge a recording: the same findings as live
    Replay(ReplayArgs),
    /// Read every state file once and report the broken ones; exit 1 when there is one
    Scan(ScanArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the resolved configuration as TOML
    Config(RunArgs),
}

/// Settings of `run`. Each wins over the configuration file.
#[derive(Args, Clone, Debug, Default)]
pub struct RunArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Watch this runtime root instead of the built-in ones (repeatable); an unknown RUNTIME gets the default
    /// profile: `state.json`, one directory per container. One component of PATH may be `*`
    #[arg(long = "root", value_name = "RUNTIME=PATH")]
    pub roots: Vec<String>,
    /// Where events come from [default: auto]
    #[arg(long, value_enum)]
    pub source: Option<SourceChoice>,
    /// Do not cross-check an eBPF source with the inotify watches beside it
    #[arg(long)]
    pub no_witness: bool,
    /// Serve metrics, findings and status here; `:PORT` is every address, `localhost:PORT` is 127.0.0.1 [default:
    /// 127.0.0.1:9737]
    #[arg(long, value_name = "ADDR:PORT", value_parser = listen_address)]
    pub listen: Option<SocketAddr>,
    /// Serve by TLS and ask for passwords as this file says: YAML, as Prometheus's exporters share it
    #[arg(long, value_name = "FILE")]
    pub web_config: Option<PathBuf>,
    /// How findings appear on stdout [default: json]
    #[arg(long, value_enum)]
    pub findings: Option<FindingsFormat>,
    /// How much of processes' arguments is kept in findings and recordings [default: redacted]
    #[arg(long, value_enum)]
    pub arguments: Option<Arguments>,
    /// How logs appear on stderr [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// Where the host's file system is mounted [default: /]
    #[arg(long, value_name = "DIR")]
    pub host_root: Option<PathBuf>,
}

/// Where to look, for commands that look only.
#[derive(Args, Clone, Debug, Default)]
pub struct PlaceArgs {
    /// Read settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Look below this runtime root instead of the built-in ones (repeatable); an unknown RUNTIME gets the default
    /// profile: `state.json`, one directory per container. One component of PATH may be `*`
    #[arg(long = "root", value_name = "RUNTIME=PATH")]
    pub roots: Vec<String>,
    /// Where the host's file system is mounted [default: /]
    #[arg(long, value_name = "DIR")]
    pub host_root: Option<PathBuf>,
}

impl From<PlaceArgs> for RunArgs {
    fn from(PlaceArgs { config, roots, host_root }: PlaceArgs) -> Self {
        Self { config, roots, host_root, ..Self::default() }
    }
}

/// What to watch, for commands that run an agent without pages.
#[derive(Args, Clone, Debug, Default)]
pub struct WatchArgs {
    /// Where to look.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Where events come from [default: auto]
    #[arg(long, value_enum)]
    pub source: Option<SourceChoice>,
    /// Do not cross-check an eBPF source with the inotify watches beside it
    #[arg(long)]
    pub no_witness: bool,
    /// How much of processes' arguments is kept in findings and recordings [default: redacted]
    #[arg(long, value_enum)]
    pub arguments: Option<Arguments>,
    /// How logs appear on stderr [default: text]
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
}

impl From<WatchArgs> for RunArgs {
    fn from(WatchArgs { place, source, no_witness, arguments, log_format }: WatchArgs) -> Self {
        Self { source, no_witness, arguments, log_format, ..place.into() }
    }
}

/// Settings of `trace`.
#[derive(Args, Clone, Debug)]
pub struct TraceArgs {
    /// What to watch.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// Show this runtime alone (repeatable)
    #[arg(long = "runtime", value_name = "RUNTIME")]
    pub runtimes: Vec<String>,
    /// Show this container alone (repeatable): its id or the beginning of it, its name, its pod's name, or NAMESPACE/POD
    #[arg(long = "container", value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

/// Settings of `record`.
#[derive(Args, Clone, Debug)]
pub struct RecordArgs {
    /// What to watch.
    #[command(flatten)]
    pub watch: WatchArgs,
    /// How findings appear on stdout meanwhile [default: none]
    #[arg(long, value_enum)]
    pub findings: Option<FindingsFormat>,
    /// Where to write; `-` is stdout. A file that is there is written anew
    pub file: PathBuf,
}

/// Settings of `replay`.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// How findings appear on stdout [default: json]
    #[arg(long, value_enum)]
    pub findings: Option<FindingsFormat>,
    /// How much of the recorded arguments findings show [default: redacted]
    #[arg(long, value_enum)]
    pub arguments: Option<Arguments>,
    /// The recording; `-` is stdin
    pub file: PathBuf,
}

/// Settings of `scan`.
#[derive(Args, Clone, Debug)]
pub struct ScanArgs {
    /// Where to look.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// Settings of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Settings of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// The same settings as `run`
    #[command(flatten)]
    pub run: RunArgs,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// Reads `ADDR:PORT`, `localhost:PORT` or `:PORT`. The last one means every address, as for other exporters.
///
/// # Errors
/// It is none of these.
pub fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let every = || text.strip_prefix(':').map(|port| (IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    let local = || {
        let (host, port) = text.rsplit_once(':')?;
        host.eq_ignore_ascii_case("localhost").then_some((IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    };
    let named = every().or_else(local).and_then(|(address, port)| {
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        port.parse().ok().filter(|_| digits).map(|port| SocketAddr::new(address, port))
    });
    let expected = "expected ADDR:PORT, localhost:PORT or :PORT with a port of 0 to 65535";
    named.or_else(|| text.parse().ok()).ok_or_else(|| expected.to_owned())
}

/// Which source is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SourceChoice {
    /// The best that the kernel allows
    #[default]
    Auto,
    /// fentry/fexit or kprobes on VFS functions
    Vfs,
    /// Tracepoints on system calls
    Syscalls,
    /// inotify watches
    Inotify,
}

/// What is kept of processes' arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arguments {
    /// All of them
    Full,
    /// All but values of NAME=VALUE words and of options named like passwords, tokens, keys and secrets
    #[default]
    Redacted,
    /// None
    None,
}

/// How findings appear on stdout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingsFormat {
    /// One JSON object a line
    #[default]
    Json,
    /// One aligned line for a person
    Text,
    /// Not at all
    None,
}

/// How logs appear on stderr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For a person
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_address_may_be_short() {
        let address = |text: &str| listen_address(text).map(|address| address.to_string()).ok();
        for (text, expected) in [
            (":9737", "[::]:9737"),
            ("localhost:9737", "127.0.0.1:9737"),
            ("LocalHost:0", "127.0.0.1:0"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:9737", "[::1]:9737"),
        ] {
            assert_eq!(address(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "",
            ":",
            "9737",
            "localhost",
            "localhost:",
            ":x",
            ":+1",
            ":65536",
            "example.org:1",
            "::1:9737",
            "[::1]",
        ] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn roots_may_be_repeated() {
        let cli = Cli::try_parse_from(["x", "run", "--root", "runc=/a", "--root", "youki=/b"]).unwrap();
        let Command::Run(args) = cli.command else { panic!("not run") };
        assert_eq!(args.roots, ["runc=/a", "youki=/b"]);
    }
}
