//! Alerts on what the watchdog does not see: whether a zero can be trusted.

use super::model::{Alert, Expected, Firing, Severity, Silent};

pub(super) const ALERTS: [Alert; 6] = [
    Alert {
        name: "StateWatchdogProbeDown",
        expr: "max without (mechanism) (state_watchdog_probe_attached) == 0",
        hold: "10m",
        severity: Severity::Warning,
        summary: "Probe {{ $labels.probe }} is not attached on {{ $labels.instance }}.",
        description: "The probe {{ $labels.probe }} has not been attached on {{ $labels.instance }} for 10 minutes: what it watches is not seen there.",
        meaning: "One hook could not be attached by any mechanism. Its operation alone is missing; the others are seen.",
        confirm: &[
            "`curl -s http://localhost:9737/status | jq '.probes[] | select(.attached | not)'`: the reason and the remedy.",
        ],
        remedy: &[
            "Give what the reason names: `CAP_BPF`, `CAP_PERFMON`, a kernel with BTF, no lockdown.",
            "Compare with nodes of the same kernel where it is attached: *Watchdog health*, *Probes that are not attached*.",
        ],
        fires: Firing {
            series: &[
                (
                    "state_watchdog_probe_attached{job=\"w\", instance=\"n1\", probe=\"read\", mechanism=\"fentry\"}",
                    "0x30",
                ),
                (
                    "state_watchdog_probe_attached{job=\"w\", instance=\"n2\", probe=\"read\", mechanism=\"fentry\"}",
                    "1x30",
                ),
            ],
            at: "15m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("probe", "read")],
                summary: "Probe read is not attached on n1.",
                description: "The probe read has not been attached on n1 for 10 minutes: what it watches is not seen there.",
            }],
        },
        silent: &[Silent {
            why: "the probe is attached by another mechanism",
            series: &[
                (
                    "state_watchdog_probe_attached{job=\"w\", instance=\"n1\", probe=\"read\", mechanism=\"fentry\"}",
                    "0x30",
                ),
                (
                    "state_watchdog_probe_attached{job=\"w\", instance=\"n1\", probe=\"read\", mechanism=\"kprobe\"}",
                    "1x30",
                ),
            ],
            at: "20m",
        }],
    },
    Alert {
        name: "StateWatchdogCanaryMissed",
        expr: "sum without (result) (\n  increase(state_watchdog_canary_writes_total{result=~\"missed|partial\"}[10m])\n) > 0",
        hold: "5m",
        severity: Severity::Warning,
        summary: "The state-watchdog of {{ $labels.instance }} misses its own writes.",
        description: "{{ $value | printf \"%.0f\" }} of the agent's own writes on {{ $labels.instance }} did not come back from {{ $labels.source }} as events within 10 minutes. Others' writes may be missed as well.",
        meaning: "The proof of life failed: the agent wrote, read, truncated, renamed and removed a file of its own, and the source\n\
                  did not show all of that. After two misses in a row `auto` gives the source up and takes the next one.",
        confirm: &[
            "`curl -s http://localhost:9737/status | jq .proof_of_life`: which operations are missing.",
            "`increase(state_watchdog_canary_writes_total{instance=\"NODE\"}[1h])` by `result`: now and then, or always?",
        ],
        remedy: &[
            "Now and then on a starved node: give the agent CPU. With lost events the result would be `lost`, not `missed`.",
            "Always: another program has detached or overruled the probes; restart the pod, and report the kernel's version.",
        ],
        fires: Firing {
            series: &[(
                "state_watchdog_canary_writes_total{job=\"w\", instance=\"n1\", source=\"syscalls\", result=\"missed\"}",
                "0x5 1+1x30",
            )],
            at: "20m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("source", "syscalls")],
                summary: "The state-watchdog of n1 misses its own writes.",
                description: "10 of the agent's own writes on n1 did not come back from syscalls as events within 10 minutes. Others' writes may be missed as well.",
            }],
        },
        silent: &[Silent {
            why: "all of them are seen",
            series: &[
                (
                    "state_watchdog_canary_writes_total{job=\"w\", instance=\"n1\", source=\"syscalls\", result=\"missed\"}",
                    "0x30",
                ),
                (
                    "state_watchdog_canary_writes_total{job=\"w\", instance=\"n1\", source=\"syscalls\", result=\"seen\"}",
                    "0+1x30",
                ),
            ],
            at: "20m",
        }],
    },
    Alert {
        name: "StateWatchdogEventsLost",
        expr: "sum without (source) (increase(state_watchdog_events_lost_total[15m])) > 0",
        hold: "5m",
        severity: Severity::Warning,
        summary: "The state-watchdog of {{ $labels.instance }} loses events ({{ $labels.reason }}).",
        description: "{{ $value | printf \"%.0f\" }} events did not reach the agent of {{ $labels.instance }} within 15 minutes, reason {{ $labels.reason }}. What they told is missing, and sessions around them are counted as unknown.",
        meaning: "Something happened that the agent could not be told of. It never guesses: sessions in which events may be missing\n\
                  are `unknown`. The reason says where they went.",
        confirm: &[
            "*Watchdog health*, *Lost events by reason*.",
            "`increase(state_watchdog_write_sessions_total{instance=\"NODE\", outcome=\"unknown\"}[15m])`: how many sessions that cost.",
        ],
        remedy: &[
            "`ring_full`: the agent was not scheduled in time; give it more CPU. `table_full`: more files are open at once than the kernel-side table holds.",
            "`io_uring`, `compat`, `unresolved`: what the source `syscalls` cannot follow; the source `vfs` can.",
            "`queue_overflow`, `watch_limit`: raise `fs.inotify.max_queued_events` and `fs.inotify.max_user_watches`.",
            "`probe_missed`: the kernel skipped a probe under preemption; rare ones are harmless. `malformed`: a defect, please report it.",
        ],
        fires: Firing {
            series: &[(
                "state_watchdog_events_lost_total{job=\"w\", instance=\"n1\", source=\"vfs\", reason=\"ring_full\"}",
                "0x5 28x30",
            )],
            at: "12m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("reason", "ring_full")],
                summary: "The state-watchdog of n1 loses events (ring_full).",
                description: "28 events did not reach the agent of n1 within 15 minutes, reason ring_full. What they told is missing, and sessions around them are counted as unknown.",
            }],
        },
        silent: &[Silent {
            why: "what was lost long ago",
            series: &[(
                "state_watchdog_events_lost_total{job=\"w\", instance=\"n1\", source=\"vfs\", reason=\"ring_full\"}",
                "0x5 30x40",
            )],
            at: "30m",
        }],
    },
    Alert {
        name: "StateWatchdogAnomalies",
        expr: "increase(state_watchdog_anomalies_total[30m]) > 0",
        hold: "15m",
        severity: Severity::Info,
        summary: "The state-watchdog of {{ $labels.instance }} cannot explain what it sees ({{ $labels.kind }}).",
        description: "{{ $value | printf \"%.0f\" }} observations of kind {{ $labels.kind }} on {{ $labels.instance }} within 30 minutes could not be explained or had to be forgotten.",
        meaning: "The engine met something that should not be, or its second witness, an inotify watch, saw another thing than the\n\
                  source did. Nothing is judged on such evidence, so findings may be missing.",
        confirm: &[
            "The agent's log at level `debug` has each anomaly.",
            "`session_missed`: the second witness saw a write that the source did not; compare with StateWatchdogEventsLost and StateWatchdogCanaryMissed.",
        ],
        remedy: &[
            "`evicted`, `deadline_passed`: very many state files are written or held open at once; findings on the oldest are given up.",
            "`session_missed` with the source `syscalls`: io_uring, a loop device or an overlay wrote; the source `vfs` sees it.",
            "Others: a defect or a kernel that we do not know; record it with `state-watchdog record` and report it.",
        ],
        fires: Firing {
            series: &[(
                "state_watchdog_anomalies_total{job=\"w\", instance=\"n1\", kind=\"session_missed\"}",
                "0x5 4x60",
            )],
            at: "25m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("kind", "session_missed")],
                summary: "The state-watchdog of n1 cannot explain what it sees (session_missed).",
                description: "4 observations of kind session_missed on n1 within 30 minutes could not be explained or had to be forgotten.",
            }],
        },
        silent: &[Silent {
            why: "none are new",
            series: &[(
                "state_watchdog_anomalies_total{job=\"w\", instance=\"n1\", kind=\"evicted\"}",
                "5x60",
            )],
            at: "50m",
        }],
    },
    Alert {
        name: "StateWatchdogNothingToWatch",
        expr: "max without (runtime, root) (state_watchdog_runtime_root_present) == 0",
        hold: "15m",
        severity: Severity::Warning,
        summary: "The state-watchdog of {{ $labels.instance }} finds no runtime root.",
        description: "For 15 minutes none of the directories in which runtimes keep their state has existed on {{ $labels.instance }}, as the agent sees it. It watches nothing.",
        meaning: "None of the configured roots exists where the agent looks: another runtime keeps its state elsewhere, or the host's\n\
                  directories are not mounted into the pod.",
        confirm: &[
            "`curl -s http://localhost:9737/status | jq .roots`",
            "On the node: `find /run -name state.json -maxdepth 6` shows where state files are.",
        ],
        remedy: &[
            "Name the root: `--root RUNTIME=PATH`, or in the configuration.",
            "In a pod, mount the host's `/run` and give `--host-root`.",
        ],
        fires: Firing {
            series: &[
                (
                    "state_watchdog_runtime_root_present{job=\"w\", instance=\"n1\", runtime=\"runc\", root=\"/run/runc\"}",
                    "0x40",
                ),
                (
                    "state_watchdog_runtime_root_present{job=\"w\", instance=\"n2\", runtime=\"runc\", root=\"/run/runc\"}",
                    "1x40",
                ),
            ],
            at: "20m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1")],
                summary: "The state-watchdog of n1 finds no runtime root.",
                description: "For 15 minutes none of the directories in which runtimes keep their state has existed on n1, as the agent sees it. It watches nothing.",
            }],
        },
        silent: &[Silent {
            why: "one of several roots is there",
            series: &[
                (
                    "state_watchdog_runtime_root_present{job=\"w\", instance=\"n1\", runtime=\"runc\", root=\"/run/runc\"}",
                    "1x40",
                ),
                (
                    "state_watchdog_runtime_root_present{job=\"w\", instance=\"n1\", runtime=\"youki\", root=\"/run/youki\"}",
                    "0x40",
                ),
            ],
            at: "30m",
        }],
    },
    Alert {
        name: "StateWatchdogConfigurationRefused",
        expr: "state_watchdog_config_last_reload_successful == 0",
        hold: "5m",
        severity: Severity::Warning,
        summary: "The state-watchdog of {{ $labels.instance }} refused its new configuration.",
        description: "The agent of {{ $labels.instance }} was asked 5 minutes ago or earlier to read its configuration again, and refused what it found. What was in force before still is; after a restart it would not start.",
        meaning: "Somebody changed the configuration file and sent SIGHUP, and the file has a mistake. The agent goes on as before, so\n\
                  roots and profiles that were meant to be added are not watched. At its next start it would end with exit code 64.",
        confirm: &[
            "`curl -s http://localhost:9737/status | jq .configuration_reload`: the mistake, with file, line and the allowed values. The agent's log says the same.",
            "`state-watchdog config --config FILE` on the node reads the file as the agent would.",
        ],
        remedy: &["Mend the file and send SIGHUP again, or put the earlier file back and do the same."],
        fires: Firing {
            series: &[
                ("state_watchdog_config_last_reload_successful{job=\"w\", instance=\"n1\"}", "1x5 0x20"),
                ("state_watchdog_config_last_reload_successful{job=\"w\", instance=\"n2\"}", "1x30"),
            ],
            at: "12m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1")],
                summary: "The state-watchdog of n1 refused its new configuration.",
                description: "The agent of n1 was asked 5 minutes ago or earlier to read its configuration again, and refused what it found. What was in force before still is; after a restart it would not start.",
            }],
        },
        silent: &[
            Silent {
                why: "it was mended at once",
                series: &[(
                    "state_watchdog_config_last_reload_successful{job=\"w\", instance=\"n1\"}",
                    "1x5 0x3 1x30",
                )],
                at: "12m",
            },
            Silent {
                why: "nobody asked for another",
                series: &[(
                    "state_watchdog_config_last_reload_successful{job=\"w\", instance=\"n1\"}",
                    "1x30",
                )],
                at: "20m",
            },
        ],
    },
];
