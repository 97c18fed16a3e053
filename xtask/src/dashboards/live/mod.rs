//! Dashboards, rules and alerts against a real Prometheus that scrapes a real agent beside a workload.

mod drawing;
mod listener;
mod prometheus;
mod stage;

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use workload::How;

use super::{
    boards::{Dashboard, Panel, dashboards},
    rules::{RECORDING_GROUPS, alerts},
};
use crate::{
    build::Profile,
    deadline::until,
    privilege,
    programs::Programs,
    prometheus::{LIMIT, Prometheus},
    repository::Repository,
    tally::Tally,
    tools::{self, Cache},
    truth::Truth,
};
pub(crate) use listener::Listener;
use stage::{NODE, RUNTIME, Stage};

/// How far back panels look.
const RANGE: u32 = 600;

/// What has no answer here: nothing was recorded in the ten minutes before, or is wrong.
const MAY_BE_EMPTY: [(&str, &str); 2] = [("Before and after", "A"), ("Before and after", "C")];

/// Alerts that must fire beside the workload.
const FIRES: [&str; 3] =
    ["StateWatchdogTornReads", "StateWatchdogTornReadFailed", "StateWatchdogNewNonatomicWriter"];

/// Runs the agent, the workload and Prometheus, and asks all there is to ask.
pub(crate) fn check_live(programs: &Programs, cache: &Cache, tally: &mut Tally) {
    let mut stage = None;
    tally.check("Prometheus scrapes the agent and evaluates the rules", || {
        stage = Some(Stage::open(programs, cache, 2)?);
        Ok(String::new())
    });
    let Some(stage) = stage else { return };
    let prometheus = &stage.prometheus;
    tally.check("a fresh installation leaves no panel empty", || no_panel_is_empty(prometheus));
    let mut truths = Vec::new();
    tally.check("the workload runs", || {
        truths = stage.run(&programs.workload, 0)?;
        Ok(String::new())
    });
    tally.check("Prometheus counts what the workload recorded", || counts(prometheus, &truths));
    tally.check("the alerts fire", || fire(prometheus));
    tally.check("the alert for torn reads reaches the Alertmanager's webhook", || arrives(&stage));
    tally.check("no rule fails", || no_rule_fails(prometheus));
    tally.check("every expression of rules and alerts is answered without doubt", || rules(prometheus));
    tally.check("every variable has values", || variables(prometheus));
    for (_, dashboard) in dashboards() {
        tally.check(&format!("every expression of {} has data", dashboard.title), || {
            has_data(prometheus, &dashboard)
        });
    }
    drawing::check(&stage, cache, tally);
}

/// Draws the dashboards of three nodes after minutes of work, for people, into `docs/images`.
pub(crate) fn draw() -> Result<()> {
    ensure!(privilege::is_root(), "the agents load probes, so this must be run as root");
    let (repository, cache) = (Repository::find()?, Cache::open()?);
    tools::set_up_bpf(&cache, None)?;
    let programs = Programs::get(&repository, &cache, Profile::Checks)?;
    let stage = Stage::open(&programs, &cache, 3)?;
    stage.live_through_a_rollout(&programs.workload)?;
    let folder = repository.root().join("docs/images");
    for picture in drawing::Drawing::prepare(&cache)?.draw(&stage, &cache, &folder, stage::STORY)? {
        println!("  {picture}");
    }
    drawing::shrink(&cache, &folder)
}

/// An expression as Grafana would send it, with everything chosen.
fn interpolated(expr: &str) -> String {
    expr.replace("$__rate_interval", "61s")
        .replace("$__range_s", &RANGE.to_string())
        .replace("$__range", &format!("{RANGE}s"))
        .replace("$cluster", ".*")
        .replace("$instance", NODE)
        .replace("$runtime", ".+")
}

fn no_panel_is_empty(prometheus: &Prometheus) -> Result<String> {
    let mut panels = 0;
    for (_, dashboard) in dashboards() {
        for panel in dashboard.panels.iter().filter(|panel| !panel.targets.is_empty()) {
            let mut shown = 0;
            for target in &panel.targets {
                shown += ask(prometheus, panel, &target.expr)?;
            }
            ensure!(shown > 0, "{}: {}: No data", dashboard.title, panel.title);
            panels += 1;
        }
    }
    Ok(format!("{panels} panels"))
}

fn has_data(prometheus: &Prometheus, dashboard: &Dashboard) -> Result<String> {
    let (mut expressions, mut series) = (0, 0);
    for panel in &dashboard.panels {
        for target in &panel.targets {
            let found = ask(prometheus, panel, &target.expr)?;
            let may_be_empty = MAY_BE_EMPTY.contains(&(panel.title, &target.ref_id));
            ensure!(
                found > 0 || may_be_empty,
                "{}: {}: no data: {}",
                panel.title,
                target.ref_id,
                target.expr
            );
            (expressions, series) = (expressions + 1, series + found);
        }
    }
    Ok(format!("{expressions} expressions, {series} series"))
}

/// How many series a panel's expression gives; an error where Prometheus has doubts.
fn ask(prometheus: &Prometheus, panel: &Panel, expr: &str) -> Result<usize> {
    let expr = interpolated(expr);
    let answer = if panel.kind == "timeseries" {
        prometheus.query_range(&expr, f64::from(RANGE))
    } else {
        prometheus.query(&expr)
    };
    let answer = answer.with_context(|| format!("{}: {expr}", panel.title))?;
    ensure!(answer.doubts.is_empty(), "{}: {expr}: {:?}", panel.title, answer.doubts);
    Ok(answer.series.len())
}

fn counts(prometheus: &Prometheus, truths: &[Truth]) -> Result<String> {
    let torn: u64 = truths.iter().map(Truth::torn).sum();
    let saves: usize = truths.iter().map(|truth| truth.writes.len()).sum();
    ensure!(torn > 0, "the workload has torn no read");
    let sum = format!("sum(instance_runtime:state_watchdog_torn_reads:sum_total{{runtime=\"{RUNTIME}\"}})");
    let counted = prometheus.wait_for(&sum, |counted| counted >= torn as f64)?;
    ensure!(counted == torn as f64, "{torn} reads were torn, {counted} are counted");
    let sum = "sum(state_watchdog_write_sessions_total)";
    let counted = prometheus.wait_for(sum, |counted| counted >= saves as f64)?;
    ensure!(counted == saves as f64, "{saves} saves, {counted} are counted");
    // The agents are younger than the time range. An increase reaches beyond the first and the last sample, by a second at
    // most: too far of an agent that is some seconds old, and less so from second to second.
    let unsafe_saves: usize =
        truths.iter().filter(|truth| truth.how != How::Rename).map(|truth| truth.writes.len()).sum();
    for (query, expected) in [("A", unsafe_saves as f64), ("B", torn as f64)] {
        let expr = interpolated(expression("Nodes by harm", query)?.as_str());
        let about = |counted: f64| (expected..=1.1 * expected).contains(&counted);
        let counted = prometheus.wait_for(&expr, about)?;
        ensure!(about(counted), "Nodes by harm: {query} says {counted}, and is {expected}");
    }
    Ok(format!("{saves} saves, {torn} torn reads"))
}

/// A panel's expression.
fn expression(title: &str, query: &str) -> Result<String> {
    let panels = dashboards().into_iter().flat_map(|(_, dashboard)| dashboard.panels);
    let mut targets = panels.filter(|panel| panel.title == title).flat_map(|panel| panel.targets);
    let target = targets.find(|target| target.ref_id == query);
    Ok(target.with_context(|| format!("{title} has no query {query}"))?.expr)
}

fn fire(prometheus: &Prometheus) -> Result<String> {
    for alert in FIRES {
        prometheus
            .wait_for(&format!("count(ALERTS{{alertname=\"{alert}\", alertstate=\"firing\"}})"), |count| {
                count >= 1.0
            })?;
    }
    let others = prometheus.query("count by (alertname) (ALERTS{alertstate=\"firing\"})")?;
    let names: BTreeSet<_> =
        others.series.iter().filter_map(|series| series["metric"]["alertname"].as_str()).collect();
    // This is what a healthy agent beside an unsafe writer looks like.
    let allowed =
        ["StateWatchdogDamagedStateFile", "StateWatchdogDamagedReadFailed", "StateWatchdogAnomalies"];
    for name in &names {
        ensure!(FIRES.contains(name) || allowed.contains(name), "{name} fires, and should not");
    }
    Ok(names.into_iter().collect::<Vec<_>>().join(", "))
}

fn arrives(stage: &Stage) -> Result<String> {
    let arrived = until(LIMIT, || {
        Ok(stage.listener.messages().into_iter().find(|message| {
            message["status"] == "firing" && message["commonLabels"]["alertname"] == "StateWatchdogTornReads"
        }))
    })?;
    let Some(message) = arrived else { bail!("the messages were {:?}", stage.listener.messages()) };
    let alert = &message["alerts"][0];
    ensure!(alert["labels"]["instance"] == NODE && alert["labels"]["runtime"] == RUNTIME, "{message}");
    let url = alert["annotations"]["runbook_url"].as_str().unwrap_or_default();
    ensure!(url.ends_with("#statewatchdogtornreads"), "{message}");
    Ok(alert["annotations"]["summary"].as_str().unwrap_or_default().to_owned())
}

fn no_rule_fails(prometheus: &Prometheus) -> Result<String> {
    let expected = RECORDING_GROUPS.iter().map(|group| group.rules.len()).sum::<usize>() + alerts().count();
    let answer = prometheus.get("/api/v1/rules", &[])?;
    let groups = answer["data"]["groups"].as_array().context("no groups of rules")?;
    let rules: Vec<_> = groups.iter().filter_map(|group| group["rules"].as_array()).flatten().collect();
    ensure!(rules.len() == expected, "{} rules are loaded, not {expected}", rules.len());
    for rule in &rules {
        ensure!(rule["health"] == "ok", "{}: {}", rule["name"], rule["lastError"]);
    }
    Ok(format!("{expected} rules"))
}

fn rules(prometheus: &Prometheus) -> Result<String> {
    let recordings = RECORDING_GROUPS.iter().flat_map(|group| group.rules);
    let recorded = recordings.map(|rule| (rule.record, rule.expr, true));
    let alerts = alerts().map(|alert| (alert.name, alert.expr, FIRES.contains(&alert.name)));
    let mut count = 0;
    for (name, expr, must) in recorded.chain(alerts) {
        let answer = prometheus.query(expr).with_context(|| name.to_owned())?;
        ensure!(answer.doubts.is_empty(), "{name}: {:?}", answer.doubts);
        ensure!(!must || !answer.series.is_empty(), "{name} has no data");
        count += 1;
    }
    Ok(format!("{count} expressions"))
}

fn variables(prometheus: &Prometheus) -> Result<String> {
    let mut asked = 0;
    for (_, dashboard) in dashboards() {
        for variable in dashboard.templating.list.iter().filter(|variable| variable.kind == "query") {
            let query = variable.definition.unwrap_or_default();
            let inner = query.trim_start_matches("label_values(").trim_end_matches(')');
            let (series, label) = inner.rsplit_once(", ").context("not a query for label values")?;
            let series = interpolated(series);
            let answer = prometheus.get(&format!("/api/v1/label/{label}/values"), &[("match[]", &series)])?;
            let found = answer["data"].as_array().is_some_and(|values| !values.is_empty());
            ensure!(found, "{}: {query} has no value", dashboard.title);
            asked += 1;
        }
    }
    Ok(format!("{asked} queries"))
}
