//! From a plan to an agent that runs with a source.

use std::error::Error;
use std::io;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::Agent;
use super::start::Stop;
use crate::cli::FindingsFormat;
use crate::config::Config;
use crate::exit::Exit;
use crate::http::{Shared, routes, serve};
use crate::report::Outlet;
#[cfg(feature = "ebpf")]
use crate::source::ebpf::{LoadError, Options, SyscallsSource, VfsSource};
use crate::source::inotify::InotifySource;
#[cfg(feature = "ebpf")]
use crate::source::witness::Witnessed;
use crate::source::{Plan, Source, SourceKind};

/// Holds some ten thousand records; it is mapped, so it counts as our memory once it was used.
#[cfg(feature = "ebpf")]
const RING_BYTES: u32 = 2 << 20;

/// Tries the candidates, best first.
pub(super) async fn attach(
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
            SourceKind::Vfs => match VfsSource::attach(&options(config)) {
                Ok(source) => {
                    let source = Witnessed::new(source, config.witness);
                    return with_source(config, source, listener, shared, stop).await;
                }
                Err(error) => error.into(),
            },
            #[cfg(feature = "ebpf")]
            SourceKind::Syscalls => match SyscallsSource::attach(&options(config)) {
                Ok(source) => {
                    let source = Witnessed::new(source, config.witness);
                    return with_source(config, source, listener, shared, stop).await;
                }
                Err(error) => error.into(),
            },
            SourceKind::Inotify => match InotifySource::new() {
                Ok(source) => return with_source(config, source, listener, shared, stop).await,
                Err(error) => error.into(),
            },
            // The plan offers none of these.
            _ => continue,
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
fn options(config: &Config) -> Options {
    let profiles = || config.roots.iter().map(|root| &root.profile);
    Options {
        names: profiles().flat_map(|profile| profile.names.iter().cloned()).collect(),
        depths: profiles().fold(0, |bits, profile| bits | 1 << profile.depth),
        ring_bytes: RING_BYTES,
    }
}

/// Runs the agent with a source that is attached.
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
        if io.is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied) || is_refused_hook(error) {
            return true;
        }
        next = error.source();
    }
    false
}

#[cfg(feature = "ebpf")]
fn is_refused_hook(error: &(dyn Error + 'static)) -> bool {
    let refused = |error| matches!(error, &LoadError::Hook { errno: Some(libc::EPERM | libc::EACCES), .. });
    error.downcast_ref().is_some_and(refused)
}

#[cfg(not(feature = "ebpf"))]
fn is_refused_hook(_: &(dyn Error + 'static)) -> bool {
    false
}
