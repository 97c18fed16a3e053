//! `cargo xtask test`: everything that must hold, in order, with one line at the end.

mod part;
mod privileged;

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    dashboards, deploy, fuzz, kernels, kubernetes,
    programs::build,
    repository::Repository,
    scrape, supply,
    tally::Tally,
    tools::{self, Cache},
};

pub(crate) use part::Part;
pub(crate) use privileged::{Installed, run_installed};

/// Runs the parts, all when none is named.
pub(crate) fn run(only: &[Part], machines: &kernels::Options) -> Result<()> {
    let start = Instant::now();
    let repository = Repository::find()?;
    let cache = Cache::open()?;
    println!("== set-up");
    tools::set_up_bpf(&cache, None)?;
    let mut tally = Tally::default();
    let parts = if only.is_empty() { &Part::ALL } else { only };
    for &part in parts {
        println!("\n== {}", part.title());
        let begun = Instant::now();
        match part {
            Part::Format => cargo(&repository, &mut tally, &["fmt", "--all", "--check"]),
            Part::Lint => lint(&repository, &mut tally),
            Part::Minimal => cargo(
                &repository,
                &mut tally,
                &["build", "--package", "watchdog", "--no-default-features", "--all-targets"],
            ),
            Part::Unit => unit(&repository, &cache, &mut tally),
            Part::Deny => supply::check(&repository, &cache, &mut tally),
            Part::Advisories => supply::check_advisories(&repository, &cache, &mut tally),
            Part::Scrape => scrape(&repository, &cache, &mut tally),
            Part::Fuzz => {
                cargo(&repository, &mut tally, &["test", "--quiet", "--package", "watchdog-fuzz"]);
                fuzz::check(&repository, &cache, &mut tally);
            }
            Part::Kernels => kernels::check(machines, &repository, &cache, &mut tally),
            Part::Kubernetes => kubernetes::check(&repository, &cache, &mut tally),
            Part::Rules => dashboards::check_rules(&repository, &cache, &mut tally),
            Part::Deploy => deploy::check(&repository, &cache, &mut tally),
            Part::Kernel | Part::Chaos | Part::Soak | Part::Runtimes | Part::Browser | Part::Prometheus => {
                privileged::run(part, &repository, &cache, &mut tally)
            }
        }
        println!("== {}: {:.0} s", part.title(), begun.elapsed().as_secs_f64());
    }
    println!("\nin {:.0} s:", start.elapsed().as_secs_f64());
    tally.finish()
}

fn scrape(repository: &Repository, cache: &Cache, tally: &mut Tally) {
    let mut agent = None;
    tally.check("the agent is built", || {
        agent = Some(build(repository)?.0);
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
