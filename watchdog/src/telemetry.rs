//! The agent's own log, on stderr.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::cli::LogFormat;

/// Starts logging at INFO, or as `STATE_WATCHDOG_LOG` says. A second call changes nothing.
pub fn start(format: LogFormat) {
    let filter = EnvFilter::try_from_env("STATE_WATCHDOG_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    // A log that nobody reads any more would be complained of on stderr, which is closed then, and that is a panic.
    let log =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).log_internal_errors(false);
    let result = match format {
        LogFormat::Text => log.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => log.json().try_init(),
    };
    // Only tests start it twice.
    let _ = result;
}
