use workload::Style;

use super::*;
use crate::finding::{Process, Read};

const WRITER: u32 = 7;

fn read(pid: u32, content: Content) -> ReadRecord {
    let (begin, end) = (10, 20);
    let style = Style::Go;
    let parsed = !content.is_torn();
    ReadRecord {
        pid,
        style,
        content,
        generation: Some(1),
        bytes: 100,
        calls: 1,
        first_end: end,
        parsed,
        begin,
        end,
    }
}

fn truth(how: How, reads: &[(u32, Content)]) -> Truth {
    let write = WriteRecord { pid: WRITER, other: None, generation: 1, how, begin: 5, end: 15 };
    let reads = reads.iter().map(|&(pid, content)| read(pid, content)).collect();
    Truth { container: "c".into(), how, writes: vec![write], reads }
}

fn finding(kind: &str, pid: u32) -> Finding {
    let process = Some(Process { pid, ..Process::default() });
    let write = kind == "nonatomic_write";
    let (writer, reader) = if write { (process, None) } else { (None, process) };
    let outcome = write.then(|| "in_place".to_owned());
    let aftermath = write.then(|| "truncated".to_owned());
    let container_id = Some("c".to_owned());
    Finding { kind: kind.into(), outcome, aftermath, container_id, writer, reader, ..Finding::default() }
}

/// The disagreements when these readers got this and the agent told that, beside the one save.
fn disagreements(how: How, reads: &[(u32, Content)], told: &[(&str, u32)]) -> Vec<String> {
    let mut findings: Vec<Finding> = told.iter().map(|&(kind, pid)| finding(kind, pid)).collect();
    if !how.is_atomic() {
        findings.push(finding("nonatomic_write", WRITER));
    }
    compare(&truth(how, reads), &findings).disagreements
}

#[test]
fn exact_agreement_is_silent() {
    let reads = [(1, Content::Empty), (2, Content::Short), (3, Content::Mixed), (4, Content::Complete)];
    let told = [("torn_read", 1), ("torn_read", 2), ("torn_read", 3), ("overlapping_read", 4)];
    assert!(disagreements(How::Truncate, &reads, &told).is_empty());
}

#[test]
fn a_missed_torn_read_is_found() {
    for content in [Content::Empty, Content::Short, Content::Mixed] {
        for told in [&[][..], &[("overlapping_read", 1)], &[("exposed_reader", 1)], &[("reader_exit", 1)]] {
            let found = disagreements(How::Truncate, &[(1, content)], told);
            assert_eq!(found.len(), 1, "{content:?} {told:?}");
            assert!(found[0].contains("\"pid\":1") && found[0].contains("write {"), "{}", found[0]);
        }
    }
}

#[test]
fn a_read_call_that_spans_the_session_proves_nothing() {
    let told = |content, size_at_read| {
        let read = Read {
            offset: Some(0),
            size_at_read: Some(size_at_read),
            final_size: Some(9),
            ..Read::default()
        };
        let overlapping = Finding { read: Some(read), ..finding("overlapping_read", 1) };
        let findings = [overlapping, finding("nonatomic_write", WRITER)];
        compare(&truth(How::Truncate, &[(1, content)]), &findings).disagreements.len()
    };
    assert_eq!(told(Content::Mixed, 9), 0);
    assert_eq!(told(Content::Mixed, 8), 1);
    assert_eq!(told(Content::Short, 9), 1);
}

#[test]
fn a_read_call_that_began_before_the_save_may_have_got_its_bytes_then() {
    let old = render(0).len() as u64;
    let told = |content, style, offset, size_before| {
        let mut truth = truth(How::Chunks, &[(1, content)]);
        truth.reads[0] = ReadRecord { style, bytes: 512, ..truth.reads[0].clone() };
        let (size_at_read, final_size) = (Some(1500), Some(9));
        let (offset, returned, size_before) = (Some(offset), Some(512), Some(size_before));
        let read = Some(Read { offset, returned, size_before, size_at_read, final_size });
        let overlapping = Finding { read, ..finding("overlapping_read", 1) };
        compare(&truth, &[overlapping, finding("nonatomic_write", WRITER)]).disagreements.len()
    };
    assert_eq!(told(Content::Mixed, Style::Go, 0, old), 0);
    assert_eq!(told(Content::Mixed, Style::Go, 0, 1500), 1, "the save had begun");
    assert_eq!(told(Content::Mixed, Style::Go, 512, old), 1, "it is not its last call");
    assert_eq!(told(Content::Mixed, Style::Whole, 0, old), 1, "it reads to the end");
    assert_eq!(told(Content::Short, Style::Go, 0, old), 1);
}

#[test]
fn a_mixed_read_of_a_whole_versions_length_may_prove_nothing() {
    let told = |content, style, bytes, first_end| {
        let mut truth = truth(How::Chunks, &[(1, content)]);
        truth.reads[0] = ReadRecord { style, bytes, first_end, begin: 1, ..truth.reads[0].clone() };
        let findings = [finding("overlapping_read", 1), finding("nonatomic_write", WRITER)];
        compare(&truth, &findings).disagreements.len()
    };
    let [old, new, later] = [0, 1, 2].map(|generation| render(generation).len() as u64);
    for (style, bytes, first_end, expected) in [
        (Style::Whole, old, 12, 0),
        (Style::Blocks, new, 12, 0),
        (Style::Whole, later, 12, 1),
        (Style::Whole, old - 1, 12, 1),
        // It read the old version before the save began, and the rest afterwards.
        (Style::Whole, new, 4, 1),
        (Style::Go, new, 4, 1),
        (Style::Go, new, 12, 0),
        (Style::Go, old, 12, 1),
    ] {
        assert_eq!(told(Content::Mixed, style, bytes, first_end), expected, "{style:?} {bytes} {first_end}");
    }
    assert_eq!(told(Content::Short, Style::Whole, new, 12), 1);
}

#[test]
fn a_false_torn_read_is_found() {
    for content in [Content::Complete, Content::Missing] {
        assert_eq!(
            disagreements(How::Truncate, &[(1, content)], &[("torn_read", 1)]).len(),
            1,
            "{content:?}"
        );
    }
}

#[test]
fn a_torn_read_told_twice_is_found() {
    let told = [("torn_read", 1), ("torn_read", 1)];
    assert_eq!(disagreements(How::Truncate, &[(1, Content::Empty)], &told).len(), 1);
}

#[test]
fn a_torn_read_of_nobody_is_found() {
    assert_eq!(disagreements(How::Truncate, &[(1, Content::Complete)], &[("torn_read", 9)]).len(), 1);
}

#[test]
fn a_reader_of_another_container_proves_nothing() {
    let mut other = finding("torn_read", 1);
    other.container_id = Some("other".into());
    let comparison =
        compare(&truth(How::Truncate, &[(1, Content::Empty)]), &[other, finding("nonatomic_write", WRITER)]);
    assert_eq!(comparison.disagreements.len(), 1);
}

#[test]
fn a_process_id_that_came_twice_needs_as_many_findings_as_it_got_torn_reads() {
    let reads = [(1, Content::Complete), (1, Content::Empty)];
    assert!(disagreements(How::Truncate, &reads, &[("torn_read", 1)]).is_empty());
    assert_eq!(disagreements(How::Truncate, &reads, &[]).len(), 1);
    assert_eq!(disagreements(How::Truncate, &reads, &[("torn_read", 1), ("torn_read", 1)]).len(), 1);
}

#[test]
fn an_overwrite_may_lack_proof_but_not_notice() {
    let mixed = [(1, Content::Mixed)];
    assert!(disagreements(How::Overwrite, &mixed, &[("overlapping_read", 1)]).is_empty());
    assert_eq!(disagreements(How::Overwrite, &mixed, &[]).len(), 1);
    assert_eq!(disagreements(How::Truncate, &mixed, &[("overlapping_read", 1)]).len(), 1);
}

#[test]
fn any_finding_against_an_atomic_writer_is_found() {
    assert!(disagreements(How::Rename, &[(1, Content::Complete)], &[]).is_empty());
    for kind in ["torn_read", "overlapping_read", "exposed_reader", "damaged_state_file"] {
        assert!(!disagreements(How::Rename, &[(1, Content::Complete)], &[(kind, 1)]).is_empty(), "{kind}");
    }
}

#[test]
fn a_missing_save_a_wrong_outcome_and_a_wrong_writer_are_found() {
    let truth = truth(How::Truncate, &[]);
    assert_eq!(compare(&truth, &[]).disagreements.len(), 1);
    let mut wrong = finding("nonatomic_write", WRITER);
    wrong.outcome = Some("recreated".into());
    assert_eq!(compare(&truth, &[wrong]).disagreements.len(), 1);
    assert_eq!(compare(&truth, &[finding("nonatomic_write", 99)]).disagreements.len(), 1);
}

#[test]
fn what_two_writers_or_a_killed_one_leave_is_told_as_torn_or_damaged() {
    for how in [How::Pair, How::Killed] {
        for content in [Content::Empty, Content::Short, Content::Mixed] {
            for told in ["torn_read", "damaged_read"] {
                assert!(disagreements(how, &[(1, content)], &[(told, 1)]).is_empty(), "{content:?} {told}");
            }
            assert_eq!(disagreements(how, &[(1, content)], &[]).len(), 1, "{content:?}");
        }
        assert!(disagreements(how, &[(1, Content::Mixed)], &[("overlapping_read", 1)]).is_empty());
        let met = usize::from(how == How::Pair);
        assert_eq!(disagreements(how, &[(1, Content::Short)], &[("overlapping_read", 1)]).len(), met);
        for told in ["torn_read", "damaged_read"] {
            assert_eq!(disagreements(how, &[(1, Content::Complete)], &[(told, 1)]).len(), 1, "{told}");
        }
    }
}

#[test]
fn a_mapped_reader_is_overlapping_and_never_torn() {
    let found = |content, told| {
        let mut truth = truth(How::Truncate, &[(1, content)]);
        truth.reads[0].style = Style::Mapped;
        compare(&truth, &[finding(told, 1), finding("nonatomic_write", WRITER)]).disagreements.len()
    };
    for content in [Content::Short, Content::Mixed, Content::Killed] {
        assert_eq!(found(content, "overlapping_read"), 0, "{content:?}");
        assert_eq!(found(content, "exposed_reader"), 1, "{content:?}");
        assert_eq!(found(content, "torn_read"), 1, "{content:?}");
    }
    assert_eq!(found(Content::Empty, "exposed_reader"), 0);
    assert_eq!(found(Content::Complete, "torn_read"), 1);
}

#[test]
fn two_writers_at_once_are_one_or_two_sessions_by_one_or_the_other() {
    let mut truth = truth(How::Pair, &[]);
    truth.writes[0].other = Some(99);
    let told = |pids: &[u32]| {
        let findings: Vec<Finding> = pids.iter().map(|&pid| finding("nonatomic_write", pid)).collect();
        compare(&truth, &findings).disagreements.len()
    };
    assert_eq!(told(&[WRITER]), 0);
    assert_eq!(told(&[99, WRITER]), 0);
    assert_eq!(told(&[]), 1);
    assert_eq!(told(&[99, WRITER, WRITER]), 1);
    assert_eq!(told(&[5]), 1);
}

#[test]
fn what_the_next_save_overwrote_before_the_agent_looked_is_not_asked_for() {
    let mut truth = truth(How::Killed, &[(1, Content::Short)]);
    let saves = |judged: [bool; 2]| {
        judged.map(|judged| Finding {
            aftermath: judged.then(|| "truncated".to_owned()),
            ..finding("nonatomic_write", WRITER)
        })
    };
    truth.writes.push(WriteRecord { generation: 2, begin: 30, end: 40, ..truth.writes[0].clone() });
    let missing = |judged| compare(&truth, &saves(judged)).disagreements.len();
    assert_eq!(missing([true, true]), 1);
    assert_eq!(missing([true, false]), 1, "it is the other save's reader");
    assert_eq!(missing([false, true]), 0);
    assert_eq!(missing([false, false]), 1, "the agent looked at nothing");
    let findings = [finding("overlapping_read", 1), finding("nonatomic_write", WRITER)];
    (truth.reads[0].begin, truth.reads[0].end) = (16, 20);
    assert_eq!(compare(&truth, &findings).disagreements.len(), 2, "the save was over, and one is not found");
    truth.reads[0].end = 35;
    assert_eq!(compare(&truth, &saves([true, true])).disagreements.len(), 0, "the next save had begun");
}
