//! The label sets of the runtimes and roots in force, which grow and shrink when a configuration is read again.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

use super::names::OTHER;
use super::{Damage, Metrics, Operation, Outcome, ReaderResult, RootEntry, Verdict};

/// At most so many runtimes have label sets before the agent is started anew: counters never go.
const MAX_RUNTIMES: usize = 128;

impl Metrics {
    /// Other roots are in force: new label sets stand at 0, the gauges of what is gone go, counters stay.
    ///
    /// # Errors
    /// There were too many runtimes since the start.
    pub fn change_roots(&self, before: &[RootEntry], after: &[RootEntry]) -> Result<(), String> {
        let known = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let all: HashSet<&Arc<str>> =
            known.iter().chain(after.iter().map(|root| &root.profile.name)).collect();
        if all.len() > MAX_RUNTIMES {
            let count = all.len();
            return Err(format!(
                "{count} runtimes since the agent was started, expected at most {MAX_RUNTIMES}"
            ));
        }
        let runtime = |root: &RootEntry| Arc::clone(&root.profile.name);
        for root in before {
            let name = runtime(root);
            if !after.iter().any(|other| other.pattern == root.pattern && runtime(other) == name) {
                let _ = self.root_present.remove_label_values(&[&*name, &*root.pattern]);
            }
            if after.iter().all(|other| runtime(other) != name) {
                for gauge in [&self.damaged_now, &self.state_files] {
                    let _ = gauge.remove_label_values(&[&*name]);
                }
            }
        }
        self.add_roots(after);
        Ok(())
    }

    pub(super) fn add_roots(&self, roots: &[RootEntry]) {
        for entry in roots {
            self.root_present(entry, false);
            self.write_runtime_zeros(&entry.profile.name);
            let mut known = self.runtimes.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(Arc::clone(&entry.profile.name));
        }
    }

    fn write_runtime_zeros(&self, runtime: &Arc<str>) {
        for outcome in Outcome::ALL {
            self.write_sessions.with_label_values(&[runtime, outcome.as_str()]);
        }
        for operation in Operation::ALL {
            self.nonatomic_writes.with_label_values(&[runtime, operation.as_str(), OTHER]);
        }
        for verdict in Verdict::ALL {
            self.overlapping_reads.with_label_values(&[runtime, verdict.as_str(), OTHER]);
        }
        for result in ReaderResult::ALL {
            self.torn_reader_exits.with_label_values(&[runtime, result.as_str()]);
            self.damaged_reader_exits.with_label_values(&[runtime, result.as_str()]);
        }
        for damage in Damage::ALL {
            self.damage.with_label_values(&[runtime, damage.as_str()]);
            self.damaged_reads.with_label_values(&[runtime, damage.as_str(), OTHER]);
        }
        self.write_window.with_label_values(&[runtime]);
        self.damaged_now(runtime, 0);
        self.state_files(runtime, 0);
    }
}
