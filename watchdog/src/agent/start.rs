//! `run`: from a configuration to a running agent, and to an exit code.

use std::error::Error;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Agent;
use crate::cli::FindingsFormat;
use crate::config::Config;
use crate::exit::Exit;
use crate::http::{Shared, Status, bind, routes, serve};
use crate::metrics::Metrics;
use crate::report::Outlet;
#[cfg(feature = "ebpf")]
use crate::source::ebpf::{Options, SyscallsSource};
use crate::source::{Capabilities, Plan, Source, SourceKind, plan};
use crate::telemetry;

/// Holds some ten thousand records; it is mapped, so it counts as our memory once it was used.
#[cfg(feature = "ebpf")]
const RING_BYTES: u32 = 2 << 20;

/// Runs the agent until SIGTERM or SIGINT.
#[must_use]
pub fn start(config: &Config) -> Exit {
    telemetry::start(config.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(2).build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(run(config));
            // A file on a dead disk must not hold up the end.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            tracing::error!(%error, "cannot start the event loop");
            Exit::Internal
        }
    }
}

async fn run(config: &Config) -> Exit {
    let plan = plan(config.source, &Capabilities::probe(&config.host()));
    if plan.candidates.is_empty() {
        return refuse(&plan);
    }
    let (listener, stop) = match (bind(config.listen).await, Stop::new()) {
        (Ok(listener), Ok(stop)) => (listener, stop),
        (Err(error), _) => {
            tracing::error!(%error, address = %config.listen, "cannot listen; choose another --listen");
            return Exit::Internal;
        }
        (_, Err(error)) => {
            tracing::error!(%error, "cannot wait for signals");
            return Exit::Internal;
        }
    };
    let shared = match Metrics::new(&config.roots) {
        Ok(metrics) => Arc::new(Shared::new(metrics, status(config, &plan))),
        Err(error) => {
            tracing::error!(%error, "cannot set up metrics");
            return Exit::Internal;
        }
    };
    attach(config, &plan, listener, shared, stop).await
}

/// Tries the candidates, best first.
async fn attach(
    config: &Config,
    plan: &Plan,
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: Stop,
) -> Exit {
    let mut exit = Exit::Unavailable;
    for kind in &plan.candidates {
        let refused: Box<dyn Error + Send + Sync> = match kind {
            #[cfg(feature = "ebpf")]
            SourceKind::Syscalls => match SyscallsSource::attach(&syscalls_options(config)) {
                Ok(source) => return with_source(config, source, listener, shared, stop).await,
                Err(error) => error.into(),
            },
            // The plan offers none of these.
            SourceKind::Vfs | SourceKind::Inotify | SourceKind::Replay => continue,
            #[cfg(not(feature = "ebpf"))]
            SourceKind::Syscalls => continue,
        };
        if is_permission(refused.as_ref()) {
            exit = Exit::Permission;
        }
        let error = chain(refused);
        tracing::warn!(source = kind.as_str(), error, "this source cannot run");
        shared.status().refused_sources.insert(kind.as_str(), error);
    }
    tracing::error!("no source can run; `state-watchdog doctor` says more");
    exit
}

/// The probes must know all names and depths from the start.
#[cfg(feature = "ebpf")]
fn syscalls_options(config: &Config) -> Options {
    let profiles = || config.roots.iter().map(|root| &root.profile);
    Options {
        names: profiles().flat_map(|profile| profile.names.iter().cloned()).collect(),
        depths: profiles().fold(0, |bits, profile| bits | 1 << profile.depth),
        ring_bytes: RING_BYTES,
    }
}

/// Runs the agent with a source that is attached.
#[cfg_attr(not(feature = "ebpf"), expect(dead_code, reason = "there is no source to run with"))]
async fn with_source<S: Source>(
    config: &Config,
    source: S,
    listener: TcpListener,
    shared: Arc<Shared>,
    stop: Stop,
) -> Exit {
    let outlet = match config.findings {
        FindingsFormat::None => Ok(Outlet::closed()),
        FindingsFormat::Json | FindingsFormat::Text => Outlet::start(io::stdout()),
    };
    let outlet = match outlet {
        Ok(outlet) => outlet,
        Err(error) => {
            tracing::error!(%error, "cannot write findings");
            return Exit::Internal;
        }
    };
    if let Ok(address) = listener.local_addr() {
        tracing::info!(source = source.kind().as_str(), address = %address, "running");
    }
    let pages = tokio::spawn(serve(listener, routes(Arc::clone(&shared))));
    let result = Agent::new(config, source, shared, outlet).run(stop.wait()).await;
    pages.abort();
    match result {
        Ok(()) => {
            tracing::info!("stopped");
            Exit::Fine
        }
        Err(error) => {
            tracing::error!(error = chain(error.into()), "the source broke");
            Exit::Internal
        }
    }
}

fn status(config: &Config, plan: &Plan) -> Status {
    let mut status = Status::starting(config.hash());
    status.refused_sources =
        plan.refused.iter().map(|(kind, why)| (kind.as_str(), why.reason.clone())).collect();
    status
}

fn refuse(plan: &Plan) -> Exit {
    for (kind, why) in &plan.refused {
        let (source, remedy) = (kind.as_str(), why.remedy.text().unwrap_or("none"));
        tracing::error!(source, reason = why.reason, remedy, "this source cannot run");
    }
    if plan.lacks_permission() { Exit::Permission } else { Exit::Unavailable }
}

/// An error with its causes, in one line.
fn chain(error: Box<dyn Error + Send + Sync>) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// True when the kernel said EPERM or EACCES somewhere down the chain.
fn is_permission(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>();
        if io.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied) {
            return true;
        }
        next = error.source();
    }
    false
}

/// The signals that end the agent, caught from before anything is attached.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
