//! A real Prometheus on the loopback device, with a configuration of the check's own.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{
    agent::free_address,
    deadline::until,
    scratch::Scratch,
    tools::{self, Cache},
};

/// A query's answer is waited for so long: several scrapes on a busy machine.
const LIMIT: Duration = Duration::from_secs(120);

/// It ends when this is dropped.
pub(super) struct Prometheus {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
    http: ureq::Agent,
}

impl Prometheus {
    /// Starts it with these scrape configurations (YAML).
    pub(super) fn start(cache: &Cache, scratch: &Scratch, scrape_configs: &str) -> Result<Self> {
        let program = tools::unpacked(cache, "prometheus", "usr/bin/prometheus")?;
        let folder = scratch.folder("prometheus")?;
        let configuration = folder.join("prometheus.yml");
        fs::write(
            &configuration,
            format!("global: {{scrape_interval: 1s}}\nscrape_configs:\n{scrape_configs}"),
        )?;
        let address = free_address()?;
        let log = folder.join("log");
        let child = Command::new(&program)
            .arg(format!("--config.file={}", configuration.display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(10)));
        Ok(Self { child, address, log, http: config.http_status_as_error(false).build().new_agent() })
    }

    /// Asks until the query gives a sample of at least `least`; gives its value and labels.
    pub(super) fn wait_for(&self, query: &str, least: f64) -> Result<(f64, Value)> {
        let mut last = String::new();
        let found = until(LIMIT, || {
            let answer = match self.ask(query) {
                Ok(answer) => answer,
                Err(error) => {
                    last = format!("{error:#}");
                    return Ok(None);
                }
            };
            last = answer.to_string();
            let Some(sample) = answer["data"]["result"].get(0) else { return Ok(None) };
            let value: f64 = sample["value"][1].as_str().unwrap_or_default().parse().unwrap_or(f64::NAN);
            Ok((value >= least).then(|| (value, sample["metric"].clone())))
        })?;
        found.with_context(|| {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let end = lines[lines.len().saturating_sub(5)..].join("\n");
            format!("Prometheus does not answer {query} with {least}, but {last}\n{end}")
        })
    }

    fn ask(&self, query: &str) -> Result<Value> {
        let url = format!("http://{}/api/v1/query", self.address);
        let mut response = self.http.get(&url).query("query", query).call()?;
        let body = response.body_mut().read_to_string()?;
        ensure!(response.status() == 200, "{body}");
        Ok(serde_json::from_str(&body)?)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
