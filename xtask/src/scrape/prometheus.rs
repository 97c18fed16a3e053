//! A Prometheus that scrapes the agent as a cluster's would.

use std::{
    fs::{self, File},
    net::TcpListener,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{LIMIT, PASSWORD, Running, Site};
use crate::deadline::until;

/// Starts it, and waits until what it scraped answers a query.
pub(super) fn scrapes(site: &Site) -> Result<String> {
    let folder = site.scratch.folder("prometheus")?;
    let configuration = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: watchdog\n  scheme: https\n  \
         basic_auth:\n    username: alice\n    password: {PASSWORD}\n  tls_config:\n    ca_file: {}\n  \
         static_configs:\n  - targets: ['{}']\n",
        site.authority.certificate().display(),
        site.address
    );
    fs::write(folder.join("prometheus.yml"), configuration)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let log = folder.join("log");
    let child = Command::new(&site.prometheus)
        .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log)?)
        .spawn()
        .with_context(|| format!("cannot start {}", site.prometheus.display()))?;
    let mut running = Running(child);
    let http = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().new_agent();
    let query = |query: &str| -> Result<Value> {
        let url = format!("http://127.0.0.1:{port}/api/v1/query?query={query}");
        Ok(serde_json::from_str(&http.get(&url).call()?.body_mut().read_to_string()?)?)
    };
    let found = until(LIMIT, || {
        if let Some(status) = running.0.try_wait()? {
            bail!("prometheus ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
        }
        let Ok(answer) = query("state_watchdog_build_info") else { return Ok(None) };
        Ok(answer["data"]["result"].get(0).cloned())
    })?;
    let found = found
        .with_context(|| format!("nothing was scraped: {}", fs::read_to_string(&log).unwrap_or_default()))?;
    ensure!(query("up")?["data"]["result"][0]["value"][1] == "1", "the target is not up");
    Ok(format!("version {}", found["metric"]["version"].as_str().unwrap_or("unknown")))
}
