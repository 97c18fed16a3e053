//! The running count of what passed, failed and was skipped.

use std::{env, fs, path::Path, time::Instant};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::load::{Load, word_since};

/// Counts, printed as they come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

impl Tally {
    /// One check of ours; what it gives on success is printed beside its name.
    pub(crate) fn check(&mut self, name: &str, check: impl FnOnce() -> Result<String>) {
        let (start, load) = (Instant::now(), Load::now());
        match check() {
            Ok(detail) => {
                self.passed += 1;
                let colon = if detail.is_empty() { "" } else { ": " };
                println!("  ok    {name}{colon}{detail} ({:.1} s)", start.elapsed().as_secs_f64());
            }
            Err(error) => {
                self.failed += 1;
                println!("  FAIL  {name}: {error:#}{}", word_since(load));
            }
        }
    }

    /// Something that cannot be checked here. Under CI nothing may be skipped.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        if env::var("CI").is_ok_and(|value| value == "true") {
            self.failed += 1;
            println!("  FAIL  {name}: skipped under CI: {reason}");
        } else {
            self.skipped += 1;
            println!("  skip  {name}: {reason}");
        }
    }

    /// Results counted elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// Adds up the `test result:` lines of `cargo test`.
    pub(crate) fn add_cargo_test(&mut self, output: &str) {
        for line in output.lines().filter_map(|line| line.trim().strip_prefix("test result: ")) {
            let count = |word: &str| -> u64 {
                let before = line.split(word).next().unwrap_or_default();
                before.split_whitespace().next_back().and_then(|number| number.parse().ok()).unwrap_or(0)
            };
            self.passed += count(" passed");
            self.failed += count(" failed");
            self.skipped += count(" ignored");
        }
    }

    /// True when nothing failed.
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0
    }

    /// Prints the last line; an error when something failed, or when nothing was checked at all.
    pub(crate) fn finish(self) -> Result<()> {
        if self.skipped > 0 {
            println!("{} skipped", self.skipped);
        }
        println!("{} passed, {} failed", self.passed, self.failed);
        ensure!(self.failed == 0, "{} checks failed", self.failed);
        ensure!(self.passed > 0, "nothing was checked");
        Ok(())
    }

    /// Leaves the counts for the process that started this one.
    pub(crate) fn write(self, file: &Path) -> Result<()> {
        fs::write(file, serde_json::to_string(&self)?)
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// Reads what [`Tally::write`] left.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("no results in {}", file.display()))?;
        Ok(serde_json::from_str(&text)?)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    #[test]
    fn cargo_test_results_are_added_up() {
        let mut tally = Tally::default();
        tally.add_cargo_test(
            "running 3 tests\n\
             test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        assert_eq!(tally, Tally { passed: 14, failed: 3, skipped: 1 });
    }

    #[test]
    fn a_failed_check_fails_the_whole_and_so_does_checking_nothing() {
        let mut tally = Tally::default();
        assert!(tally.finish().is_err());
        tally.check("good", || Ok(String::new()));
        assert!(tally.is_good() && tally.finish().is_ok());
        tally.check("bad", || bail!("it is bad"));
        assert!(!tally.is_good() && tally.finish().is_err());
    }
}
