//! What a source cannot see, for `/status` and `doctor`. Pure.

use serde::Serialize;

use super::SourceKind;

/// A way to a file, or something about it, that a source is blind to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BlindSpot {
    /// What goes past it.
    pub what: &'static str,
    /// What that means for the answers.
    pub effect: &'static str,
}

const fn spot(what: &'static str, effect: &'static str) -> BlindSpot {
    BlindSpot { what, effect }
}

/// Stores through a mapping are seen by nobody: the processor makes them.
const STORES: BlindSpot = spot(
    "single stores through a shared writable mapping",
    "the mapping counts as an in-place write from mmap on; when it was stored to is not known",
);

/// What is looked for once a second alone.
const LINKS: BlindSpot = spot(
    "the first second of a state file behind a new symbolic link or mount",
    "links and mounts are looked for once a second; what happens before is not reported",
);

/// A mapping without a descriptor leaves nothing to take over.
const OLDER_MAPPINGS: BlindSpot = spot(
    "shared mappings that are older than the agent and whose descriptor is closed",
    "stores through them are not reported",
);

/// The kernel's own asynchronous calls go past the functions and the system calls that are watched.
const AIO: BlindSpot =
    spot("io_submit (Linux native AIO)", "a write is known by the file's size alone, a read is not reported");

const VFS: [BlindSpot; 11] = [
    STORES,
    LINKS,
    OLDER_MAPPINGS,
    AIO,
    spot(
        "results of direct io_uring reads and writes (O_DIRECT), which come by interrupt",
        "a write is known by the file's size alone, a read is not told",
    ),
    spot(
        "accesses through overlayfs, for a root that is registered by its upper layer's folder, up to 6.4",
        "told of the merged folder alone, which has to be registered instead",
    ),
    spot(
        "splice and sendfile out of overlayfs, for a root that is registered by its upper layer's folder",
        "opens are told, reads are told of the merged folder alone",
    ),
    spot(
        "loop devices from 6.15 on, in stable kernels that took that over (6.12.117 did), and where they use direct I/O: they call the filesystem itself",
        "a write is known by the file's size alone",
    ),
    spot(
        "in-kernel callers of a filesystem's own read_iter and write_iter, such as core dumps and cachefiles",
        "a write is known by the file's size alone, a read is not told",
    ),
    spot(
        "who asked, for io_uring's workers and pollers up to 5.11",
        "these are threads of the kernel there, and are told as reader or writer",
    ),
    spot(
        "the return of a call while many others wait in the same function, where fentry is refused",
        "counted as lost with the reason `probe_missed`, at the latest when the file is closed, and what it meets is `unknown`",
    ),
];

const SYSCALLS: [BlindSpot; 10] = [
    STORES,
    LINKS,
    OLDER_MAPPINGS,
    AIO,
    spot(
        "io_uring: opens, reads, writes and all else",
        "a request on an open state file is counted as lost with the reason `io_uring`, and what it meets is `unknown`; one on \
         a registered file is left to the second witness",
    ),
    spot("reads and writes by the kernel itself: overlayfs, loop devices, file servers", "not told"),
    spot(
        "vmsplice, process_madvise and other ways into a pipe that ends in a splice",
        "the splice alone is told",
    ),
    spot("the moment of a description's end, but for close and dup2", "it is asked for, and told as a span"),
    spot(
        "32-bit calls (32-bit programs, x32 programs, int 0x80)",
        "an open of a state file is counted as lost with the reason `compat`",
    ),
    spot(
        "which file a truncate(2) changes whose path another root, mount namespace or symbolic link leads astray",
        "counted as lost with the reason `unresolved`, or left to the cross-check",
    ),
];

const INOTIFY: [BlindSpot; 8] = [
    spot("accesses by a hard link outside the roots", "not reported"),
    LINKS,
    spot("who did it", "attribution is `none`"),
    spot(
        "offsets, lengths and results",
        "no read is proved torn, one within a write window is `overlapping`",
    ),
    spot("reads and writes through mappings, and stores", "not told"),
    spot(
        "whether a modification changed anything",
        "a truncation to the size that the file has already is reported as an in-place write",
    ),
    spot(
        "locks and fsync",
        "sessions of a runtime whose profile names a lock are `unknown`, and `durable` is never said",
    ),
    spot(
        "two events of a kind in a row",
        "the kernel joins them to one until they are taken, so counts of reads are lower bounds",
    ),
];

/// What the source cannot see even where all its probes are attached.
#[must_use]
pub const fn blind_spots(source: SourceKind) -> &'static [BlindSpot] {
    match source {
        SourceKind::Vfs => &VFS,
        SourceKind::Syscalls => &SYSCALLS,
        SourceKind::Inotify => &INOTIFY,
        SourceKind::Replay => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_live_source_owns_up_to_something() {
        for source in [SourceKind::Vfs, SourceKind::Syscalls, SourceKind::Inotify] {
            let spots = blind_spots(source);
            assert!(!spots.is_empty());
            assert!(spots.iter().all(|spot| !spot.what.is_empty() && !spot.effect.is_empty()));
        }
        assert!(blind_spots(SourceKind::Replay).is_empty());
    }
}
