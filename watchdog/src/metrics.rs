//! What Prometheus sees. The only door to the `prometheus` crate.
//!
//! Label values are closed sets and stand at 0 from the start; `writer` and `reader` are bounded.

mod families;
mod names;
mod process;
mod runtimes;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use prometheus::core::Collector;
use prometheus::{
    Counter, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

pub use families::{FAMILIES, Family, Kind, label_values, markdown};

use crate::config::Reloaded;
use crate::enrich::Damage;
use crate::health::Readiness;
use crate::model::{
    AnomalyKind, EventOperation, Follows, Operation, Outcome, ReaderResult, SessionReport, Verdict,
};
use crate::profile::RootEntry;
use crate::report::DropReason;
use crate::source::{LossReason, Losses, ProbeStatus, ProofResult, SourceKind};
use crate::workers::{Counts, Ending, Work};
use names::Names;
use process::ProcessSample;

/// All metrics of one agent.
pub struct Metrics {
    registry: Registry,
    runtimes: Mutex<HashSet<Arc<str>>>,
    writers: Names,
    readers: Names,
    write_sessions: IntCounterVec,
    nonatomic_writes: IntCounterVec,
    overlapping_reads: IntCounterVec,
    torn_reader_exits: IntCounterVec,
    damaged_reads: IntCounterVec,
    damaged_reader_exits: IntCounterVec,
    write_window: HistogramVec,
    damage: IntCounterVec,
    damaged_now: IntGaugeVec,
    state_files: IntGaugeVec,
    root_present: IntGaugeVec,
    events: IntCounterVec,
    events_lost: IntCounterVec,
    readiness: IntGaugeVec,
    findings_dropped: IntCounterVec,
    source_info: IntGaugeVec,
    probe_attached: IntGaugeVec,
    canary: IntCounterVec,
    config_reloads: IntCounterVec,
    config_reload_successful: IntGauge,
    config_loaded: IntGauge,
    anomalies: IntCounterVec,
    detection_latency: Histogram,
    work: IntCounterVec,
    stuck_threads: IntGaugeVec,
    process: Process,
}

/// Metrics of our own process, under the names that every Prometheus client uses.
struct Process {
    cpu: Counter,
    open_fds: IntGauge,
    max_fds: IntGauge,
    virtual_memory: IntGauge,
    resident_memory: IntGauge,
    threads: IntGauge,
    start_time: Gauge,
}

impl Metrics {
    /// Metrics for the roots in force, all label sets at 0.
    ///
    /// # Errors
    /// Two metrics have the same name: a mistake in the table.
    pub fn new(roots: &[RootEntry]) -> Result<Self, prometheus::Error> {
        let r = Registry::new();
        let metrics = Self {
            runtimes: Mutex::default(),
            writers: Names::default(),
            readers: Names::default(),
            write_sessions: counter(&r, &families::WRITE_SESSIONS)?,
            nonatomic_writes: counter(&r, &families::NONATOMIC_WRITES)?,
            overlapping_reads: counter(&r, &families::OVERLAPPING_READS)?,
            torn_reader_exits: counter(&r, &families::TORN_READER_EXITS)?,
            damaged_reads: counter(&r, &families::DAMAGED_READS)?,
            damaged_reader_exits: counter(&r, &families::DAMAGED_READER_EXITS)?,
            write_window: register(
                &r,
                HistogramVec::new(histogram(&families::WRITE_WINDOW), families::WRITE_WINDOW.labels)?,
            )?,
            damage: counter(&r, &families::DAMAGE)?,
            damaged_now: gauge(&r, &families::DAMAGED_NOW)?,
            state_files: gauge(&r, &families::STATE_FILES)?,
            root_present: gauge(&r, &families::ROOT_PRESENT)?,
            events: counter(&r, &families::EVENTS)?,
            events_lost: counter(&r, &families::EVENTS_LOST)?,
            readiness: gauge(&r, &families::READINESS)?,
            findings_dropped: counter(&r, &families::FINDINGS_DROPPED)?,
            source_info: gauge(&r, &families::SOURCE_INFO)?,
            probe_attached: gauge(&r, &families::PROBE_ATTACHED)?,
            canary: counter(&r, &families::CANARY)?,
            config_reloads: counter(&r, &families::CONFIG_RELOADS)?,
            config_reload_successful: whole(&r, &families::CONFIG_RELOAD_SUCCESSFUL)?,
            config_loaded: whole(&r, &families::CONFIG_LOADED)?,
            anomalies: counter(&r, &families::ANOMALIES)?,
            detection_latency: register(&r, Histogram::with_opts(histogram(&families::DETECTION_LATENCY))?)?,
            work: counter(&r, &families::WORK)?,
            stuck_threads: gauge(&r, &families::STUCK_THREADS)?,
            process: Process::new(&r)?,
            registry: r,
        };
        gauge(&metrics.registry, &families::BUILD_INFO)?
            .with_label_values(&[env!("CARGO_PKG_VERSION"), std::env::consts::ARCH])
            .set(1);
        metrics.write_zeros(roots);
        metrics.configured();
        Ok(metrics)
    }

    /// Counts a write session.
    pub fn session(&self, runtime: &str, report: &SessionReport, writer: &str) {
        self.write_sessions.with_label_values(&[runtime, report.outcome.as_str()]).inc();
        if !report.outcome.is_nonatomic() {
            return;
        }
        let operation = report.operation.unwrap_or(Operation::Overwrite).as_str();
        let writer = self.writers.bounded(writer);
        self.nonatomic_writes.with_label_values(&[runtime, operation, &writer]).inc();
        let seconds = seconds(report.window.end.since(report.window.start));
        self.write_window.with_label_values(&[runtime]).observe(seconds);
    }

    /// Counts a judged read.
    pub fn read(&self, runtime: &str, verdict: Verdict, reader: &str) {
        let reader = self.readers.bounded(reader);
        self.overlapping_reads.with_label_values(&[runtime, verdict.as_str(), &reader]).inc();
    }

    /// Counts a read of a file that is damaged at rest.
    pub fn damaged_read(&self, runtime: &str, damage: Damage, reader: &str) {
        let reader = self.readers.bounded(reader);
        self.damaged_reads.with_label_values(&[runtime, damage.as_str(), &reader]).inc();
    }

    /// Counts how a torn or damaged reader ended.
    pub fn reader_exit(&self, runtime: &str, follows: Follows, result: ReaderResult) {
        let exits = match follows {
            Follows::Torn => &self.torn_reader_exits,
            Follows::Damaged => &self.damaged_reader_exits,
        };
        exits.with_label_values(&[runtime, result.as_str()]).inc();
    }

    /// Counts a state file that was left damaged.
    pub fn damage(&self, runtime: &str, damage: Damage) {
        self.damage.with_label_values(&[runtime, damage.as_str()]).inc();
    }

    /// Says how many state files are damaged now.
    pub fn damaged_now(&self, runtime: &str, count: usize) {
        self.damaged_now.with_label_values(&[runtime]).set(gauge_value(count));
    }

    /// Says how many state files there are now.
    pub fn state_files(&self, runtime: &str, count: usize) {
        self.state_files.with_label_values(&[runtime]).set(gauge_value(count));
    }

    /// Says whether a root stands.
    pub fn root_present(&self, entry: &RootEntry, present: bool) {
        self.root_present.with_label_values(&[&*entry.profile.name, &*entry.pattern]).set(present.into());
    }

    /// Counts an event that reached the engine.
    pub fn event(&self, source: SourceKind, operation: &EventOperation) {
        self.events.with_label_values(&[source.as_str(), operation.as_str()]).inc();
    }

    /// Takes over a source's running totals.
    pub fn losses(&self, source: SourceKind, losses: &Losses) {
        for reason in LossReason::ALL {
            let counter = self.events_lost.with_label_values(&[source.as_str(), reason.as_str()]);
            counter.inc_by(losses.get(reason).saturating_sub(counter.get()));
        }
    }

    /// Takes over the running totals of the threads that read foreign files.
    pub fn work(&self, counts: &Counts) {
        for work in Work::ALL {
            for ending in Ending::ALL {
                let counter = self.work.with_label_values(&[work.as_str(), ending.as_str()]);
                counter.inc_by(counts.ended(work, ending).saturating_sub(counter.get()));
            }
            let stuck = gauge_value(counts.lost(work));
            self.stuck_threads.with_label_values(&[work.as_str()]).set(stuck);
        }
    }

    /// Says whether the agent sees what it is there to see.
    pub fn readiness(&self, now: Readiness) {
        for state in Readiness::ALL {
            self.readiness.with_label_values(&[state.label()]).set((state == now).into());
        }
    }

    /// Counts findings that standard output did not take.
    pub fn dropped(&self, counts: [u64; DropReason::ALL.len()]) {
        for (reason, count) in DropReason::ALL.into_iter().zip(counts) {
            self.findings_dropped.with_label_values(&[reason.as_str()]).inc_by(count);
        }
    }

    /// Says which source runs, and how its probes are.
    pub fn source(&self, kind: SourceKind, probes: &[ProbeStatus]) {
        for other in SourceKind::ALL {
            self.source_info.with_label_values(&[other.as_str()]).set((other == kind).into());
        }
        for probe in probes {
            let gauge = self.probe_attached.with_label_values(&[probe.probe, probe.mechanism]);
            gauge.set(probe.attached.into());
        }
    }

    /// Says that a source no longer runs.
    pub fn source_ended(&self, kind: SourceKind) {
        self.source_info.with_label_values(&[kind.as_str()]).set(0);
        self.probe_attached.reset();
    }

    /// Counts a proof of life.
    pub fn canary(&self, source: SourceKind, result: ProofResult) {
        self.canary.with_label_values(&[source.as_str(), result.as_str()]).inc();
    }

    /// Counts a configuration that was read again, and says whether the last one could be used.
    pub fn reloaded(&self, result: Reloaded) {
        self.config_reloads.with_label_values(&[result.as_str()]).inc();
        match result {
            Reloaded::Applied | Reloaded::Unchanged => self.configured(),
            Reloaded::Refused => self.config_reload_successful.set(0),
        }
    }

    fn configured(&self) {
        self.config_reload_successful.set(1);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.config_loaded.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    }

    /// Counts an anomaly.
    pub fn anomaly(&self, kind: AnomalyKind) {
        self.anomalies.with_label_values(&[kind.as_str()]).inc();
    }

    /// Notes how long after the release in the kernel a finding was counted.
    pub fn detected(&self, nanos: u64) {
        self.detection_latency.observe(seconds(nanos));
    }

    /// The page for Prometheus.
    #[must_use]
    pub fn render(&self) -> String {
        self.process.update(&ProcessSample::read());
        // The encoder fails for families without samples or names alone; the registry yields none.
        TextEncoder::new().encode_to_string(&self.registry.gather()).unwrap_or_default()
    }

    fn write_zeros(&self, roots: &[RootEntry]) {
        self.add_roots(roots);
        for state in Readiness::ALL {
            self.readiness.with_label_values(&[state.label()]);
        }
        for source in SourceKind::ALL.map(SourceKind::as_str) {
            self.source_info.with_label_values(&[source]).set(0);
            for operation in EventOperation::NAMES {
                self.events.with_label_values(&[source, operation]);
            }
            for reason in LossReason::ALL {
                self.events_lost.with_label_values(&[source, reason.as_str()]);
            }
            for result in ProofResult::ALL {
                self.canary.with_label_values(&[source, result.as_str()]);
            }
        }
        for result in Reloaded::ALL {
            self.config_reloads.with_label_values(&[result.as_str()]);
        }
        self.dropped([0; DropReason::ALL.len()]);
        self.work(&Counts::default());
        for kind in AnomalyKind::ALL {
            self.anomalies.with_label_values(&[kind.as_str()]);
        }
    }
}

impl Process {
    fn new(r: &Registry) -> Result<Self, prometheus::Error> {
        let whole = |family: &Family| whole(r, family);
        Ok(Self {
            cpu: register(r, Counter::with_opts(opts(&families::PROCESS_CPU))?)?,
            open_fds: whole(&families::PROCESS_OPEN_FDS)?,
            max_fds: whole(&families::PROCESS_MAX_FDS)?,
            virtual_memory: whole(&families::PROCESS_VIRTUAL_MEMORY)?,
            resident_memory: whole(&families::PROCESS_RESIDENT_MEMORY)?,
            threads: whole(&families::PROCESS_THREADS)?,
            start_time: register(r, Gauge::with_opts(opts(&families::PROCESS_START_TIME))?)?,
        })
    }

    fn update(&self, sample: &ProcessSample) {
        self.cpu.inc_by((sample.cpu_seconds - self.cpu.get()).max(0.0));
        self.open_fds.set(sample.open_fds);
        self.max_fds.set(sample.max_fds);
        self.virtual_memory.set(sample.virtual_memory);
        self.resident_memory.set(sample.resident_memory);
        self.threads.set(sample.threads);
        self.start_time.set(sample.start_time);
    }
}

fn opts(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn histogram(family: &Family) -> HistogramOpts {
    HistogramOpts::new(family.name, family.help).buckets(family.buckets.to_vec())
}

fn counter(registry: &Registry, family: &Family) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(opts(family), family.labels)?)
}

fn whole(registry: &Registry, family: &Family) -> Result<IntGauge, prometheus::Error> {
    register(registry, IntGauge::with_opts(opts(family))?)
}

fn gauge(registry: &Registry, family: &Family) -> Result<IntGaugeVec, prometheus::Error> {
    register(registry, IntGaugeVec::new(opts(family), family.labels)?)
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, metric: C) -> Result<C, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge_value(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[expect(clippy::cast_precision_loss, reason = "a histogram's sum is a float")]
fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

#[cfg(test)]
mod tests;
