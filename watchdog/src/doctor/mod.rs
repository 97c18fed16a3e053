//! What this kernel, these capabilities and these roots allow, each with its remedy.

mod host;
mod roots;
#[cfg(test)]
mod tests;
mod text;

use serde::Serialize;

use crate::agent::{Trial, try_out};
use crate::config::Config;
use crate::exit::Exit;
use crate::privilege::{self, Need};
use crate::source::{BlindSpot, Capabilities, Fact, ProbeStatus, Remedy, SourceKind, blind_spots, plan};

use host::{InotifyView, Namespaces};
use roots::RootView;

/// The doctor's answer.
#[derive(Debug, Serialize)]
pub struct Report {
    version: &'static str,
    kernel: String,
    btf: Fact,
    #[serde(skip_serializing_if = "Option::is_none")]
    lockdown: Option<String>,
    namespaces: Namespaces,
    inotify: InotifyView,
    capabilities: Vec<CapabilityView>,
    sources: Vec<SourceView>,
    /// The source that `run` would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    takes: Option<&'static str>,
    roots: Vec<RootView>,
    /// A permission stands in the way of a source.
    #[serde(skip)]
    denied: bool,
}

#[derive(Debug, Serialize)]
struct CapabilityView {
    name: &'static str,
    held: bool,
    /// What it is for.
    feature: &'static str,
    /// What there is without it.
    without: &'static str,
    /// Used when a source is attached, and dropped afterwards.
    at_start_only: bool,
}

#[derive(Debug, Serialize)]
struct SourceView {
    source: &'static str,
    can_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// What it cannot tell even where all its probes are attached.
    blind_spots: &'static [BlindSpot],
    /// Its probes, where it was tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    probes: Vec<ProbeView>,
}

#[derive(Debug, Serialize)]
struct ProbeView {
    probe: &'static str,
    mechanism: &'static str,
    attached: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Asks the kernel, tries the sources as `run` would, and looks for the roots. Nothing stays attached.
#[must_use]
pub fn examine(config: &Config) -> Report {
    let capabilities = Capabilities::probe(&config.host());
    examine_with(config, &capabilities, try_out)
}

fn examine_with(
    config: &Config,
    capabilities: &Capabilities,
    mut attempt: impl FnMut(SourceKind) -> Trial,
) -> Report {
    let host = config.host();
    let plan = plan(config.source, capabilities);
    let (roots, directories) = roots::examine(config);
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION"),
        kernel: capabilities.kernel.clone(),
        btf: capabilities.btf,
        lockdown: capabilities.lockdown.clone(),
        namespaces: Namespaces::read(&host),
        inotify: InotifyView::read(&host, directories),
        capabilities: capability_views(capabilities),
        sources: Vec::new(),
        takes: None,
        roots,
        denied: plan.refused.iter().any(|(_, why)| matches!(why.remedy, Remedy::Permission(_))),
    };
    for &kind in &plan.candidates {
        // The ones behind it would run as well, but nobody would take them.
        if report.takes.is_some() {
            report.sources.push(source(kind, true));
            continue;
        }
        let trial = attempt(kind);
        report.denied |= trial.refused.as_ref().is_some_and(|refused| refused.permission);
        report.takes = trial.refused.is_none().then(|| kind.as_str());
        report.sources.push(tried(kind, trial));
    }
    report.sources.extend(plan.refused.iter().map(|(kind, why)| SourceView {
        reason: Some(why.reason.clone()),
        remedy: why.remedy.text().map(str::to_owned),
        ..source(*kind, false)
    }));
    report
}

fn source(kind: SourceKind, can_run: bool) -> SourceView {
    SourceView {
        source: kind.as_str(),
        can_run,
        reason: None,
        remedy: None,
        blind_spots: blind_spots(kind),
        probes: Vec::new(),
    }
}

fn tried(kind: SourceKind, trial: Trial) -> SourceView {
    let Trial { probes, refused } = trial;
    let view = |probe: ProbeStatus| ProbeView {
        probe: probe.probe,
        mechanism: probe.mechanism,
        attached: probe.attached,
        reason: probe.reason,
    };
    let remedy = refused.as_ref().map(|refused| {
        let (permission, kernel) = (
            "run as root, or grant CAP_BPF and CAP_PERFMON; where they are held, a seccomp filter, an LSM or the kernel \
             itself refuses it: take another source",
            "use another kernel, or take another source",
        );
        if refused.permission { permission } else { kernel }.to_owned()
    });
    SourceView {
        remedy,
        probes: probes.into_iter().map(view).collect(),
        reason: refused.as_ref().map(|refused| refused.error.clone()),
        ..source(kind, refused.is_none())
    }
}

fn capability_views(capabilities: &Capabilities) -> Vec<CapabilityView> {
    let view = |at_start_only| {
        move |need: &Need| CapabilityView {
            name: need.capability.as_str(),
            held: capabilities.has(need.capability),
            feature: need.feature,
            without: need.without,
            at_start_only,
        }
    };
    privilege::NEEDED.iter().map(view(false)).chain(privilege::AT_START.iter().map(view(true))).collect()
}

impl Report {
    /// 0 when a source can run; else 77 when a permission is what is missing, and 69 when it is not.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match (self.takes, self.denied) {
            (Some(_), _) => Exit::Fine,
            (None, true) => Exit::Permission,
            (None, false) => Exit::Unavailable,
        }
    }

    /// For a program.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|json| json + "\n").unwrap_or_default()
    }
}
