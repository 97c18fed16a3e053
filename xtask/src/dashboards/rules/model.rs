//! What a recording rule and an alert consist of.

/// Where the runbook is published. The rendered files hold it, and whoever deploys them puts the real place there: the
/// chart by a value, others by replacing this very text.
pub(in crate::dashboards) const RUNBOOK_BASE: &str = "https://state-watchdog.example/RUNBOOK.md";

/// A name for an expression that many would have to compute again and again.
pub(in crate::dashboards) struct Recording {
    pub(in crate::dashboards) record: &'static str,
    pub(in crate::dashboards) expr: &'static str,
    /// What it is good for: a comment in the rendered file.
    pub(in crate::dashboards) says: &'static str,
}

/// Recording rules that are evaluated one after the other.
pub(in crate::dashboards) struct Group {
    pub(in crate::dashboards) name: &'static str,
    pub(in crate::dashboards) rules: &'static [Recording],
}

/// Something that a person should hear of, with all that the person needs, and with the proof that it speaks.
pub(in crate::dashboards) struct Alert {
    pub(in crate::dashboards) name: &'static str,
    pub(in crate::dashboards) expr: &'static str,
    /// How long it must hold.
    pub(in crate::dashboards) hold: &'static str,
    pub(in crate::dashboards) severity: Severity,
    pub(in crate::dashboards) summary: &'static str,
    pub(in crate::dashboards) description: &'static str,
    pub(in crate::dashboards) meaning: &'static str,
    pub(in crate::dashboards) confirm: &'static [&'static str],
    pub(in crate::dashboards) remedy: &'static [&'static str],
    pub(in crate::dashboards) fires: Firing,
    pub(in crate::dashboards) silent: &'static [Silent],
}

/// How soon a person is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dashboards) enum Severity {
    /// Workloads are hurt, or nobody watches.
    Critical,
    /// It will not go away by itself.
    Warning,
    /// Worth knowing by day.
    Info,
}

impl Severity {
    pub(in crate::dashboards) fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// Series by which an alert must fire, and what it must then say.
pub(in crate::dashboards) struct Firing {
    pub(in crate::dashboards) series: &'static [(&'static str, &'static str)],
    pub(in crate::dashboards) at: &'static str,
    pub(in crate::dashboards) alerts: &'static [Expected],
}

/// A firing alert's own words.
pub(in crate::dashboards) struct Expected {
    /// Beside `severity`.
    pub(in crate::dashboards) labels: &'static [(&'static str, &'static str)],
    pub(in crate::dashboards) summary: &'static str,
    pub(in crate::dashboards) description: &'static str,
}

/// Series by which an alert must not fire.
pub(in crate::dashboards) struct Silent {
    pub(in crate::dashboards) why: &'static str,
    pub(in crate::dashboards) series: &'static [(&'static str, &'static str)],
    pub(in crate::dashboards) at: &'static str,
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
