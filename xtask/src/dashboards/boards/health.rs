//! *Watchdog health*: whether a zero can be trusted, and what the watchdog costs.

use serde_json::json;

use super::{
    frame::{cluster, dashboard, instances},
    model::{Dashboard, Panel},
    panels::{BAD_FROM_ONE, ODD_FROM_ONE, PLAIN, lay_out},
};

pub(super) fn health() -> Dashboard {
    dashboard(
        "state-watchdog-health",
        "State watchdog / Watchdog health",
        "Whether a zero can be trusted: source, probes, losses, anomalies, proof of life; and what the watchdog costs.",
        vec![cluster(), instances()],
        lay_out(vec![
            (4, numbers()),
            (1, vec![(24, Panel::row("Does it see?"))]),
            (8, vec![(12, readiness()), (12, source())]),
            (8, vec![(12, canary()), (12, probes())]),
            // High enough for every kind and every operation in the legend.
            (11, vec![(12, lost()), (12, anomalies())]),
            (13, vec![(12, events()), (12, latency())]),
            (1, vec![(24, Panel::row("What does it cost?"))]),
            (8, vec![(8, memory()), (8, cpu()), (8, descriptors())]),
            (1, vec![(24, Panel::row("What is where?"))]),
            (8, vec![(12, versions()), (12, roots())]),
        ]),
    )
}

fn numbers() -> Vec<(u32, Panel)> {
    vec![
        (
            4,
            Panel::stat("Watchdogs", "Watchdogs that Prometheus scrapes.", &PLAIN)
                .query(r#"count(state_watchdog_build_info{cluster=~"$cluster", instance=~"$instance"}) or vector(0)"#, "watchdogs"),
        ),
        (
            4,
            Panel::stat("Down", "Targets of the watchdogs' jobs that do not answer.", &BAD_FROM_ONE)
                .query(r#"sum((up{cluster=~"$cluster", instance=~"$instance"} == bool 0) and on (cluster, job) max by (cluster, job) (max_over_time(state_watchdog_build_info{cluster=~"$cluster"}[$__range]))) or vector(0)"#, "targets"),
        ),
        (
            4,
            Panel::stat("Not ready or degraded", "Watchdogs that see nothing, or a part.", &ODD_FROM_ONE)
                .query(r#"sum(state_watchdog_readiness{cluster=~"$cluster", instance=~"$instance", state=~"degraded|not_ready"}) or vector(0)"#, "watchdogs"),
        ),
        (
            4,
            Panel::stat("Events lost", "Events within the time range that no watchdog saw. Sessions around them are counted as `unknown`.", &ODD_FROM_ONE)
                .query(r#"sum(increase(state_watchdog_events_lost_total{cluster=~"$cluster", instance=~"$instance"}[$__range])) or vector(0)"#, "events")
                .whole(),
        ),
        (
            4,
            Panel::stat("Anomalies", "Observations within the time range that could not be explained or had to be forgotten.", &ODD_FROM_ONE)
                .query(r#"sum(increase(state_watchdog_anomalies_total{cluster=~"$cluster", instance=~"$instance"}[$__range])) or vector(0)"#, "anomalies")
                .whole(),
        ),
        (
            4,
            Panel::stat("Restarts", "How often watchdogs started anew within the time range.", &ODD_FROM_ONE)
                .query(r#"sum(changes(process_start_time_seconds{cluster=~"$cluster", instance=~"$instance"}[$__range]) and on (cluster, job, instance) state_watchdog_build_info) or vector(0)"#, "restarts"),
        ),
    ]
}

fn readiness() -> Panel {
    Panel::lines(
        "Readiness",
        "Watchdogs by what they are able to see: `degraded` a part, `not_ready` nothing.",
    )
    .query(
        r#"sum by (state) (state_watchdog_readiness{cluster=~"$cluster", instance=~"$instance"})"#,
        "{{state}}",
    )
    .whole()
    .colour("ready", "green")
    .colour("degraded", "orange")
    .colour("not_ready", "red")
}

fn source() -> Panel {
    Panel::lines(
        "Source",
        "Watchdogs by the source that events come from, best first: `vfs`, `syscalls`, `inotify`.",
    )
    .query(
        r#"sum by (source) (state_watchdog_source_info{cluster=~"$cluster", instance=~"$instance"})"#,
        "{{source}}",
    )
    .whole()
}

fn canary() -> Panel {
    Panel::bars("Proof of life", "The agents' writes to files of their own, per minute, by whether they came back as events.")
        .query(r#"sum by (result) (rate(state_watchdog_canary_writes_total{cluster=~"$cluster", instance=~"$instance"}[$__rate_interval])) * 60"#, "{{result}}")
        .unit("wpm")
        .colour("seen", "green")
        .colour("partial", "orange")
        .colour("missed", "red")
        .colour("lost", "purple")
}

fn probes() -> Panel {
    Panel::table("Probes", "Each probe, and on how many nodes it is attached and is not. What a missing probe watches is not seen there.", "Missing")
        .query(r#"sum by (probe, mechanism) (state_watchdog_probe_attached{cluster=~"$cluster", instance=~"$instance"})"#, "")
        .query(r#"sum by (probe, mechanism) (1 - state_watchdog_probe_attached{cluster=~"$cluster", instance=~"$instance"})"#, "")
        .columns(&[("probe", "Probe"), ("mechanism", "Mechanism"), ("Value #A", "Attached"), ("Value #B", "Missing")])
        .whole()
        .no_value("No probe is attached")
}

fn lost() -> Panel {
    Panel::lines("Lost events by reason", "Events that did not reach the engine, per second.")
        .query(r#"sum by (reason) (rate(state_watchdog_events_lost_total{cluster=~"$cluster", instance=~"$instance"}[$__rate_interval]))"#, "{{reason}}")
        .unit("cps")
}

fn anomalies() -> Panel {
    Panel::lines("Anomalies by kind", "Observations that could not be explained or had to be forgotten, per second.")
        .query(r#"sum by (kind) (rate(state_watchdog_anomalies_total{cluster=~"$cluster", instance=~"$instance"}[$__rate_interval]))"#, "{{kind}}")
        .unit("cps")
}

fn events() -> Panel {
    Panel::lines("Events by operation", "Events on state files that reached the engine, per second. Unrelated files raise none.")
        .query(r#"sum by (operation) (rate(state_watchdog_events_total{cluster=~"$cluster", instance=~"$instance"}[$__rate_interval]))"#, "{{operation}}")
        .unit("cps")
}

fn latency() -> Panel {
    Panel::lines("Detection latency", "From the release of the writer's description in the kernel to the counted finding: half, and all but one in a hundred, are faster. 0 where there was none.")
        .query(r#"(histogram_quantile(0.5, sum by (le) (rate(state_watchdog_detection_latency_seconds_bucket{cluster=~"$cluster", instance=~"$instance"}[$__rate_interval]))) >= 0) or vector(0)"#, "median")
        .query(r#"(histogram_quantile(0.99, sum by (le) (rate(state_watchdog_detection_latency_seconds_bucket{cluster=~"$cluster", instance=~"$instance"}[$__rate_interval]))) >= 0) or vector(0)"#, "99th percentile")
        .unit("s")
}

fn memory() -> Panel {
    Panel::lines("Memory", "Resident memory of the watchdogs: the median, and the largest.")
        .query(r#"quantile(0.5, process_resident_memory_bytes{cluster=~"$cluster", instance=~"$instance"} and on (cluster, job, instance) state_watchdog_build_info) or vector(0)"#, "median")
        .query(r#"max(process_resident_memory_bytes{cluster=~"$cluster", instance=~"$instance"} and on (cluster, job, instance) state_watchdog_build_info) or vector(0)"#, "largest")
        .unit("bytes")
        .below()
}

fn cpu() -> Panel {
    Panel::lines("Processor", "Share of one processor that the watchdogs use: the median, and the largest.")
        .query(r#"quantile(0.5, rate(process_cpu_seconds_total{cluster=~"$cluster", instance=~"$instance"}[$__rate_interval]) and on (cluster, job, instance) state_watchdog_build_info) or vector(0)"#, "median")
        .query(r#"max(rate(process_cpu_seconds_total{cluster=~"$cluster", instance=~"$instance"}[$__rate_interval]) and on (cluster, job, instance) state_watchdog_build_info) or vector(0)"#, "largest")
        .unit("percentunit")
        .below()
}

fn descriptors() -> Panel {
    Panel::lines("File descriptors", "Share of the allowed file descriptors that are open, of the watchdog that is nearest to its limit.")
        .query(r#"max((process_open_fds{cluster=~"$cluster", instance=~"$instance"} / process_max_fds{cluster=~"$cluster", instance=~"$instance"}) and on (cluster, job, instance) state_watchdog_build_info) or vector(0)"#, "largest")
        .unit("percentunit")
        .below()
}

fn versions() -> Panel {
    Panel::bar_gauge("Versions", "Watchdogs by version and processor.", &PLAIN)
        .query(r#"count by (version, arch) (state_watchdog_build_info{cluster=~"$cluster", instance=~"$instance"})"#, "{{version}} {{arch}}")
        .whole()
        .no_value("No watchdog is scraped")
}

fn roots() -> Panel {
    Panel::table("Runtime roots", "Where runtimes keep their state, and on how many nodes it is there. A node on which none is there is not watched.", "Nodes")
        .query(r#"sum by (runtime, root) (state_watchdog_runtime_root_present{cluster=~"$cluster", instance=~"$instance"})"#, "")
        .columns(&[("runtime", "Runtime"), ("root", "Root"), ("Value", "Nodes")])
        .change("byName", "Root", "custom.width", json!(440))
        .whole()
        .no_value("No watchdog is scraped")
}
