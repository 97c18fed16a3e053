use workload::{Content, ReadRecord, WriteRecord};

use super::{
    super::catalogue::{KERNELS, SYSCALLS},
    *,
};

/// A transcript of a machine on which every plan ran, each with its first read as `content` says.
fn transcript(content: Content, told: bool) -> String {
    let mut text = String::new();
    let mut section = |name: &str, lines: &[String]| {
        text += &format!("@@ begin {name}\r\n{}\r\n@@ end {name} 0\r\n", lines.join("\r\n"));
    };
    section("kernel", &["6.1.0".to_owned()]);
    section("doctor", &["{\"takes\":".to_owned(), "\"syscalls\"}".to_owned()]);
    section("tainted", &["0".to_owned()]);
    let mut findings = Vec::new();
    let mut scrape = String::from(
        "state_watchdog_events_total{source=\"syscalls\"} 9\nstate_watchdog_events_lost_total{reason=\"full\"} 0\n",
    );
    for medium in MEDIA {
        section(&format!("medium.{medium}"), &[]);
        let mut torn = 0;
        for (outcome, plans) in by_outcome() {
            let saves: u64 = plans.iter().map(|plan| plan.writes).sum();
            scrape += &format!(
                "state_watchdog_write_sessions_total{{runtime=\"{medium}\",outcome=\"{outcome}\"}} {saves}\n"
            );
        }
        for plan in PLANS {
            let container = catalogue::container(medium, &plan);
            let truncated = plan.how == workload::How::Truncate && plan.style != workload::Style::Mapped;
            let first = if truncated { content } else { Content::Complete };
            let reads =
                (0..plan.reads).map(|n| read(&plan, 10 + n, if n == 0 { first } else { Content::Complete }));
            section(&format!("syscalls.{container}.errors"), &[]);
            section(&format!("syscalls.{container}.reads"), &reads.collect::<Vec<_>>());
            let writes = (0..plan.writes).map(|n| write(&plan, n)).collect::<Vec<_>>();
            section(&format!("syscalls.{container}.writes"), &writes);
            if !plan.how.is_atomic() {
                let outcome = plan.how.outcome();
                let line = format!(
                    r#"{{"kind":"nonatomic_write","outcome":"{outcome}","aftermath":"valid","container_id":"{container}","writer":{{"pid":7}}}}"#
                );
                findings.extend(std::iter::repeat_n(line, usize::try_from(plan.writes).unwrap()));
            }
            if truncated && told {
                torn += 1;
                findings.push(format!(
                    r#"{{"kind":"torn_read","container_id":"{container}","reader":{{"pid":10}}}}"#
                ));
            }
        }
        scrape += &format!(
            "state_watchdog_overlapping_reads_total{{runtime=\"{medium}\",verdict=\"torn\"}} {torn}\n"
        );
    }
    section("syscalls.log", &[]);
    section("syscalls.programs", &["prog_id: 5 recursion_misses: 0 verified_insns: 7".to_owned()]);
    section("syscalls.metrics", &[scrape]);
    section("syscalls.findings", &findings);
    section("syscalls.list", &["opens::a: test".to_owned()]);
    section(
        "syscalls.tests",
        &["test opens::a ... ok".to_owned(), "test result: ok. 1 passed; 0 failed".to_owned()],
    );
    section("syscalls.unseen", &[]);
    text + &lockdown::said("syscalls") + "@@ done\r\n"
}

fn by_outcome() -> std::collections::BTreeMap<&'static str, Vec<Plan>> {
    let mut plans = std::collections::BTreeMap::<_, Vec<Plan>>::new();
    for plan in PLANS {
        plans.entry(plan.how.outcome()).or_default().push(plan);
    }
    plans
}

fn read(plan: &Plan, pid: u64, content: Content) -> String {
    let (generation, bytes) = (None, 0);
    let pid = u32::try_from(pid).unwrap();
    let record = ReadRecord {
        pid,
        style: plan.style,
        content,
        generation,
        bytes,
        calls: 1,
        first_end: 2,
        parsed: true,
        begin: 1,
        end: 2,
    };
    serde_json::to_string(&record).unwrap()
}

fn write(plan: &Plan, generation: u64) -> String {
    serde_json::to_string(&WriteRecord { pid: 7, other: None, generation, how: plan.how, begin: 1, end: 2 })
        .unwrap()
}

/// Judges a transcript: the report, and whether all checks passed.
fn judged(text: &str) -> (Report, bool) {
    let mut tally = Tally::default();
    let report = judge(KERNELS[1], &[SYSCALLS], &Transcript::parse(text), &mut tally);
    (report, tally.is_good())
}

#[test]
fn agreement_on_every_medium_is_good() {
    let (report, good) = judged(&transcript(Content::Empty, true));
    assert!(good);
    assert_eq!((report.release.as_str(), report.takes.as_str()), ("6.1.0", "syscalls"));
    assert_eq!(report.rows.len(), MEDIA.len());
    assert!(report.rows.iter().all(|row| row.cells == [Cell::Agrees; PLANS.len()]));
    let [operations] = report.operations.as_slice() else { panic!("{:?}", report.operations) };
    assert_eq!((operations.door, operations.groups["opens"]), ("syscalls", cases::Verdict::Passed));
}

#[test]
fn what_the_kernel_skipped_is_counted_as_lost_and_nothing_else() {
    let lost = |skipped: u64, reason: &str| {
        transcript(Content::Empty, true)
            .replace("recursion_misses: 0", &format!("recursion_misses: {skipped}"))
            .replace("{reason=\"full\"} 0", &format!("{{reason=\"{reason}\"}} 19"))
    };
    assert!(judged(&lost(19, "probe_missed")).1);
    assert!(!judged(&lost(18, "probe_missed")).1);
    assert!(!judged(&lost(19, "ring_full")).1);
}

#[test]
fn a_test_that_failed_is_bad() {
    let good = transcript(Content::Empty, true);
    let bad = good.replace("opens::a ... ok", "opens::a ... FAILED");
    assert_ne!(good, bad);
    assert!(!judged(&bad).1);
}

#[test]
fn a_torn_read_missed_or_made_up_is_bad() {
    for (content, told) in [(Content::Empty, false), (Content::Complete, true)] {
        let (report, good) = judged(&transcript(content, told));
        assert!(!good);
        assert_eq!(report.rows[0].cells[0], Cell::Disagrees);
        assert_eq!(report.rows[0].cells[1], Cell::Agrees);
    }
}

#[test]
fn a_transcript_that_breaks_off_anywhere_is_bad() {
    let text = transcript(Content::Empty, true);
    assert!(!judged("").1);
    for (at, _) in text.match_indices("@@ end").step_by(7) {
        assert!(!judged(&text[..at]).1, "{at}");
    }
}

#[test]
fn a_warning_of_the_kernel_is_bad() {
    let good = transcript(Content::Empty, true);
    let bad = good.replace("@@ begin tainted\r\n0\r\n", "@@ begin tainted\r\n512\r\nWARNING: at\r\n");
    assert_ne!(good, bad);
    assert!(!judged(&bad).1);
}

#[test]
fn what_was_lost_is_bad() {
    let good = transcript(Content::Empty, true);
    let bad = good.replace("lost_total{reason=\"full\"} 0", "lost_total{reason=\"full\"} 3");
    assert_ne!(good, bad);
    assert!(!judged(&bad).1);
}
