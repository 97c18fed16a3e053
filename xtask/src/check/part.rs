//! The parts of the whole check: what each does, and when it runs.

use crate::build::Profile;

/// A part that can be run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// rustfmt.
    Format,
    /// clippy, warnings denied.
    Lint,
    /// The agent without eBPF compiles.
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
    /// Real runtimes that Debian has.
    Runtimes,
    /// A real runtime that writes in place.
    Youki,
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

/// How many parts there are.
const COUNT: usize = 19;

impl Part {
    /// All parts, in the order in which they run.
    const EVERY: [Self; COUNT] = [
        Self::Format,
        Self::Lint,
        Self::Minimal,
        Self::Unit,
        Self::Kernel,
        Self::Runtimes,
        Self::Browser,
        Self::Scrape,
        Self::Rules,
        Self::Prometheus,
        Self::Deploy,
        Self::Youki,
        Self::Deny,
        Self::Soak,
        Self::Kernels,
        Self::Fuzz,
        Self::Chaos,
        Self::Advisories,
        Self::Kubernetes,
    ];

    /// What runs when no part is named; `all` adds what takes long.
    pub(super) fn chosen(all: bool) -> Vec<Self> {
        let runs = |part: &Self| match part.when() {
            When::Always => true,
            When::All => all,
            When::Named => false,
        };
        Self::EVERY.into_iter().filter(runs).collect()
    }

    fn when(self) -> When {
        match self {
            Self::Format
            | Self::Lint
            | Self::Minimal
            | Self::Unit
            | Self::Kernel
            | Self::Runtimes
            | Self::Browser
            | Self::Scrape
            | Self::Rules
            | Self::Prometheus
            | Self::Deploy => When::Always,
            Self::Youki | Self::Deny | Self::Soak | Self::Kernels => When::All,
            Self::Fuzz | Self::Chaos | Self::Advisories | Self::Kubernetes => When::Named,
        }
    }

    /// How the programs are built that the part runs. `all` has an agent as users get it in any case, for the soak.
    pub(super) fn profile(self, all: bool) -> Profile {
        match self {
            Self::Soak | Self::Chaos | Self::Kubernetes => Profile::Release,
            Self::Deploy if all => Profile::Release,
            Self::Deploy
            | Self::Format
            | Self::Lint
            | Self::Minimal
            | Self::Unit
            | Self::Deny
            | Self::Advisories
            | Self::Fuzz
            | Self::Kernel
            | Self::Runtimes
            | Self::Youki
            | Self::Browser
            | Self::Scrape
            | Self::Rules
            | Self::Prometheus
            | Self::Kernels => Profile::Checks,
        }
    }

    /// What it does, in a line.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Format => "rustfmt",
            Self::Lint => "clippy, warnings denied",
            Self::Minimal => "the agent without eBPF compiles",
            Self::Unit => "unit and integration tests",
            Self::Deny => "licences, versions and origins of dependencies",
            Self::Advisories => "known vulnerabilities of dependencies",
            Self::Fuzz => "fuzz targets, a few seconds each",
            Self::Kernel => "ground truth on this kernel, tmpfs and disk",
            Self::Chaos => "each fault once, during the ground truth",
            Self::Soak => "three minutes of everything, without growth",
            Self::Runtimes => "real runc, crun and containerd",
            Self::Youki => "real youki, which writes in place",
            Self::Browser => "the page for people, in a browser",
            Self::Scrape => "TLS and passwords, with curl and Prometheus",
            Self::Rules => "recording rules and alerts, by promtool",
            Self::Prometheus => "dashboards, rules and alerts beside a real Prometheus",
            Self::Kernels => "ground truth and kernel tests on other kernels, emulated",
            Self::Kubernetes => "the chart on a node of real Kubernetes",
            Self::Deploy => "chart, manifests, unit and image",
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
            Self::Youki => "youki",
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

/// What makes a part run.
enum When {
    /// It is quick, and needs no virtual machine and no tool that must be compiled for it.
    Always,
    /// `--all`.
    All,
    /// Its name alone.
    Named,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_a_place_and_the_quick_ones_run_first() {
        for (index, part) in Part::EVERY.iter().enumerate() {
            assert!(!Part::EVERY[..index].contains(part), "{part:?} runs twice");
        }
        let values = <Part as clap::ValueEnum>::value_variants();
        assert_eq!(values.len(), COUNT, "a part has no place in the order");
        for part in values {
            assert_eq!(clap::ValueEnum::to_possible_value(part).unwrap().get_name(), part.as_str());
        }
        let (quick, all) = (Part::chosen(false), Part::chosen(true));
        assert!(all.starts_with(&quick) && all.len() > quick.len() && all.len() < COUNT);
    }
}
