//! Which function serves which operation: candidates in order, each with the doors that fit it. Pure.
//!
//! Versions are never asked for. A function that the kernel's BTF does not name, or that takes another number of
//! parameters than the doors know, is no candidate.

/// An operation of the source `vfs`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hook {
    /// What it sees; the label value of `probe`.
    pub(super) operation: &'static str,
    /// What it means when it cannot be attached.
    pub(super) need: Need,
    /// Whether threads may be in its function for as long as they like, waiting for others. A kretprobe has room for
    /// ten or for twice the CPUs (`register_kretprobe`, 5.10 to 7.2; 5.10 without preemption: for the CPUs), whatever the
    /// file that they wait for.
    pub(super) waits: bool,
    /// The functions that would do, best first.
    pub(super) candidates: &'static [Candidate],
}

/// What it means when a hook cannot be attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The source does not run: the next one sees more.
    Required,
    /// The operation is not seen.
    Wanted,
    /// Nothing, where the kernel has no function for it: another hook sees the operation there.
    Extra,
}

/// A function with doors that fit it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// The kernel's function.
    pub(super) function: &'static str,
    /// How many parameters it takes.
    pub(super) parameters: usize,
    /// The beginning of the programs' names.
    pub(super) doors: &'static str,
    /// What programs there are.
    pub(super) shape: Shape,
}

/// What programs a pair of doors has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Entry and return.
    Both,
    /// Entry alone.
    Entry,
    /// Return alone; where that cannot show arguments, as with kretprobes, entry too.
    Return,
}

const fn hook(operation: &'static str, need: Need, candidates: &'static [Candidate]) -> Hook {
    Hook { operation, need, waits: false, candidates }
}

const fn waiting(hook: Hook) -> Hook {
    Hook { waits: true, ..hook }
}

const fn on(function: &'static str, parameters: usize, doors: &'static str, shape: Shape) -> Candidate {
    Candidate { function, parameters, doors, shape }
}

use Need::{Extra, Required, Wanted};
use Shape::{Both, Entry, Return};

/// All operations. Each comment names what else would see the operation, or why nothing else does.
pub(super) const HOOKS: [Hook; 31] = [
    // Runs after `vfs_open` has set the path and before truncation; O_TMPFILE (6.1 on) and filesystems that open
    // atomically come through `finish_open` to it, past `vfs_open`.
    hook(
        "open",
        Required,
        &[on("do_dentry_open", 2, "open_2", Return), on("do_dentry_open", 3, "open_3", Return)],
    ),
    // Both run when the last reference is gone; `security_file_free` also for files that were never opened.
    hook(
        "release",
        Required,
        &[on("__fput", 1, "release", Entry), on("security_file_free", 1, "release", Entry)],
    ),
    waiting(hook("read", Required, &[on("vfs_read", 4, "read", Both)])),
    waiting(hook("write", Required, &[on("vfs_write", 4, "write", Both)])),
    // Where the agent's questions arrive too.
    hook("allocate", Required, &[on("vfs_fallocate", 4, "allocate", Both)]),
    // O_TRUNC, ftruncate and truncate(2) all reach it; 5.12 put a parameter in front.
    hook(
        "truncate",
        Required,
        &[on("do_truncate", 5, "truncate_5", Both), on("do_truncate", 4, "truncate_4", Both)],
    ),
    waiting(hook("readv", Wanted, &[on("vfs_readv", 5, "readv", Both)])),
    waiting(hook("writev", Wanted, &[on("vfs_writev", 5, "writev", Both)])),
    // Without it, an open's span begins at its end, after the name was looked up.
    hook("lookup", Wanted, &[on("do_file_open", 3, "lookup", Entry), on("do_filp_open", 3, "lookup", Entry)]),
    hook("rename", Wanted, &[on("vfs_rename", 1, "rename", Both)]),
    hook("link", Wanted, &[on("vfs_link", 5, "link_5", Both), on("vfs_link", 4, "link_4", Both)]),
    hook("unlink", Wanted, &[on("vfs_unlink", 4, "unlink_4", Both), on("vfs_unlink", 3, "unlink_3", Both)]),
    waiting(hook("sync", Wanted, &[on("vfs_fsync_range", 4, "sync", Both)])),
    // Compilers put `vfs_fsync_range` into it, as seen in a build of 7.2, or it into the system call.
    waiting(hook("fsync", Extra, &[on("do_fsync", 2, "fsync", Both)])),
    // Compilers put all of the above into this system call, as seen in builds of 5.10 and 6.1.
    waiting(hook(
        "fdatasync",
        Extra,
        &[on("__x64_sys_fdatasync", 1, "fdatasync", Both), on("__arm64_sys_fdatasync", 1, "fdatasync", Both)],
    )),
    hook("map", Wanted, &[on("security_mmap_file", 3, "map", Both)]),
    waiting(hook("record_lock", Wanted, &[on("fcntl_setlk", 4, "record_lock", Both)])),
    waiting(hook("flock", Wanted, &[on("locks_lock_inode_wait", 2, "flock", Both)])),
    // 6.5 renamed it.
    waiting(hook(
        "splice_read",
        Wanted,
        &[on("do_splice_read", 5, "splice_read", Both), on("do_splice_to", 5, "splice_read", Both)],
    )),
    waiting(hook("splice_write", Wanted, &[on("iter_file_splice_write", 5, "splice_write", Both)])),
    // Overlayfs calls the function above for the file below alone.
    waiting(hook("splice", Extra, &[on("do_splice", 6, "splice", Both)])),
    waiting(hook("sendfile", Extra, &[on("do_splice_direct", 6, "sendfile", Both)])),
    hook("copy_file_range", Wanted, &[on("vfs_copy_file_range", 6, "copy", Both)]),
    // Reflinks by ioctl; copy_file_range asks the file system itself.
    hook("clone", Wanted, &[on("vfs_clone_file_range", 6, "clone", Both)]),
    hook("protect", Wanted, &[on("security_file_mprotect", 3, "protect", Both)]),
    // What one part of the kernel reads or writes for another: overlayfs in its layers, loop devices, file servers.
    waiting(hook("kernel_iter_read", Wanted, &[on("vfs_iter_read", 4, "iter_read", Both)])),
    waiting(hook("kernel_iter_write", Wanted, &[on("vfs_iter_write", 4, "iter_write", Both)])),
    waiting(hook("kernel_write", Wanted, &[on("kernel_write", 4, "kernel_write", Both)])),
    // io_uring calls the filesystem itself: `io_read` and `io_write` show the request, `kiocb_done` its result.
    hook("io_uring_read", Wanted, &[on("io_read", 2, "uring_read", Both)]),
    hook("io_uring_write", Wanted, &[on("io_write", 2, "uring_write", Both)]),
    // 5.16 exchanged the first parameter for one with the same address; 6.0 and 6.12 added one each.
    hook(
        "io_uring_done",
        Wanted,
        &[on("kiocb_done", 3, "uring_done", Entry), on("kiocb_done", 4, "uring_done", Entry)],
    ),
];

impl Candidate {
    /// Called by `do_exit` alone, right behind the tracepoint `sched_process_exit` (5.10 to 7.2).
    pub(super) const PROCESS_EXIT: Self = on("exit_files", 1, "process_exit", Entry);

    /// The programs to attach where fentry works: name, and whether it goes to the return.
    pub(super) fn tracing_programs(&self) -> Vec<(String, bool)> {
        let entry = || (format!("{}_fentry", self.doors), false);
        let exit = || (format!("{}_fexit", self.doors), true);
        match self.shape {
            Both => vec![exit(), entry()],
            Entry => vec![entry()],
            Return => vec![exit()],
        }
    }

    /// Their twins. The number of parameters does not matter at a return, so such doors serve all of them.
    pub(super) fn probe_programs(&self) -> Vec<(String, bool)> {
        let doors = match self.shape {
            Return => self.doors.trim_end_matches(|c: char| c == '_' || c.is_ascii_digit()),
            Both | Entry => self.doors,
        };
        let entry = || (format!("{doors}_kprobe"), false);
        let exit = || (format!("{doors}_kretprobe"), true);
        match self.shape {
            Both | Return => vec![exit(), entry()],
            Entry => vec![entry()],
        }
    }

    /// The same, with a probe at the entry that gives types to addresses; where it would be of use.
    pub(super) fn typed_probe_programs(&self) -> Option<Vec<(String, bool)>> {
        let type_it = |(name, at_return): (String, bool)| {
            (if at_return { name } else { name.replace("_kprobe", "_typed_kprobe") }, at_return)
        };
        (self.shape == Return).then(|| self.probe_programs().into_iter().map(type_it).collect())
    }

    /// A probe at the entry, tracing programs at the return.
    pub(super) fn mixed_programs(&self) -> Vec<(String, bool)> {
        let exit = |copy: &str| (format!("{}_fexit{copy}", self.doors), true);
        vec![exit(""), exit("_again"), (format!("{}_kprobe", self.doors), false)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn operations_are_told_apart_and_have_a_candidate() {
        let names: HashSet<_> = HOOKS.iter().map(|hook| hook.operation).collect();
        assert_eq!(names.len(), HOOKS.len());
        assert!(HOOKS.iter().all(|hook| !hook.candidates.is_empty()));
    }

    #[test]
    fn what_may_wait_has_doors_at_both_ends() {
        let waiting = HOOKS.iter().filter(|hook| hook.waits).flat_map(|hook| hook.candidates);
        assert!(waiting.map(|candidate| candidate.shape).all(|shape| shape == Both));
    }

    #[test]
    fn a_return_door_of_many_prototypes_has_one_twin() {
        let named = |[exit, entry]: [&str; 2]| [(exit.to_owned(), true), (entry.to_owned(), false)];
        let open = HOOKS[0].candidates;
        assert_eq!(open[0].tracing_programs(), [("open_2_fexit".to_owned(), true)]);
        assert_eq!(open[0].probe_programs(), named(["open_kretprobe", "open_kprobe"]));
        assert_eq!(open[0].probe_programs(), open[1].probe_programs());
        assert_eq!(
            open[0].typed_probe_programs(),
            Some(named(["open_kretprobe", "open_typed_kprobe"]).into())
        );
        let truncate = on("do_truncate", 5, "truncate_5", Both);
        assert_eq!(truncate.probe_programs(), named(["truncate_5_kretprobe", "truncate_5_kprobe"]));
    }
}
