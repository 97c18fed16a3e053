//! The runbook: for each alert what it means, how to make sure, and what to do.

use std::fmt::Write as _;

use super::{catalogue::alerts, model::RUNBOOK_BASE};

/// The whole page.
pub(crate) fn runbook() -> String {
    let mut page = format!(
        "# Runbook\n\n\
         Written from `xtask/src/dashboards/rules`; `UPDATE_DASHBOARDS=1 cargo test --package xtask dashboards` writes it again.\n\n\
         Each alert of `rules/alerts.yaml` has a section here, and its annotation `runbook_url` points to it: the rules say\n\
         `{RUNBOOK_BASE}`, to be replaced by the place where this page is published.\n\n\
         `NODE` below is where the alert's `instance` answers, such as `10.0.0.7:9737`. What an alert counts, `/findings` of \
         that node's\nwatchdog tells one by one, with process, container and pod. Severities: `critical` hurts workloads or \
         leaves a node\nunwatched, `warning` does not go away by itself, `info` can wait for the day.\n\n\
         | alert | severity | holds for |\n|---|---|---|\n"
    );
    for alert in alerts() {
        let _ = writeln!(
            page,
            "| [{}](#{}) | {} | {} |",
            alert.name,
            alert.name.to_lowercase(),
            alert.severity.as_str(),
            alert.hold
        );
    }
    for alert in alerts() {
        let _ = writeln!(page, "\n## {}\n\n{}\n\n```promql\n{}\n```", alert.name, alert.meaning, alert.expr);
        section(&mut page, "How to confirm", alert.confirm);
        section(&mut page, "Remedy", alert.remedy);
    }
    page
}

fn section(page: &mut String, title: &str, steps: &[&str]) {
    let _ = writeln!(page, "\n**{title}**\n");
    for step in steps {
        let _ = writeln!(page, "- {step}");
    }
}
