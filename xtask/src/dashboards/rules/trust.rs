//! Alerts on the watchdog as a whole: whether anybody watches, and by what.

use super::model::{Alert, Expected, Firing, Severity, Silent};

pub(super) const ALERTS: [Alert; 6] = [
    Alert {
        name: "StateWatchdogAbsent",
        expr: "absent(state_watchdog_build_info)",
        hold: "10m",
        severity: Severity::Critical,
        summary: "No state-watchdog is scraped.",
        description: "Prometheus has had no series of any state-watchdog for 10 minutes: nobody watches the state files.",
        meaning: "Not a single watchdog is known to Prometheus: none runs, or none is discovered.",
        confirm: &[
            "`kubectl get daemonset,pods -A -l app.kubernetes.io/name=state-watchdog`",
            "Prometheus, *Status*, *Targets*: is there a job for it, and what does it say?",
        ],
        remedy: &[
            "Install it, or turn its PodMonitor on; check that Prometheus selects the PodMonitor's labels and namespace.",
            "A NetworkPolicy may keep Prometheus from port 9737.",
        ],
        fires: Firing {
            series: &[("up{job=\"other\", instance=\"x\"}", "1x20")],
            at: "11m",
            alerts: &[Expected {
                labels: &[],
                summary: "No state-watchdog is scraped.",
                description: "Prometheus has had no series of any state-watchdog for 10 minutes: nobody watches the state files.",
            }],
        },
        silent: &[Silent {
            why: "one is scraped",
            series: &[(
                "state_watchdog_build_info{job=\"w\", instance=\"n1\", version=\"0.1.0\", arch=\"x86_64\"}",
                "1x20",
            )],
            at: "15m",
        }],
    },
    Alert {
        name: "StateWatchdogDown",
        expr: "up == 0\nand on (cluster, job)\n  max by (cluster, job) (max_over_time(state_watchdog_build_info[1d]))",
        hold: "5m",
        severity: Severity::Warning,
        summary: "The state-watchdog of {{ $labels.instance }} does not answer.",
        description: "Prometheus cannot scrape {{ $labels.instance }} of job {{ $labels.job }}, whose targets are state-watchdogs. Nobody watches the state files of that node.",
        meaning: "The target is there and does not answer: the agent crashed, cannot start, or cannot be reached. Its job is known by\n\
                  what other targets of it, or the same one earlier that day, have served.",
        confirm: &[
            "`kubectl describe pod` and `kubectl logs --previous` of the pod on that node. Exit codes: 64 bad configuration, 69 no source can run, 70 internal error, 74 a port or file that cannot be used, 77 permission missing.",
            "`state-watchdog doctor` on the node says what the kernel allows.",
        ],
        remedy: &[
            "69 or 77: give what `doctor` names, or choose a lesser source with `--source inotify`.",
            "64: the log names file, line and the allowed values.",
            "Out of memory: raise the limit, and report it, because the agent's tables are bounded.",
        ],
        fires: Firing {
            series: &[
                ("up{job=\"w\", instance=\"n1\"}", "1x5 0x20"),
                ("up{job=\"w\", instance=\"n2\"}", "1x30"),
                ("up{job=\"other\", instance=\"x\"}", "0x30"),
                (
                    "state_watchdog_build_info{job=\"w\", instance=\"n1\", version=\"0.1.0\", arch=\"x86_64\"}",
                    "1x5 stale",
                ),
                (
                    "state_watchdog_build_info{job=\"w\", instance=\"n2\", version=\"0.1.0\", arch=\"x86_64\"}",
                    "1x30",
                ),
            ],
            at: "15m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1")],
                summary: "The state-watchdog of n1 does not answer.",
                description: "Prometheus cannot scrape n1 of job w, whose targets are state-watchdogs. Nobody watches the state files of that node.",
            }],
        },
        silent: &[
            Silent {
                why: "targets of other jobs",
                series: &[
                    ("up{job=\"other\", instance=\"x\"}", "0x30"),
                    ("up{job=\"w\", instance=\"n1\"}", "1x30"),
                    (
                        "state_watchdog_build_info{job=\"w\", instance=\"n1\", version=\"0.1.0\", arch=\"x86_64\"}",
                        "1x30",
                    ),
                ],
                at: "20m",
            },
            Silent {
                why: "a restart that takes two minutes",
                series: &[
                    ("up{job=\"w\", instance=\"n1\"}", "1x5 0 0 1x20"),
                    (
                        "state_watchdog_build_info{job=\"w\", instance=\"n1\", version=\"0.1.0\", arch=\"x86_64\"}",
                        "1x30",
                    ),
                ],
                at: "7m",
            },
        ],
    },
    Alert {
        name: "StateWatchdogNotReady",
        expr: "state_watchdog_readiness{state=\"not_ready\"} == 1",
        hold: "5m",
        severity: Severity::Critical,
        summary: "The state-watchdog of {{ $labels.instance }} sees nothing.",
        description: "The agent of {{ $labels.instance }} runs, but for 5 minutes no source has shown it anything, its own writes included.",
        meaning: "The agent answers `/metrics` and no events reach it. At start and every minute it writes to a file of its own and\n\
                  waits to see that; it does not.",
        confirm: &[
            "`curl -s http://localhost:9737/status | jq '{readiness, source, proof_of_life, refused_sources, probes}'`",
            "`state-watchdog doctor` on the node.",
        ],
        remedy: &[
            "Another tracer or security module may have replaced or blocked the probes: restart the pod and read its log.",
            "Without BPF, `--source inotify` still reports unsafe writes.",
        ],
        fires: Firing {
            series: &[
                ("state_watchdog_readiness{job=\"w\", instance=\"n1\", state=\"not_ready\"}", "0x5 1x20"),
                ("state_watchdog_readiness{job=\"w\", instance=\"n2\", state=\"not_ready\"}", "0x30"),
            ],
            at: "12m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("state", "not_ready")],
                summary: "The state-watchdog of n1 sees nothing.",
                description: "The agent of n1 runs, but for 5 minutes no source has shown it anything, its own writes included.",
            }],
        },
        silent: &[
            Silent {
                why: "it starts",
                series: &[(
                    "state_watchdog_readiness{job=\"w\", instance=\"n1\", state=\"not_ready\"}",
                    "1 1 0x20",
                )],
                at: "3m",
            },
            Silent {
                why: "it is ready",
                series: &[
                    ("state_watchdog_readiness{job=\"w\", instance=\"n1\", state=\"not_ready\"}", "0x30"),
                    ("state_watchdog_readiness{job=\"w\", instance=\"n1\", state=\"ready\"}", "1x30"),
                ],
                at: "20m",
            },
        ],
    },
    Alert {
        name: "StateWatchdogDegraded",
        expr: "state_watchdog_readiness{state=\"degraded\"} == 1",
        hold: "30m",
        severity: Severity::Warning,
        summary: "The state-watchdog of {{ $labels.instance }} sees a part of what happens.",
        description: "The agent of {{ $labels.instance }} has been degraded for 30 minutes: a probe is missing, or some of its own operations do not come back as events.",
        meaning: "Events come, but not those of every operation. What is missing is missing on this node alone: counts are too low.",
        confirm: &[
            "`curl -s http://localhost:9737/status | jq '{readiness, proof_of_life, probes}'`: which probe, why, and what would help.",
        ],
        remedy: &[
            "The reason in `probes` names the remedy: a capability, a sysctl, a kernel option.",
            "With the source `inotify`: raise `fs.inotify.max_user_watches`.",
        ],
        fires: Firing {
            series: &[(
                "state_watchdog_readiness{job=\"w\", instance=\"n1\", state=\"degraded\"}",
                "0x5 1x60",
            )],
            at: "40m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("state", "degraded")],
                summary: "The state-watchdog of n1 sees a part of what happens.",
                description: "The agent of n1 has been degraded for 30 minutes: a probe is missing, or some of its own operations do not come back as events.",
            }],
        },
        silent: &[Silent {
            why: "ten minutes of it",
            series: &[(
                "state_watchdog_readiness{job=\"w\", instance=\"n1\", state=\"degraded\"}",
                "0x5 1x10 0x60",
            )],
            at: "40m",
        }],
    },
    Alert {
        name: "StateWatchdogSourceDown",
        expr: "max without (source) (state_watchdog_source_info) == 0",
        hold: "5m",
        severity: Severity::Critical,
        summary: "The state-watchdog of {{ $labels.instance }} has no source of events.",
        description: "For 5 minutes no source has been attached on {{ $labels.instance }}.",
        meaning: "Neither `vfs` nor `syscalls` nor `inotify` is in use: the one that was has ended, and none took its place.",
        confirm: &[
            "`curl -s http://localhost:9737/status | jq '{source, refused_sources}'`, and the agent's log: why each source was refused.",
        ],
        remedy: &[
            "Restart the pod. When it ends again with exit code 69, `state-watchdog doctor` names what is missing.",
        ],
        fires: Firing {
            series: &[
                ("state_watchdog_source_info{job=\"w\", instance=\"n1\", source=\"vfs\"}", "1x5 0x20"),
                ("state_watchdog_source_info{job=\"w\", instance=\"n1\", source=\"inotify\"}", "0x30"),
                ("state_watchdog_source_info{job=\"w\", instance=\"n2\", source=\"vfs\"}", "1x30"),
            ],
            at: "12m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1")],
                summary: "The state-watchdog of n1 has no source of events.",
                description: "For 5 minutes no source has been attached on n1.",
            }],
        },
        silent: &[Silent {
            why: "another source took over",
            series: &[
                ("state_watchdog_source_info{job=\"w\", instance=\"n1\", source=\"vfs\"}", "1x5 0x20"),
                ("state_watchdog_source_info{job=\"w\", instance=\"n1\", source=\"inotify\"}", "0x5 1x20"),
            ],
            at: "20m",
        }],
    },
    Alert {
        name: "StateWatchdogSourceDegraded",
        expr: "(\n  state_watchdog_source_info{source=~\"syscalls|inotify\"} == 1\n  and on (cluster) cluster_source:state_watchdog_source_info:sum{source=\"vfs\"} > 0\n)\nor\n(\n  state_watchdog_source_info{source=\"inotify\"} == 1\n  and on (cluster) cluster_source:state_watchdog_source_info:sum{source=\"syscalls\"} > 0\n)",
        hold: "30m",
        severity: Severity::Warning,
        summary: "The state-watchdog of {{ $labels.instance }} runs on {{ $labels.source }}, a lesser source than others in the cluster.",
        description: "The agent of {{ $labels.instance }} has taken events from {{ $labels.source }} for 30 minutes, while other nodes of the cluster have a better source. It sees less: with inotify neither processes nor torn reads.",
        meaning: "`auto` took a lesser source than on other nodes, so this node's zeros mean less. The order is `vfs`, `syscalls`,\n\
                  `inotify`. A cluster in which all nodes have the same source is not reported.",
        confirm: &[
            "`curl -s http://localhost:9737/status | jq .refused_sources`: why the better ones were refused.",
            "*Watchdog health*, *Source*.",
        ],
        remedy: &[
            "`state-watchdog doctor` on the node names the remedy: BTF, a capability, lockdown, a newer kernel.",
            "Where it is meant, silence the alert for these nodes.",
        ],
        fires: Firing {
            series: &[
                ("state_watchdog_source_info{job=\"w\", instance=\"n1\", source=\"inotify\"}", "1x60"),
                ("state_watchdog_source_info{job=\"w\", instance=\"n1\", source=\"vfs\"}", "0x60"),
                ("state_watchdog_source_info{job=\"w\", instance=\"n2\", source=\"vfs\"}", "1x60"),
            ],
            at: "40m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("source", "inotify")],
                summary: "The state-watchdog of n1 runs on inotify, a lesser source than others in the cluster.",
                description: "The agent of n1 has taken events from inotify for 30 minutes, while other nodes of the cluster have a better source. It sees less: with inotify neither processes nor torn reads.",
            }],
        },
        silent: &[
            Silent {
                why: "all nodes have the same source",
                series: &[
                    ("state_watchdog_source_info{job=\"w\", instance=\"n1\", source=\"inotify\"}", "1x60"),
                    ("state_watchdog_source_info{job=\"w\", instance=\"n1\", source=\"vfs\"}", "0x60"),
                    ("state_watchdog_source_info{job=\"w\", instance=\"n2\", source=\"inotify\"}", "1x60"),
                    ("state_watchdog_source_info{job=\"w\", instance=\"n2\", source=\"vfs\"}", "0x60"),
                ],
                at: "40m",
            },
            Silent {
                why: "the better source is in another cluster",
                series: &[
                    (
                        "state_watchdog_source_info{cluster=\"a\", job=\"w\", instance=\"n1\", source=\"syscalls\"}",
                        "1x60",
                    ),
                    (
                        "state_watchdog_source_info{cluster=\"b\", job=\"w\", instance=\"n2\", source=\"vfs\"}",
                        "1x60",
                    ),
                ],
                at: "40m",
            },
        ],
    },
];
