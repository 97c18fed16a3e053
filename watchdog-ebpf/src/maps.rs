//! The maps.

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use watchdog_common::{
    Answer, EntryRecord, Identity, LossCounter, NAME_WINDOW, Name, PATH_LEN, RootKey, RootValue, Tracked,
};

/// Where records leave. The agent sets the size at load.
#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Names that matter; the first with length 0 ends the list.
#[map]
pub(crate) static NAMES: Array<Name> = Array::with_max_entries(Name::MAX, 0);

/// Registered roots.
#[map]
pub(crate) static ROOTS: HashMap<RootKey, RootValue> = HashMap::with_max_entries(1024, 0);

/// Tracked descriptions by the address of their `struct file`.
#[map]
pub(crate) static FILES: HashMap<u64, Tracked> = HashMap::with_max_entries(16384, 0);

/// The descriptions through which a file may be written, by the address of its inode. Not every way in which a
/// description ends has a hook here, so whoever comes to read asks first whether the writers are still there.
#[map]
pub(crate) static WRITERS: LruHashMap<u64, Writers> = LruHashMap::with_max_entries(8192, 0);

/// Operations on tracked descriptions in flight, by thread.
#[map]
pub(crate) static IN_FLIGHT: HashMap<u64, InFlight> = HashMap::with_max_entries(16384, 0);

/// When a thread entered a call that may turn out to matter. Indexed by a secret hash of the thread id: an array lookup
/// costs a few instructions where a hash table costs a hundred, and every open pays it. A thread that needs a slot in
/// which another one is moves that one's entry to [`DISPLACED`].
#[map]
pub(crate) static ENTRIES: Array<Entry> = Array::with_max_entries(1 << ENTRY_SLOT_BITS, 0);

/// Entries that another thread has displaced, by thread. The kernel drops the oldest when it is full: a thread loses its
/// entry when so many others were displaced during its one call.
#[map]
pub(crate) static DISPLACED: LruHashMap<u64, Entry> = LruHashMap::with_max_entries(8192, 0);

/// Calls of VFS functions on tracked descriptions in flight, by thread and function.
#[map]
pub(crate) static OPERATIONS: HashMap<u64, Operation> = HashMap::with_max_entries(16384, 0);

/// Descriptions on their way through `do_dentry_open`, by thread and place on its stack, where its return does not
/// show them.
#[map]
pub(crate) static ENTERED: HashMap<[u64; 2], u64> = HashMap::with_max_entries(1024, 0);

/// The same the other way round: where a description ends that is still on its way, its open's return was missed.
#[map]
pub(crate) static OPENINGS: HashMap<u64, [u64; 2]> = HashMap::with_max_entries(1024, 0);

/// Names that are about to change, by thread and function, as they were before.
#[map]
pub(crate) static CHANGES: HashMap<u64, Change> = HashMap::with_max_entries(128, 0);

/// An empty one, which is too large for the stack.
#[map]
pub(crate) static BLANK: Array<Change> = Array::with_max_entries(1, 0);

/// Shared mappings that may become writable, by the address of their `struct mm_struct`.
#[map]
pub(crate) static MAPPINGS: LruHashMap<u64, Mappings> = LruHashMap::with_max_entries(1024, 0);

/// The state files that are known, and the files beside them that were opened for writing, by identity. Value: number of
/// the root.
#[map]
pub(crate) static INODES: LruHashMap<RootKey, u64> = LruHashMap::with_max_entries(32768, 0);

/// Processes that touched a file that matters: whose end is news, and who need no further introduction.
#[map]
pub(crate) static PROCESSES: LruHashMap<u32, Known> = LruHashMap::with_max_entries(16384, 0);

/// Counters by [`LossCounter`]. The agent reads them often, and so by a mapping.
#[map]
pub(crate) static LOSSES: Array<u64> = Array::with_max_entries(LossCounter::COUNT, BPF_F_MMAPABLE);

/// The answer to the agent's last question after a description, by [`Answer`], and what else it reads by a mapping.
#[map]
pub(crate) static ANSWERS: Array<u64> = Array::with_max_entries(Answer::COUNT, BPF_F_MMAPABLE);

/// The answer to the agent's last question after an identity.
#[map]
pub(crate) static IDENTITY: Array<Identity> = Array::with_max_entries(1, 0);

/// Room for a call's two paths, which the stack has not: one for each copy of the program that uses it, because a copy may be
/// preempted in favour of the other.
#[map]
pub(crate) static PATHS: PerCpuArray<[PathRoom; 2]> = PerCpuArray::with_max_entries(2, 0);

pub(crate) const ENTRY_SLOT_BITS: u32 = 16;

/// Addresses of `struct file`s, 0 for none. Writers beyond these are found gone by the agent's questions.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Writers(pub(crate) [u64; 4]);

/// A shared mapping of a tracked description; `file` is 0 for none.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Mapping {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Address of the `struct file`.
    pub(crate) file: u64,
    pub(crate) opened: u64,
}

impl Mapping {
    pub(crate) const NONE: Self = Self { start: 0, end: 0, file: 0, opened: 0 };
}

/// Those of one address space; of more the last ones are known.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Mappings(pub(crate) [Mapping; 2]);

/// An operation between entry and return. `second` is 0 but for copies between two tracked descriptions.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct InFlight {
    pub(crate) start: u64,
    /// The [`Turn`](crate::turn::Turn)s that know of it.
    pub(crate) turns: u64,
    pub(crate) first: End,
    pub(crate) second: End,
}

/// One description's part in an operation in flight.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct End {
    /// Address of the `struct file`; 0 when this end is not tracked.
    pub(crate) file: u64,
    pub(crate) opened: u64,
    /// Address of its inode.
    pub(crate) inode: u64,
    /// The description's position at entry.
    pub(crate) position: u64,
    pub(crate) size: u64,
}

impl End {
    pub(crate) const NONE: Self = Self { file: 0, opened: 0, inode: 0, position: 0, size: 0 };
}

/// A call of a VFS function between entry and return.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Operation {
    pub(crate) start: u64,
    pub(crate) file: u64,
    pub(crate) opened: u64,
    /// Address of the file's inode.
    pub(crate) inode: u64,
    /// Size at entry.
    pub(crate) size: u64,
    /// Address of the position that the function moves.
    pub(crate) position: u64,
    pub(crate) requested: u64,
    pub(crate) extra: u64,
    /// The [`Turn`](crate::turn::Turn)s that know of it.
    pub(crate) turns: u64,
    /// Where the call stands on the thread's stack.
    pub(crate) frame: u64,
}

/// Names that are about to change.
#[repr(C)]
pub(crate) struct Change {
    pub(crate) record: EntryRecord,
    /// The [`Turn`](crate::turn::Turn)s that know of it.
    pub(crate) turns: u64,
    /// Where the call stands on the thread's stack.
    pub(crate) frame: u64,
    /// Address of the first name's inode.
    pub(crate) inode: u64,
}

/// A slot of [`ENTRIES`].
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Entry {
    pub(crate) thread: u64,
    pub(crate) at: u64,
    /// The [`Turn`](crate::turn::Turn)s that know that the call has been told; 0 until it has.
    pub(crate) told: u64,
}

/// A process as we saw it: another start or another program under the same pid is another process.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Known {
    pub(crate) started: u64,
    pub(crate) program: u64,
}

/// A path; zeros stand before it so that a window that ends with the path can be read whatever its length.
#[repr(C)]
pub(crate) struct PathRoom {
    pub(crate) before: [u8; NAME_WINDOW],
    pub(crate) path: [u8; PATH_LEN],
}
