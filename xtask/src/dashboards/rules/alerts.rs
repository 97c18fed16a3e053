//! Alerts on what happens to state files.

use super::model::{Alert, Expected, Firing, Severity, Silent};

pub(super) const ALERTS: [Alert; 5] = [
    Alert {
        name: "StateWatchdogTornReadFailed",
        expr: "sum without (result) (\n  increase(state_watchdog_torn_reader_exits_total{result=\"failure\"}[15m])\n) > 0",
        hold: "1m",
        severity: Severity::Critical,
        summary: "Commands fail on {{ $labels.instance }} because they read a torn state file.",
        description: "{{ $value | printf \"%.0f\" }} processes that read a torn state file of {{ $labels.runtime }} on {{ $labels.instance }} failed within 15 minutes. Exec probes, kubectl exec and lifecycle hooks fail this way while the application is healthy.",
        meaning: "A process, mostly the runtime itself on behalf of an exec probe, read a state file while another process was\n\
                  rewriting it, got an empty, short or mixed file, and ended with an error. The kubelet counts that as a failed\n\
                  probe: `OCI runtime exec failed: exec failed: EOF: unknown`. Healthy pods become unready or are restarted.",
        confirm: &[
            "`curl -s http://localhost:9737/findings | jq '.[] | select(.kind == \"torn_read\" or .kind == \"reader_exit\")'`: reader, container and pod of each, and in `writer` the process that was writing, with its ancestors.",
            "Dashboard *Node*, *Torn reads by what became of the reader*, beside the kubelet's failed exec probes.",
            "In the kubelet's log: `unexpected EOF`, `EOF: unknown` or `invalid character` at the minute of the finding.",
        ],
        remedy: &[
            "Upgrade the runtime: runc writes atomically from v1.0.0-rc91 on. For other runtimes see StateWatchdogNewNonatomicWriter.",
            "Until then, stop what makes it write: the kubelet's cpu-manager policy `static` updates containers periodically; with `none` it does not. Before the kubelets of 2021 every reconcile period (`--cpu-manager-reconcile-period`, 10 s) updated every container: a longer period means fewer windows.",
            "Raise `failureThreshold` of exec probes that hurt most, or use HTTP, gRPC or TCP probes, which run no runtime.",
            "After the upgrade, *Fleet*, *Before and after*, shows whether it is gone.",
        ],
        fires: Firing {
            series: &[
                (
                    "state_watchdog_torn_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                    "0x5 3x30",
                ),
                (
                    "state_watchdog_torn_reader_exits_total{job=\"w\", instance=\"n2\", runtime=\"runc\", result=\"failure\"}",
                    "7x40",
                ),
            ],
            at: "10m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("runtime", "runc")],
                summary: "Commands fail on n1 because they read a torn state file.",
                description: "3 processes that read a torn state file of runc on n1 failed within 15 minutes. Exec probes, kubectl exec and lifecycle hooks fail this way while the application is healthy.",
            }],
        },
        silent: &[
            Silent {
                why: "readers of torn files that succeeded",
                series: &[
                    (
                        "state_watchdog_torn_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                        "0x40",
                    ),
                    (
                        "state_watchdog_torn_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"success\"}",
                        "0+1x40",
                    ),
                ],
                at: "30m",
            },
            Silent {
                why: "a restart of the agent",
                series: &[(
                    "state_watchdog_torn_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                    "9x10 0x30",
                )],
                at: "20m",
            },
            Silent {
                why: "20 minutes later",
                series: &[(
                    "state_watchdog_torn_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                    "0x5 3x40",
                )],
                at: "26m",
            },
        ],
    },
    Alert {
        name: "StateWatchdogTornReads",
        expr: "increase(instance_runtime:state_watchdog_torn_reads:sum_total[15m]) > 0",
        hold: "1m",
        severity: Severity::Warning,
        summary: "State files of {{ $labels.runtime }} are read torn on {{ $labels.instance }}.",
        description: "{{ $value | printf \"%.0f\" }} reads of {{ $labels.runtime }} state files on {{ $labels.instance }} got neither the old nor the new content within 15 minutes.",
        meaning: "It is proved that readers got bytes which are neither the complete old nor the complete new content of a state\n\
                  file. Whether the command that read them failed is StateWatchdogTornReadFailed; some retry, some do not notice.",
        confirm: &[
            "`curl -s http://localhost:9737/findings | jq '.[] | select(.kind == \"torn_read\")'`: `read` says how many bytes were got of how many, `writer` who was writing.",
            "`sum by (reader) (state_watchdog_overlapping_reads_total{verdict=\"torn\", instance=\"NODE\"})`: which programs read torn files since the watchdog started.",
        ],
        remedy: &[
            "As for StateWatchdogTornReadFailed: the writer must replace the file atomically (temporary file, rename).",
            "Where both sides are yours, a reader that retries on end-of-file hides the symptom until the writer is mended.",
        ],
        fires: Firing {
            series: &[
                (
                    "state_watchdog_overlapping_reads_total{job=\"w\", instance=\"n1\", runtime=\"runc\", verdict=\"torn\", reader=\"other\"}",
                    "0x40",
                ),
                // A reader's series begins with its first torn read: no 0 before it.
                (
                    "state_watchdog_overlapping_reads_total{job=\"w\", instance=\"n1\", runtime=\"runc\", verdict=\"torn\", reader=\"runc\"}",
                    "_x5 1x40",
                ),
            ],
            at: "10m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("runtime", "runc")],
                summary: "State files of runc are read torn on n1.",
                description: "1 reads of runc state files on n1 got neither the old nor the new content within 15 minutes.",
            }],
        },
        silent: &[
            Silent {
                why: "reads that may have overlapped",
                series: &[
                    (
                        "state_watchdog_overlapping_reads_total{job=\"w\", instance=\"n1\", runtime=\"runc\", verdict=\"torn\", reader=\"other\"}",
                        "0x40",
                    ),
                    (
                        "state_watchdog_overlapping_reads_total{job=\"w\", instance=\"n1\", runtime=\"runc\", verdict=\"overlapping\", reader=\"runc\"}",
                        "0+5x40",
                    ),
                ],
                at: "30m",
            },
            Silent {
                why: "a restart of the agent",
                series: &[
                    (
                        "state_watchdog_overlapping_reads_total{job=\"w\", instance=\"n1\", runtime=\"runc\", verdict=\"torn\", reader=\"other\"}",
                        "0x40",
                    ),
                    (
                        "state_watchdog_overlapping_reads_total{job=\"w\", instance=\"n1\", runtime=\"runc\", verdict=\"torn\", reader=\"runc\"}",
                        "4x19 stale",
                    ),
                ],
                at: "25m",
            },
        ],
    },
    Alert {
        name: "StateWatchdogNewNonatomicWriter",
        expr: "cluster_runtime_writer:state_watchdog_nonatomic_writes:increase1h > 0\nunless on (cluster, runtime, writer)\n  max_over_time(cluster_runtime_writer:state_watchdog_nonatomic_writes:increase1h[7d] offset 1h) > 0",
        hold: "2m",
        severity: Severity::Warning,
        summary: "{{ $labels.writer }} writes state files of {{ $labels.runtime }} unsafely, and did not during the last 7 days.",
        description: "{{ $labels.writer }} wrote state files of {{ $labels.runtime }} unsafely {{ $value | printf \"%.0f\" }} times within an hour. In the 7 days before, no program of this name did so in this cluster.",
        meaning: "A program that was not known to write state files unsafely now does: a new version of a runtime, a hook, an\n\
                  agent, or a script. Readers are at risk whenever it writes. On a new installation each unsafe writer is\n\
                  reported once.",
        confirm: &[
            "`curl -s http://localhost:9737/findings | jq '.[] | select(.kind == \"nonatomic_write\") | {writer, window, path}'`: `writer.exe`, its arguments, and in `ancestors` who made it run.",
            "`operation`, in the finding and as the metric's label: `rename` is a file that took over the name before it was complete (outcome `incomplete_replace`); all others changed the file itself.",
            "*Fleet*, *Unsafe writers*: on how many nodes, and since when.",
            "What was rolled out in that hour: node image, runtime package, a DaemonSet with hooks.",
        ],
        remedy: &[
            "runc: v1.0.0-rc91 or later (it was in place up to rc90). Check forks and vendored copies by `runc --version` on the node.",
            "youki, urunc and kata's runtime-rs write in place to this day: report it to their projects, and prefer a version that renames.",
            "A hook or an agent of a vendor: ask the vendor to write to a temporary file in the same directory and to rename it, and to fsync it first where it must survive a crash.",
            "`operation=\"rename\"`: the writer renames its temporary file too early. It must flush and close the file first, then rename it.",
            "Roll back what introduced it where readers already fail (StateWatchdogTornReadFailed).",
        ],
        fires: Firing {
            series: &[
                (
                    "state_watchdog_nonatomic_writes_total{job=\"w\", instance=\"n1\", runtime=\"runc\", operation=\"open_truncate\", writer=\"other\"}",
                    "0x150",
                ),
                // Its first write is the first that is known of the series.
                (
                    "state_watchdog_nonatomic_writes_total{job=\"w\", instance=\"n1\", runtime=\"runc\", operation=\"open_truncate\", writer=\"hook\"}",
                    "_x120 4x30",
                ),
                (
                    "state_watchdog_nonatomic_writes_total{job=\"w\", instance=\"n2\", runtime=\"runc\", operation=\"open_truncate\", writer=\"runc\"}",
                    "0+2x150",
                ),
            ],
            at: "130m",
            alerts: &[Expected {
                labels: &[("runtime", "runc"), ("writer", "hook")],
                summary: "hook writes state files of runc unsafely, and did not during the last 7 days.",
                description: "hook wrote state files of runc unsafely 4 times within an hour. In the 7 days before, no program of this name did so in this cluster.",
            }],
        },
        silent: &[
            Silent {
                why: "a writer that is known for long",
                series: &[(
                    "state_watchdog_nonatomic_writes_total{job=\"w\", instance=\"n1\", runtime=\"runc\", operation=\"open_truncate\", writer=\"runc\"}",
                    "0+2x300",
                )],
                at: "240m",
            },
            Silent {
                why: "a known writer on another node",
                series: &[
                    (
                        "state_watchdog_nonatomic_writes_total{job=\"w\", instance=\"n1\", runtime=\"runc\", operation=\"open_truncate\", writer=\"runc\"}",
                        "0+2x300",
                    ),
                    (
                        "state_watchdog_nonatomic_writes_total{job=\"w\", instance=\"n2\", runtime=\"runc\", operation=\"open_truncate\", writer=\"runc\"}",
                        "_x230 1+1x70",
                    ),
                ],
                at: "240m",
            },
            Silent {
                why: "writers that replace atomically",
                series: &[
                    (
                        "state_watchdog_nonatomic_writes_total{job=\"w\", instance=\"n1\", runtime=\"runc\", operation=\"open_truncate\", writer=\"other\"}",
                        "0x150",
                    ),
                    (
                        "state_watchdog_write_sessions_total{job=\"w\", instance=\"n1\", runtime=\"runc\", outcome=\"atomic_replace\"}",
                        "0+9x150",
                    ),
                ],
                at: "130m",
            },
        ],
    },
    Alert {
        name: "StateWatchdogDamagedStateFile",
        expr: "state_watchdog_damaged_state_files > 0",
        hold: "2m",
        severity: Severity::Critical,
        summary: "{{ $value }} state files of {{ $labels.runtime }} on {{ $labels.instance }} are damaged on disk.",
        description: "{{ $value }} state files of {{ $labels.runtime }} on {{ $labels.instance }} have been empty, cut short or no JSON for 2 minutes. The runtime cannot exec into, stop or delete these containers.",
        meaning: "No write is going on, and still the file is empty, short or not JSON: a writer died halfway, the disk was full, or\n\
                  the node crashed before the content reached the disk. This does not mend itself: the runtime fails on that\n\
                  container until the file is repaired or removed.",
        confirm: &[
            "On the node: `state-watchdog scan` names each broken file and what is wrong with it.",
            "`curl -s http://localhost:9737/findings | jq '.[] | select(.kind == \"damaged_state_file\")'`: `writer_died` says whether the writer was killed.",
            "`df` and `dmesg` on the node: a full disk, out-of-memory kills, a recent crash.",
        ],
        remedy: &[
            "Let the runtime make the container anew: delete the pod; where deletion hangs, kill the container's init process, remove the container's directory below the runtime root and restart the container manager.",
            "Free the disk, or raise the memory limit that killed the writer.",
            "Upgrade the writer as for StateWatchdogNewNonatomicWriter: an atomic replace leaves the old content when it dies.",
        ],
        fires: Firing {
            series: &[(
                "state_watchdog_damaged_state_files{job=\"w\", instance=\"n1\", runtime=\"runc\"}",
                "0x5 2x10",
            )],
            at: "10m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("runtime", "runc")],
                summary: "2 state files of runc on n1 are damaged on disk.",
                description: "2 state files of runc on n1 have been empty, cut short or no JSON for 2 minutes. The runtime cannot exec into, stop or delete these containers.",
            }],
        },
        silent: &[
            Silent {
                why: "a file that was whole again a minute later",
                series: &[(
                    "state_watchdog_damaged_state_files{job=\"w\", instance=\"n1\", runtime=\"runc\"}",
                    "0x5 1 0x10",
                )],
                at: "8m",
            },
            Silent {
                why: "damage that is gone",
                series: &[
                    (
                        "state_watchdog_damaged_state_files{job=\"w\", instance=\"n1\", runtime=\"runc\"}",
                        "0x10",
                    ),
                    (
                        "state_watchdog_damaged_state_files_total{job=\"w\", instance=\"n1\", runtime=\"runc\", damage=\"empty\"}",
                        "0+1x10",
                    ),
                ],
                at: "10m",
            },
        ],
    },
    Alert {
        name: "StateWatchdogDamagedReadFailed",
        expr: "sum without (result) (\n  increase(state_watchdog_damaged_reader_exits_total{result=\"failure\"}[15m])\n) > 0",
        hold: "1m",
        severity: Severity::Critical,
        summary: "Commands fail on {{ $labels.instance }} because they read a damaged state file.",
        description: "{{ $value | printf \"%.0f\" }} processes that read a damaged state file of {{ $labels.runtime }} on {{ $labels.instance }} failed within 15 minutes. Nobody is writing the file, so every further exec probe, kubectl exec and lifecycle hook of that container fails too.",
        meaning: "A process, mostly the runtime itself on behalf of an exec probe, read a state file that is empty, short or not JSON\n\
                  although no write is going on, and ended with an error. It is not a torn read: the next reader gets the same\n\
                  content and fails as well, until the file is repaired. StateWatchdogDamagedStateFile says that such a file exists;\n\
                  this alert says that workloads fail because of it, also if the file was repaired within two minutes.",
        confirm: &[
            "`curl -s http://localhost:9737/findings | jq '.[] | select(.kind == \"damaged_read\")'`: `damage` says what is wrong with the file, `since` for how long, `writer` who left it so, and `reader`, container and pod who failed.",
            "`sum by (damage, reader) (state_watchdog_damaged_reads_total{instance=\"NODE\"})`: which programs read damaged files since the watchdog started.",
            "On the node: `state-watchdog scan` names each file that is still broken.",
        ],
        remedy: &[
            "As for StateWatchdogDamagedStateFile: let the runtime make the container anew, and remove what killed the writer or filled the disk.",
            "If `damage` is `invalid` and the file was soon valid again, two programs write it at once: see StateWatchdogNewNonatomicWriter.",
        ],
        fires: Firing {
            series: &[
                (
                    "state_watchdog_damaged_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                    "0x5 2x30",
                ),
                (
                    "state_watchdog_damaged_reader_exits_total{job=\"w\", instance=\"n2\", runtime=\"runc\", result=\"failure\"}",
                    "7x40",
                ),
            ],
            at: "10m",
            alerts: &[Expected {
                labels: &[("job", "w"), ("instance", "n1"), ("runtime", "runc")],
                summary: "Commands fail on n1 because they read a damaged state file.",
                description: "2 processes that read a damaged state file of runc on n1 failed within 15 minutes. Nobody is writing the file, so every further exec probe, kubectl exec and lifecycle hook of that container fails too.",
            }],
        },
        silent: &[
            Silent {
                why: "readers of damaged files that succeeded",
                series: &[
                    (
                        "state_watchdog_damaged_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                        "0x40",
                    ),
                    (
                        "state_watchdog_damaged_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"success\"}",
                        "0+1x40",
                    ),
                ],
                at: "30m",
            },
            Silent {
                why: "readers of torn files, which another alert counts",
                series: &[
                    (
                        "state_watchdog_damaged_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                        "0x40",
                    ),
                    (
                        "state_watchdog_torn_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                        "0x5 3x30",
                    ),
                ],
                at: "10m",
            },
            Silent {
                why: "a restart of the agent",
                series: &[(
                    "state_watchdog_damaged_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                    "9x10 0x30",
                )],
                at: "20m",
            },
            Silent {
                why: "20 minutes later",
                series: &[(
                    "state_watchdog_damaged_reader_exits_total{job=\"w\", instance=\"n1\", runtime=\"runc\", result=\"failure\"}",
                    "0x5 3x40",
                )],
                at: "26m",
            },
        ],
    },
];
