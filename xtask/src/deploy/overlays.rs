//! The kustomize overlays, one for each mode, and the plain manifests that come of them.

use std::{collections::BTreeSet, env, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::{
    chart::{self, Chart},
    programs::Programs,
    schemas,
};

/// The modes, as the chart calls them.
pub(super) const MODES: [&str; 3] = ["privileged", "least-privilege", "inotify-only"];
/// The overlays must do for servers that do not know the newest fields.
const VERSION: &str = "1.29.0";

/// What a general judge has against every mode: how much processor time one may use is not limited, images are named
/// by version and pulled when missing, and the agent is root, because the roots belong to root.
const KNOWN: [&str; 6] = ["CKV_K8S_11", "CKV_K8S_15", "CKV_K8S_23", "CKV_K8S_29", "CKV_K8S_40", "CKV_K8S_43"];

/// What it has against a mode beyond that: the host's processes are seen, capabilities are added, seccomp is off.
fn known(mode: &str) -> BTreeSet<&'static str> {
    let more: &[&str] = match mode {
        "privileged" => &["CKV_K8S_16", "CKV_K8S_17", "CKV_K8S_20", "CKV_K8S_28", "CKV_K8S_31", "CKV_K8S_37"],
        "least-privilege" => &["CKV_K8S_17", "CKV_K8S_25", "CKV_K8S_31"],
        _ => &[],
    };
    KNOWN.iter().chain(more).copied().collect()
}

/// An error unless the committed manifests are what the overlays make. `UPDATE_DOCS=1` writes them.
pub(super) fn are_rendered(programs: &Programs, root: &Path) -> Result<String> {
    for mode in MODES {
        let wanted = programs.kustomize(&root.join("deploy/kustomize/overlays").join(mode))?;
        let file = plain(root, mode);
        if env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&file, &wanted)?;
        }
        let found = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        ensure!(found == wanted, "{} is stale; UPDATE_DOCS=1 writes it", file.display());
    }
    Ok(format!("{} files", MODES.len()))
}

/// An error unless a mode means the same in an overlay and in the chart.
pub(super) fn agree(chart: Chart<'_>) -> Result<String> {
    for mode in MODES {
        let rendered = chart.render(VERSION, &["--set".to_owned(), format!("mode={mode}")])?;
        let plain = documents(chart.programs, chart.root, mode)?;
        for kind in ["DaemonSet", "Service", "NetworkPolicy", "ServiceAccount"] {
            let spec =
                |documents: &[Value]| -> Result<Value> { Ok(comparable(chart::object(documents, kind)?)) };
            let (by_chart, by_overlay) = (spec(&rendered)?, spec(&plain)?);
            ensure!(
                by_chart == by_overlay,
                "{mode}: {kind} differs: chart {by_chart:#} overlay {by_overlay:#}"
            );
        }
    }
    Ok(String::new())
}

/// Labels and selectors differ by design: helm's name the release and the chart.
fn comparable(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"] = Value::Null;
    if let Some(spec) = object.get_mut("spec") {
        for path in ["/selector", "/podSelector", "/template/metadata/labels"] {
            if let Some(value) = spec.pointer_mut(path) {
                *value = Value::Null;
            }
        }
    }
    object
}

/// Strictly, by all versions.
pub(super) fn validate(programs: &Programs, root: &Path) -> Result<String> {
    let mut all = Vec::new();
    for mode in MODES {
        all.extend(documents(programs, root, mode)?);
    }
    Ok(format!("{} objects", schemas::validate(programs, &all, schemas::VERSIONS.0, schemas::VERSIONS.1)?))
}

/// An error when a general judge finds other faults than the known ones, more or less.
pub(super) fn checkov(programs: &Programs, root: &Path, mode: &str) -> Result<String> {
    let output = programs
        .python("checkov")
        .args(["--skip-download", "--quiet", "--compact", "--soft-fail", "--framework", "kubernetes"])
        .args(["--output", "json", "--file"])
        .arg(plain(root, mode))
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout).with_context(|| {
        format!("checkov gave no report: {}", String::from_utf8_lossy(&output.stderr).trim())
    })?;
    let failed = report["results"]["failed_checks"].as_array().context("a report without failed checks")?;
    let found: BTreeSet<&str> = failed.iter().filter_map(|check| check["check_id"].as_str()).collect();
    let known = known(mode);
    let (new, gone): (Vec<_>, Vec<_>) =
        (found.difference(&known).collect(), known.difference(&found).collect());
    ensure!(new.is_empty() && gone.is_empty(), "new: {new:?}; no longer: {gone:?}");
    Ok(format!("{} passed, {} known", report["summary"]["passed"], found.len()))
}

/// The committed manifests of a mode.
pub(super) fn documents(programs: &Programs, root: &Path, mode: &str) -> Result<Vec<Value>> {
    let file = plain(root, mode);
    programs.parse(&fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?)
}

fn plain(root: &Path, mode: &str) -> std::path::PathBuf {
    root.join("deploy/plain").join(format!("{mode}.yaml"))
}
