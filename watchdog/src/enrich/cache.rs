//! Processes that were seen, remembered after they are gone.

use std::collections::{HashMap, VecDeque};

use super::process::{Attribution, Process, TICK, capture_at_once};
use crate::cli::Arguments;
use crate::host_root::HostRoot;
use crate::model::{Actor, BootNanos, Pid, ProcessFacts};

/// A bounded memory of processes, by pid, start time and program.
#[derive(Debug)]
pub struct Processes {
    host: HostRoot,
    /// What is kept of their arguments.
    arguments: Arguments,
    by_pid: HashMap<Pid, Vec<Process>>,
    /// In the order in which they were first seen, with their start; the oldest go first.
    order: VecDeque<(BootNanos, Pid, BootNanos)>,
    reads: Allowance,
}

impl Processes {
    /// At most so many processes are remembered.
    pub const MAX: usize = 2_048;
    /// At most so many programs of one process are remembered.
    const MAX_PROGRAMS: usize = 8;
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
        capture_at_once(&self.host, actor.pid)
    }

    /// Whether arguments are missing of the process that has this pid now, or were cut where the kernel side cuts them.
    #[must_use]
    pub fn lacks_arguments(&self, pid: Pid, now: BootNanos) -> bool {
        /// The kernel side shows 256 bytes, their separators included.
        const SURELY_WHOLE: usize = 200;
        let bytes = |args: &[String]| args.iter().map(String::len).sum::<usize>();
        self.find(pid, now)
            .is_some_and(|process| process.args.is_empty() || bytes(&process.args) > SURELY_WHOLE)
    }

    /// The process that had this pid at that time, with the program that it ran then: the last that it is known to have
    /// begun by then, else the first that is known.
    #[must_use]
    pub fn find(&self, pid: Pid, at: BootNanos) -> Option<&Process> {
        let processes = self.by_pid.get(&pid)?;
        Self::index(processes, at).map(|index| &processes[index])
    }

    fn index(processes: &[Process], at: BootNanos) -> Option<usize> {
        // Start times out of /proc are rounded down to a tick, never up.
        let begun = processes.iter().enumerate().filter(|(_, process)| process.started <= at);
        let key = |process: &Process| {
            let ran = process.since <= at;
            // Of those that began later, the first.
            let since = if ran { process.since.0 } else { u64::MAX - process.since.0 };
            (process.started.0 / TICK, ran, since)
        };
        begun.max_by_key(|(_, process)| key(process)).map(|(index, _)| index)
    }

    /// Forgets what is too old.
    pub fn expire(&mut self, now: BootNanos) {
        while self.order.front().is_some_and(|(seen, ..)| now.since(*seen) > Self::MAX_AGE) {
            self.forget_oldest();
        }
    }

    /// Remembers a process, which somebody looked at a moment after `now`.
    pub fn remember(&mut self, mut process: Process, now: BootNanos) {
        self.arguments.hide(&mut process);
        let processes = self.by_pid.entry(process.pid).or_default();
        let is_same = |known: &Process| known.started.0 / TICK == process.started.0 / TICK;
        let known = match process.program {
            Some(_) => processes.iter().position(|known| {
                is_same(known)
                    && (known.program == process.program
                        || known.program.is_none() && known.shows_the_program_of(&process))
            }),
            // /proc tells the process for certain, and its program if it is still the same.
            None => Self::index(processes, now).filter(|&index| {
                let known = &processes[index];
                is_same(known) && (known.program.is_some() || known.shows_the_program_of(&process))
            }),
        };
        if let Some(known) = known.map(|index| &mut processes[index]) {
            if known.program.is_none() && process.program.is_some() {
                std::mem::swap(known, &mut process);
                known.started = process.started.min(known.started);
            }
            known.fill_from(process);
            return;
        }
        if process.program.is_none() && processes.iter().any(is_same) {
            // The kernel side did not see that it executed another program.
            process.since = now;
        }
        let programs = processes.iter().filter(|known| is_same(known)).count();
        if programs >= Self::MAX_PROGRAMS
            && let Some(first) = processes.iter().position(is_same)
        {
            processes.remove(first);
            processes.push(process);
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
            // Its first program that is still known: there is one entry for each.
            if let Some(first) = processes.iter().position(|known| known.started.0 / TICK == started.0 / TICK)
            {
                processes.remove(first);
            }
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
            since: BootNanos(started),
            seen: BootNanos(started),
            program: 0,
            exe: None,
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
        assert!(processes.lacks_arguments(me.pid, now), "they are not read at once");
        processes.remember(crate::enrich::capture(&processes.host, me.pid).unwrap(), now);
        let full = processes.find(me.pid, now).unwrap().clone();
        assert_eq!(full.attribution, Attribution::Full);
        let kernel = ProcessFacts {
            comm: Comm::new(&full.comm),
            args: full.args[0].clone().into_bytes(),
            ..facts(me.pid.0, full.started.0 + 1, "")
        };
        processes.learn(&kernel);
        let after = processes.find(me.pid, now).unwrap();
        assert_eq!((after.program, after.uid, after.attribution), (Some(0), Some(3), Attribution::Full));
        assert_eq!((&after.exe, &after.args, &after.cgroup), (&full.exe, &full.args, &full.cgroup));
        assert_eq!(processes.by_pid[&me.pid].len(), 1);
    }

    /// A process that runs one program after another, as the kernel side tells it.
    fn runs(pid: u32, program: u32, since: u64, comm: &str) -> ProcessFacts {
        ProcessFacts {
            since: BootNanos(since),
            seen: BootNanos(since),
            program,
            exe: Some(format!("/usr/bin/{comm}")),
            args: format!("{comm}\0-c\0").into_bytes(),
            ..facts(pid, 10, comm)
        }
    }

    #[test]
    fn a_process_is_the_program_that_it_ran_at_that_time() {
        let (_host, mut processes) = empty();
        processes.learn(&runs(7, 1, 100, "sh"));
        processes.learn(&runs(7, 2, 200, "cat"));
        // The kernel side tells a program again when it has forgotten that it did.
        processes.learn(&runs(7, 1, 150, "sh"));
        let at = |at| {
            let found = processes.find(Pid(7), BootNanos(at)).unwrap();
            (found.comm.as_str(), found.exe.as_deref().unwrap(), found.args[0].as_str())
        };
        let [sh, cat] = [("sh", "/usr/bin/sh", "sh"), ("cat", "/usr/bin/cat", "cat")];
        assert_eq!([50, 100, 199, 200, 900].map(at), [sh, sh, sh, cat, cat]);
    }

    #[test]
    fn what_proc_shows_of_a_later_program_does_not_mix_with_an_earlier_one() {
        let (_host, mut processes) = empty();
        processes.learn(&runs(7, 1, 100, "sh"));
        let read = Process {
            program: None,
            since: BootNanos(10),
            attribution: Attribution::Full,
            cgroup: Some("/pod".to_owned()),
            ..Process::from_facts(&runs(7, 0, 0, "cat"))
        };
        processes.remember(read, BootNanos(120));
        let found = processes.find(Pid(7), BootNanos(120)).unwrap();
        assert_eq!((found.comm.as_str(), found.exe.as_deref()), ("sh", Some("/usr/bin/sh")));
        assert_eq!(found.args, ["sh", "-c"]);
        assert_eq!(found.cgroup.as_deref(), Some("/pod"));
        // Its own, with more of its arguments, does.
        let read = Process {
            program: None,
            args: ["sh", "-c", "more"].map(str::to_owned).to_vec(),
            attribution: Attribution::Full,
            ..Process::from_facts(&runs(7, 0, 0, "sh"))
        };
        processes.remember(read, BootNanos(130));
        let found = processes.find(Pid(7), BootNanos(130)).unwrap();
        assert_eq!((found.args.len(), found.attribution), (3, Attribution::Full));
    }

    #[test]
    fn a_process_that_executes_for_ever_takes_bounded_memory() {
        let (_host, mut processes) = empty();
        for program in 0..100 {
            processes.learn(&runs(7, program, 100 + u64::from(program), "sh"));
        }
        assert_eq!(processes.by_pid[&Pid(7)].len(), Processes::MAX_PROGRAMS);
        assert_eq!(processes.order.len(), Processes::MAX_PROGRAMS);
        processes.expire(BootNanos(u64::MAX));
        assert!(processes.by_pid.is_empty() && processes.order.is_empty());
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
