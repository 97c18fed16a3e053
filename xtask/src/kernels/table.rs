//! The results as tables: for the terminal, and for docs/PLATFORM.md, whose part between two marks is ours.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};

use super::{
    catalogue::PLANS,
    verdict::{Cell, Report},
};

/// The page, below the root of the repository.
pub(crate) const PAGE: &str = "docs/PLATFORM.md";

const BEGIN: &str = "<!-- begin: written by `cargo xtask test --kernels --write-platform` -->";
const END: &str = "<!-- end -->";

/// Both tables.
pub(crate) fn markdown(reports: &[Report]) -> String {
    let mut text =
        String::from("| kernel | processor | `auto` takes | the agent's own tests |\n|---|---|---|---|\n");
    for report in reports {
        let tests = match &report.tests {
            None => "none yet".to_owned(),
            Some(Ok(count)) => format!("{count} passed"),
            Some(Err(_)) => "**failed**".to_owned(),
        };
        let processor = report.choice.architecture.debian();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {} | {processor} | {} | {tests} |", kernel(report), report.takes);
    }
    text.push_str("\n| kernel | processor | source | file system |");
    for plan in PLANS {
        let _ = write!(text, " {} |", plan.how.as_str());
    }
    text.push_str("\n|---|---|---|---|");
    text.push_str(&"---|".repeat(PLANS.len()));
    text.push('\n');
    for report in reports {
        for row in &report.rows {
            let processor = report.choice.architecture.debian();
            let _ = write!(text, "| {} | {processor} | {} | {} |", kernel(report), row.door, row.medium);
            for cell in &row.cells {
                let _ = write!(text, " {} |", word(*cell));
            }
            text.push('\n');
        }
    }
    text
}

/// The page with its part renewed.
pub(crate) fn rewritten(page: &str, reports: &[Report]) -> Result<String> {
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{PAGE} has no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} has no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n{}{END}{after}", markdown(reports)))
}

fn kernel(report: &Report) -> &str {
    if report.release.is_empty() { report.choice.name } else { &report.release }
}

fn word(cell: Cell) -> &'static str {
    match cell {
        Cell::Agrees => "exact",
        Cell::Disagrees => "**differs**",
        Cell::Missing => "**not run**",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::{catalogue::KERNELS, verdict::Row};

    fn report() -> Report {
        let mut cells = vec![Cell::Agrees; PLANS.len()];
        cells[1] = Cell::Disagrees;
        let rows = vec![Row { door: "syscalls", medium: "ext4", cells }];
        Report {
            choice: KERNELS[0],
            release: "5.10.0-x".into(),
            takes: "vfs".into(),
            rows,
            tests: Some(Ok(7)),
        }
    }

    #[test]
    fn all_rows_of_a_table_have_as_many_cells() {
        let text = markdown(&[report(), Report { release: String::new(), tests: None, ..report() }]);
        for table in text.split("\n\n") {
            let widths: Vec<usize> = table.lines().map(|line| line.matches('|').count()).collect();
            assert!(widths.len() == 4 && widths.iter().all(|width| *width == widths[0]), "{table}");
        }
        assert!(text.contains("| 5.10.0-x | amd64 | vfs | 7 passed |"), "{text}");
        assert!(
            text.contains("| 5.10.0-x | amd64 | syscalls | ext4 | exact | **differs** | exact |"),
            "{text}"
        );
        assert!(text.contains("| 5.10 | amd64 | vfs | none yet |"), "{text}");
    }

    #[test]
    fn only_the_part_between_the_marks_is_rewritten() {
        let page = format!("# Page\n\n{BEGIN}\nold\n{END}\n\nmore\n");
        let once = rewritten(&page, &[report()]).unwrap();
        assert!(
            once.starts_with("# Page\n\n<!-- begin") && once.ends_with("<!-- end -->\n\nmore\n"),
            "{once}"
        );
        assert!(once.contains("7 passed") && !once.contains("old"), "{once}");
        assert_eq!(rewritten(&once, &[report()]).unwrap(), once);
        assert!(rewritten("# Page\n", &[report()]).is_err());
        assert!(rewritten(BEGIN, &[report()]).is_err());
    }
}
