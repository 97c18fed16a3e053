//! *Fleet*: which nodes, runtimes and writers are unsafe, and whether the last rollout mended it. All of it comes from
//! recorded series, so that thousands of nodes can be looked at.

use super::{
    frame::{cluster, dashboard, runtime},
    model::{Dashboard, Panel},
    panels::{BAD_FROM_ONE, NEEDS_RULES, ODD_FROM_ONE, PLAIN, lay_out},
};

const TO_NODE: &str =
    "/d/state-watchdog-node?var-datasource=${datasource}&var-instance=${__value.raw}&${__url_time_range}";
const TO_HEALTH: &str =
    "/d/state-watchdog-health?var-datasource=${datasource}&${cluster:queryparam}&${__url_time_range}";

pub(super) fn fleet() -> Dashboard {
    dashboard(
        "state-watchdog-fleet",
        "State watchdog / Fleet",
        "Which nodes, runtimes and programs write state files unsafely, who is hurt by it, and whether a rollout mended it.",
        vec![cluster(), runtime()],
        lay_out(vec![
            (1, vec![(24, Panel::row("Is it happening, and whom does it hurt?"))]),
            (4, numbers()),
            (8, vec![(12, affected()), (12, reads())]),
            (1, vec![(24, Panel::row("Who writes unsafely, and where?"))]),
            (9, vec![(12, writers()), (12, nodes())]),
            (8, vec![(12, outcomes()), (12, windows())]),
            (1, vec![(24, Panel::row("Did the last rollout mend it?"))]),
            (8, vec![(12, share()), (12, before_and_after())]),
            (8, vec![(12, by_image()), (12, readers())]),
        ]),
    )
}

fn numbers() -> Vec<(u32, Panel)> {
    vec![
        (
            4,
            Panel::stat("Nodes watched", "Nodes whose watchdog Prometheus scrapes.", &PLAIN)
                .query(r#"sum(cluster_version:state_watchdog_build_info:count{cluster=~"$cluster"})"#, "nodes")
                .no_value(NEEDS_RULES),
        ),
        (
            4,
            nodes_with(
                "Nodes written unsafely",
                "Nodes on which a state file was written in place within the time range: readers were at risk.",
                r#"sum(max by (cluster, instance) (max_over_time(instance_runtime:state_watchdog_unsafe_writes:rate5m{cluster=~"$cluster", runtime=~"$runtime"}[$__range])) > bool 0)"#,
            ),
        ),
        (
            4,
            nodes_with(
                "Nodes with torn reads",
                "Nodes on which a reader provably got neither the old nor the new content within the time range.",
                r#"sum(max by (cluster, instance) (max_over_time(instance_runtime:state_watchdog_torn_reads:rate5m{cluster=~"$cluster", runtime=~"$runtime"}[$__range])) > bool 0)"#,
            ),
        ),
        (
            4,
            nodes_with(
                "Nodes with failed readers",
                "Nodes on which a process that read a torn file failed within the time range: exec probes, kubectl exec.",
                r#"sum(max by (cluster, instance) (max_over_time(instance_runtime:state_watchdog_failed_readers:rate5m{cluster=~"$cluster", runtime=~"$runtime"}[$__range])) > bool 0)"#,
            ),
        ),
        (
            4,
            Panel::stat("Watchdogs that see less", "Watchdogs that are degraded or not ready: a zero of theirs proves little. Follow the link to see which.", &ODD_FROM_ONE)
                .query(r#"sum(cluster_state:state_watchdog_readiness:sum{cluster=~"$cluster", state=~"degraded|not_ready"})"#, "watchdogs")
                .no_value(NEEDS_RULES)
                .link("Watchdog health", TO_HEALTH),
        ),
        (
            4,
            Panel::stat("Alerts that fire", "Alerts of the state watchdog that fire now. The runbook says what each means and what to do.", &BAD_FROM_ONE)
                .query(r#"count(ALERTS{alertname=~"StateWatchdog.+", alertstate="firing", cluster=~"$cluster"}) or vector(0)"#, "alerts")
                .link("Runbook", "${runbook}"),
        ),
    ]
}

fn nodes_with(title: &'static str, description: &'static str, expr: &'static str) -> Panel {
    Panel::stat(title, description, &BAD_FROM_ONE).query(expr, "nodes").no_value(NEEDS_RULES)
}

fn affected() -> Panel {
    Panel::lines("Nodes affected", "Nodes on which state files are written unsafely, and those on which reads are torn, by runtime.")
        .query(r#"sum by (runtime) (cluster_runtime:state_watchdog_unsafe_instances:count{cluster=~"$cluster", runtime=~"$runtime"})"#, "{{runtime}}: unsafe")
        .query(r#"sum by (runtime) (cluster_runtime:state_watchdog_torn_instances:count{cluster=~"$cluster", runtime=~"$runtime"})"#, "{{runtime}}: torn")
        .whole()
        .no_value(NEEDS_RULES)
}

fn reads() -> Panel {
    Panel::lines("Torn reads and failed readers", "Reads that got a torn file, and processes that failed because of it, or because of a file that is damaged at rest, per minute.")
        .query(r#"sum(cluster_runtime:state_watchdog_torn_reads:rate5m{cluster=~"$cluster", runtime=~"$runtime"}) * 60"#, "torn reads")
        .query(r#"sum(cluster_runtime:state_watchdog_failed_readers:rate5m{cluster=~"$cluster", runtime=~"$runtime"}) * 60"#, "readers that failed")
        .query(r#"sum(cluster_runtime:state_watchdog_failed_damaged_readers:rate5m{cluster=~"$cluster", runtime=~"$runtime"}) * 60"#, "readers of damaged files that failed")
        .unit("rpm")
        .colour("torn reads", "orange")
        .colour("readers that failed", "red")
        .colour("readers of damaged files that failed", "purple")
        .no_value(NEEDS_RULES)
}

fn writers() -> Panel {
    Panel::table("Unsafe writers", "Programs that wrote state files in place within the last hour, and on how many nodes. `other` stands for programs beyond the first 32 of a node.", "Unsafe writes")
        .query(r#"topk(20, sum by (runtime, writer) (cluster_runtime_writer:state_watchdog_nonatomic_writes:increase1h{cluster=~"$cluster", runtime=~"$runtime"}))"#, "")
        .query(r#"sum by (runtime, writer) (instance_runtime_writer:state_watchdog_nonatomic_writes:increase1h{cluster=~"$cluster", runtime=~"$runtime"} > bool 0)"#, "")
        .columns(&[("runtime", "Runtime"), ("writer", "Writer"), ("Value #A", "Unsafe writes"), ("Value #B", "Nodes")])
        .whole()
        .no_value(NEEDS_RULES)
}

fn nodes() -> Panel {
    Panel::table("Nodes by harm", "The nodes with most unsafe writes, torn reads and failed readers within the time range. A node's name leads to its own dashboard.", "Torn reads")
        .query(r#"topk(20, sum by (cluster, instance) (increase(instance_runtime:state_watchdog_unsafe_writes:sum_total{cluster=~"$cluster", runtime=~"$runtime"}[$__range])))"#, "")
        .query(r#"topk(20, sum by (cluster, instance) (increase(instance_runtime:state_watchdog_torn_reads:sum_total{cluster=~"$cluster", runtime=~"$runtime"}[$__range])))"#, "")
        .query(r#"topk(20, sum by (cluster, instance) (increase(instance_runtime:state_watchdog_failed_readers:sum_total{cluster=~"$cluster", runtime=~"$runtime"}[$__range])))"#, "")
        .columns(&[("cluster", "Cluster"), ("instance", "Node"), ("Value #A", "Unsafe writes"), ("Value #B", "Torn reads"), ("Value #C", "Failed readers")])
        .cell_link("Node", "This node", TO_NODE)
        .whole()
        .no_value(NEEDS_RULES)
}

fn outcomes() -> Panel {
    Panel::bars("Write sessions by outcome", "How writes of state files ended, per minute. `in_place`, `created_in_place`, `recreated` and `incomplete_replace` put readers at risk; `guarded` is in place under a lock.")
        .query(r#"sum by (outcome) (cluster_runtime_outcome:state_watchdog_write_sessions:rate5m{cluster=~"$cluster", runtime=~"$runtime"}) * 60"#, "{{outcome}}")
        .unit("wpm")
        .outcome_colours()
        .no_value(NEEDS_RULES)
}

fn windows() -> Panel {
    Panel::lines("How long files are in danger", "Time from the first modification to the end of an unsafe write: half of the windows, and all but one in a hundred, are shorter. 0 where there was none.")
        .query(r#"(histogram_quantile(0.5, sum by (le) (cluster_runtime_le:state_watchdog_write_window_seconds_bucket:rate5m{cluster=~"$cluster", runtime=~"$runtime"})) >= 0) or vector(0)"#, "median")
        .query(r#"(histogram_quantile(0.99, sum by (le) (cluster_runtime_le:state_watchdog_write_window_seconds_bucket:rate5m{cluster=~"$cluster", runtime=~"$runtime"})) >= 0) or vector(0)"#, "99th percentile")
        .unit("s")
}

fn share() -> Panel {
    Panel::lines("Share of nodes that are unsafe", "Nodes on which the runtime's state files are written unsafely, of those on which it is watched. A rollout that mends it draws this line to 0.")
        .query(r#"sum by (runtime) (cluster_runtime:state_watchdog_unsafe_instances:count{cluster=~"$cluster", runtime=~"$runtime"}) / sum by (runtime) (cluster_runtime:state_watchdog_instances:count{cluster=~"$cluster", runtime=~"$runtime"})"#, "{{runtime}}")
        .unit("percentunit")
        .max(1)
        .no_value(NEEDS_RULES)
}

fn before_and_after() -> Panel {
    Panel::table("Before and after", "The time range against the one of the same length before it. Empty cells: Prometheus holds nothing of that time.", "Torn reads")
        .query(r#"sum by (runtime) (increase(instance_runtime:state_watchdog_unsafe_writes:sum_total{cluster=~"$cluster", runtime=~"$runtime"}[$__range] offset $__range))"#, "")
        .query(r#"sum by (runtime) (increase(instance_runtime:state_watchdog_unsafe_writes:sum_total{cluster=~"$cluster", runtime=~"$runtime"}[$__range]))"#, "")
        .query(r#"sum by (runtime) (increase(instance_runtime:state_watchdog_torn_reads:sum_total{cluster=~"$cluster", runtime=~"$runtime"}[$__range] offset $__range))"#, "")
        .query(r#"sum by (runtime) (increase(instance_runtime:state_watchdog_torn_reads:sum_total{cluster=~"$cluster", runtime=~"$runtime"}[$__range]))"#, "")
        .columns(&[("runtime", "Runtime"), ("Value #A", "Unsafe writes before"), ("Value #B", "Unsafe writes"), ("Value #C", "Torn reads before"), ("Value #D", "Torn reads")])
        .whole()
        .no_value("-")
}

fn by_image() -> Panel {
    Panel::lines("Unsafe writes by node image", "Unsafe writes per minute and node, by what the node runs, as kube-state-metrics tells it: compare the images before and after an upgrade. Needs `kube_node_info`, and nodes that are scraped under their own names.")
        .query(r#"avg by (container_runtime_version, os_image) (label_replace(sum by (cluster, instance) (instance_runtime:state_watchdog_unsafe_writes:rate5m{cluster=~"$cluster", runtime=~"$runtime"}), "node", "$1", "instance", "([^:]+)(:.*)?") * on (cluster, node) group_left (container_runtime_version, os_image) kube_node_info{cluster=~"$cluster"}) * 60"#, "{{container_runtime_version}}, {{os_image}}")
        .unit("wpm")
        .below()
        .no_value("No kube_node_info: kube-state-metrics is not scraped")
}

fn readers() -> Panel {
    Panel::table("Who reads torn files", "Programs that read torn state files within the last hour, and on how many nodes. A runtime reads on behalf of exec probes and kubectl exec.", "Torn reads")
        .query(r#"topk(20, sum by (runtime, reader) (instance_runtime_reader:state_watchdog_torn_reads:increase1h{cluster=~"$cluster", runtime=~"$runtime"}))"#, "")
        .query(r#"sum by (runtime, reader) (instance_runtime_reader:state_watchdog_torn_reads:increase1h{cluster=~"$cluster", runtime=~"$runtime"} > bool 0)"#, "")
        .columns(&[("runtime", "Runtime"), ("reader", "Reader"), ("Value #A", "Torn reads"), ("Value #B", "Nodes")])
        .whole()
        .no_value(NEEDS_RULES)
}
