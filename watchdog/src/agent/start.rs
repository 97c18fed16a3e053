//! `run`: from a configuration to a running agent, and to an exit code.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::attach::attach;
use super::reload::Reload;
use crate::cli::RunArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::http::{Shared, Status, bind};
use crate::metrics::Metrics;
use crate::privilege;
use crate::source::{Capabilities, Plan, plan};
use crate::telemetry;

/// Runs the agent until SIGTERM or SIGINT. At SIGHUP, the arguments are resolved anew.
#[must_use]
pub fn start(config: &Config, args: &RunArgs) -> Exit {
    telemetry::start(config.log_format);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(2)
        .on_thread_start(privilege::shed_for_reading)
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(run(config, args));
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
    let plan = plan(config.source, &Capabilities::probe(&config.host()));
    if plan.candidates.is_empty() {
        return refuse(&plan);
    }
    for (kind, why) in &plan.refused {
        let (source, remedy) = (kind.as_str(), why.remedy.text().unwrap_or("none"));
        tracing::warn!(source, reason = why.reason, remedy, "this source cannot run, a lesser one may");
    }
    let signals = || Ok((Stop::new()?, Reload::on_hangup(args)?));
    let (listener, signals) = match (bind(config.listen).await, signals()) {
        (Ok(listener), Ok(signals)) => (listener, signals),
        (Err(error), _) => {
            tracing::error!(%error, address = %config.listen, "cannot listen; choose another --listen");
            return Exit::Internal;
        }
        (_, Err::<_, io::Error>(error)) => {
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
    attach(config, &plan, listener, shared, signals).await
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

/// The signals that end the agent, caught from before anything is attached.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
