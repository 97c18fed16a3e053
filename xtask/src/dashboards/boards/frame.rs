//! What all dashboards have in common: links, variables, time.

use serde_json::{Value, json};

use super::model::{
    Annotations, DATASOURCE, Dashboard, Link, Panel, SCHEMA_VERSION, Templating, TimeRange, Variable,
};
use crate::dashboards::rules::RUNBOOK_BASE;

/// What all dashboards have in common.
pub(super) fn dashboard(
    uid: &'static str,
    title: &'static str,
    description: &'static str,
    variables: Vec<Variable>,
    panels: Vec<Panel>,
) -> Dashboard {
    let mut list = vec![datasource(), runbook()];
    list.extend(variables);
    Dashboard {
        uid,
        title,
        description,
        tags: vec![TAG],
        schema_version: SCHEMA_VERSION,
        // A copy is edited; the original is replaced by the next release.
        editable: false,
        timezone: "browser",
        refresh: "1m",
        graph_tooltip: 1,
        time: TimeRange { from: "now-6h", to: "now" },
        links: links(),
        templating: Templating { list },
        annotations: Annotations::default(),
        panels,
    }
}

/// By which the dashboards find one another.
const TAG: &str = "state-watchdog";

fn links() -> Vec<Link> {
    vec![
        Link {
            title: "state-watchdog",
            kind: "dashboards",
            icon: "external link",
            tooltip: "The other dashboards, for the same time and choice",
            tags: vec![TAG],
            include_vars: true,
            keep_time: true,
            ..Link::default()
        },
        Link {
            title: "Runbook",
            kind: "link",
            icon: "doc",
            tooltip: "What each alert means, how to confirm it, what to do",
            url: "${runbook}",
            target_blank: true,
            ..Link::default()
        },
    ]
}

fn datasource() -> Variable {
    Variable {
        name: "datasource",
        label: "Data source",
        kind: "datasource",
        query: json!("prometheus"),
        refresh: 1,
        ..variable()
    }
}

/// Where the runbook is published; the chart sets it, others edit this one variable.
fn runbook() -> Variable {
    Variable {
        name: "runbook",
        label: "Runbook",
        kind: "constant",
        query: json!(RUNBOOK_BASE),
        hide: 2,
        skip_url_sync: true,
        current: json!({"selected": false, "text": RUNBOOK_BASE, "value": RUNBOOK_BASE}),
        ..variable()
    }
}

/// A cluster is known where the series carry its name; where they do not, all of them are meant.
pub(super) fn cluster() -> Variable {
    Variable {
        all_value: Some(".*"),
        ..several("cluster", "Cluster", "label_values(state_watchdog_build_info, cluster)")
    }
}

pub(super) fn runtime() -> Variable {
    several("runtime", "Runtime", "label_values(state_watchdog_state_files{cluster=~\"$cluster\"}, runtime)")
}

/// The nodes, by what their agents are scraped as.
pub(super) fn instances() -> Variable {
    several("instance", "Node", "label_values(state_watchdog_build_info{cluster=~\"$cluster\"}, instance)")
}

/// One node.
pub(super) fn instance() -> Variable {
    Variable { multi: false, include_all: false, all_value: None, current: Value::Null, ..instances() }
}

/// Any number of a label's values, all of them at first.
fn several(name: &'static str, label: &'static str, query: &'static str) -> Variable {
    Variable {
        name,
        label,
        kind: "query",
        query: json!({"query": query, "refId": name}),
        datasource: Some(DATASOURCE),
        definition: Some(query),
        // On every change of the time range: nodes come and go.
        refresh: 2,
        sort: 1,
        multi: true,
        include_all: true,
        all_value: Some(".+"),
        current: json!({"selected": true, "text": ["All"], "value": ["$__all"]}),
        ..variable()
    }
}

fn variable() -> Variable {
    Variable {
        name: "",
        label: "",
        kind: "",
        query: Value::Null,
        datasource: None,
        definition: None,
        hide: 0,
        refresh: 0,
        sort: 0,
        multi: false,
        include_all: false,
        all_value: None,
        current: Value::Null,
        options: Vec::new(),
        skip_url_sync: false,
    }
}
