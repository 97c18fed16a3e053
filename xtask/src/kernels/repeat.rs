//! `cargo xtask test --kernels --case NAME --times N`: some of the agent's own tests, again and again. A test that passes
//! by luck is found so.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};

use super::{
    initramfs::Purpose,
    jobs::{Job, jobs},
    options::Options,
    pairs::in_pairs,
    transcript::Transcript,
};
use crate::{repository::Repository, tally::Tally, tools::Cache};

/// Runs the machines, two at a time; each way to events is one check.
pub(super) fn check(options: &Options, repository: &Repository, cache: &Cache, tally: &mut Tally) {
    let mut built = BTreeMap::new();
    let jobs = jobs(options, repository, cache, tally, &mut built);
    let boot = |job: &Job<'_>| {
        let mut transcript = Transcript::default();
        let outcome = job.boot(Purpose::Repeat, cache, &mut transcript);
        (transcript, outcome)
    };
    for (job, (transcript, outcome)) in jobs.iter().zip(in_pairs(&jobs, boot)) {
        let name = job.choice.name;
        tally.check(&format!("{name}: boots and comes to its end"), || outcome);
        for door in &job.doors {
            tally.check(&format!("{name}, {}: {} runs", door.name, options.times), || {
                judge(&transcript, door.name, options.times)
            });
        }
    }
}

/// All runs passed, or what the first ones said that did not.
fn judge(transcript: &Transcript, door: &str, times: usize) -> Result<String> {
    let passed = transcript.section(&format!("{door}.passed")).context("the runs did not come to their end");
    let failed: Vec<String> = (1..=times)
        .filter_map(|run| {
            let section = transcript.section(&format!("{door}.run-{run}"))?;
            Some(format!("run {run}:\n{}", section.text()))
        })
        .collect();
    if !failed.is_empty() {
        bail!("{} of {times} runs failed; {}", failed.len(), failed[..failed.len().min(3)].join("\n"));
    }
    let passed = passed?.text();
    if passed.trim() != times.to_string() {
        bail!("{} of {times} runs passed", passed.trim());
    }
    Ok("all passed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_run_must_have_passed() {
        let said = |text: &str| judge(&Transcript::parse(text), "vfs", 3).map_err(|error| error.to_string());
        assert_eq!(said("@@ begin vfs.passed\n3\n@@ end vfs.passed 0\n"), Ok("all passed".to_owned()));
        let failed = "@@ begin vfs.run-2\nit is wrong\n@@ end vfs.run-2 101\n@@ begin vfs.passed\n2\n@@ end vfs.passed 0\n";
        assert_eq!(said(failed), Err("1 of 3 runs failed; run 2:\nit is wrong".to_owned()));
        assert_eq!(
            said("@@ begin vfs.passed\n2\n@@ end vfs.passed 0\n"),
            Err("2 of 3 runs passed".to_owned())
        );
        assert_eq!(said(""), Err("the runs did not come to their end".to_owned()));
    }
}
