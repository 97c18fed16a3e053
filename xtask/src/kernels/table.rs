//! The results as tables: for the terminal, and for docs/PLATFORM.md, whose parts between marks are ours.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result, ensure};

use super::{
    cases::Verdict,
    catalogue::{PLANS, Sight},
    verdict::{Cell, Report},
};
use crate::{markdown::Table, marks::Marks};

/// The page, below the root of the repository.
pub(crate) const PAGE: &str = "docs/PLATFORM.md";

/// Set to write the page instead of comparing it.
const UPDATE: &str = "UPDATE_DOCS";

/// What the releases held when the page was written: shown, but not compared.
const VERSIONS: Marks =
    Marks { page: PAGE, begin: "<!-- begin versions: generated -->", end: "<!-- end versions -->" };
/// What was found: compared.
const RESULTS: Marks =
    Marks { page: PAGE, begin: "<!-- begin results: generated -->", end: "<!-- end results -->" };

/// Compares the page with the results; with `UPDATE_DOCS` set, writes it.
pub(crate) fn keep(root: &Path, reports: &[Report]) -> Result<String> {
    let path = root.join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let renewed = RESULTS.renew(&page, &results(reports))?;
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, VERSIONS.renew(&renewed, &versions(reports))?)?;
        return Ok("written".to_owned());
    }
    ensure!(
        renewed == page,
        "{PAGE} is stale: set {UPDATE}=1 and run again; it lacks these lines:\n{}",
        new_lines(&page, &renewed)
    );
    Ok(String::new())
}

/// The lines that the page should have and has not, for a person.
fn new_lines(page: &str, renewed: &str) -> String {
    let known: BTreeSet<&str> = page.lines().collect();
    renewed.lines().filter(|line| !known.contains(line)).collect::<Vec<_>>().join("\n")
}

/// Everything, for the terminal.
pub(crate) fn markdown(reports: &[Report]) -> String {
    format!("{}\n{}", versions(reports), results(reports))
}

fn versions(reports: &[Report]) -> String {
    let mut table = Table::new(&["kernel", "Debian's release", "version"]);
    for Report { choice, release, .. } in reports {
        table.row(&[choice.name, choice.suite, release]);
    }
    table.text().to_owned()
}

fn results(reports: &[Report]) -> String {
    let mut taken = Table::new(&["kernel", "processor", "`auto` takes", "`vfs` attaches by"]);
    for report in reports {
        taken.row(&[report.choice.name, report.choice.architecture.debian(), &report.takes, &report.vfs_by]);
    }
    let operations = [Sight::Deeds, Sight::Order].map(|sight| operations(reports, sight));
    format!("{}\n{}\n{}", taken.text(), operations.join("\n"), ground_truth(reports))
}

fn operations(reports: &[Report], sight: Sight) -> String {
    let rows = || {
        let all = reports.iter().flat_map(|report| report.operations.iter().map(move |row| (report, row)));
        all.filter(|(_, row)| row.sight == sight)
    };
    let names: BTreeSet<&str> = rows().flat_map(|(_, row)| row.groups.keys().map(String::as_str)).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut table = Table::new(&[&["kernel", "source"], &names[..]].concat());
    for (report, row) in rows() {
        let cell = |name: &&str| match row.groups.get(*name) {
            Some(Verdict::Passed) => "yes",
            Some(Verdict::NotVisible) => "not visible",
            Some(Verdict::SeenInPart) => "in part",
            Some(Verdict::Failed) => "**no**",
            // Some operations are those of one processor alone.
            None if !row.groups.is_empty() => "none",
            None => "**not run**",
        };
        let cells: Vec<&str> = names.iter().map(cell).collect();
        table.row(&[&[report.choice.name, row.door], &cells[..]].concat());
    }
    table.text().to_owned()
}

fn ground_truth(reports: &[Report]) -> String {
    let names = PLANS.map(|plan| plan.how.as_str());
    let mut table = Table::new(&[&["kernel", "source", "file system"], &names[..]].concat());
    for report in reports {
        for row in &report.rows {
            let cells: Vec<&str> = row.cells.iter().map(|cell| word(*cell, row.sight)).collect();
            table.row(&[&[report.choice.name, row.door, row.medium], &cells[..]].concat());
        }
    }
    table.text().to_owned()
}

fn word(cell: Cell, sight: Sight) -> &'static str {
    match (cell, sight) {
        (Cell::Agrees, Sight::Deeds) => "exact",
        (Cell::Agrees, Sight::Order) => "reported",
        (Cell::Disagrees, _) => "**differs**",
        (Cell::Missing, _) => "**not run**",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{
        catalogue::KERNELS,
        verdict::{Operations, Row},
    };

    fn report() -> Report {
        let mut cells = vec![Cell::Agrees; PLANS.len()];
        cells[1] = Cell::Disagrees;
        let rows = vec![Row { door: "syscalls", sight: Sight::Deeds, medium: "ext4", cells }];
        let groups = |all: &[(&str, Verdict)]| {
            all.iter().map(|(name, verdict)| ((*name).to_owned(), *verdict)).collect()
        };
        let operations = vec![
            Operations { door: "vfs", sight: Sight::Deeds, groups: groups(&[("opens", Verdict::Passed)]) },
            Operations {
                door: "inotify",
                sight: Sight::Order,
                groups: groups(&[("roots", Verdict::Passed)]),
            },
            Operations {
                door: "syscalls",
                sight: Sight::Deeds,
                groups: groups(&[("opens", Verdict::Failed), ("uring", Verdict::NotVisible)]),
            },
        ];
        let (release, takes, vfs_by) = ("5.10.0-x".into(), "vfs".into(), "fentry".into());
        Report { choice: KERNELS[0], release, takes, vfs_by, rows, operations }
    }

    #[test]
    fn all_rows_of_a_table_have_as_many_cells() {
        let text = markdown(&[report()]);
        for table in text.split("\n\n") {
            let widths: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
            assert!(widths.len() > 2 && widths.iter().all(|width| *width == widths[0]), "{table}");
        }
        for line in [
            "| 5.10 | bullseye | 5.10.0-x |",
            "| 5.10 | amd64 | vfs | fentry |",
            "| 5.10 | vfs | yes | none |",
            "| 5.10 | syscalls | **no** | not visible |",
            "| kernel | source | roots |",
            "| 5.10 | inotify | yes |",
            "| 5.10 | syscalls | ext4 | exact | **differs** | exact |",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_stale_page_is_told_by_what_it_lacks() {
        assert_eq!(new_lines("one\ntwo\nthree", "one\n2\nthree\nfour"), "2\nfour");
    }

    #[test]
    fn versions_do_not_count_as_results() {
        let newer = Report { release: "5.10.1".into(), ..report() };
        assert_eq!(results(&[report()]), results(&[newer]));
    }
}
