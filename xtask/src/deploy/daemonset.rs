//! The chart's DaemonSet, played as such with TLS and passwords, and scraped by a real Prometheus.

use std::{fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use ::workload::{How, Style};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

use super::{
    chart::{self, Chart},
    trixie::{self, Played},
};
use crate::{
    agent::free_address,
    deadline::until,
    image::Image,
    prometheus::{self, Prometheus},
    scrape::{Authority, HASH, PASSWORD, scrape_configuration},
    scratch::Scratch,
    tools::{self, Cache},
    truth::{Plan, Truth},
};

const PLAN: Plan = Plan { how: How::Truncate, style: Style::Go, writes: 100, reads: 500 };
const READY: Duration = Duration::from_secs(180);
/// Where the chart mounts the certificate, and where it is in the Secret that cert-manager makes.
const CERTIFICATE: &str = "/etc/state-watchdog-tls/tls";

/// Plays it beside a workload on the host; every torn read must arrive in a query, and nothing without the password.
pub(super) fn check(
    chart: Chart<'_>,
    cache: &Cache,
    scratch: &Scratch,
    image: &Image,
    workload: &Path,
) -> Result<String> {
    tools::installed(cache, &["curl", "openssl"])?;
    let host = Scratch::below(Path::new("/run"))?;
    let (root, counters) = (host.folder("root")?, host.folder("counters")?);
    PLAN.prepare(workload, &root)?;
    let address = free_address()?;
    let authority = Authority::new(&scratch.folder("authority")?)?;
    let web = scratch.path().join("web.yml");
    let configuration = format!(
        "tls_server_config: {{cert_file: {CERTIFICATE}.crt, key_file: {CERTIFICATE}.key}}\n\
         basic_auth_users: {{alice: {HASH}}}\n"
    );
    fs::write(&web, configuration)?;
    let options = [
        "hostNetwork=true".to_owned(),
        format!("listenAddress={}", address.ip()),
        format!("port={}", address.port()),
        "image.repository=localhost/state-watchdog".to_owned(),
        "image.pullPolicy=Never".to_owned(),
        "agent.roots[0].runtime=demo".to_owned(),
        format!("agent.roots[0].path={}", root.display()),
        "web.certificateSecret=certificate".to_owned(),
        "web.scheme=https".to_owned(),
    ];
    let mut options: Vec<String> =
        options.into_iter().flat_map(|option| ["--set".to_owned(), option]).collect();
    options.extend(["--set-file".to_owned(), format!("web.config={}", web.display())]);
    let documents = chart.render("1.37.0", &options)?;
    let parts = [
        certificate(&authority, scratch)?,
        chart::object(&documents, "Secret")?.clone(),
        chart::object(&documents, "DaemonSet")?.clone(),
    ];
    let manifest = parts.map(|part| part.to_string()).join("\n---\n");
    let mut played = Played::start(&trixie::get(cache)?, scratch, &image.archive, &manifest)?;
    let site = Site { address, authority };
    let status = site.wait_until_ready(&mut played)?;
    site.is_closed()?;
    let configuration = scrape_configuration(&site.authority.certificate(), address);
    let folder = scratch.folder("prometheus")?;
    let prometheus = Prometheus::start(&prometheus::program(cache)?, &folder, &configuration)?;
    prometheus.wait_for("up", |up| up == 1.0)?;
    let truth: Truth = PLAN.start(workload, &root, &counters)?.finish()?;
    let torn = truth.torn();
    let sessions = "sum(state_watchdog_write_sessions_total{runtime=\"demo\",outcome=\"in_place\"})";
    prometheus.wait_for(sessions, |told| told >= PLAN.writes as f64)?;
    let query = "sum(state_watchdog_overlapping_reads_total{runtime=\"demo\",verdict=\"torn\"})";
    let told = prometheus.wait_for(query, |told| told >= torn as f64)?;
    ensure!(told as u64 == torn, "{told} torn reads are told, {torn} there were");
    Ok(format!("by TLS with a password, source {}, {torn} torn reads in Prometheus", status["source"]))
}

/// A Secret of a certificate for loopback, as cert-manager makes it.
fn certificate(authority: &Authority, scratch: &Scratch) -> Result<Value> {
    let folder = scratch.folder("certificate")?;
    authority.sign("tls", "state-watchdog", &folder)?;
    let read = |name: &str| fs::read_to_string(folder.join(name)).with_context(|| format!("no {name}"));
    Ok(json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": "certificate"},
        "stringData": {"tls.crt": read("tls.crt")?, "tls.key": read("tls.key")?},
    }))
}

/// Where the agent answers.
struct Site {
    address: SocketAddr,
    authority: Authority,
}

impl Site {
    fn wait_until_ready(&self, played: &mut Played) -> Result<Value> {
        let mut last = String::new();
        let ready = until(READY, || {
            if let Some(end) = played.ended()? {
                bail!(end);
            }
            last = self.curl("/readyz", &[])?;
            Ok(last.ends_with(" 200").then_some(()))
        })?;
        ready.with_context(|| {
            format!("the DaemonSet was not ready within {} s, but: {last}", READY.as_secs())
        })?;
        let status = self.curl("/status", &["--user", &format!("alice:{PASSWORD}")])?;
        serde_json::from_str(status.trim_end_matches(" 200")).with_context(|| status.clone())
    }

    /// An error unless findings and metrics are kept from who has no password.
    fn is_closed(&self) -> Result<()> {
        for path in ["/metrics", "/findings", "/status", "/"] {
            let said = self.curl(path, &[])?;
            ensure!(said.ends_with(" 401"), "{path} without a password: {said}");
        }
        Ok(())
    }

    /// What is answered, and the status.
    fn curl(&self, path: &str, options: &[&str]) -> Result<String> {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--max-time", "5", "--write-out", " %{http_code}", "--cacert"])
            .arg(self.authority.certificate())
            .args(options)
            .arg(format!("https://{}{path}", self.address))
            .output()
            .context("cannot start curl")?;
        let said = if output.status.success() { output.stdout } else { output.stderr };
        Ok(String::from_utf8_lossy(&said).into_owned())
    }
}
