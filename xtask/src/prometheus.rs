//! A real Prometheus on the loopback device, with a configuration of the check's own.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    agent::free_address,
    deadline::until,
    tools::{self, Cache},
};

/// Several scrapes, evaluations and a query, on the busiest machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

/// The server, and a client for it. It ends when this is dropped.
pub(crate) struct Prometheus {
    server: Server,
    http: ureq::Agent,
}

/// The answer to a query.
pub(crate) struct Answer {
    /// The series.
    pub(crate) series: Vec<Value>,
    /// What Prometheus finds doubtful in the expression.
    pub(crate) doubts: Vec<String>,
}

/// The program that the system's own release has.
pub(crate) fn program(cache: &Cache) -> Result<PathBuf> {
    tools::unpacked(cache, "prometheus", "usr/bin/prometheus")
}

impl Prometheus {
    /// Starts it in `folder`, which takes its configuration, its data and its log.
    pub(crate) fn start(program: &Path, folder: &Path, configuration: &str) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let file = folder.join("prometheus.yml");
        fs::write(&file, configuration).with_context(|| format!("cannot write {}", file.display()))?;
        let server = Server::start(
            "prometheus",
            Command::new(program)
                .arg(format!("--config.file={}", file.display()))
                .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
                .arg("--log.level=warn"),
            folder,
        )?;
        let http = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let prometheus = Self { server, http };
        let ready = until(LIMIT, || Ok(prometheus.get("/api/v1/status/runtimeinfo", &[]).ok().map(drop)))?;
        ensure!(ready.is_some(), "Prometheus does not answer; its log:\n{}", prometheus.server.log());
        Ok(prometheus)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Resident memory in MiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        let file = format!("/proc/{}/status", self.server.child.id());
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {file}"))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        Ok(line.with_context(|| format!("{file} tells no memory"))?.parse::<f64>()? / 1024.0)
    }

    /// Asks at this moment.
    pub(crate) fn query(&self, expr: &str) -> Result<Answer> {
        self.ask("/api/v1/query", &[("query", expr)])
    }

    /// Asks for the last `seconds`, one point each five.
    pub(crate) fn query_range(&self, expr: &str, seconds: f64) -> Result<Answer> {
        let end = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
        let (start, end) = ((end - seconds).to_string(), end.to_string());
        self.ask("/api/v1/query_range", &[("query", expr), ("start", &start), ("end", &end), ("step", "5")])
    }

    /// Waits until an expression gives a number for which `reached` holds.
    pub(crate) fn wait_for(&self, expr: &str, reached: impl Fn(f64) -> bool) -> Result<f64> {
        let mut last = None;
        until(LIMIT, || {
            let answer = self.query(expr)?;
            let value = answer.series.first().and_then(|series| series["value"][1].as_str());
            last = value.and_then(|value| value.parse().ok());
            Ok(last.filter(|number| reached(*number)))
        })?
        .with_context(|| format!("never as expected, but {last:?}: {expr}; the log:\n{}", self.server.log()))
    }

    /// What an API call gives.
    pub(crate) fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
        let url = format!("http://{}{path}", self.server.address);
        let mut request = self.http.get(&url);
        for (name, value) in parameters {
            request = request.query(*name, *value);
        }
        let mut response = request.call().with_context(|| format!("no answer from {url}"))?;
        let body = response.body_mut().read_to_string()?;
        let answer: Value = serde_json::from_str(&body).with_context(|| format!("{url} answers {body}"))?;
        ensure!(answer["status"] == "success", "{answer}");
        Ok(answer)
    }

    fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Answer> {
        let mut answer = self.get(path, parameters)?;
        let texts = |value: &Value| -> Vec<String> {
            value.as_array().into_iter().flatten().map(Value::to_string).collect()
        };
        let doubts = [texts(&answer["warnings"]), texts(&answer["infos"])].concat();
        let series = answer["data"]["result"].as_array_mut().map(std::mem::take).unwrap_or_default();
        Ok(Answer { series, doubts })
    }
}

/// A server of Prometheus's house. It ends when this is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts it, and waits until it listens.
    pub(crate) fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let address = free_address()?;
        let log = folder.join(format!("{name}.log"));
        let child = command
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).with_context(|| format!("cannot write {}", log.display()))?)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut server = Self { child, address, log };
        let up = until(LIMIT, || {
            if let Some(status) = server.child.try_wait()? {
                bail!("{name} ended with {status}; its log:\n{}", server.log());
            }
            Ok(std::net::TcpStream::connect(address).is_ok().then_some(()))
        })?;
        ensure!(up.is_some(), "{name} does not listen; its log:\n{}", server.log());
        Ok(server)
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
