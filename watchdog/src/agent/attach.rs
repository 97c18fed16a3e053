//! From a plan to an agent that runs with a source.

use std::error::Error;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::reload::Reload;
use super::stop::Stop;
use super::{Agent, SharedFollower};
use crate::cli::FindingsFormat;
use crate::config::Config;
use crate::exit::Exit;
use crate::http::{Shared, Web, chain, routes, serve_apart};
use crate::privilege;
use crate::report::Outlet;
#[cfg(feature = "ebpf")]
use crate::source::ebpf::{LoadError, Options, SyscallsSource, VfsSource};
use crate::source::inotify::InotifySource;
#[cfg(feature = "ebpf")]
use crate::source::witness::Witnessed;
use crate::source::{Plan, ProbeStatus, Source, SourceKind};

/// Holds some ten thousand records; it is mapped, so it counts as our memory once it was used.
#[cfg(feature = "ebpf")]
const OPTIONS: Options = Options { ring_bytes: 2 << 20, key: None };

/// Serves the pages and runs the best source that works.
pub(super) async fn attach(
    config: &Config,
    plan: &Plan,
    (listener, web): (TcpListener, Arc<Web>),
    shared: Arc<Shared>,
    (stop, reload): (Stop, Reload),
) -> Exit {
    let address = listener.local_addr().map_or_else(|_| config.listen.to_string(), |addr| addr.to_string());
    if let Err(error) = serve_apart(listener, routes(Arc::clone(&shared)), web) {
        tracing::error!(%error, "cannot start the thread that serves");
        return Exit::Internal;
    }
    let config = config.clone();
    Attempt { config, shared, address, stop, reload, follower: None }.all(plan).await
}

/// The same without pages, for somebody who follows.
pub(super) async fn attach_followed(
    config: &Config,
    plan: &Plan,
    shared: Arc<Shared>,
    stop: Stop,
    follower: SharedFollower,
) -> Exit {
    let (address, reload, follower) = ("none".to_owned(), Reload::never(), Some(follower));
    Attempt { config: config.clone(), shared, address, stop, reload, follower }.all(plan).await
}

/// What came of an attempt to attach a source.
#[derive(Debug)]
pub struct Trial {
    /// Its probes, where it could be attached.
    pub probes: Vec<ProbeStatus>,
    /// Why it could not.
    pub refused: Option<Refusal>,
}

/// Why a source could not be attached.
#[derive(Debug)]
pub struct Refusal {
    /// The error with its causes.
    pub error: String,
    /// A permission is missing.
    pub permission: bool,
}

/// Attaches a source as [`attach`] would, asks for its probes, and lets go of it.
#[must_use]
pub fn try_out(kind: SourceKind) -> Trial {
    let attempt = async {
        match kind {
            #[cfg(feature = "ebpf")]
            SourceKind::Vfs => Ok(VfsSource::attach(&OPTIONS)?.probes()),
            #[cfg(feature = "ebpf")]
            SourceKind::Syscalls => Ok(SyscallsSource::attach(&OPTIONS)?.probes()),
            SourceKind::Inotify => Ok(InotifySource::new()?.probes()),
            _ => Err(Refused::from("not in this binary")),
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let tried = runtime.map_err(Refused::from).and_then(|runtime| runtime.block_on(attempt));
    match tried {
        Ok(probes) => Trial { probes, refused: None },
        Err(refused) => {
            let permission = is_permission(refused.as_ref());
            let refused = Refusal { error: chain(refused.as_ref()), permission };
            Trial { probes: Vec::new(), refused: Some(refused) }
        }
    }
}

/// What every source is tried with.
struct Attempt {
    config: Config,
    shared: Arc<Shared>,
    address: String,
    stop: Stop,
    reload: Reload,
    follower: Option<SharedFollower>,
}

/// How a source left off.
type Refused = Box<dyn Error + Send + Sync>;

impl Attempt {
    /// Tries the candidates, best first. One that shows nothing any more makes room for the next.
    async fn all(mut self, plan: &Plan) -> Exit {
        let mut exit = Exit::Unavailable;
        for kind in &plan.candidates {
            let refused = match kind {
                #[cfg(feature = "ebpf")]
                SourceKind::Vfs => self.run_witnessed(VfsSource::attach(&OPTIONS)).await,
                #[cfg(feature = "ebpf")]
                SourceKind::Syscalls => self.run_witnessed(SyscallsSource::attach(&OPTIONS)).await,
                SourceKind::Inotify => self.run(InotifySource::new()).await,
                // The plan offers none of these.
                _ => continue,
            };
            let Err(refused) = refused else {
                tracing::info!("stopped");
                return Exit::Fine;
            };
            if is_permission(refused.as_ref()) {
                exit = Exit::Permission;
            }
            let error = chain(refused.as_ref());
            tracing::warn!(source = kind.as_str(), error, "this source cannot run");
            self.shared.status().refused_sources.insert(kind.as_str(), error);
        }
        tracing::error!("no source can run; `state-watchdog doctor` says more");
        exit
    }

    /// The same with a witness beside the source.
    #[cfg(feature = "ebpf")]
    async fn run_witnessed<S: Source>(&mut self, source: Result<S, LoadError>) -> Result<(), Refused> {
        let wanted = self.config.witness;
        self.run(source.map(|source| Witnessed::new(source, wanted))).await
    }

    /// Runs the agent with a source, when it is attached, until the end.
    async fn run<S: Source, E: Into<Refused>>(&mut self, source: Result<S, E>) -> Result<(), Refused> {
        let source = source.map_err(Into::into)?;
        self.shared.status().capabilities = privilege::shed(source.kind());
        let outlet = match self.config.findings {
            FindingsFormat::None => Outlet::closed(),
            FindingsFormat::Json | FindingsFormat::Text => Outlet::start(io::stdout())?,
        };
        tracing::info!(source = source.kind().as_str(), address = %self.address, "running");
        if let Some(config) = self.reload.taken() {
            self.config = config;
        }
        let mut agent = Agent::new(&self.config, source, Arc::clone(&self.shared), outlet);
        if let Some(follower) = &self.follower {
            agent = agent.followed_by(Rc::clone(follower));
        }
        Ok(agent.run_reloading(self.stop.wait(), &mut self.reload).await?)
    }
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
