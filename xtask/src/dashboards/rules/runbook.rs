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
         `NODE` is the alert's `instance`: the node's name where the chart's PodMonitor scrapes, else `ADDRESS:PORT`. What an alert counts, `/findings` of that node's\n\
         agent lists one by one, with process, container and pod. Severities: `critical` hurts workloads or leaves a node\n\
         unwatched, `warning` does not go away by itself, `info` can wait for the day.\n\n\
         ## Reach the agent\n\n\
         The commands below ask `localhost:9737`. Without a password the agent shows `/findings` and `/status` on loopback alone,\n\
         so forward a port to the pod on that node first:\n\n\
         ```\n\
         kubectl --namespace state-watchdog port-forward \\\n  \
         \"$(kubectl --namespace state-watchdog get pods --selector app.kubernetes.io/name=state-watchdog \\\n    \
         --field-selector spec.nodeName=NODE --output name)\" 9737\n\
         ```\n\n\
         Where `instance` is an address, select by `status.podIP=ADDRESS` instead.\n\
         On a host without Kubernetes run the commands on the host itself. Where the web configuration asks for TLS or a password,\n\
         use `https://` and `curl --user NAME`.\n\n\
         ## Alerts\n\n\
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
