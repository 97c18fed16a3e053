//! What is deployed, held against those who must take it: helm, kustomize, Kubernetes' schemas, systemd, podman.

mod chart;
mod container;
mod copies;
mod daemonset;
mod modes;
mod overlays;
mod programs;
mod schemas;
mod trixie;
mod unit;
mod values;

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    architecture::Architecture,
    build::{Profile, agent_and_workload},
    image, privilege,
    repository::Repository,
    scratch::{Medium, Scratch},
    tally::Tally,
    tools::{Cache, Podman},
};

use chart::Chart;

pub(crate) use chart::FOLDER as CHART;
pub(crate) use programs::{Programs, feed, output};

/// Servers that get the same: those without the field for AppArmor, and those with it.
const KINDS: [(u32, u32); 2] = [(schemas::VERSIONS.0, 29), (30, schemas::VERSIONS.1)];

/// Checks all that is in `deploy/`; `profile` is how the agent in the image is built.
pub(crate) fn check(repository: &Repository, cache: &Cache, profile: Profile, tally: &mut Tally) {
    let mut ready = None;
    tally.check("the judges of manifests are there", || {
        ready = Some((Programs::get(cache)?, Scratch::new(Medium::Disk)?));
        Ok(String::new())
    });
    let Some((programs, scratch)) = ready else { return };
    let root = repository.root();
    tally.check("the chart's rules and dashboards are those of dashboards/", || copies::check(root));
    tally.check("the chart's README tells every value", || values::check(&programs, root));
    let chart = Chart { programs: &programs, root };
    check_chart(chart, cache, &scratch, tally);
    tally.check("what is plain is what kustomize makes of the overlays", || {
        overlays::are_rendered(&programs, root)
    });
    tally.check("overlays and chart make the same pods", || overlays::agree(chart));
    tally.check("plain manifests hold against Kubernetes 1.25 to 1.37", || {
        overlays::validate(&programs, root)
    });
    tally.check("YAML is written as yamllint wants it", || lint_yaml(&programs, root));
    for mode in overlays::MODES {
        tally.check(&format!("checkov finds in {mode} what it is known to find"), || {
            overlays::checkov(&programs, root, mode)
        });
    }
    check_image(repository, cache, profile, &programs, &scratch, tally);
    tally.check("systemd takes the unit, and calls it guarded", || unit::check(cache, root, &scratch));
    tally.check("the unit lets through what the agent calls", || unit::check_filter(root));
}

fn check_chart(chart: Chart<'_>, cache: &Cache, scratch: &Scratch, tally: &mut Tally) {
    let variants = chart::variants();
    tally.check("helm lints the chart strictly, with every switch", || {
        for (name, options) in &variants {
            chart.lint(options).map_err(|error| error.context(*name))?;
        }
        Ok(format!("{} renderings", variants.len()))
    });
    tally.check("each rendering holds against Kubernetes 1.25 to 1.37", || {
        let mut count = 0;
        for (from, to) in KINDS {
            let mut documents = Vec::new();
            for (name, options) in &variants {
                let rendered = chart.render(&format!("1.{from}.0"), options);
                documents.extend(rendered.map_err(|error| error.context(*name))?);
            }
            count += schemas::validate(chart.programs, &documents, from, to)?;
        }
        Ok(format!("{count} objects"))
    });
    tally.check("a misspelt field would be found", || {
        let mut documents = chart.render("1.37.0", &[])?;
        let pod =
            documents.iter_mut().find_map(|one| one.pointer_mut("/spec/template/spec")).context("no pod")?;
        pod["hostPid"] = true.into();
        match schemas::validate(chart.programs, &documents, 37, 37) {
            Err(error) if format!("{error:#}").contains("hostPid") => Ok(String::new()),
            other => bail!("the judge says {other:?}"),
        }
    });
    tally.check("PodMonitor and PrometheusRule hold against the operator's types", || {
        let values = [chart::PODMONITOR_BY_TLS.as_slice(), &["prometheusRule.enabled=true"]].concat();
        let options = ["--set".to_owned(), values.join(",")];
        let documents = chart.render("1.37.0", &options)?;
        Ok(format!("{} objects", schemas::validate_operator(cache, scratch, &documents)?))
    });
    tally.check("the chart refuses what makes no sense", || {
        for (value, words) in chart::REFUSED {
            chart.refuses(value, words)?;
        }
        Ok(format!("{} values", chart::REFUSED.len()))
    });
}

/// Builds the image and runs it as root, because podman must give what the manifests ask for.
fn check_image(
    repository: &Repository,
    cache: &Cache,
    profile: Profile,
    programs: &Programs,
    scratch: &Scratch,
    tally: &mut Tally,
) {
    if !privilege::is_root() {
        tally.skip("the image", "needs root: run `sudo cargo xtask test --only deploy`");
        return;
    }
    let mut ready = None;
    tally.check("the image is built from scratch", || {
        let image = image::make(repository, cache, Architecture::host(), profile)?;
        let podman = Podman::open(cache, scratch.path().join("podman"))?;
        podman.output(&["load", "--quiet", "--input", &image.archive.display().to_string()])?;
        let (_, workload) = agent_and_workload(repository, cache, Architecture::host(), profile)?;
        let detail = image::describe(&image)?;
        ready = Some((image, podman, workload));
        Ok(detail)
    });
    let Some((image, podman, workload)) = &ready else { return };
    let root = repository.root();
    modes::check(&modes::Bench { podman, image, workload, programs, root }, tally);
    tally.check("the chart's DaemonSet is played, and Prometheus has its torn reads", || {
        daemonset::check(Chart { programs, root }, cache, scratch, image, workload)
    });
}

fn lint_yaml(programs: &Programs, root: &Path) -> Result<String> {
    let rules = "{extends: default, rules: {line-length: {max: 140}, document-start: disable, \
                 braces: {max-spaces-inside: 0}, truthy: {check-keys: false}}}";
    let folders = [
        "deploy/kustomize",
        "deploy/chart/state-watchdog/values.yaml",
        "deploy/chart/state-watchdog/Chart.yaml",
    ];
    let said =
        output(programs.python("yamllint").args(["--strict", "-d", rules]).args(folders).current_dir(root))?;
    ensure!(said.trim().is_empty(), "{said}");
    Ok(String::new())
}
