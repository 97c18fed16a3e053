//! How much of a process's arguments is kept. They may hold secrets.
//!
//! Findings take arguments from [`super::Processes`], recordings from the steps that they write. Both apply [`Arguments`]
//! to what comes in, so that everything behind them holds what may be shown and nothing else.

mod names;
mod redact;
mod words;

use super::Process;
use super::process::{MAX_ARGS_BYTES, split_args};
use crate::cli::Arguments;
use crate::model::{Comm, ProcessFacts};

use redact::redact;

impl Arguments {
    /// Hides what is not to be kept of a process that was read from /proc.
    pub fn hide(self, process: &mut Process) {
        // What `split_args` cut has this length.
        let length: usize = process.args.iter().map(|arg| arg.len() + 1).sum();
        self.hide_args(process, length > MAX_ARGS_BYTES);
    }

    /// Returns the process that the kernel side saw, without what is not to be kept.
    pub(super) fn process_of(self, facts: &ProcessFacts) -> Process {
        let mut process = Process::from_facts(facts);
        self.hide_args(&mut process, facts.args_cut);
        process
    }

    /// Hides what is not to be kept of what the kernel side saw.
    pub fn hide_in_facts(self, facts: &mut ProcessFacts) {
        match self {
            Self::Full => {}
            Self::Redacted => {
                let mut args = split_args(&facts.args);
                // Where nothing is hidden the bytes stay as they are; they need not be text.
                if redact(&mut args, facts.args_cut) {
                    facts.args = args.join("\0").into_bytes();
                }
            }
            Self::None => {
                facts.comm = Comm::new(self.process_of(facts).name());
                facts.args.clear();
            }
        }
    }

    fn hide_args(self, process: &mut Process, cut: bool) {
        match self {
            Self::Full => {}
            Self::Redacted => {
                redact(&mut process.args, cut);
            }
            Self::None => {
                // The name may come from the first argument.
                process.comm = process.name().to_owned();
                process.args.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BootNanos, Pid};

    fn facts(args: &[u8]) -> ProcessFacts {
        ProcessFacts {
            pid: Pid(7),
            started: BootNanos(0),
            seen: BootNanos(0),
            since: BootNanos(0),
            program: 0,
            exe: None,
            comm: Comm::new("4"),
            uid: 0,
            cgroup_id: 0,
            args: args.to_vec(),
            args_cut: false,
            ancestors: Vec::new(),
        }
    }

    #[test]
    fn facts_and_processes_hide_the_same() {
        let raw = b"/usr/bin/youki\0--token\0abc\0run\0x";
        for (arguments, expected) in [
            (Arguments::Full, &["/usr/bin/youki", "--token", "abc", "run", "x"][..]),
            (Arguments::Redacted, &["/usr/bin/youki", "--token", "***", "run", "x"]),
            (Arguments::None, &[]),
        ] {
            let process = arguments.process_of(&facts(raw));
            assert_eq!(
                (process.name(), &*process.args),
                ("youki", &*expected.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
            );
            let mut hidden = facts(raw);
            arguments.hide_in_facts(&mut hidden);
            assert_eq!(Process::from_facts(&hidden).args, process.args);
            assert_eq!(Process::from_facts(&hidden).name(), "youki");
        }
    }

    #[test]
    fn bytes_without_a_secret_stay_as_they_are() {
        let raw = b"runc\0\xff\xfe\0exec\0";
        let mut hidden = facts(raw);
        Arguments::Redacted.hide_in_facts(&mut hidden);
        assert_eq!(hidden.args, raw);
    }

    #[test]
    fn what_was_cut_may_have_been_a_password() {
        let mut cut = facts(b"app\0postgres://alice:hun");
        cut.args_cut = true;
        assert_eq!(Arguments::Redacted.process_of(&cut).args, ["app", "***"]);
        let mut long = Arguments::Full.process_of(&facts(&vec![b'x'; MAX_ARGS_BYTES - 24]));
        long.args.push("postgres://alice:hunter".to_owned());
        Arguments::Redacted.hide(&mut long);
        assert_eq!(long.args[1], "***");
    }
}
