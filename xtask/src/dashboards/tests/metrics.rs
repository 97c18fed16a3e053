//! Metrics in the agent's code are the metrics in rules and dashboards, with their labels and the values of these.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::{label::MatchOp, parser::Expr};
use watchdog::metrics::{FAMILIES, Kind, label_values};

use super::expressions::{Selected, all, grouping_labels, labels, recordings, selectors};

/// What Prometheus adds to every series of an agent.
const TARGET: [&str; 3] = ["cluster", "job", "instance"];

/// Series of others, which the agent does not make: kind and labels.
const FOREIGN: [(&str, bool, &[&str]); 5] = [
    ("up", false, &TARGET),
    ("ALERTS", false, &["cluster", "alertname", "alertstate"]),
    // kubelet, pkg/kubelet/prober: since 1.14.
    ("prober_probe_total", true, &["cluster", "instance", "node", "probe_type", "result"]),
    // kubelet, pkg/kubelet/metrics. It leaves probes that end in an error out of the above (`doProbe`, read in 1.20).
    ("kubelet_runtime_operations_errors_total", true, &["cluster", "instance", "node", "operation_type"]),
    // kube-state-metrics.
    ("kube_node_info", false, &["cluster", "node", "container_runtime_version", "os_image"]),
];

/// Metrics of the agent that answer none of the questions that dashboards and alerts are for.
const UNUSED: [(&str, &str); 8] = [
    ("state_watchdog_config_reloads_total", "what matters is whether the last one was refused"),
    ("state_watchdog_config_last_reload_success_timestamp_seconds", "as above"),
    (
        "state_watchdog_findings_dropped_total",
        "whoever reads standard output sees its gap; /findings has them still",
    ),
    (
        "state_watchdog_file_work_total",
        "for whoever asks why a root or a pod is missing; what was missed itself is shown",
    ),
    (
        "state_watchdog_damaged_reads_total",
        "how many of these readers failed is shown: damaged_reader_exits_total",
    ),
    ("state_watchdog_stuck_threads", "as above: /status and the log name the path that does not answer"),
    ("process_virtual_memory_bytes", "what is mapped costs nothing; what is resident is shown"),
    ("process_threads", "the agent has one thread, and another only to read a large file"),
];

/// A series that may be asked for.
#[derive(Clone)]
struct Series {
    is_counter: bool,
    labels: BTreeSet<String>,
}

fn known() -> BTreeMap<String, Series> {
    let mut known = BTreeMap::new();
    let mut add = |name: String, is_counter, labels: Vec<&str>| {
        let labels = labels.into_iter().map(str::to_owned).collect();
        assert!(known.insert(name.clone(), Series { is_counter, labels }).is_none(), "{name} twice");
    };
    for family in FAMILIES {
        let own = family.labels.iter().copied().chain(TARGET);
        match family.kind {
            Kind::Histogram => {
                add(format!("{}_bucket", family.name), true, own.clone().chain(["le"]).collect());
                add(format!("{}_sum", family.name), true, own.clone().collect());
                add(format!("{}_count", family.name), true, own.collect());
            }
            kind => add(family.name.to_owned(), kind == Kind::Counter, own.collect()),
        }
    }
    for (name, is_counter, labels) in FOREIGN {
        add(name.to_owned(), is_counter, labels.to_vec());
    }
    for (record, _) in recordings() {
        add(record.to_owned(), record.ends_with("_total"), level(record));
    }
    known
}

/// The labels that a recorded series has by the first part of its name. What is told of an instance has all of its
/// target's.
fn level(record: &str) -> Vec<&str> {
    let mut labels: Vec<&str> = record.split(':').next().unwrap().split('_').collect();
    if labels[0] == "instance" {
        labels.extend(["cluster", "job"]);
    }
    labels
}

#[test]
fn every_series_exists_with_the_labels_that_are_asked_for() {
    let known = known();
    for placed in all() {
        let mut reachable = BTreeSet::new();
        for selected in selectors(&placed.expr) {
            let name = selected.name();
            let series = known.get(name).unwrap_or_else(|| panic!("{}: no metric {name}", placed.place));
            for matcher in &selected.selector.matchers.matchers {
                assert!(
                    series.labels.contains(&matcher.name),
                    "{}: {name} has no label {}",
                    placed.place,
                    matcher.name
                );
            }
            reachable.extend(series.labels.iter().cloned());
        }
        if placed.text.contains("label_replace") {
            reachable.insert("node".to_owned());
        }
        for label in grouping_labels(&placed.expr) {
            assert!(reachable.contains(&label), "{}: nothing has the label {label}", placed.place);
        }
    }
}

#[test]
fn every_metric_of_the_agent_is_used_or_excused() {
    let mut used = BTreeSet::new();
    for placed in all() {
        for selected in selectors(&placed.expr) {
            let name = selected.name();
            used.insert(name.to_owned());
            for part in ["_bucket", "_sum", "_count"] {
                used.extend(name.strip_suffix(part).map(str::to_owned));
            }
        }
    }
    for family in FAMILIES {
        let excuse = UNUSED.iter().find(|(name, _)| *name == family.name);
        match (used.contains(family.name), excuse) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(_)) => panic!("{} is used and excused", family.name),
            (false, None) => panic!("{} is used nowhere; use it, or excuse it here", family.name),
        }
    }
    for (record, _) in recordings() {
        assert!(used.contains(record), "{record} is recorded for nobody");
    }
}

#[test]
fn every_label_value_is_one_of_the_agents() {
    for placed in all() {
        for selected in selectors(&placed.expr) {
            for matcher in &selected.selector.matchers.matchers {
                let Some(allowed) = values(selected.name(), &matcher.name) else { continue };
                // A variable's choice and the pattern for a node's name are checked elsewhere.
                if matcher.value.contains('$') {
                    continue;
                }
                let asked: Vec<&str> = match matcher.op {
                    MatchOp::Re(_) | MatchOp::NotRe(_) => matcher.value.split('|').collect(),
                    MatchOp::Equal | MatchOp::NotEqual => vec![&matcher.value],
                };
                for value in asked {
                    assert!(allowed.contains(&value), "{}: {} is never {value}", placed.place, matcher.name);
                }
            }
        }
    }
}

/// The closed set of a label's values; `None` where it has none.
pub(super) fn values(metric: &str, label: &str) -> Option<Vec<&'static str>> {
    let of = match (metric, label) {
        ("prober_probe_total", "result") => return Some(vec!["successful", "failed", "unknown"]),
        ("state_watchdog_canary_writes_total", "result") => "canary writes",
        (_, "result") => "readers",
        ("state_watchdog_events_total", "operation") => "events",
        (_, "operation") => "writes",
        _ => "",
    };
    let found = label_values().into_iter().find(|(name, whose, _)| *name == label && *whose == of);
    found.map(|(_, _, values)| values)
}

#[test]
fn rates_are_of_counters_and_counters_are_rated() {
    let known = known();
    for placed in all() {
        for selected in selectors(&placed.expr) {
            let rated = matches!(selected.function(), Some("rate" | "irate" | "increase"));
            let is_counter = known[selected.name()].is_counter;
            if rated {
                assert!(is_counter, "{}: a rate of {}, which is no counter", placed.place, selected.name());
            } else if is_counter {
                let excused = is_young(&selected) || placed.place.ends_with(":sum_total");
                assert!(excused, "{}: {} without a rate", placed.place, selected.name());
            }
        }
    }
}

/// Part of `x unless x offset …`: a series that has only just begun is counted as a whole.
fn is_young(selected: &Selected<'_>) -> bool {
    let Some(Expr::Binary(binary)) = selected.above.last() else { return false };
    let (Expr::VectorSelector(now), Expr::VectorSelector(then)) = (&*binary.lhs, &*binary.rhs) else {
        return false;
    };
    binary.op.to_string() == "unless"
        && now.name == then.name
        && now.matchers == then.matchers
        && now.offset.is_none()
        && then.offset.is_some()
}

#[test]
fn a_recorded_name_says_by_what_it_is_grouped() {
    for (record, placed) in recordings() {
        let parts: Vec<&str> = record.split(':').collect();
        assert!(
            parts.len() == 3 && parts[1].starts_with("state_watchdog_"),
            "{record}: level:metric:operations"
        );
        // A rate of a recorded sum has the labels of that sum.
        let Expr::Aggregate(aggregate) = &placed.expr else {
            assert!(selectors(&placed.expr).iter().all(|selected| selected.name().starts_with(parts[0])));
            continue;
        };
        let text = &placed.text;
        let grouped = labels(aggregate.modifier.as_ref());
        if text.contains(" by (") {
            assert_eq!(grouped, level(record), "{record}");
        } else {
            // What is left of the metric's own labels.
            let family = selectors(&placed.expr)[0].name().to_owned();
            let left: BTreeSet<String> =
                known()[&family].labels.iter().filter(|label| !grouped.contains(label)).cloned().collect();
            assert_eq!(left, level(record).into_iter().map(str::to_owned).collect(), "{record}");
        }
    }
}
