//! Grafana dashboards and Prometheus rules, written as data here and rendered into `dashboards/`.

mod boards;
mod check;
mod live;
mod rules;
#[cfg(test)]
mod tests;

use boards::{Dashboard, dashboards};
use rules::{alerting_rules, recording_rules, runbook, unit_tests};

pub(crate) use check::{check_rules, prometheus_program};
pub(crate) use live::{Listener, check_live, draw};
pub(crate) use rules::Pace;

/// What writes the files again.
const UPDATE: &str = "UPDATE_DASHBOARDS=1 cargo test --package xtask dashboards";

/// A file below `dashboards/`.
#[derive(Clone, Debug)]
pub(crate) struct Rendered {
    /// Its path there.
    pub(crate) path: &'static str,
    /// All of it.
    pub(crate) content: String,
}

/// All files.
pub(crate) fn rendered() -> Vec<Rendered> {
    let file = |path, content| Rendered { path, content };
    let mut files = vec![
        file("rules/recording.yaml", recording_rules(Pace::REAL)),
        file("rules/alerts.yaml", alerting_rules(Pace::REAL)),
        file("rules/tests/alerts.yaml", unit_tests(&["../recording.yaml", "../alerts.yaml"])),
        file("RUNBOOK.md", runbook()),
    ];
    files.extend(dashboards().map(|(path, dashboard)| file(path, json(&dashboard))));
    files
}

/// As it is read by people and compared by git.
fn json(dashboard: &Dashboard) -> String {
    // What we hand over has string keys alone, so nothing is refused.
    serde_json::to_string_pretty(dashboard).unwrap_or_default() + "\n"
}
