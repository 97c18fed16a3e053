//! Rule files as Prometheus reads them.

use std::fmt::Write as _;

use super::{
    catalogue::alerts,
    model::{Alert, Pace, RUNBOOK_BASE},
    recording::GROUPS,
};

/// How the rendered files begin.
pub(super) const HEADER: &str = "# Written from xtask/src/dashboards; `UPDATE_DASHBOARDS=1 cargo test --package xtask dashboards` writes it again.\n";

/// Room for a line of a comment.
const WIDTH: usize = 110;

/// The recording rules.
pub(crate) fn recording_rules(pace: Pace) -> String {
    let mut file = format!("{HEADER}groups:\n");
    for group in &GROUPS {
        begin_group(&mut file, group.name, pace);
        for rule in group.rules {
            comment(&mut file, "      ", rule.says);
            let _ = writeln!(file, "      - record: {}", rule.record);
            block(&mut file, "        ", "expr", rule.expr);
        }
    }
    file
}

/// The alerts.
pub(crate) fn alerting_rules(pace: Pace) -> String {
    let mut file = format!(
        "{HEADER}# `{RUNBOOK_BASE}` stands for where RUNBOOK.md is published: put your own place there.\ngroups:\n"
    );
    begin_group(&mut file, "state-watchdog-alerts", pace);
    for alert in alerts() {
        let _ = writeln!(file, "      - alert: {}", alert.name);
        block(&mut file, "        ", "expr", alert.expr);
        let _ = writeln!(file, "        for: {}", pace.hold.unwrap_or(alert.hold));
        let _ = writeln!(
            file,
            "        labels:\n          severity: {}\n        annotations:",
            alert.severity.as_str()
        );
        for (name, text) in [
            ("summary", alert.summary),
            ("description", alert.description),
            ("runbook_url", &runbook_url(alert)),
        ] {
            let _ = writeln!(file, "          {name}: {}", quoted(text));
        }
    }
    file
}

/// Where the runbook speaks of an alert.
pub(super) fn runbook_url(alert: &Alert) -> String {
    format!("{RUNBOOK_BASE}#{}", alert.name.to_lowercase())
}

/// A string of JSON is one of YAML.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn begin_group(file: &mut String, name: &str, pace: Pace) {
    let _ = writeln!(file, "  - name: {name}\n    interval: {}\n    rules:", pace.interval);
}

/// A string that keeps its lines.
fn block(file: &mut String, indent: &str, name: &str, text: &str) {
    let _ = writeln!(file, "{indent}{name}: |-");
    for line in text.lines() {
        let _ = writeln!(file, "{indent}  {line}");
    }
}

fn comment(file: &mut String, indent: &str, text: &str) {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && indent.len() + line.len() + word.len() + 3 > WIDTH {
            let _ = writeln!(file, "{indent}#{line}");
            line.clear();
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(file, "{indent}#{line}");
}
