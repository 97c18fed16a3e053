//! A Prometheus that scrapes the agent as a cluster's would.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result};

use super::user::PASSWORD;
use crate::{prometheus::Prometheus, scratch::Scratch};

/// Starts it, and waits until what it scraped answers a query.
pub(super) fn scrapes(program: &Path, scratch: &Scratch, configuration: &str) -> Result<String> {
    let folder = scratch.folder("prometheus")?;
    let prometheus = Prometheus::start(program, &folder, configuration)?;
    prometheus.wait_for("up * on (job) group_right () state_watchdog_build_info", |up| up == 1.0)?;
    let answer = prometheus.query("state_watchdog_build_info")?;
    let found = answer.series.first().context("nothing was scraped")?;
    Ok(format!("version {}", found["metric"]["version"].as_str().unwrap_or("unknown")))
}

/// A configuration that trusts one authority and shows a password.
pub(crate) fn configuration(authority: &Path, target: SocketAddr) -> String {
    format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: state-watchdog\n  scheme: https\n  \
         basic_auth:\n    username: alice\n    password: {PASSWORD}\n  tls_config:\n    ca_file: {}\n  \
         static_configs:\n  - targets: ['{target}']\n",
        authority.display()
    )
}
