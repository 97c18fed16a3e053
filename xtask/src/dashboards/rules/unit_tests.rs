//! The alerts' unit tests, as promtool runs them: each fires on some series and keeps silent on others.

use std::fmt::Write as _;

use super::{
    catalogue::alerts,
    model::{Alert, Expected},
    yaml::{HEADER, quoted, runbook_url},
};

/// The whole file; the rules are named by their places beside it.
pub(crate) fn unit_tests(rule_files: &[&str]) -> String {
    let mut file = format!("{HEADER}rule_files:\n");
    for rules in rule_files {
        let _ = writeln!(file, "  - {rules}");
    }
    file.push_str("evaluation_interval: 1m\ntests:\n");
    for alert in alerts() {
        begin(&mut file, &format!("{} fires", alert.name), alert.fires.series);
        expect(&mut file, alert, alert.fires.at, alert.fires.alerts);
        for silent in alert.silent {
            begin(&mut file, &format!("{} keeps silent: {}", alert.name, silent.why), silent.series);
            expect(&mut file, alert, silent.at, &[]);
        }
    }
    file
}

fn begin(file: &mut String, name: &str, series: &[(&str, &str)]) {
    let _ = writeln!(file, "  - name: {}\n    interval: 1m\n    input_series:", quoted(name));
    for (series, values) in series {
        let _ = writeln!(file, "      - series: {}\n        values: {}", quoted(series), quoted(values));
    }
}

fn expect(file: &mut String, alert: &Alert, at: &str, expected: &[Expected]) {
    let _ = writeln!(
        file,
        "    alert_rule_test:\n      - eval_time: {at}\n        alertname: {}\n        exp_alerts:{}",
        alert.name,
        if expected.is_empty() { " []" } else { "" }
    );
    for Expected { labels, summary, description } in expected {
        let _ =
            writeln!(file, "          - exp_labels:\n              severity: {}", alert.severity.as_str());
        for (label, value) in *labels {
            let _ = writeln!(file, "              {label}: {}", quoted(value));
        }
        let _ = writeln!(
            file,
            "            exp_annotations:\n              summary: {}\n              description: {}\n              \
             runbook_url: {}",
            quoted(summary),
            quoted(description),
            quoted(&runbook_url(alert))
        );
    }
}
