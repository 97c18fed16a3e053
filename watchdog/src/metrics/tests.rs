use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;
use crate::model::{Actor, BootNanos, Comm, Pid, Place, Role, RootId, Span};
use crate::profile::Profile;

fn metrics() -> Metrics {
    let profile = Arc::new(Profile::unknown("youki"));
    Metrics::new(&[RootEntry { pattern: "/run/youki".to_owned(), profile }]).unwrap()
}

fn session(outcome: Outcome) -> SessionReport {
    SessionReport {
        place: Arc::new(Place {
            root: RootId(0),
            container: "abc".into(),
            name: "state.json".into(),
            role: Role::State,
        }),
        inode: None,
        outcome,
        durable: None,
        operation: Some(Operation::OpenTruncate),
        writer: Actor { pid: Pid(7), tid: 7, comm: Comm::new("youki") },
        window: Span::new(BootNanos(0), BootNanos(30_000)),
        operations: Vec::new(),
        operation_count: 2,
        size_before: Some(10),
        size_after: Some(12),
        writer_died: false,
        content: None,
        writer_exited: false,
    }
}

/// What does not stand at 0 when nothing has happened.
const UNLIKE: [&str; 2] = ["build_info", "config_last_reload"];

/// The page without our own process and without HELP and TYPE.
fn samples(metrics: &Metrics) -> String {
    let page = metrics.render();
    let ours = page
        .lines()
        .filter(|line| line.starts_with("state_watchdog") && !UNLIKE.iter().any(|part| line.contains(part)));
    ours.map(|line| format!("{line}\n")).collect()
}

#[test]
fn all_label_sets_stand_at_zero_from_the_start() {
    let text = samples(&metrics());
    let nonzero: Vec<_> = text.lines().filter(|line| !line.ends_with(" 0")).collect();
    assert!(nonzero.is_empty(), "{nonzero:?}");
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in text.lines() {
        *counts.entry(line.split(['{', ' ']).next().unwrap()).or_default() += 1;
    }
    for (name, expected) in [
        ("write_sessions_total", 7),
        ("nonatomic_writes_total", 8),
        ("overlapping_reads_total", 5),
        ("torn_reader_exits_total", 3),
        ("damaged_reads_total", 3),
        ("damaged_reader_exits_total", 3),
        ("write_window_seconds_bucket", 20),
        ("damaged_state_files_total", 3),
        ("damaged_state_files", 1),
        ("state_files", 1),
        ("runtime_root_present", 1),
        ("events_total", 4 * EventOperation::NAMES.len()),
        ("events_lost_total", 4 * LossReason::ALL.len()),
        ("readiness", 3),
        ("findings_dropped_total", 3),
        ("source_info", 4),
        ("anomalies_total", AnomalyKind::ALL.len()),
        ("detection_latency_seconds_count", 1),
    ] {
        let name = format!("state_watchdog_{name}");
        assert_eq!(counts.get(name.as_str()), Some(&expected), "{name}");
    }
}

#[test]
fn what_happened_is_counted_once() {
    let metrics = metrics();
    metrics.session("youki", &session(Outcome::InPlace), "youki");
    metrics.session("youki", &session(Outcome::AtomicReplace), "runc");
    metrics.read("youki", Verdict::Torn, "runc:[2:INIT]");
    metrics.reader_exit("youki", Follows::Torn, ReaderResult::Failure);
    metrics.damage("youki", Damage::Empty);
    metrics.source(
        SourceKind::Syscalls,
        &[
            ProbeStatus { probe: "sys_enter", mechanism: "tp_btf", attached: true, reason: None },
            ProbeStatus { probe: "sys_exit", mechanism: "tp_btf", attached: false, reason: None },
        ],
    );
    let mut losses = Losses::default();
    losses.0[LossReason::RingFull as usize] = 5;
    metrics.losses(SourceKind::Syscalls, &losses);
    metrics.losses(SourceKind::Syscalls, &losses);
    metrics.event(SourceKind::Syscalls, &EventOperation::Heartbeat);
    metrics.anomaly(AnomalyKind::Evicted);
    metrics.detected(1_000_000);
    metrics.readiness(Readiness::Ready);
    metrics.readiness(Readiness::Degraded);
    metrics.damaged_now("youki", 2);
    metrics.state_files("youki", 9);
    let text = samples(&metrics);
    let raised: Vec<_> = text
        .lines()
        .filter(|line| !line.ends_with(" 0") && !line.contains("_bucket"))
        .map(|line| line.trim_start_matches("state_watchdog_"))
        .collect();
    assert_eq!(
        raised,
        [
            "anomalies_total{kind=\"evicted\"} 1",
            "damaged_state_files{runtime=\"youki\"} 2",
            "damaged_state_files_total{damage=\"empty\",runtime=\"youki\"} 1",
            "detection_latency_seconds_sum 0.001",
            "detection_latency_seconds_count 1",
            "events_lost_total{reason=\"ring_full\",source=\"syscalls\"} 5",
            "events_total{operation=\"heartbeat\",source=\"syscalls\"} 1",
            "nonatomic_writes_total{operation=\"open_truncate\",runtime=\"youki\",writer=\"youki\"} 1",
            "overlapping_reads_total{reader=\"runc:[2:INIT]\",runtime=\"youki\",verdict=\"torn\"} 1",
            "probe_attached{mechanism=\"tp_btf\",probe=\"sys_enter\"} 1",
            "readiness{state=\"degraded\"} 1",
            "source_info{source=\"syscalls\"} 1",
            "state_files{runtime=\"youki\"} 9",
            "torn_reader_exits_total{result=\"failure\",runtime=\"youki\"} 1",
            "write_sessions_total{outcome=\"atomic_replace\",runtime=\"youki\"} 1",
            "write_sessions_total{outcome=\"in_place\",runtime=\"youki\"} 1",
            "write_window_seconds_sum{runtime=\"youki\"} 0.00003",
            "write_window_seconds_count{runtime=\"youki\"} 1",
        ]
    );
    assert!(text.contains("write_window_seconds_bucket{runtime=\"youki\",le=\"0.00005\"} 1"));
}

#[test]
fn the_table_holds_every_metric_and_no_other() {
    let metrics = metrics();
    metrics
        .source(SourceKind::Vfs, &[ProbeStatus { probe: "p", mechanism: "m", attached: true, reason: None }]);
    let page = metrics.render();
    let mut shown: Vec<_> =
        page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split(' ').next()).collect();
    let mut listed: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
    shown.sort_unstable();
    listed.sort_unstable();
    assert_eq!(shown, listed);
}

#[test]
fn a_hostile_name_stays_within_its_label() {
    let metrics = metrics();
    metrics.read("youki", Verdict::Torn, "a\"} 9\n# HELP");
    let text = metrics.render();
    assert!(text.contains(r#"reader="a\"} 9\n# HELP""#), "{text}");
}

#[test]
fn promtool_finds_nothing_to_say() {
    let child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "promtool is missing in CI: {error}");
            println!("skipped: promtool is not installed");
            return;
        }
    };
    let metrics = metrics();
    metrics.session("youki", &session(Outcome::InPlace), "youki");
    child.stdin.take().unwrap().write_all(metrics.render().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}

#[test]
fn the_reference_page_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, markdown()).unwrap();
    }
    let page = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(page, markdown(), "docs/METRICS.md is stale; UPDATE_DOCS=1 cargo test writes it");
}
