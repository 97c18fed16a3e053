//! The parts of the whole check, by name.

/// A part that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// rustfmt.
    Format,
    /// clippy, warnings denied.
    Lint,
    /// The agent without eBPF builds.
    Minimal,
    /// Unit and integration tests.
    Unit,
    /// Licences, versions and origins of what the sources depend on.
    Deny,
    /// Known vulnerabilities of it, where the list of them can be reached.
    Advisories,
    /// The corpus of the fuzz targets, and each target for a few seconds.
    Fuzz,
    /// The ground truth, on this kernel.
    Kernel,
    /// Each fault once, during the ground truth.
    Chaos,
    /// Three minutes of everything, without growth.
    Soak,
    /// Real runtimes.
    Runtimes,
    /// The page for people, in a browser.
    Browser,
    /// TLS and passwords, with curl and Prometheus.
    Scrape,
    /// Recording rules and alerts, by Prometheus's own judge.
    Rules,
    /// Dashboards, rules and alerts, live.
    Prometheus,
    /// The ground truth on other kernels, in emulated machines.
    Kernels,
    /// The chart on a node of real Kubernetes.
    Kubernetes,
    /// Chart, manifests, unit and image.
    Deploy,
}

impl Part {
    /// What is run when nothing is named: all but what takes long.
    pub(super) const ALL: [Self; 14] = [
        Self::Format,
        Self::Lint,
        Self::Minimal,
        Self::Unit,
        Self::Deny,
        Self::Kernel,
        Self::Soak,
        Self::Runtimes,
        Self::Browser,
        Self::Scrape,
        Self::Rules,
        Self::Prometheus,
        Self::Deploy,
        Self::Kernels,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Lint => "lints",
            Self::Minimal => "the agent without eBPF",
            Self::Unit => "unit and integration tests",
            Self::Deny => "what the sources depend on",
            Self::Advisories => "known vulnerabilities",
            Self::Fuzz => "fuzz targets",
            Self::Kernel => "ground truth on this kernel",
            Self::Chaos => "faults",
            Self::Soak => "three minutes of everything",
            Self::Runtimes => "real runtimes",
            Self::Browser => "the page in a browser",
            Self::Scrape => "TLS and passwords",
            Self::Rules => "recording rules and alerts",
            Self::Prometheus => "dashboards, rules and alerts beside a real Prometheus",
            Self::Kernels => "other kernels",
            Self::Kubernetes => "the chart on real Kubernetes",
            Self::Deploy => "what is deployed",
        }
    }

    /// The name as typed.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Lint => "lint",
            Self::Minimal => "minimal",
            Self::Unit => "unit",
            Self::Deny => "deny",
            Self::Advisories => "advisories",
            Self::Fuzz => "fuzz",
            Self::Kernel => "kernel",
            Self::Chaos => "chaos",
            Self::Soak => "soak",
            Self::Runtimes => "runtimes",
            Self::Browser => "browser",
            Self::Scrape => "scrape",
            Self::Rules => "rules",
            Self::Prometheus => "prometheus",
            Self::Kernels => "kernels",
            Self::Kubernetes => "kubernetes",
            Self::Deploy => "deploy",
        }
    }
}
