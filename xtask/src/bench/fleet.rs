//! A fleet on paper: what a Prometheus has to bear for ten thousand nodes, from real pages and from real evaluations of the
//! rules over fewer nodes.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use workload::{How, Style};

use super::{
    page::{self, Part},
    rules::{self, INTERVAL, Load},
};
use crate::{
    agent::Agent,
    dashboards::{Listener, prometheus_program},
    deadline::until,
    markdown::Table,
    prometheus::Prometheus,
    repository::Repository,
    scale,
    scratch::{Medium, Scratch},
    tools::Cache,
    truth::Plan,
};

/// How many containers one agent watches.
const CONTAINERS: [usize; 3] = [10, 100, 500];
/// What page the nodes give: that of so many containers.
const TYPICAL: usize = 100;
/// How many nodes are measured, and how many are reckoned from them.
const NODES: [usize; 2] = [100, 1_000];
const FLEET: usize = 10_000;
/// Until windows of five minutes are full, on a busy machine.
const FULL: Duration = Duration::from_secs(900);
/// What Prometheus itself notes of each scrape: `up`, how long it took, and how many samples it had.
const OWN: usize = 5;
const RULES: [&str; 2] = ["recording.yaml", "alerts.yaml"];

/// One agent's page.
struct Scraped {
    text: String,
    /// As gzip would make it.
    packed: usize,
    /// Series by what they come with.
    agent: usize,
    runtime: usize,
    program: usize,
}

impl Scraped {
    fn series(&self) -> usize {
        let Self { agent, runtime, program, .. } = self;
        agent + runtime + program
    }
}

/// What was measured of so many nodes.
struct Measured {
    groups: Vec<(String, Load)>,
    series: f64,
    resident: f64,
}

/// Measures, reckons and prints.
pub(super) fn fleet(agent: &Path, workload: &Path, cache: &Cache, repository: &Repository) -> Result<()> {
    let mut pages = Vec::new();
    for containers in CONTAINERS {
        let scraped =
            scraped(agent, workload, containers).with_context(|| format!("over {containers} containers"))?;
        println!("  {containers} containers: {} series", scraped.series());
        pages.push((containers, scraped));
    }
    let typical = &pages.iter().find(|(count, _)| *count == TYPICAL).context("no page is typical")?.1;
    let [few, many] = measured(typical, cache, repository)?;
    let text = format!(
        "{}\n{}\n{}",
        pages_table(&pages),
        scrapes_table(typical, &few, &many),
        rules_table(&few, &many)
    );
    page::keep(repository, Part::Fleet, &text)
}

/// The page of an agent that has seen one program save in place, another by renaming, and reads of both.
fn scraped(agent: &Path, workload: &Path, containers: usize) -> Result<Scraped> {
    let scratch = Scratch::new(Medium::Memory)?;
    let (root, counters) = (scratch.folder("root")?, scratch.folder("counters")?);
    scale::populate(&root, containers)?;
    let plans =
        [How::Truncate, How::Rename].map(|how| Plan { how, style: Style::Go, writes: 200, reads: 100 });
    for plan in plans {
        plan.prepare(workload, &root)?;
    }
    let running = Agent::start(agent, &[("runc", &root)], &scratch.path().join("agent.log"), None)?;
    let work: Vec<_> =
        plans.iter().map(|plan| plan.start(workload, &root, &counters)).collect::<Result<_>>()?;
    for work in work {
        work.finish()?;
    }
    let damaged = containers.div_ceil(scale::EMPTY) as u64;
    let metrics = running.settled(|metrics| {
        metrics.count("state_watchdog_write_sessions_total", &[]) >= 400
            && metrics.count("state_watchdog_damaged_state_files", &[]) >= damaged
    })?;
    ensure!(metrics.count("state_watchdog_write_sessions_total", &[]) >= 400, "not all saves were told");
    let text = running.get("/metrics")?;
    running.stop()?;
    let packed = packed(&text)?;
    let mut page = Scraped { text, packed, agent: 0, runtime: 0, program: 0 };
    for line in page.text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        if ["writer=\"", "reader=\""].iter().any(|label| line.contains(label)) {
            page.program += 1;
        } else if line.contains("runtime=\"") {
            page.runtime += 1;
        } else {
            page.agent += 1;
        }
    }
    Ok(page)
}

fn packed(text: &str) -> Result<usize> {
    let mut gzip = Command::new("gzip")
        .arg("--stdout")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start gzip")?;
    let mut input = gzip.stdin.take().context("gzip reads nothing")?;
    let text = text.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = gzip.wait_with_output()?;
    writer.join().ok().context("writing to gzip failed")??;
    Ok(output.stdout.len())
}

/// Two servers at once, each with its nodes, until their windows are full.
fn measured(page: &Scraped, cache: &Cache, repository: &Repository) -> Result<[Measured; 2]> {
    let program = prometheus_program(cache, "prometheus")?;
    let listener = Listener::start()?;
    listener.serve("/metrics", page.text.clone());
    let scratch = Scratch::new(Medium::Disk)?;
    let start = |nodes: usize| {
        let folder = scratch.folder(&nodes.to_string())?;
        for file in RULES {
            let from = repository.root().join("dashboards/rules").join(file);
            fs::copy(&from, folder.join(file)).with_context(|| format!("cannot copy {}", from.display()))?;
        }
        Prometheus::start(&program, &folder, &configuration(nodes, &listener.address().to_string()))
    };
    let servers = [start(NODES[0])?, start(NODES[1])?];
    println!("  {} and {} nodes are scraped until windows of five minutes are full", NODES[0], NODES[1]);
    let enough = 300 / INTERVAL - 1;
    let full = |server: &Prometheus, nodes: usize| -> Result<bool> {
        let answer = server.query(&format!("count(count_over_time(up[5m]) >= {enough})"))?;
        let count = answer.series.first().and_then(|series| series["value"][1].as_str()?.parse().ok());
        Ok(count == Some(nodes))
    };
    let reached = until(FULL, || {
        std::thread::sleep(Duration::from_secs(1));
        Ok((full(&servers[0], NODES[0])? && full(&servers[1], NODES[1])?).then_some(()))
    })?;
    reached.with_context(|| format!("the windows were not full after {} s", FULL.as_secs()))?;
    Ok([told(&servers[0])?, told(&servers[1])?])
}

fn configuration(nodes: usize, address: &str) -> String {
    let mut text = format!(
        "global: {{scrape_interval: {INTERVAL}s, evaluation_interval: 1m}}\nrule_files: [{}]\n\
         scrape_configs:\n- job_name: state-watchdog\n  static_configs:\n",
        RULES.join(", ")
    );
    for node in 0..nodes {
        // Writing to a string cannot fail. One address may be many targets: they differ by a parameter that nobody reads.
        let _ = writeln!(
            text,
            "  - {{targets: ['{address}'], labels: {{cluster: one, instance: node-{node}, __param_node: '{node}'}}}}"
        );
    }
    text
}

fn told(server: &Prometheus) -> Result<Measured> {
    let head = server.get("/api/v1/status/tsdb", &[])?;
    let series = head["data"]["headStats"]["numSeries"].as_f64().context("the server counts no series")?;
    Ok(Measured { groups: rules::groups(server)?, series, resident: server.resident()? })
}

/// Where the straight line through what was measured comes to.
fn reckoned(few: f64, many: f64) -> f64 {
    let [first, second, fleet] = [NODES[0], NODES[1], FLEET].map(|nodes| nodes as f64);
    many + (many - few) / (second - first) * (fleet - second)
}

fn pages_table(pages: &[(usize, Scraped)]) -> String {
    let mut table = Table::new(&[
        "containers",
        "series",
        "of the agent",
        "of a runtime root",
        "of the programs seen",
        "scrape, KiB",
        "by gzip, KiB",
    ]);
    for (containers, page) in pages {
        let Scraped { text, packed, agent, runtime, program } = page;
        table.row(&[
            &containers.to_string(),
            &page.series().to_string(),
            &agent.to_string(),
            &runtime.to_string(),
            &program.to_string(),
            &format!("{:.1}", text.len() as f64 / 1024.0),
            &format!("{:.1}", *packed as f64 / 1024.0),
        ]);
    }
    table.text().to_owned()
}

fn scrapes_table(page: &Scraped, few: &Measured, many: &Measured) -> String {
    let mut table = heads(&["every 30 s"]);
    let each = |per_node: f64| [NODES[0], NODES[1], FLEET].map(|nodes| per_node * nodes as f64);
    let mut row = |name: &str, values: [f64; 3]| {
        let cells = values.map(|value| format!("{value:.0}"));
        table.row(&[name, &cells[0], &cells[1], &cells[2]]);
    };
    let (bytes, seconds) = (page.text.len() as f64, f64::from(INTERVAL));
    row("samples a second", each((page.series() + OWN) as f64 / seconds));
    row("scraped, KiB a second", each(bytes / 1024.0 / seconds));
    row("series in Prometheus", [few.series, many.series, reckoned(few.series, many.series)]);
    row("its resident memory, MiB", [few.resident, many.resident, reckoned(few.resident, many.resident)]);
    table.text().to_owned()
}

fn rules_table(few: &Measured, many: &Measured) -> String {
    let mut table = heads(&["group of rules", "each minute"]);
    for ((name, few), (_, many)) in few.groups.iter().zip(&many.groups) {
        let name = format!("{name} ({})", few.rules);
        let mut row = |what: &str, few: f64, many: f64| {
            let cells = [few, many, reckoned(few, many)].map(|value| format!("{value:.0}"));
            table.row(&[&name, what, &cells[0], &cells[1], &cells[2]]);
        };
        row("samples read", few.read, many.read);
        row("when all windows are full", few.read + few.lacking, many.read + many.lacking);
        row("series written", few.written, many.written);
        row("evaluation, ms", few.milliseconds, many.milliseconds);
    }
    table.text().to_owned()
}

/// A table whose last columns are as many nodes as were measured, and the fleet.
fn heads(first: &[&str]) -> Table {
    let nodes = [NODES[0], NODES[1], FLEET].map(|nodes| format!("{nodes} nodes"));
    Table::new(&[first, &nodes.each_ref().map(String::as_str)[..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_scraped_as_often_as_the_chart_has_them_scraped() {
        let file = Repository::find().unwrap().root().join("deploy/chart/state-watchdog/values.yaml");
        let values = fs::read_to_string(file).unwrap();
        let monitor = values.split_once("\npodMonitor:\n").unwrap().1;
        let interval = monitor.lines().find_map(|line| line.trim().strip_prefix("interval: ")).unwrap();
        assert_eq!(interval, format!("{INTERVAL}s"));
    }

    #[test]
    fn what_grows_with_nodes_is_reckoned_and_what_does_not_stays() {
        assert_eq!(reckoned(100.0, 1_000.0), 10_000.0);
        assert_eq!(reckoned(7.0, 7.0), 7.0);
        assert_eq!(reckoned(150.0, 1_050.0), 10_050.0);
    }
}
