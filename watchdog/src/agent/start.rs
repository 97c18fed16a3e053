//! `run`: from a configuration to a running agent, and to an exit code.

use std::future::{Future, pending};
use std::io;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use super::SharedFollower;
use super::attach::{attach, attach_followed};
use super::reload::Reload;
use super::stop::{Ended, Stop};
use crate::cli::RunArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::http::{Shared, Status, Web, bind, chain};
use crate::metrics::Metrics;
use crate::prepare::PROCESS_NAME;
use crate::privilege;
use crate::profile::is_absent;
use crate::source::{Capabilities, Plan, plan};
use crate::telemetry;

/// Runs the agent until SIGTERM or SIGINT. At SIGHUP, the arguments are resolved anew.
#[must_use]
pub fn start(config: &Config, args: &RunArgs) -> Exit {
    telemetry::start(config.log_format);
    turn(run(config, args))
}

/// Runs it without pages for somebody who follows it, until SIGTERM, SIGINT or `ended`.
#[must_use]
pub fn follow(config: &Config, follower: SharedFollower, ended: impl Future<Output = ()> + 'static) -> Exit {
    turn(run_followed(config, follower, Box::pin(ended)))
}

/// The loop in which everything runs.
fn turn(run: impl Future<Output = Exit>) -> Exit {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .thread_name(PROCESS_NAME)
        .on_thread_start(privilege::shed_for_reading)
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(run);
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

async fn run(config: &Config, args: &RunArgs) -> Exit {
    warn_of_absent_roots(config);
    let plan = match sources(config) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    let web = match guard(config) {
        Ok(web) => web,
        Err(exit) => return exit,
    };
    let listener = match bind(config.listen).await {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, address = %config.listen, "cannot listen; choose another --listen");
            return Exit::Unusable;
        }
    };
    let reload = match Reload::on_hangup(args) {
        Ok(reload) => reload,
        Err(error) => return no_signals(&error),
    };
    match prepare(config, &plan, Box::pin(pending())) {
        Ok((shared, stop)) => attach(config, &plan, (listener, web), shared, (stop, reload)).await,
        Err(exit) => exit,
    }
}

async fn run_followed(config: &Config, follower: SharedFollower, ended: Ended) -> Exit {
    warn_of_absent_roots(config);
    let plan = match sources(config) {
        Ok(plan) => plan,
        Err(exit) => return exit,
    };
    // Nothing is read anew for who follows; a terminal that is closed ends it.
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => return no_signals(&error),
    };
    let ended = async move {
        tokio::select! {
            () = ended => {}
            _ = hangup.recv() => {}
        }
    };
    match prepare(config, &plan, Box::pin(ended)) {
        Ok((shared, stop)) => attach_followed(config, &plan, shared, stop, follower).await,
        Err(exit) => exit,
    }
}

/// Logs which of the typed roots do not exist. The agent looks for them all the same; a typing mistake is found this way.
fn warn_of_absent_roots(config: &Config) {
    if !config.roots_are_typed {
        return;
    }
    let (host, roots) = (config.host(), config.roots.clone());
    // A root on a dead mount holds up this thread alone.
    let started = std::thread::Builder::new().name(PROCESS_NAME.to_owned()).spawn(move || {
        for entry in roots.iter().filter(|entry| is_absent(&host, entry)) {
            let runtime = &*entry.profile.name;
            tracing::warn!(
                runtime,
                root = entry.pattern,
                "this root does not exist; nothing is watched there until it does"
            );
        }
    });
    if let Err(error) = started {
        tracing::debug!(%error, "cannot look for absent roots");
    }
}

/// Reads the web configuration, and logs what the pages show to others.
fn guard(config: &Config) -> Result<Arc<Web>, Exit> {
    let web = config.web_config.as_deref().map_or_else(|| Ok(Web::open()), Web::load).map_err(|error| {
        tracing::error!(error = chain(error.as_ref()), "the web configuration cannot be used");
        Exit::Usage
    })?;
    let address = config.listen;
    if !address.ip().to_canonical().is_loopback() {
        if !web.is_protected() {
            tracing::info!(
                %address,
                "no password and no client certificate is configured: findings and status are shown on loopback alone, for \
                 example through kubectl port-forward"
            );
        } else if web.is_overheard() {
            tracing::warn!(%address, "passwords and findings can be read on their way; --web-config also sets up TLS");
        }
    }
    Ok(Arc::new(web))
}

/// Which sources can be tried.
fn sources(config: &Config) -> Result<Plan, Exit> {
    let plan = plan(config.source, &Capabilities::probe(&config.host()));
    if plan.candidates.is_empty() {
        return Err(refuse(&plan));
    }
    for (kind, why) in &plan.refused {
        let (source, remedy) = (kind.as_str(), why.remedy.text().unwrap_or("none"));
        tracing::warn!(source, reason = why.reason, remedy, "this source cannot run, a lesser one may");
    }
    Ok(plan)
}

fn no_signals(error: &io::Error) -> Exit {
    tracing::error!(%error, "cannot wait for signals");
    Exit::Internal
}

/// What must be there before anything is attached.
fn prepare(config: &Config, plan: &Plan, ended: Ended) -> Result<(Arc<Shared>, Stop), Exit> {
    let stop = Stop::new(ended).map_err(|error| no_signals(&error))?;
    let metrics = Metrics::new(&config.roots).map_err(|error| {
        tracing::error!(%error, "cannot set up metrics");
        Exit::Internal
    })?;
    Ok((Arc::new(Shared::new(metrics, status(config, plan))), stop))
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
