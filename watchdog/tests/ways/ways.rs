//! The ways, and what becomes of each under vfs, syscalls and inotify.

use std::fs::File;

use crate::act;
use crate::program::Program;
use crate::site::Site;
use crate::table::Answer::{self, Blind, Counted, Seen};

/// What was made before the agent started.
pub(crate) type Early = Option<File>;

/// A way to write or read a state file.
pub(crate) struct Way {
    /// As the docs call it.
    pub(crate) name: &'static str,
    /// The findings of which one tells of it.
    pub(crate) findings: &'static [&'static str],
    /// Under each source.
    pub(crate) answers: [Answer; 3],
    /// Makes the container before the agent starts.
    pub(crate) prepare: fn(&Site, &str) -> Early,
    /// Goes the way; `None` where this machine does not know it.
    pub(crate) act: fn(&Site, &Program, &str, Early) -> Option<()>,
}

const fn write(
    name: &'static str,
    answers: [Answer; 3],
    prepare: fn(&Site, &str) -> Early,
    act: fn(&Site, &Program, &str, Early) -> Option<()>,
) -> Way {
    Way { name, findings: &["nonatomic_write"], answers, prepare, act }
}

const fn read(
    name: &'static str,
    answers: [Answer; 3],
    prepare: fn(&Site, &str) -> Early,
    act: fn(&Site, &Program, &str, Early) -> Option<()>,
) -> Way {
    Way { name, findings: &["torn_read", "overlapping_read", "exposed_reader"], answers, prepare, act }
}

pub(crate) const WAYS: &[Way] = &[
    write("open, truncate and write", [Seen, Seen, Seen], act::plain, act::by_name),
    write(
        "write through a descriptor opened before the agent started",
        [Seen, Seen, Seen],
        act::held,
        act::through_held,
    ),
    write(
        "write through a descriptor inherited over fork and exec",
        [Seen, Seen, Seen],
        act::plain,
        act::inherited,
    ),
    write("open_by_handle_at", [Seen, Seen, Seen], act::plain, act::by_handle),
    write("truncate(2) by name", [Seen, Seen, Seen], act::plain, act::truncate_by_name),
    write(
        "truncate(2) through a symbolic link of another name",
        [Seen, Counted, Seen],
        act::plain,
        act::truncate_by_link,
    ),
    write(
        "truncate(2) through /proc/self/fd",
        [Seen, Counted, Seen],
        act::plain,
        act::truncate_by_descriptor,
    ),
    write("a shared writable mapping", [Seen, Seen, Blind], act::plain, act::mapped),
    write("a shared mapping made writable by mprotect", [Seen, Seen, Blind], act::plain, act::mapped_later),
    write("copy_file_range", [Seen, Seen, Seen], act::plain, act::copied),
    write("a hard link outside the roots", [Seen, Seen, Blind], act::plain, act::linked),
    write(
        "a hard link that is older than the agent",
        [Seen, Seen, Blind],
        act::link_before,
        act::through_link,
    ),
    write(
        "state.json is a symbolic link to elsewhere",
        [Seen, Seen, Seen],
        act::link_elsewhere,
        act::by_name,
    ),
    write("state.json leads through `..data`", [Seen, Seen, Seen], act::link_data, act::by_name),
    write(
        "the container's directory is a symbolic link",
        [Seen, Seen, Seen],
        act::link_directory,
        act::by_name,
    ),
    write("the container's directory is a mount point", [Seen, Seen, Seen], act::nothing, act::mounted),
    write("the container's directory is a bind mount", [Seen, Seen, Seen], act::nothing, act::bound),
    write("FICLONE onto an open state file", [Seen, Seen, Seen], act::nothing, act::cloned),
    write("32-bit calls of a 64-bit program (int 0x80)", [Seen, Counted, Seen], act::plain, act::int80),
    read("read of an empty file", [Seen, Seen, Seen], act::plain, act::read_torn),
    read(
        "read through a descriptor inherited over fork",
        [Seen, Seen, Seen],
        act::plain,
        act::read_inherited,
    ),
    read(
        "read through a hard link outside the roots",
        [Seen, Seen, Blind],
        act::link_before,
        act::read_linked,
    ),
];
