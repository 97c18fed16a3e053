//! Recording rules and alerts: the data, and the files that Prometheus and promtool read.

mod alerts;
mod recording;
mod runbook;
mod sight;
mod trust;
mod unit_tests;
mod yaml;

pub(super) use runbook::runbook;
pub(super) use unit_tests::unit_tests;
pub(super) use yaml::{alerting_rules, recording_rules};

pub(super) use recording::GROUPS as RECORDING_GROUPS;

/// Where the runbook is published. The rendered files hold it, and whoever deploys them puts the real place there: the
/// chart by a value, others by replacing this very text.
pub(crate) const RUNBOOK_BASE: &str = "https://state-watchdog.example/RUNBOOK.md";

/// A name for an expression that many would have to compute again and again.
pub(super) struct Recording {
    pub(super) record: &'static str,
    pub(super) expr: &'static str,
    /// What it is good for: a comment in the rendered file.
    pub(super) says: &'static str,
}

/// Recording rules that are evaluated one after the other.
pub(super) struct Group {
    pub(super) name: &'static str,
    pub(super) rules: &'static [Recording],
}

/// Something that a person should hear of, with all that the person needs, and with the proof that it speaks.
pub(super) struct Alert {
    pub(super) name: &'static str,
    pub(super) expr: &'static str,
    /// How long it must hold.
    pub(super) hold: &'static str,
    pub(super) severity: Severity,
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
    pub(super) meaning: &'static str,
    pub(super) confirm: &'static [&'static str],
    pub(super) remedy: &'static [&'static str],
    pub(super) fires: Firing,
    pub(super) silent: &'static [Silent],
}

/// How soon a person is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// Workloads are hurt, or nobody watches.
    Critical,
    /// It will not go away by itself.
    Warning,
    /// Worth knowing by day.
    Info,
}

impl Severity {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// Series by which an alert must fire, and what it must then say.
pub(super) struct Firing {
    pub(super) series: &'static [(&'static str, &'static str)],
    pub(super) at: &'static str,
    pub(super) alerts: &'static [Expected],
}

/// A firing alert's own words.
pub(super) struct Expected {
    /// Beside `severity`.
    pub(super) labels: &'static [(&'static str, &'static str)],
    pub(super) summary: &'static str,
    pub(super) description: &'static str,
}

/// Series by which an alert must not fire.
pub(super) struct Silent {
    pub(super) why: &'static str,
    pub(super) series: &'static [(&'static str, &'static str)],
    pub(super) at: &'static str,
}

/// All alerts: what happens to state files first, then whether the watchdog can be trusted.
pub(super) fn alerts() -> impl Iterator<Item = &'static Alert> {
    alerts::ALERTS.iter().chain(&trust::ALERTS).chain(&sight::ALERTS)
}

/// How often rules are evaluated, and whether alerts wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The evaluation interval of every group.
    pub(crate) interval: &'static str,
    /// Takes the place of every alert's own `for`.
    pub(crate) hold: Option<&'static str>,
}

impl Pace {
    /// As the rules are meant.
    pub(crate) const REAL: Self = Self { interval: "1m", hold: None };
}
