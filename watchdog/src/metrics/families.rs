//! The table of metrics. `docs/METRICS.md` is written from it.

use std::fmt::Write as _;

/// One metric.
#[derive(Debug)]
pub struct Family {
    /// Its whole name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    /// Upper bounds, of a histogram.
    pub buckets: &'static [f64],
}

/// The kinds of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, labels, help, buckets: &[] }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, labels, help, buckets: &[] }
}

pub(super) const WRITE_SESSIONS: Family = counter(
    "state_watchdog_write_sessions_total",
    &["runtime", "outcome"],
    "Write sessions on live state files, by how they ended.",
);
pub(super) const NONATOMIC_WRITES: Family = counter(
    "state_watchdog_nonatomic_writes_total",
    &["runtime", "operation", "writer"],
    "Write sessions that put readers at risk, by the operation that began them and the writing program.",
);
pub(super) const OVERLAPPING_READS: Family = counter(
    "state_watchdog_overlapping_reads_total",
    &["runtime", "verdict", "reader"],
    "Descriptions that were open for reading during a write window, by what is proved of their reads.",
);
pub(super) const TORN_READER_EXITS: Family = counter(
    "state_watchdog_torn_reader_exits_total",
    &["runtime", "result"],
    "Processes that read a torn state file, by how they ended within 10 s.",
);
pub(super) const DAMAGED_READS: Family = counter(
    "state_watchdog_damaged_reads_total",
    &["runtime", "damage", "reader"],
    "Open file descriptions that read a state file which was damaged at rest, by how it was damaged.",
);
pub(super) const DAMAGED_READER_EXITS: Family = counter(
    "state_watchdog_damaged_reader_exits_total",
    &["runtime", "result"],
    "Processes that read a damaged state file and no torn one, by how they ended within 10 s.",
);
pub(super) const WRITE_WINDOW: Family = Family {
    name: "state_watchdog_write_window_seconds",
    kind: Kind::Histogram,
    labels: &["runtime"],
    help: "Time from the first modifying operation of a non-atomic write session to its end.",
    buckets: &[
        1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1.0,
        5.0, 15.0, 60.0,
    ],
};
pub(super) const DAMAGE: Family = counter(
    "state_watchdog_damaged_state_files_total",
    &["runtime", "damage"],
    "State files that were found damaged after a write session or by a scan, by kind of damage.",
);
pub(super) const DAMAGED_NOW: Family =
    gauge("state_watchdog_damaged_state_files", &["runtime"], "State files that are damaged on disk now.");
pub(super) const STATE_FILES: Family = gauge(
    "state_watchdog_state_files",
    &["runtime"],
    "State files on disk now, those included that are too many to be remembered.",
);
pub(super) const ROOT_PRESENT: Family = gauge(
    "state_watchdog_runtime_root_present",
    &["runtime", "root"],
    "1 when at least one directory stands where the configured runtime root points.",
);
pub(super) const EVENTS: Family = counter(
    "state_watchdog_events_total",
    &["source", "operation"],
    "Events that reached the engine, by the operation they tell of.",
);
pub(super) const EVENTS_LOST: Family = counter(
    "state_watchdog_events_lost_total",
    &["source", "reason"],
    "Events that did not reach the engine.",
);
pub(super) const READINESS: Family = gauge(
    "state_watchdog_readiness",
    &["state"],
    "1 for the state that the agent is in: `degraded` sees a part, `not_ready` nothing.",
);
pub(super) const FINDINGS_DROPPED: Family = counter(
    "state_watchdog_findings_dropped_total",
    &["reason"],
    "Findings that standard output did not take; they are counted and served all the same.",
);
pub(super) const SOURCE_INFO: Family =
    gauge("state_watchdog_source_info", &["source"], "1 for the source that events come from.");
pub(super) const PROBE_ATTACHED: Family =
    gauge("state_watchdog_probe_attached", &["probe", "mechanism"], "1 when the probe is attached.");
pub(super) const CANARY: Family = counter(
    "state_watchdog_canary_writes_total",
    &["source", "result"],
    "Writes to a file of the agent's own, by whether the source showed them.",
);
pub(super) const CONFIG_RELOADS: Family = counter(
    "state_watchdog_config_reloads_total",
    &["result"],
    "Configurations that were read at SIGHUP, by what came of them.",
);
pub(super) const CONFIG_RELOAD_SUCCESSFUL: Family = gauge(
    "state_watchdog_config_last_reload_successful",
    &[],
    "1 unless the last configuration that was read was refused.",
);
pub(super) const CONFIG_LOADED: Family = gauge(
    "state_watchdog_config_last_reload_success_timestamp_seconds",
    &[],
    "When the configuration was last read without being refused, the start included.",
);
pub(super) const ANOMALIES: Family = counter(
    "state_watchdog_anomalies_total",
    &["kind"],
    "Observations that the engine could not explain or had to forget.",
);
pub(super) const DETECTION_LATENCY: Family = Family {
    name: "state_watchdog_detection_latency_seconds",
    kind: Kind::Histogram,
    labels: &[],
    help: "Time from the release of the writer's description in the kernel to the counted finding.",
    buckets: &[1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 1.0, 10.0],
};
pub(super) const WORK: Family = counter(
    "state_watchdog_file_work_total",
    &["work", "result"],
    "Times that foreign files or processes were read beside the event loop, by purpose and result.",
);
pub(super) const STUCK_THREADS: Family = gauge(
    "state_watchdog_stuck_threads",
    &["work"],
    "Threads that wait for a file or process that has not answered for a second; others do their work.",
);
pub(super) const BUILD_INFO: Family =
    gauge("state_watchdog_build_info", &["version", "arch"], "Always 1; says which build this is.");
pub(super) const PROCESS_CPU: Family =
    counter("process_cpu_seconds_total", &[], "Total user and system CPU time spent in seconds.");
pub(super) const PROCESS_OPEN_FDS: Family =
    gauge("process_open_fds", &[], "Number of open file descriptors.");
pub(super) const PROCESS_MAX_FDS: Family =
    gauge("process_max_fds", &[], "Maximum number of open file descriptors.");
pub(super) const PROCESS_VIRTUAL_MEMORY: Family =
    gauge("process_virtual_memory_bytes", &[], "Virtual memory size in bytes.");
pub(super) const PROCESS_RESIDENT_MEMORY: Family =
    gauge("process_resident_memory_bytes", &[], "Resident memory size in bytes.");
pub(super) const PROCESS_THREADS: Family = gauge("process_threads", &[], "Number of OS threads.");
pub(super) const PROCESS_START_TIME: Family =
    gauge("process_start_time_seconds", &[], "Start time of the process since unix epoch in seconds.");

/// All metrics, in the order in which a reader wants them.
pub const FAMILIES: [&Family; 33] = [
    &WRITE_SESSIONS,
    &NONATOMIC_WRITES,
    &OVERLAPPING_READS,
    &TORN_READER_EXITS,
    &DAMAGED_READS,
    &DAMAGED_READER_EXITS,
    &WRITE_WINDOW,
    &DAMAGE,
    &DAMAGED_NOW,
    &STATE_FILES,
    &ROOT_PRESENT,
    &EVENTS,
    &EVENTS_LOST,
    &READINESS,
    &FINDINGS_DROPPED,
    &SOURCE_INFO,
    &PROBE_ATTACHED,
    &CANARY,
    &CONFIG_RELOADS,
    &CONFIG_RELOAD_SUCCESSFUL,
    &CONFIG_LOADED,
    &ANOMALIES,
    &DETECTION_LATENCY,
    &WORK,
    &STUCK_THREADS,
    &BUILD_INFO,
    &PROCESS_CPU,
    &PROCESS_OPEN_FDS,
    &PROCESS_MAX_FDS,
    &PROCESS_VIRTUAL_MEMORY,
    &PROCESS_RESIDENT_MEMORY,
    &PROCESS_THREADS,
    &PROCESS_START_TIME,
];

/// The closed sets of label values: whose label it is, where one name means several things, and the values.
#[must_use]
pub fn label_values() -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
    use crate::config::Reloaded;
    use crate::enrich::Damage;
    use crate::health::Readiness;
    use crate::model::{AnomalyKind, Operation, Outcome, ReaderResult, Verdict};
    use crate::report::DropReason;
    use crate::source::{LossReason, ProofResult, SourceKind};
    use crate::workers::{Ending, Work};

    vec![
        ("outcome", "", Outcome::ALL.map(Outcome::as_str).to_vec()),
        ("verdict", "", Verdict::ALL.map(Verdict::as_str).to_vec()),
        ("operation", "writes", Operation::ALL.map(Operation::as_str).to_vec()),
        ("operation", "events", crate::model::EventOperation::NAMES.to_vec()),
        ("result", "canary writes", ProofResult::ALL.map(ProofResult::as_str).to_vec()),
        ("result", "configuration reloads", Reloaded::ALL.map(Reloaded::as_str).to_vec()),
        ("result", "readers", ReaderResult::ALL.map(ReaderResult::as_str).to_vec()),
        ("result", "file work", Ending::ALL.map(Ending::as_str).to_vec()),
        ("work", "", Work::ALL.map(Work::as_str).to_vec()),
        ("damage", "", Damage::ALL.map(Damage::as_str).to_vec()),
        ("state", "", Readiness::ALL.map(Readiness::label).to_vec()),
        ("source", "", SourceKind::ALL.map(SourceKind::as_str).to_vec()),
        ("reason", "events", LossReason::ALL.map(LossReason::as_str).to_vec()),
        ("reason", "findings", DropReason::ALL.map(DropReason::as_str).to_vec()),
        ("kind", "", AnomalyKind::ALL.map(AnomalyKind::as_str).to_vec()),
    ]
}

/// The reference page.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Metrics\n\nWritten from the table in `watchdog/src/metrics/families.rs`; \
         `UPDATE_DOCS=1 cargo test -p watchdog metrics` writes it again.\n\n\
         | metric | kind | labels | says |\n|---|---|---|---|\n",
    );
    for Family { name, kind, labels, help, .. } in FAMILIES {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let _ = writeln!(page, "| `{name}` | {kind} | {labels} | {help} |");
    }
    page.push_str(
        "\n## Label values\n\nAll series below stand at 0 from the start.\n\n| label | values |\n|---|---|\n",
    );
    for (label, of, values) in label_values() {
        let values = values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
        let of = if of.is_empty() { String::new() } else { format!(" of {of}") };
        let _ = writeln!(page, "| `{label}`{of} | {values} |");
    }
    page.push_str(
        "\n`runtime` and `root` are those configured. `writer` and `reader` are process names: the first 32 seen, \
         then `other`.\n",
    );
    for family in FAMILIES.iter().filter(|family| family.kind == Kind::Histogram) {
        let bounds = family.buckets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "\nBuckets of `{}`, in seconds: {bounds}.", family.name);
    }
    page
}
