//! What is computed once for everybody: per node first, then over the nodes of a cluster.
//!
//! A node has some hundred series, most of them at 0. With thousands of nodes a dashboard cannot add them up at every
//! refresh; the rules of the second group leave a handful of series per cluster.

use super::model::{Group, Recording};

pub(crate) const GROUPS: [Group; 2] = [
    Group { name: "state-watchdog-nodes", rules: &NODES },
    Group { name: "state-watchdog-clusters", rules: &CLUSTERS },
];

const NODES: [Recording; 10] = [
    Recording {
        record: "instance_runtime:state_watchdog_unsafe_writes:sum_total",
        expr: "sum without (outcome) (state_watchdog_write_sessions_total{outcome=~\"in_place|created_in_place|recreated|incomplete_replace\"})",
        says: "Write sessions that put readers at risk, ever. All that this and the other sums of this group add up is \
               reset together, when the one agent restarts: their rates and increases are right. Increases over hours \
               are taken from these, because a mean of rates is too low where a node is younger than that.",
    },
    Recording {
        record: "instance_runtime:state_watchdog_unsafe_writes:rate5m",
        expr: "rate(instance_runtime:state_watchdog_unsafe_writes:sum_total[5m])",
        says: "The same a second.",
    },
    Recording {
        record: "instance_runtime:state_watchdog_torn_reads:sum_total",
        expr: "sum without (reader, verdict) (state_watchdog_overlapping_reads_total{verdict=\"torn\"})",
        says: "Torn reads by anybody, ever. A reader's own series begins with its first torn read and not with 0, so \
               no rate over it knows of that read. The sum has stood at 0 before.",
    },
    Recording {
        record: "instance_runtime:state_watchdog_torn_reads:rate5m",
        expr: "rate(instance_runtime:state_watchdog_torn_reads:sum_total[5m])",
        says: "Torn reads a second.",
    },
    Recording {
        record: "instance_runtime:state_watchdog_failed_readers:sum_total",
        expr: "sum without (result) (state_watchdog_torn_reader_exits_total{result=\"failure\"})",
        says: "Processes that read a torn state file and failed, ever.",
    },
    Recording {
        record: "instance_runtime:state_watchdog_failed_readers:rate5m",
        expr: "rate(instance_runtime:state_watchdog_failed_readers:sum_total[5m])",
        says: "The same a second.",
    },
    Recording {
        record: "instance_runtime:state_watchdog_failed_damaged_readers:sum_total",
        expr: "sum without (result) (state_watchdog_damaged_reader_exits_total{result=\"failure\"})",
        says: "Processes that read a damaged state file and failed, ever.",
    },
    Recording {
        record: "instance_runtime:state_watchdog_failed_damaged_readers:rate5m",
        expr: "rate(instance_runtime:state_watchdog_failed_damaged_readers:sum_total[5m])",
        says: "The same a second.",
    },
    Recording {
        record: "instance_runtime_writer:state_watchdog_nonatomic_writes:increase1h",
        expr: "sum without (operation) (\n  (state_watchdog_nonatomic_writes_total unless state_watchdog_nonatomic_writes_total offset 1h)\n  or\n  increase(state_watchdog_nonatomic_writes_total[1h])\n)",
        says: "Unsafe writes of the last hour by program. A series that is younger than that counts as a whole, its \
               first write included.",
    },
    Recording {
        record: "instance_runtime_reader:state_watchdog_torn_reads:increase1h",
        expr: "sum without (verdict) (\n  (state_watchdog_overlapping_reads_total{verdict=\"torn\"} unless state_watchdog_overlapping_reads_total{verdict=\"torn\"} offset 1h)\n  or\n  increase(state_watchdog_overlapping_reads_total{verdict=\"torn\"}[1h])\n)",
        says: "Torn reads of the last hour by program, counted in the same way.",
    },
];

const CLUSTERS: [Recording; 12] = [
    Recording {
        record: "cluster_runtime_outcome:state_watchdog_write_sessions:rate5m",
        expr: "sum by (cluster, runtime, outcome) (rate(state_watchdog_write_sessions_total[5m]))",
        says: "Write sessions a second, by how they ended.",
    },
    Recording {
        record: "cluster_runtime:state_watchdog_torn_reads:rate5m",
        expr: "sum by (cluster, runtime) (instance_runtime:state_watchdog_torn_reads:rate5m)",
        says: "Torn reads a second.",
    },
    Recording {
        record: "cluster_runtime:state_watchdog_failed_readers:rate5m",
        expr: "sum by (cluster, runtime) (instance_runtime:state_watchdog_failed_readers:rate5m)",
        says: "Processes a second that read a torn state file and failed.",
    },
    Recording {
        record: "cluster_runtime:state_watchdog_failed_damaged_readers:rate5m",
        expr: "sum by (cluster, runtime) (instance_runtime:state_watchdog_failed_damaged_readers:rate5m)",
        says: "Processes a second that read a damaged state file and failed.",
    },
    Recording {
        record: "cluster_runtime:state_watchdog_instances:count",
        expr: "count by (cluster, runtime) (instance_runtime:state_watchdog_unsafe_writes:rate5m)",
        says: "Nodes on which the runtime is watched.",
    },
    Recording {
        record: "cluster_runtime:state_watchdog_unsafe_instances:count",
        expr: "sum by (cluster, runtime) (instance_runtime:state_watchdog_unsafe_writes:rate5m > bool 0)",
        says: "Nodes on which the runtime's state files are written unsafely.",
    },
    Recording {
        record: "cluster_runtime:state_watchdog_torn_instances:count",
        expr: "sum by (cluster, runtime) (instance_runtime:state_watchdog_torn_reads:rate5m > bool 0)",
        says: "Nodes on which the runtime's state files are read torn.",
    },
    Recording {
        record: "cluster_runtime_writer:state_watchdog_nonatomic_writes:increase1h",
        expr: "sum by (cluster, runtime, writer) (instance_runtime_writer:state_watchdog_nonatomic_writes:increase1h)",
        says: "Unsafe writes of the last hour by program.",
    },
    Recording {
        record: "cluster_runtime_le:state_watchdog_write_window_seconds_bucket:rate5m",
        expr: "sum by (cluster, runtime, le) (rate(state_watchdog_write_window_seconds_bucket[5m]))",
        says: "How long state files are in danger.",
    },
    Recording {
        record: "cluster_source:state_watchdog_source_info:sum",
        expr: "sum by (cluster, source) (state_watchdog_source_info)",
        says: "Nodes by the source that events come from.",
    },
    Recording {
        record: "cluster_state:state_watchdog_readiness:sum",
        expr: "sum by (cluster, state) (state_watchdog_readiness)",
        says: "Nodes by what their watchdog is able to see.",
    },
    Recording {
        record: "cluster_version:state_watchdog_build_info:count",
        expr: "count by (cluster, version) (state_watchdog_build_info)",
        says: "Nodes by the watchdog's version.",
    },
];
