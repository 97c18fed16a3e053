//! `cargo xtask bench --kernels`: how many instructions the agent adds to calls that do not concern it.

use std::{collections::BTreeMap, fs};

use anyhow::{Context as _, Result, ensure};
use workload::Instructions;

use super::{
    catalogue::Choice, initramfs::Purpose, jobs::jobs, options::Options, pairs::in_pairs,
    transcript::Transcript,
};
use crate::{
    architecture::Architecture,
    markdown::Table,
    marks::Marks,
    repository::Repository,
    tally::Tally,
    tools::{self, Cache},
};

/// The page, below the root of the repository.
const PAGE: &str = "docs/OVERHEAD.md";
const MARKS: Marks =
    Marks { page: PAGE, begin: "<!-- begin instructions: generated -->", end: "<!-- end instructions -->" };

/// What a read or write that does not concern us may cost beyond the attachment of an empty program.
const DATA_LIMIT: i64 = 40;
/// What an open may; where the kernel is not told to do without fentry, kprobes may follow pointers as fentry does.
const OPEN_LIMIT: i64 = 300;
const OPEN_LIMIT_BY_KPROBE: i64 = 500;

/// So much may differ from run to run: a copy takes more instructions where its pages lie otherwise.
const SLACK: i64 = 8;

/// Attachments without programs of ours, and what `vfs` is attached by where they are its measure.
const EMPTY: [&str; 3] = ["empty-fentry", "empty-kprobe", "empty-mixed"];

/// What was counted on one kernel, by what was attached.
type Counts = BTreeMap<String, Instructions>;

/// Boots the machines, counts, and holds the figures against the limits.
pub(crate) fn count(options: &Options, repository: &Repository, cache: &Cache) -> Result<()> {
    tools::set_up_bpf(cache, None)?;
    let mut tally = Tally::default();
    let mut built = BTreeMap::new();
    let mut machines = jobs(options, repository, cache, &mut tally, &mut built);
    // Elsewhere the counter that programs can read is too coarse.
    machines.retain(|job| job.choice.architecture == Architecture::Amd64);
    let outcomes = in_pairs(&machines, |job| {
        let mut transcript = Transcript::default();
        let outcome = job.boot(Purpose::Count, cache, &mut transcript);
        (transcript, outcome)
    });
    let mut table = Table::new(&HEADS);
    for (job, (transcript, outcome)) in machines.iter().zip(outcomes) {
        let name = job.choice.name;
        tally.check(&format!("{name}: boots and comes to its end"), || outcome);
        tally.check(&format!("{name}: the figures are there"), || {
            let doors: Vec<&str> = job.doors.iter().map(|door| door.name).collect();
            let counts = figures(&transcript, &doors)?;
            rows(job.choice, &doors, &counts, &mut table);
            within(job.choice, &counts)
        });
    }
    println!("\n{}", table.text());
    if options.is_everything() && std::env::var_os("UPDATE_DOCS").is_some() {
        tally.check(&format!("{PAGE} is written"), || {
            let path = repository.root().join(PAGE);
            let page =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            fs::write(&path, MARKS.renew(&page, table.text())?)?;
            Ok(String::new())
        });
    }
    tally.finish()
}

/// Everything that was counted; the same, where it was counted twice.
fn figures(transcript: &Transcript, doors: &[&str]) -> Result<Counts> {
    let tracked = doors.iter().map(|door| format!("{door}-tracked"));
    let fixed = ["off", "off-again"].iter().chain(&EMPTY).chain(doors).map(ToString::to_string);
    let mut counts = Counts::new();
    for name in fixed.chain(tracked) {
        let section = transcript.section(&name).with_context(|| format!("nothing was counted for {name}"))?;
        ensure!(section.status == Some(0), "{name}: {}", section.text());
        let count = serde_json::from_str(&section.text()).with_context(|| section.text())?;
        counts.insert(name, count);
    }
    let (first, again) = (counts["off"], counts["off-again"]);
    let same = difference(&again, &first).into_iter().all(|more| more.abs() <= SLACK);
    ensure!(same, "nothing was attached, yet {first:?} became {again:?}");
    Ok(counts)
}

/// The calls that are counted.
const CALLS: [&str; 5] = ["getppid", "read", "write", "open", "close"];
const HEADS: [&str; 7] = ["kernel", "attached", CALLS[0], CALLS[1], CALLS[2], CALLS[3], CALLS[4]];

fn values(count: &Instructions) -> [i64; 5] {
    let Instructions { getppid, read, write, open, close } = *count;
    [getppid, read, write, open, close].map(u64::cast_signed)
}

fn difference(count: &Instructions, base: &Instructions) -> [i64; 5] {
    let (count, base) = (values(count), values(base));
    std::array::from_fn(|call| count[call] - base[call])
}

fn rows(choice: Choice, doors: &[&str], counts: &Counts, table: &mut Table) {
    let mut row = |name: &str, cells: [String; 5]| {
        let cells = cells.each_ref().map(String::as_str);
        table.row(&[&[choice.name, name], &cells[..]].concat());
    };
    let off = &counts["off"];
    row("nothing", values(off).map(|count| count.to_string()));
    for kind in EMPTY {
        row(kind, difference(&counts[kind], off).map(|more| format!("{more:+}")));
    }
    let tracked = doors.iter().map(|door| format!("{door}-tracked"));
    for name in doors.iter().map(ToString::to_string).chain(tracked) {
        let more = difference(&counts[&name], off);
        let ours = empty_of(&name, choice).map(|empty| difference(&counts[&name], &counts[empty]));
        let cell = |call: usize| match ours {
            Some(ours) => format!("{:+} (ours {:+})", more[call], ours[call]),
            None => format!("{:+}", more[call]),
        };
        row(&name, std::array::from_fn(cell));
    }
}

/// The attachment without our programs, that a way to events is compared with.
fn empty_of(door: &str, choice: Choice) -> Option<&'static str> {
    match (door.trim_end_matches("-tracked"), choice.vfs_by) {
        ("vfs", "fentry") => Some("empty-fentry"),
        ("vfs", "kprobe") | ("vfs-kprobe", _) => Some("empty-kprobe"),
        ("vfs", _) => Some("empty-mixed"),
        _ => None,
    }
}

/// The limits hold for `vfs` while no state file is open.
fn within(choice: Choice, counts: &Counts) -> Result<String> {
    let mut said = Vec::new();
    for door in ["vfs", "vfs-kprobe"] {
        let (Some(count), Some(empty)) =
            (counts.get(door), empty_of(door, choice).and_then(|name| counts.get(name)))
        else {
            continue;
        };
        let open = if door == "vfs" { OPEN_LIMIT } else { OPEN_LIMIT_BY_KPROBE };
        let limits = [i64::MAX, DATA_LIMIT, DATA_LIMIT, open, DATA_LIMIT];
        for ((more, limit), call) in difference(count, empty).into_iter().zip(limits).zip(CALLS) {
            let within = if more > limit { "too many" } else { "" };
            said.push(format!("{door} {call} {more} {within}").trim_end().to_owned());
        }
    }
    let said = said.join(", ");
    ensure!(!said.contains("too many"), "instructions of ours: {said}");
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::catalogue::KERNELS;

    fn counts(vfs_read: u64, vfs_open: u64) -> Counts {
        let off = Instructions { getppid: 50, read: 500, write: 600, open: 3000, close: 900 };
        let empty = Instructions { read: 600, write: 700, open: 3300, ..off };
        let vfs = Instructions { read: vfs_read, open: vfs_open, ..empty };
        let all = [("off", off), ("empty-fentry", empty), ("vfs", vfs)];
        all.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
    }

    #[test]
    fn limits_hold_beyond_the_empty_attachment() {
        let said = within(KERNELS[0], &counts(640, 3600)).unwrap();
        assert!(said.contains("vfs read 40, vfs write 0, vfs open 300"), "{said}");
        assert!(within(KERNELS[0], &counts(641, 3600)).is_err());
        assert!(within(KERNELS[0], &counts(640, 3601)).is_err());
    }

    #[test]
    fn figures_that_do_not_repeat_are_none() {
        let line = r#"{"getppid":1,"read":2,"write":3,"open":4,"close":5}"#;
        let text = |again: &str| {
            let sections = ["off", EMPTY[0], EMPTY[1], EMPTY[2], "vfs", "vfs-tracked"];
            let one = |name: &str, line: &str| format!("@@ begin {name}\n{line}\n@@ end {name} 0\n");
            sections.map(|name| one(name, line)).concat() + &one("off-again", again)
        };
        assert_eq!(figures(&Transcript::parse(&text(line)), &["vfs"]).unwrap().len(), 7);
        assert!(figures(&Transcript::parse(&text(&line.replace('1', "10"))), &["vfs"]).is_err());
        assert!(figures(&Transcript::parse(&text(line)), &["vfs", "syscalls"]).is_err());
        assert!(figures(&Transcript::default(), &[]).is_err());
    }
}
