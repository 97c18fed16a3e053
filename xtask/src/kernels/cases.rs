//! The agent's own tests, one line each, taken from what the test program said.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use super::transcript::Section;

/// What came of a group of tests: those of one module, which are about one kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The source does not see the operation: every test of it is there to show that nothing comes.
    NotVisible,
    /// Some of them are.
    SeenInPart,
    /// All tests passed.
    Passed,
    /// A test failed or was not run.
    Failed,
}

impl Verdict {
    /// Both together.
    fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed, _) | (_, Self::Failed) => Self::Failed,
            (one, other) if one == other => one,
            (_, _) => Self::SeenInPart,
        }
    }
}

/// The groups with their verdicts, by name.
pub(crate) type Groups = BTreeMap<String, Verdict>;

/// The names of all tests, from `--list`.
pub(crate) fn names(list: &Section) -> Result<Vec<&str>> {
    ensure!(list.status == Some(0), "--list ended with {:?}:\n{}", list.status, list.text());
    let names: Vec<_> = list.lines.iter().filter_map(|line| line.strip_suffix(": test")).collect();
    ensure!(!names.is_empty(), "there are no tests:\n{}", list.text());
    Ok(names)
}

/// The module whose tests are about the harness itself: they must pass as all do, but are no kind of operation.
const HARNESS: &str = "child";

/// Every test's verdict; an error says what failed, what was skipped and what left no line. Judged by the lines, by the
/// summary and by the exit status, because each alone can lie.
pub(crate) fn judge(names: &[&str], said: &Section, unseen: &Section) -> (Groups, Result<u64>) {
    let passed = |name: &str| said.lines.iter().any(|line| line.trim() == format!("test {name} ... ok"));
    let bad: Vec<&str> = names.iter().copied().filter(|name| !passed(name)).collect();
    let mut groups = Groups::new();
    let group = |name: &str| name.split("::").next().unwrap_or_default().to_owned();
    for name in names.iter().filter(|name| group(name) != HARNESS) {
        let verdict = match () {
            () if bad.contains(name) => Verdict::Failed,
            () if unseen.lines.iter().any(|line| line.trim() == *name) => Verdict::NotVisible,
            () => Verdict::Passed,
        };
        groups.entry(group(name)).and_modify(|whole| *whole = whole.with(verdict)).or_insert(verdict);
    }
    (groups, verdict(names, &bad, said))
}

fn verdict(names: &[&str], bad: &[&str], said: &Section) -> Result<u64> {
    let complaints = || complaints(said);
    ensure!(bad.is_empty(), "not passed: {}\n{}", bad.join(", "), complaints());
    let skipped = said.lines.iter().find(|line| line.contains("skipped:"));
    ensure!(skipped.is_none(), "a test was skipped: {skipped:?}");
    ensure!(said.status == Some(0), "the tests ended with {:?}\n{}", said.status, complaints());
    let summary = said.lines.iter().rev().find_map(|line| line.trim().strip_prefix("test result: ok. "));
    let count: u64 = summary
        .and_then(|summary| summary.split(' ').next()?.parse().ok())
        .with_context(|| format!("there is no summary\n{}", complaints()))?;
    ensure!(count == names.len() as u64, "{count} of {} tests passed", names.len());
    Ok(count)
}

/// What failed tests said, without their names, of which there would be three for each.
fn complaints(said: &Section) -> String {
    let from = said.lines.iter().position(|line| line == "failures:").unwrap_or(0);
    let told = said.lines[from..].iter().map(String::as_str);
    told.filter(|line| !line.ends_with("... ok")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(status: i32, lines: &[&str]) -> Section {
        Section { lines: lines.iter().map(ToString::to_string).collect(), status: Some(status) }
    }

    const NAMES: [&str; 3] = ["opens::a", "opens::b", "uring::c"];
    const GOOD: [&str; 5] = [
        "running 3 tests",
        "test opens::a ... ok",
        "test opens::b ... ok",
        "test uring::c ... ok",
        "test result: ok. 3 passed; 0 failed; 0 ignored",
    ];

    #[test]
    fn names_come_from_the_list() {
        let list = section(0, &["opens::a: test", "uring::c: test", "", "2 tests, 0 benchmarks"]);
        assert_eq!(names(&list).unwrap(), ["opens::a", "uring::c"]);
        assert!(names(&section(1, &["opens::a: test"])).is_err());
        assert!(names(&section(0, &["0 tests, 0 benchmarks"])).is_err());
    }

    #[test]
    fn all_passed_is_good_and_what_is_not_visible_says_so() {
        let (groups, count) = judge(&NAMES, &section(0, &GOOD), &section(0, &["uring::c"]));
        assert_eq!(count.unwrap(), 3);
        assert_eq!(groups["opens"], Verdict::Passed);
        assert_eq!(groups["uring"], Verdict::NotVisible);
    }

    #[test]
    fn a_test_of_the_harness_counts_but_is_no_operation() {
        let names = ["child::d", "opens::a"];
        let lines = ["test child::d ... ok", "test opens::a ... ok", "test result: ok. 2 passed; 0 failed"];
        let judged = |lines: &[&str]| judge(&names, &section(0, lines), &section(0, &[]));
        let (groups, count) = judged(&lines);
        assert_eq!((groups.into_keys().collect::<Vec<_>>(), count.unwrap()), (vec!["opens".to_owned()], 2));
        assert!(judged(&lines[1..]).1.unwrap_err().to_string().contains("child::d"));
    }

    #[test]
    fn a_group_may_be_seen_in_part() {
        let (groups, _) = judge(&NAMES, &section(0, &GOOD), &section(0, &["opens::a"]));
        assert_eq!(groups["opens"], Verdict::SeenInPart);
    }

    #[test]
    fn a_line_that_is_missing_or_bad_fails_its_group() {
        for line in ["test opens::b ... FAILED", "test opens::b ... ignored", "", "panic"] {
            let mut lines = GOOD;
            lines[2] = line;
            let (groups, count) = judge(&NAMES, &section(0, &lines), &section(0, &[]));
            assert!(count.unwrap_err().to_string().contains("opens::b"));
            assert_eq!(groups["opens"], Verdict::Failed);
            assert_eq!(groups["uring"], Verdict::Passed);
        }
    }

    #[test]
    fn status_summary_and_skips_count_too() {
        let judged = |status, lines: &[&str]| judge(&NAMES, &section(status, lines), &section(0, &[])).1;
        assert!(judged(101, &GOOD).is_err());
        assert!(judged(0, &GOOD[..4]).is_err());
        assert!(judged(0, &[&GOOD[..4], &["test result: ok. 2 passed; 0 failed"]].concat()).is_err());
        assert!(judged(0, &[&["skipped: no BTF"], &GOOD[..]].concat()).is_err());
        assert!(judged(0, &GOOD).is_ok());
    }
}
