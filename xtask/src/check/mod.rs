//! `cargo xtask test`: everything that must hold, in order, with one line at the end.

mod part;
mod privileged;
mod progress;

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    architecture::Architecture,
    build::{Profile, agent_and_workload},
    dashboards, deploy, fuzz, kernels, kubernetes,
    repository::Repository,
    scrape, supply,
    tally::Tally,
    tools::{self, Cache},
};

use part::Part;
use progress::Progress;

pub(crate) use privileged::{Installed, run_installed};

/// What is run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// What takes long, too: other kernels in emulated machines, the soak, tools that must be compiled first.
    #[arg(long, conflicts_with_all = ["only", "kernels", "kubernetes"])]
    all: bool,
    /// Run this part alone; may be given again.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Judge the agent on other kernels, in emulated machines, and do nothing else: `--only kernels`.
    #[arg(long)]
    kernels: bool,
    /// Install, upgrade and remove the chart on a node of real Kubernetes, and do nothing else: `--only kubernetes`.
    #[arg(long, conflicts_with = "kernels")]
    kubernetes: bool,
    #[command(flatten)]
    machines: kernels::Options,
}

impl Options {
    fn parts(&self) -> Vec<Part> {
        match (self.kernels, self.kubernetes) {
            (true, _) => vec![Part::Kernels],
            (_, true) => vec![Part::Kubernetes],
            _ if self.only.is_empty() => Part::chosen(self.all),
            _ => self.only.clone(),
        }
    }
}

/// The name of what comes before all parts.
const SET_UP: &str = "set-up";

/// Runs the parts.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (repository, cache) = (Repository::find()?, Cache::open()?);
    let parts = options.parts();
    let names = [SET_UP].into_iter().chain(parts.iter().map(|part| part.as_str()));
    let mut progress = Progress::plan(&cache, names.collect());
    let step = progress.begin(SET_UP, "what is needed to build the probes");
    tools::set_up_bpf(&cache, None)?;
    progress.end(&step, true);
    let mut tally = Tally::default();
    for part in parts {
        let step = progress.begin(part.as_str(), part.title());
        let mut results = Tally::default();
        run_part(part, options, &repository, &cache, &mut results);
        progress.end(&step, results.is_good());
        tally.add(results);
    }
    progress.finish();
    tally.finish()
}

fn run_part(part: Part, options: &Options, repository: &Repository, cache: &Cache, tally: &mut Tally) {
    let profile = part.profile(options.all);
    match part {
        Part::Format => cargo(repository, tally, &["fmt", "--all", "--check"]),
        Part::Lint => lint(repository, tally),
        Part::Minimal => cargo(
            repository,
            tally,
            &["check", "--package", "watchdog", "--no-default-features", "--all-targets"],
        ),
        Part::Unit => unit(repository, cache, tally),
        Part::Deny => supply::check(repository, cache, tally),
        Part::Advisories => supply::check_advisories(repository, cache, tally),
        Part::Scrape => scrape(repository, cache, profile, tally),
        Part::Fuzz => {
            cargo(repository, tally, &["test", "--quiet", "--package", "watchdog-fuzz"]);
            fuzz::check(repository, cache, tally);
        }
        Part::Kernels => kernels::check(&options.machines, repository, cache, tally),
        Part::Kubernetes => kubernetes::check(repository, cache, tally),
        Part::Rules => dashboards::check_rules(repository, cache, tally),
        Part::Deploy => deploy::check(repository, cache, profile, tally),
        Part::Kernel
        | Part::Chaos
        | Part::Soak
        | Part::Runtimes
        | Part::Youki
        | Part::Browser
        | Part::Prometheus => privileged::run(part, profile, repository, cache, tally),
    }
}

fn scrape(repository: &Repository, cache: &Cache, profile: Profile, tally: &mut Tally) {
    let mut agent = None;
    tally.check("the agent is built", || {
        agent = Some(agent_and_workload(repository, cache, Architecture::host(), profile)?.0);
        Ok(String::new())
    });
    if let Some(agent) = agent {
        scrape::check(&agent, cache, tally);
    }
}

fn lint(repository: &Repository, tally: &mut Tally) {
    cargo(repository, tally, &["clippy", "--all-targets", "--", "--deny", "warnings"]);
    // No default member, for it turns on doors into the agent. The fuzzer itself, which needs a C++ compiler, stays off: its
    // programs are one call each, to which a test holds them.
    let fuzz = ["clippy", "--package", "watchdog-fuzz", "--all-targets", "--", "--deny", "warnings"];
    cargo(repository, tally, &fuzz);
}

fn unit(repository: &Repository, cache: &Cache, tally: &mut Tally) {
    let mut output = String::new();
    let result = tests(repository, cache, &mut output);
    let mut counted = Tally::default();
    counted.add_cargo_test(&output);
    // A test that failed is counted already; anything else that went wrong must count too.
    let broken = result.is_err() && counted.is_good();
    tally.add(counted);
    if broken {
        tally.check("cargo test", || result.map(|()| String::new()));
    }
}

fn tests(repository: &Repository, cache: &Cache, output: &mut String) -> Result<()> {
    // The metrics' own test asks it.
    let promtool = tools::unpacked(cache, "prometheus", "usr/bin/promtool")?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = promtool.parent().map(Path::to_owned).into_iter().chain(env::split_paths(&path));
    let mut child = repository
        .cargo()
        .args(["test", "--no-fail-fast"])
        // The same cases in every run; a plain `cargo test` draws its own.
        .env("PROPTEST_RNG_SEED", "1")
        .env("PATH", env::join_paths(folders)?)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start cargo")?;
    let lines = BufReader::new(child.stdout.take().context("cargo has no standard output")?).lines();
    for line in lines.map_while(Result::ok) {
        println!("{line}");
        output.push_str(&line);
        output.push('\n');
    }
    let status = child.wait()?;
    ensure!(status.success(), "cargo test ended with {status}");
    Ok(())
}

fn cargo(repository: &Repository, tally: &mut Tally, arguments: &[&str]) {
    tally.check(&format!("cargo {}", arguments.join(" ")), || {
        let mut command: Command = repository.cargo();
        let status = command.args(arguments).status().context("cannot start cargo")?;
        ensure!(status.success(), "ended with {status}");
        Ok(String::new())
    });
}
