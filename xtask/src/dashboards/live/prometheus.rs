//! A Prometheus and an Alertmanager of the check's own.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::super::{
    Pace,
    check::prometheus_program,
    rules::{alerting_rules, recording_rules},
};
use crate::{deadline::until, tools::Cache};

/// Rules are evaluated each second, and no alert waits; everything else about them is as rendered.
const PACE: Pace = Pace { interval: "1s", hold: Some("0s") };
/// Long enough for the busiest machine.
pub(super) const LIMIT: Duration = Duration::from_secs(120);

/// Something to scrape, and the labels that it gets; those of one job follow each other.
pub(super) struct Scraped<'a> {
    pub(super) job: &'a str,
    pub(super) address: SocketAddr,
    pub(super) labels: Vec<(&'a str, &'a str)>,
}

/// Both servers; dropping it ends them.
pub(super) struct Prometheus {
    server: Server,
    _alertmanager: Server,
    http: ureq::Agent,
}

/// The answer to a query.
pub(super) struct Answer {
    /// The series.
    pub(super) series: Vec<Value>,
    /// What Prometheus finds doubtful in the expression.
    pub(super) doubts: Vec<String>,
}

impl Prometheus {
    /// Starts both in `folder`; alerts are sent to `webhook`.
    pub(super) fn start(
        cache: &Cache,
        folder: &Path,
        scraped: &[Scraped<'_>],
        webhook: SocketAddr,
    ) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let write = |name: &str, text: &str| -> Result<PathBuf> {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
            Ok(file)
        };
        let route =
            "route: {receiver: webhook, group_by: [alertname, instance], group_wait: 1s, group_interval: 1s}";
        let config = write(
            "alertmanager.yml",
            &format!(
                "{route}\nreceivers:\n- name: webhook\n  webhook_configs: [{{url: 'http://{webhook}/alerts'}}]\n"
            ),
        )?;
        let program = prometheus_program(cache, "prometheus-alertmanager")?;
        let alertmanager = Server::start(
            "prometheus-alertmanager",
            within_its_files(&program)
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.path={}", folder.join("alertmanager").display()))
                .arg("--cluster.listen-address="),
            folder,
        )?;
        write("recording.yaml", &recording_rules(PACE))?;
        write("alerts.yaml", &alerting_rules(PACE))?;
        let config = write("prometheus.yml", &configuration(scraped, alertmanager.address))?;
        let server = Server::start(
            "prometheus",
            Command::new(prometheus_program(cache, "prometheus")?)
                .arg(format!("--config.file={}", config.display()))
                .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
                .arg("--log.level=warn"),
            folder,
        )?;
        let http = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(60)))
            .http_status_as_error(false)
            .build()
            .new_agent();
        let prometheus = Self { server, _alertmanager: alertmanager, http };
        let ready = until(LIMIT, || Ok(prometheus.get("/api/v1/status/runtimeinfo", &[]).ok().map(drop)))?;
        ensure!(ready.is_some(), "Prometheus does not answer; its log:\n{}", prometheus.server.log());
        Ok(prometheus)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Asks at this moment.
    pub(super) fn query(&self, expr: &str) -> Result<Answer> {
        self.ask("/api/v1/query", &[("query", expr)])
    }

    /// Asks for the last `seconds`, one point each five.
    pub(super) fn query_range(&self, expr: &str, seconds: f64) -> Result<Answer> {
        let end = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs_f64();
        let (start, end) = ((end - seconds).to_string(), end.to_string());
        self.ask("/api/v1/query_range", &[("query", expr), ("start", &start), ("end", &end), ("step", "5")])
    }

    /// The one number that an expression gives.
    pub(super) fn number(&self, expr: &str) -> Result<Option<f64>> {
        let answer = self.query(expr)?;
        let value = answer.series.first().and_then(|series| series["value"][1].as_str());
        Ok(value.and_then(|value| value.parse().ok()))
    }

    /// Waits until an expression gives a number for which `reached` holds.
    pub(super) fn wait_for(&self, expr: &str, reached: impl Fn(f64) -> bool) -> Result<f64> {
        let mut last = None;
        until(LIMIT, || {
            last = self.number(expr)?;
            Ok(last.filter(|number| reached(*number)))
        })?
        .with_context(|| format!("never as expected, but {last:?}: {expr}; the log:\n{}", self.server.log()))
    }

    /// What an API call gives.
    pub(super) fn get(&self, path: &str, parameters: &[(&str, &str)]) -> Result<Value> {
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

/// Debian's Alertmanager reads its templates from /usr/share: it sees there what its package holds, in a mount namespace
/// of its own.
fn within_its_files(program: &Path) -> Command {
    let share = program.parent().and_then(Path::parent).unwrap_or(Path::new("/usr")).join("share");
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", "mount --bind \"$1\" /usr/share && shift && exec \"$@\"", "sh"])
        .args([&share, program]);
    command
}

fn configuration(scraped: &[Scraped<'_>], alertmanager: SocketAddr) -> String {
    let mut text = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\n\
         rule_files: [recording.yaml, alerts.yaml]\n\
         alerting:\n  alertmanagers:\n  - static_configs: [{{targets: ['{alertmanager}']}}]\n\
         scrape_configs:\n"
    );
    let mut last = "";
    for Scraped { job, address, labels } in scraped {
        if *job != last {
            let _ = writeln!(text, "- job_name: {job}\n  static_configs:");
            last = job;
        }
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}: '{value}'")).collect();
        let _ = writeln!(text, "  - {{targets: ['{address}'], labels: {{{}}}}}", labels.join(", "));
    }
    text
}

/// A server of Prometheus's house.
struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    fn start(name: &str, command: &mut Command, folder: &Path) -> Result<Self> {
        let address = TcpListener::bind(("127.0.0.1", 0)).context("cannot find a free port")?.local_addr()?;
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
