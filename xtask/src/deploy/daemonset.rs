//! The chart's DaemonSet, played as such, and scraped by a real Prometheus.

use std::{path::Path, time::Duration};

use ::workload::{How, Style};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{
    chart::{self, Chart},
    prometheus::Prometheus,
    trixie::{self, Played},
};
use crate::{
    agent::free_address,
    deadline::until,
    image::Image,
    scratch::Scratch,
    tools::Cache,
    truth::{Plan, Truth},
};

const PLAN: Plan = Plan { how: How::Truncate, style: Style::Go, writes: 100, reads: 500 };
const READY: Duration = Duration::from_secs(180);

/// Plays it beside a workload on the host; every torn read must arrive in a query.
pub(super) fn check(
    chart: Chart<'_>,
    cache: &Cache,
    scratch: &Scratch,
    image: &Image,
    workload: &Path,
) -> Result<String> {
    let host = Scratch::below(Path::new("/run"))?;
    let (root, counters) = (host.folder("root")?, host.folder("counters")?);
    PLAN.prepare(workload, &root)?;
    let address = free_address()?;
    let options = [
        "hostNetwork=true".to_owned(),
        format!("listenAddress={}", address.ip()),
        format!("port={}", address.port()),
        "image.repository=localhost/state-watchdog".to_owned(),
        "image.pullPolicy=Never".to_owned(),
        "agent.roots[0].runtime=demo".to_owned(),
        format!("agent.roots[0].path={}", root.display()),
    ];
    let options: Vec<String> = options.into_iter().flat_map(|option| ["--set".to_owned(), option]).collect();
    let documents = chart.render("1.37.0", &options)?;
    let manifest = chart::object(&documents, "DaemonSet")?.to_string();
    let mut played = Played::start(&trixie::get(cache)?, scratch, &image.archive, &manifest)?;
    let status = wait_until_ready(&mut played, &format!("http://{address}"))?;
    let prometheus = Prometheus::start(
        cache,
        scratch,
        &format!("- {{job_name: state-watchdog, static_configs: [{{targets: ['{address}']}}]}}\n"),
    )?;
    prometheus.wait_for("up{job=\"state-watchdog\"}", 1.0)?;
    let truth: Truth = PLAN.start(workload, &root, &counters)?.finish()?;
    let torn = truth.torn();
    let sessions = "sum(state_watchdog_write_sessions_total{runtime=\"demo\",outcome=\"in_place\"})";
    prometheus.wait_for(sessions, PLAN.writes as f64)?;
    let query = "sum(state_watchdog_overlapping_reads_total{runtime=\"demo\",verdict=\"torn\"})";
    let (told, _) = prometheus.wait_for(query, torn as f64)?;
    ensure!(told as u64 == torn, "{told} torn reads are told, {torn} there were");
    Ok(format!("source {}, {torn} torn reads in Prometheus", status["source"]))
}

fn wait_until_ready(played: &mut Played, url: &str) -> Result<Value> {
    let http = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().new_agent();
    let ready = until(READY, || {
        if let Some(end) = played.ended()? {
            bail!(end);
        }
        Ok(http.get(format!("{url}/readyz")).call().is_ok().then_some(()))
    })?;
    ready.with_context(|| format!("the DaemonSet was not ready within {} s", READY.as_secs()))?;
    let body = http.get(format!("{url}/status")).call()?.body_mut().read_to_string()?;
    Ok(serde_json::from_str(&body)?)
}
