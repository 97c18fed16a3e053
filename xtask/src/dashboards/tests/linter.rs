//! The rules of Grafana's dashboard-linter, stated anew over our own data. Not taken over: its variables `job` and
//! `instance` in every query, because an agent is known by its metrics, whatever the job is called and the cluster is
//! chosen instead; `instance` is asked for where a dashboard lets choose nodes.

use std::collections::BTreeSet;

use super::{
    super::boards::dashboards,
    expressions::{RATE_INTERVAL, panels, selectors},
};

/// Units of Grafana that ours are among, of those that its linter lists.
const UNITS: [&str; 9] = ["short", "locale", "percentunit", "bytes", "s", "cps", "rpm", "wpm", "none"];

#[test]
fn the_data_source_is_chosen_and_every_panel_uses_it() {
    for (_, dashboard) in dashboards() {
        let sources: Vec<_> =
            dashboard.templating.list.iter().filter(|variable| variable.kind == "datasource").collect();
        assert_eq!(sources.len(), 1, "{}", dashboard.title);
        assert_eq!((sources[0].name, sources[0].label), ("datasource", "Data source"));
        assert_eq!(sources[0].query, "prometheus");
        for panel in dashboard.panels.iter().filter(|panel| panel.kind != "row") {
            assert_eq!(panel.datasource.unwrap().uid, "${datasource}", "{}", panel.title);
            assert!(panel.targets.iter().all(|target| target.datasource.uid == "${datasource}"));
        }
        for variable in dashboard.templating.list.iter().filter(|variable| variable.kind == "query") {
            assert_eq!(variable.datasource.unwrap().uid, "${datasource}", "{}", variable.name);
        }
    }
}

#[test]
fn variables_follow_the_time_range_and_ask_well() {
    for (_, dashboard) in dashboards() {
        for variable in dashboard.templating.list.iter().filter(|variable| variable.kind == "query") {
            assert_eq!(variable.refresh, 2, "{}", variable.name);
            let query = variable.definition.unwrap();
            let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).unwrap();
            let (metric, label) = inner.rsplit_once(", ").unwrap();
            let parsed = promql_parser::parser::parse(metric).unwrap();
            assert_eq!(selectors(&parsed).len(), 1, "{query}");
            assert_eq!(label, variable.name, "{query}");
        }
    }
}

#[test]
fn every_panel_has_a_title_a_description_a_unit_and_queries() {
    for (_, dashboard) in dashboards() {
        let mut titles = BTreeSet::new();
        for panel in &dashboard.panels {
            assert!(
                !panel.title.is_empty() && titles.insert(panel.title),
                "{}: {}",
                dashboard.title,
                panel.title
            );
            if panel.kind == "row" {
                continue;
            }
            assert!(panel.description.ends_with('.'), "{}: {}", dashboard.title, panel.title);
            assert!(!panel.targets.is_empty(), "{}: {}", dashboard.title, panel.title);
            let unit = panel.field_config.as_ref().unwrap().defaults.unit;
            assert!(UNITS.contains(&unit), "{}: {}: unit {unit}", dashboard.title, panel.title);
        }
        assert!(!dashboard.editable, "{}", dashboard.title);
    }
}

#[test]
fn rates_span_the_rate_interval() {
    for placed in panels() {
        assert!(
            !placed.text.contains("$__interval"),
            "{}: $__interval may be shorter than a scrape",
            placed.place
        );
        for selected in selectors(&placed.expr) {
            let by_rate = matches!(selected.function(), Some("rate" | "irate"));
            let at_interval = selected.range == Some(RATE_INTERVAL);
            assert_eq!(by_rate, at_interval, "{}: {}", placed.place, placed.text);
        }
    }
}

#[test]
fn every_query_is_narrowed_by_what_is_chosen() {
    for (_, dashboard) in dashboards() {
        let chosen: Vec<&str> = dashboard
            .templating
            .list
            .iter()
            .filter(|variable| variable.kind == "query")
            .map(|variable| variable.name)
            .collect();
        for panel in &dashboard.panels {
            for target in &panel.targets {
                for name in &chosen {
                    // The kubelet's series have the node's name as another label.
                    let asked = target.expr.contains(&format!("=~\"${name}\""));
                    // Whole nodes are counted whatever their runtimes, and a recorded count names no node.
                    // The kubelet's own runtime is none of ours.
                    let others = target.expr.replace("kubelet_runtime_operations", "");
                    let excused =
                        *name == "runtime" && !others.contains("runtime") && !has_runtime(&target.expr);
                    assert!(asked || excused, "{}: {}: {name}", dashboard.title, panel.title);
                }
            }
        }
    }
}

/// True when the metric knows runtimes, so that leaving the choice out would be a mistake.
fn has_runtime(expr: &str) -> bool {
    watchdog::metrics::FAMILIES
        .iter()
        .filter(|family| family.labels.contains(&"runtime"))
        .any(|family| expr.contains(family.name))
}
