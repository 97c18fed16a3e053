//! SIGHUP: the configuration file is read again while the agent runs.

use std::future::pending;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::Agent;
use crate::cli::RunArgs;
use crate::clock::{WallClock, boot_now};
use crate::config::{Config, ConfigError, Reloaded};
use crate::http::{ReloadView, chain};
use crate::source::Source;

/// Waits for a hangup, and reads the configuration when one comes.
pub(super) struct Reload {
    hangup: Option<Signal>,
    args: RunArgs,
    loading: Option<JoinHandle<Result<Config, ConfigError>>>,
    /// What was taken over last, for a source that has to start anew.
    taken: Option<Config>,
}

impl Reload {
    /// From now on, a hangup no longer ends the process.
    pub(super) fn on_hangup(args: &RunArgs) -> io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), args: args.clone(), ..Self::never() })
    }

    /// Nobody asks.
    pub(super) fn never() -> Self {
        Self { hangup: None, args: RunArgs::default(), loading: None, taken: None }
    }

    /// What was taken over since this was last asked.
    pub(super) fn taken(&mut self) -> Option<Config> {
        self.taken.take()
    }

    /// The configuration as it stands in the file after the next hangup. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Config, String> {
        loop {
            if let Some(loading) = &mut self.loading {
                let loaded = loading.await;
                self.loading = None;
                return match loaded {
                    Ok(Ok(config)) => Ok(config),
                    Ok(Err(error)) => Err(chain(&error)),
                    Err(error) => Err(error.to_string()),
                };
            }
            let Some(hangup) = &mut self.hangup else { return pending().await };
            if hangup.recv().await.is_none() {
                self.hangup = None;
                continue;
            }
            let args = self.args.clone();
            // A file on a dead disk must not hold up the loop.
            self.loading = Some(tokio::task::spawn_blocking(move || Config::load(&args)));
        }
    }
}

impl<S: Source> Agent<S> {
    /// Takes over what can be taken over while the agent runs, and says what came of it.
    pub(super) fn reconfigure(&mut self, loaded: Result<Config, String>, reload: &mut Reload) {
        let mut view = ReloadView { time: WallClock::read().rfc3339(boot_now()), ..ReloadView::default() };
        let result = match loaded {
            Ok(config) => {
                let (config, needs_restart) = self.config.joined_with(&config);
                view.needs_restart = needs_restart;
                self.adopt(config, reload)
            }
            Err(reason) => Err(reason),
        };
        let result = result.unwrap_or_else(|reason| {
            tracing::error!(reason, "the configuration is refused, the one before stays in force");
            view.reason = Some(reason);
            Reloaded::Refused
        });
        if !view.needs_restart.is_empty() {
            let settings = view.needs_restart.join(", ");
            tracing::warn!(settings, "these settings change with the next start of the agent");
        }
        view.result = result.as_str();
        self.shared.metrics.reloaded(result);
        self.shared.status().configuration_reload = Some(view);
        self.show_status();
    }

    fn adopt(&mut self, config: Config, reload: &mut Reload) -> Result<Reloaded, String> {
        if config == self.config {
            tracing::info!("the configuration was read again and is the same");
            return Ok(Reloaded::Unchanged);
        }
        self.shared.metrics.change_roots(&self.config.roots, &config.roots)?;
        for id in self.roots.replace(config.roots.clone()) {
            self.source.unwatch(id);
        }
        self.survey.may_warn_again();
        let hash = config.hash();
        tracing::info!(hash, roots = config.roots.len(), "a new configuration is in force");
        self.shared.status().configuration_hash = hash;
        self.config = config.clone();
        reload.taken = Some(config);
        self.survey.hurry(boot_now());
        Ok(Reloaded::Applied)
    }
}
