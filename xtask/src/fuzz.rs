//! `cargo xtask fuzz`: libFuzzer on what comes from outside, from the committed corpus on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    repository::Repository,
    tally::Tally,
    tools::{self, CARGO_FUZZ, Cache},
};

/// How long each target runs as part of all checks.
const BRIEF: u64 = 4;

/// What is fuzzed, and for how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// This target alone; may be given again.
    #[arg(long)]
    target: Vec<String>,
    /// How long each target runs.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
}

/// Sets up, builds, fuzzes, prints a table.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (repository, cache) = (Repository::find()?, Cache::open()?);
    tools::set_up_bpf(&cache, None)?;
    let fuzzer = Fuzzer::build(&repository, &cache)?;
    let all = targets(&repository)?;
    let unknown = options.target.iter().find(|name| !all.contains(name));
    if let Some(name) = unknown {
        bail!("no target {name}; there are: {}", all.join(", "));
    }
    println!("{:<12} {:>12} {:>10} {:>9} {:>8}", "target", "executions", "per second", "MiB peak", "new");
    let mut broken = Vec::new();
    for name in all.iter().filter(|name| options.target.is_empty() || options.target.contains(name)) {
        match fuzzer.run(name, options.seconds) {
            Ok(Figures { executions, per_second, peak, new }) => {
                println!("{name:<12} {executions:>12} {per_second:>10} {peak:>9} {new:>8}");
            }
            Err(error) => {
                println!("{name:<12} {error:#}");
                broken.push(name.as_str());
            }
        }
    }
    ensure!(broken.is_empty(), "broken: {}", broken.join(", "));
    Ok(())
}

/// The corpus replayed, and each target for a few seconds.
pub(crate) fn check(repository: &Repository, cache: &Cache, tally: &mut Tally) {
    let mut fuzzer = None;
    tally.check("the fuzz targets build", || {
        fuzzer = Some(Fuzzer::build(repository, cache)?);
        Ok(String::new())
    });
    let Some(fuzzer) = fuzzer else { return };
    let names = match targets(repository) {
        Ok(names) => names,
        Err(error) => return tally.check("the fuzz targets are known", || Err(error)),
    };
    for name in names {
        tally.check(&format!("fuzz {name}"), || {
            let Figures { executions, per_second, .. } = fuzzer.run(&name, BRIEF)?;
            Ok(format!("{executions} executions, {per_second} a second"))
        });
    }
}

/// The names of all targets: each has a folder in the corpus, which a test holds to be so.
fn targets(repository: &Repository) -> Result<Vec<String>> {
    let corpus = repository.root().join("fuzz/corpus");
    let mut names = Vec::new();
    for entry in fs::read_dir(&corpus).with_context(|| format!("cannot read {}", corpus.display()))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The targets, built.
struct Fuzzer {
    programs: PathBuf,
    /// What comes with the sources.
    corpus: PathBuf,
    /// What was found here since.
    found: PathBuf,
    crashes: PathBuf,
}

/// What libFuzzer says at the end.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    executions: u64,
    per_second: u64,
    peak: u64,
    new: u64,
}

impl Fuzzer {
    fn build(repository: &Repository, cache: &Cache) -> Result<Self> {
        let program = CARGO_FUZZ.program(cache)?;
        // Outside of the sources' own target folder: what is built for fuzzing outlives a fresh checkout.
        let target = cache.folder().join("fuzz");
        let host = repository.host()?;
        let sanitizer = sanitizer(repository, &host)?;
        let mut build = Command::new("nice");
        build
            .arg(program)
            .args(["build", "--fuzz-dir", "fuzz", "--features", "fuzzer", "--sanitizer", sanitizer])
            .arg("--target-dir")
            .arg(&target)
            .current_dir(repository.root())
            // Sanitizers and coverage are unstable options of rustc.
            .env("RUSTC_BOOTSTRAP", "1")
            // Each target is a program of its own, and optimising across crates is done anew for each.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_STRIP", "none");
        cache.run(&format!("build the fuzz targets (sanitizer: {sanitizer})"), &mut build)?;
        let work = cache.folder().join("fuzz-found");
        Ok(Self {
            programs: target.join(host).join("release"),
            corpus: repository.root().join("fuzz/corpus"),
            crashes: repository.target().join("fuzz-crashes"),
            found: work,
        })
    }

    fn run(&self, name: &str, seconds: u64) -> Result<Figures> {
        let (found, crashes) = (self.found.join(name), self.crashes.join(name));
        for folder in [&found, &crashes] {
            fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let output = Command::new("nice")
            .arg(self.programs.join(name))
            // New inputs go to the first folder.
            .args([&found, &self.corpus.join(name)])
            .args([format!("-max_total_time={seconds}"), format!("-artifact_prefix={}/", crashes.display())])
            .args(["-print_final_stats=1", "-timeout=60", "-rss_limit_mb=2048", "-max_len=8192"])
            // A thread that is about to end holds what is taken for lost.
            .arg("-detect_leaks=0")
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .with_context(|| format!("cannot start the target {name}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        if output.status.success() {
            return figures(&said).context("libFuzzer printed no figures");
        }
        let log = crashes.join("log");
        fs::write(&log, said.as_bytes()).with_context(|| format!("cannot write {}", log.display()))?;
        let why = said.lines().find(|line| line.contains("panicked at") || line.contains("ERROR: "));
        bail!(
            "{}; the input and the log are in {}; put the input into fuzz/corpus/{name} with the remedy",
            why.unwrap_or("it ended early"),
            crashes.display()
        )
    }
}

/// AddressSanitizer where the toolchain brings its runtime, else none: panics and failed promises are found either way.
fn sanitizer(repository: &Repository, host: &str) -> Result<&'static str> {
    let output = Command::new("rustc")
        .args(["--print", "sysroot"])
        .current_dir(repository.root())
        .output()
        .context("cannot start rustc")?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let libraries = sysroot.join("lib/rustlib").join(host).join("lib");
    Ok(if has_runtime(&libraries) { "address" } else { "none" })
}

fn has_runtime(libraries: &Path) -> bool {
    let entries = fs::read_dir(libraries).into_iter().flatten().filter_map(Result::ok);
    entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().ends_with("_rt.asan.a"))
}

fn figures(said: &str) -> Option<Figures> {
    let figure = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("stat::{name}:")))?;
        line.trim().parse().ok()
    };
    Some(Figures {
        executions: figure("number_of_executed_units")?,
        per_second: figure("average_exec_per_sec")?,
        peak: figure("peak_rss_mb")?,
        new: figure("new_units_added")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_from_what_libfuzzer_says() {
        let said = "Done 10 runs in 2 second(s)\n\
                    stat::number_of_executed_units: 10\n\
                    stat::average_exec_per_sec:     5\n\
                    stat::new_units_added:          3\n\
                    stat::slowest_unit_time_sec:    0\n\
                    stat::peak_rss_mb:              47\n";
        assert_eq!(figures(said), Some(Figures { executions: 10, per_second: 5, peak: 47, new: 3 }));
        assert_eq!(figures("Done 10 runs"), None);
    }
}
