//! Processes that were seen, remembered after they are gone.

use std::collections::{HashMap, VecDeque};

use super::process::{Attribution, Process, TICK, capture};
use crate::cli::Arguments;
use crate::host_root::HostRoot;
use crate::model::{Actor, BootNanos, Pid, ProcessFacts};

/// A bounded memory of processes, by pid and start time.
#[derive(Debug)]
pub struct Processes {
    host: HostRoot,
    /// What is kept of their arguments.
    arguments: Arguments,
    by_pid: HashMap<Pid, Vec<Process>>,
    /// In the order in which they were first seen; the oldest go first.
    order: VecDeque<(BootNanos, Pid, BootNanos)>,
    reads: Allowance,
}

impl Processes {
    /// At most so many processes are remembered.
    pub const MAX: usize = 2_048;
    /// A process is forgotten so long after it was first seen.
    pub const MAX_AGE: u64 = 600 * 1_000_000_000;

    /// An empty memory; `host` says where /proc is.
    #[must_use]
    pub fn new(host: HostRoot, arguments: Arguments) -> Self {
        Self { host, arguments, by_pid: HashMap::new(), order: VecDeque::new(), reads: Allowance::default() }
    }

    /// Remembers what the kernel side saw.
    pub fn learn(&mut self, facts: &ProcessFacts) {
        self.remember(self.arguments.process_of(facts), facts.seen);
    }

    /// Reads the actor's process from /proc unless that was done before. To be called while it lives: at its open.
    /// Gives what is new; [`Self::remember`] takes it.
    pub fn witness(&mut self, actor: &Actor, now: BootNanos) -> Option<Process> {
        let known = self.find(actor.pid, now).is_some_and(|process| {
            // A main thread under another name has executed another program; other threads have names of their own.
            let same_program = actor.tid != actor.pid.0 || process.comm == actor.comm.to_string();
            process.attribution == Attribution::Full && same_program
        });
        if known || !self.reads.take(now) {
            return None;
        }
        capture(&self.host, actor.pid)
    }

    /// The process that had this pid at that time.
    #[must_use]
    pub fn find(&self, pid: Pid, at: BootNanos) -> Option<&Process> {
        let processes = self.by_pid.get(&pid)?;
        // Start times out of /proc are rounded down to a tick, never up.
        processes.iter().filter(|process| process.started <= at).max_by_key(|process| process.started)
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, now: BootNanos) {
        while self.order.front().is_some_and(|(seen, ..)| now.since(*seen) > Self::MAX_AGE) {
            self.forget_oldest();
        }
    }

    /// Remembers a process.
    pub fn remember(&mut self, mut process: Process, now: BootNanos) {
        self.arguments.hide(&mut process);
        let processes = self.by_pid.entry(process.pid).or_default();
        let same = |known: &&mut Process| known.started.0 / TICK == process.started.0 / TICK;
        if let Some(known) = processes.iter_mut().find(same) {
            // /proc knows more, and what was read last is true now: an exec changes name and arguments.
            if process.attribution >= known.attribution {
                std::mem::swap(known, &mut process);
                known.started = process.started.min(known.started);
            }
            known.fill_from(process);
            return;
        }
        self.order.push_back((now, process.pid, process.started));
        processes.push(process);
        if self.order.len() > Self::MAX {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, pid, started)) = self.order.pop_front() else { return };
        if let Some(processes) = self.by_pid.get_mut(&pid) {
            processes.retain(|process| process.started.0 / TICK != started.0 / TICK);
            if processes.is_empty() {
                self.by_pid.remove(&pid);
            }
        }
    }
}

/// Reading /proc costs some 100 µs a process; a storm of short processes must not take all our time.
#[derive(Debug, Default)]
struct Allowance {
    second: u64,
    used: u32,
}

impl Allowance {
    const PER_SECOND: u32 = 2_000;

    fn take(&mut self, now: BootNanos) -> bool {
        let second = now.0 / 1_000_000_000;
        if self.second != second {
            *self = Self { second, used: 0 };
        }
        self.used += 1;
        self.used <= Self::PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Comm;

    fn facts(pid: u32, started: u64, comm: &str) -> ProcessFacts {
        ProcessFacts {
            pid: Pid(pid),
            started: BootNanos(started),
            seen: BootNanos(started),
            comm: Comm::new(comm),
            uid: 3,
            cgroup_id: 0,
            args: b"x\0y\0".to_vec(),
            args_cut: false,
            ancestors: vec![(Pid(1), Comm::new("init"))],
        }
    }

    fn empty() -> (tempfile::TempDir, Processes) {
        let host = tempfile::tempdir().unwrap();
        let processes = Processes::new(HostRoot::new(host.path()), Arguments::default());
        (host, processes)
    }

    #[test]
    fn a_reused_pid_is_told_apart_by_time() {
        let (_host, mut processes) = empty();
        processes.learn(&facts(7, 1_000_000_000, "first"));
        processes.learn(&facts(7, 3_000_000_000, "second"));
        let comm = |at| processes.find(Pid(7), BootNanos(at)).map(|process| process.comm.as_str());
        assert_eq!(comm(2_000_000_000), Some("first"));
        assert_eq!(comm(4_000_000_000), Some("second"));
        assert_eq!(comm(500_000_000), None);
    }

    #[test]
    fn proc_and_kernel_are_one_process() {
        let (_host, mut processes) = empty();
        let me = Actor { pid: Pid(std::process::id()), tid: 1, comm: Comm::new("other-name") };
        processes.host = HostRoot::default();
        let now = crate::clock::boot_now();
        let captured = processes.witness(&me, now).unwrap();
        processes.remember(captured, now);
        let full = processes.find(me.pid, now).unwrap().clone();
        assert_eq!(full.attribution, Attribution::Full);
        processes.learn(&facts(me.pid.0, full.started.0 + 1, "x"));
        let after = processes.find(me.pid, now).unwrap();
        assert_eq!(*after, full);
    }

    #[test]
    fn a_process_that_is_gone_stays_known_for_a_while() {
        let (_host, mut processes) = empty();
        processes.learn(&facts(7, 0, "gone"));
        let gone = Actor { pid: Pid(7), tid: 7, comm: Comm::new("gone") };
        assert_eq!(processes.witness(&gone, BootNanos(1)), None);
        assert_eq!(processes.find(Pid(7), BootNanos(2)).unwrap().attribution, Attribution::Process);
        processes.expire(BootNanos(Processes::MAX_AGE));
        assert!(processes.find(Pid(7), BootNanos(2)).is_some());
        processes.expire(BootNanos(Processes::MAX_AGE + 1));
        assert!(processes.find(Pid(7), BootNanos(2)).is_none());
    }

    #[test]
    fn memory_is_bounded() {
        let (_host, mut processes) = empty();
        for pid in 0..2 * u32::try_from(Processes::MAX).unwrap() {
            processes.learn(&facts(pid, u64::from(pid), "x"));
        }
        assert_eq!(processes.order.len(), Processes::MAX);
        assert_eq!(processes.by_pid.len(), Processes::MAX);
    }
}
