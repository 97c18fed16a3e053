//! A Prometheus with our rules, and an Alertmanager behind it.

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};

use super::super::{
    Pace,
    check::prometheus_program,
    rules::{alerting_rules, recording_rules},
};
use crate::{
    prometheus::{Prometheus, Server},
    tools::Cache,
};

/// Rules are evaluated each second, and no alert waits; everything else about them is as rendered.
const PACE: Pace = Pace { interval: "1s", hold: Some("0s") };

/// Something to scrape, and the labels that it gets; those of one job follow each other.
pub(super) struct Scraped<'a> {
    pub(super) job: &'a str,
    pub(super) address: SocketAddr,
    pub(super) labels: Vec<(&'a str, &'a str)>,
}

/// Starts both in `folder`; alerts are sent to `webhook`.
pub(super) fn start(
    cache: &Cache,
    folder: &Path,
    scraped: &[Scraped<'_>],
    webhook: SocketAddr,
) -> Result<(Prometheus, Server)> {
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
    let configuration = configuration(scraped, alertmanager.address);
    let prometheus = Prometheus::start(&prometheus_program(cache, "prometheus")?, folder, &configuration)?;
    Ok((prometheus, alertmanager))
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
