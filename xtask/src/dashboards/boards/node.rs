//! *Node*: one node, minute by minute.

use serde_json::json;

use super::{
    frame::{cluster, dashboard, instance, runtime},
    model::{Dashboard, Panel},
    panels::{BAD_FROM_ONE, NEEDS_RULES, PLAIN, lay_out},
};

/// What makes a minute's bar a minute's count.
const MINUTE: &str = "1m";

pub(super) fn node() -> Dashboard {
    dashboard(
        "state-watchdog-node",
        "State watchdog / Node",
        "One node, minute by minute: unsafe writes, torn reads, readers that failed, and the kubelet's failed probes beside them.",
        vec![cluster(), instance(), runtime()],
        lay_out(vec![
            (4, numbers()),
            (1, vec![(24, Panel::row("Minute by minute"))]),
            (8, vec![(24, torn())]),
            (8, vec![(12, writes()), (12, verdicts())]),
            (8, vec![(12, windows()), (12, files())]),
            (1, vec![(24, Panel::row("Who"))]),
            (8, vec![(12, writers()), (12, readers())]),
        ]),
    )
}

fn numbers() -> Vec<(u32, Panel)> {
    vec![
        (
            4,
            Panel::stat("Readiness", "What the watchdog of this node is able to see: `degraded` a part, `not_ready` nothing.", &PLAIN)
                .query(r#"state_watchdog_readiness{cluster=~"$cluster", instance=~"$instance"} == 1"#, "{{state}}")
                .option("/textMode", json!("name"))
                .colour("ready", "green")
                .colour("degraded", "orange")
                .colour("not_ready", "red")
                .no_value("starting"),
        ),
        (
            4,
            Panel::stat("Source", "Where events come from, best first: `vfs`, `syscalls`, `inotify`. The last knows no processes and proves no torn reads.", &PLAIN)
                .query(r#"state_watchdog_source_info{cluster=~"$cluster", instance=~"$instance"} == 1"#, "{{source}}")
                .option("/textMode", json!("name"))
                .no_value("none"),
        ),
        (
            4,
            Panel::stat("Unsafe writes", "State files written in place within the time range.", &BAD_FROM_ONE)
                .query(r#"sum(increase(state_watchdog_write_sessions_total{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime", outcome=~"in_place|created_in_place|recreated|incomplete_replace"}[$__range]))"#, "writes")
                .whole(),
        ),
        (
            4,
            Panel::stat("Torn reads", "Reads within the time range that got neither the old nor the new content.", &BAD_FROM_ONE)
                .query(r#"sum(increase(state_watchdog_overlapping_reads_total{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime", verdict="torn"}[$__range]))"#, "reads")
                .whole(),
        ),
        (
            4,
            Panel::stat("Readers that failed", "Processes that read a torn file within the time range and then failed.", &BAD_FROM_ONE)
                .query(r#"sum(increase(state_watchdog_torn_reader_exits_total{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime", result="failure"}[$__range]))"#, "readers")
                .whole(),
        ),
        (
            4,
            Panel::stat("Damaged files now", "State files that are empty, short or no JSON while nobody writes them.", &BAD_FROM_ONE)
                .query(r#"sum(state_watchdog_damaged_state_files{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"})"#, "files")
                .whole(),
        ),
    ]
}

fn torn() -> Panel {
    Panel::bars("Torn reads by what became of the reader", "Torn reads per minute, by whether the process that read failed, beside what the kubelet counts on this node, where it is scraped: probes that failed, and commands in containers that its runtime could not run, which is how a probe ends whose runtime read a torn file.")
        .query(r#"sum by (result) (rate(state_watchdog_torn_reader_exits_total{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"}[$__rate_interval])) * 60"#, "reader: {{result}}")
        .query(r#"sum by (result) (rate(state_watchdog_damaged_reader_exits_total{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"}[$__rate_interval])) * 60"#, "reader of a damaged file: {{result}}")
        .query(r#"sum by (probe_type) (rate(prober_probe_total{cluster=~"$cluster", result="failed", node=~"$instance"}[$__rate_interval]) or rate(prober_probe_total{cluster=~"$cluster", result="failed", node="", instance=~"($instance)(:.*)?"}[$__rate_interval])) * 60"#, "kubelet: failed {{probe_type}}")
        .query(r#"sum(rate(kubelet_runtime_operations_errors_total{cluster=~"$cluster", operation_type="exec_sync", node=~"$instance"}[$__rate_interval]) or rate(kubelet_runtime_operations_errors_total{cluster=~"$cluster", operation_type="exec_sync", node="", instance=~"($instance)(:.*)?"}[$__rate_interval])) * 60"#, "kubelet: commands that could not run")
        .every(MINUTE)
        .unit("rpm")
        .colour("reader: failure", "red")
        .colour("reader: success", "yellow")
        .colour("reader: unknown", "text")
        .change("byRegexp", "/^kubelet/", "custom.drawStyle", json!("line"))
        .change("byRegexp", "/^kubelet/", "custom.lineWidth", json!(2))
        .change("byRegexp", "/^kubelet/", "custom.fillOpacity", json!(0))
        .change("byRegexp", "/^kubelet/", "custom.stacking", json!({"group": "B", "mode": "none"}))
}

fn writes() -> Panel {
    Panel::bars("Write sessions by outcome", "How writes of state files ended, per minute. `in_place`, `created_in_place`, `recreated` and `incomplete_replace` put readers at risk; `guarded` is in place under a lock.")
        .query(r#"sum by (outcome) (rate(state_watchdog_write_sessions_total{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"}[$__rate_interval])) * 60"#, "{{outcome}}")
        .every(MINUTE)
        .unit("wpm")
        .outcome_colours()
}

fn verdicts() -> Panel {
    Panel::bars("Readers in a write window", "Descriptions that were open for reading while the file was written in place, per minute. `torn` is proved, `overlapping` may be, `exposed` read nothing meanwhile.")
        .query(r#"sum by (verdict) (rate(state_watchdog_overlapping_reads_total{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"}[$__rate_interval])) * 60"#, "{{verdict}}")
        .every(MINUTE)
        .unit("rpm")
        .colour("torn", "red")
        .colour("overlapping", "orange")
        .colour("exposed", "yellow")
        .colour("guarded", "blue")
        .colour("unknown", "text")
}

fn windows() -> Panel {
    Panel::lines("How long files are in danger", "Time from the first modification to the end of an unsafe write: half of the windows, and all but one in a hundred, are shorter. 0 where there was none.")
        .query(r#"(histogram_quantile(0.5, sum by (le) (rate(state_watchdog_write_window_seconds_bucket{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"}[$__rate_interval]))) >= 0) or vector(0)"#, "median")
        .query(r#"(histogram_quantile(0.99, sum by (le) (rate(state_watchdog_write_window_seconds_bucket{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"}[$__rate_interval]))) >= 0) or vector(0)"#, "99th percentile")
        .every(MINUTE)
        .unit("s")
}

fn files() -> Panel {
    Panel::lines("State files", "State files on disk, those that are damaged, and how many were left damaged by a write, per minute.")
        .query(r#"sum(state_watchdog_state_files{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"})"#, "state files")
        .query(r#"sum(state_watchdog_damaged_state_files{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"})"#, "damaged now")
        .query(r#"sum by (damage) (rate(state_watchdog_damaged_state_files_total{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"}[$__rate_interval])) * 60"#, "left {{damage}} per minute")
        .every(MINUTE)
        .colour("state files", "blue")
        .colour("damaged now", "red")
}

fn writers() -> Panel {
    Panel::table("Who writes unsafely", "Programs that wrote state files in place on this node within the last hour. `/findings` of the node's watchdog names processes, their ancestors, containers and pods.", "Unsafe writes")
        .query(r#"sum by (runtime, writer) (instance_runtime_writer:state_watchdog_nonatomic_writes:increase1h{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"})"#, "")
        .columns(&[("runtime", "Runtime"), ("writer", "Writer"), ("Value", "Unsafe writes")])
        .whole()
        .no_value(NEEDS_RULES)
}

fn readers() -> Panel {
    Panel::table("Who reads torn files", "Programs that read torn state files on this node within the last hour.", "Torn reads")
        .query(r#"sum by (runtime, reader) (instance_runtime_reader:state_watchdog_torn_reads:increase1h{cluster=~"$cluster", instance=~"$instance", runtime=~"$runtime"})"#, "")
        .columns(&[("runtime", "Runtime"), ("reader", "Reader"), ("Value", "Torn reads")])
        .whole()
        .no_value(NEEDS_RULES)
}
