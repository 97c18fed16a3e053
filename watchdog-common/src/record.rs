//! Records of the ring buffer. Each begins with a [`Header`]; its kind and size decide what follows.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Length of a thread's name.
pub const COMM_LEN: usize = 16;
/// Room for a directory's name in most records; container ids of 64 digits fit.
pub const SHORT_NAME: usize = 72;
/// Room for every name that a directory entry can have, and its NUL.
pub const LONG_NAME: usize = 256;
/// Room for a path; longer ones arrive cut, and say so.
pub const PATH_LEN: usize = 512;
/// How many ancestors a process record names.
pub const ANCESTORS: usize = 8;
/// How much of a command line a process record holds.
pub const ARGS_LEN: usize = 256;
/// How many components of its program's path a process record holds.
pub const EXE_PARTS: usize = 12;
/// Stands for an offset or size that could not be told.
pub const UNKNOWN: u64 = u64::MAX;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Kind {
    /// [`ProcessRecord`]
    Process = 1,
    /// [`OpenRecord`]
    Open = 2,
    /// [`IoRecord`]
    Io = 3,
    /// [`PathRecord`]
    Path = 4,
    /// [`ExitRecord`]
    Exit = 5,
    /// [`EntryRecord`]
    Entry = 6,
}

/// The beginning of every record.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// A [`Kind`].
    pub kind: u16,
    /// Size of the whole record.
    pub size: u16,
    /// Sub-kind: [`IoKind`], [`PathKind`].
    pub what: u16,
    /// Keeps the times aligned.
    pub reserved: u16,
    /// Entry, `bpf_ktime_get_boot_ns`.
    pub start: u64,
    /// Return.
    pub end: u64,
    /// How many records were lost so far, read after this one had its place in the ring buffer.
    pub lost: u64,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// The thread's name.
    pub comm: [u8; COMM_LEN],
}

/// A process that touched a file that matters for the first time, or for the first time after it executed a program.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ProcessRecord {
    /// From when the process is known to run this program until the probe looked. `comm` is the main thread's name.
    pub header: Header,
    /// When the process started, boot time.
    pub started: u64,
    /// cgroup v2 id.
    pub cgroup: u64,
    /// Real user id.
    pub uid: u32,
    /// How many bytes of `args` count.
    pub args_len: u32,
    /// How long the command line is.
    pub args_total: u64,
    /// How many of `ancestors` count.
    pub ancestor_count: u32,
    /// How many programs the process and its forebears have executed: tells the programs of one process apart.
    pub program: u32,
    /// 1 when the program's file has no name any more.
    pub exe_is_deleted: u64,
    /// Parent first.
    pub ancestors: [Ancestor; ANCESTORS],
    /// The command line's beginning.
    pub args: [u8; ARGS_LEN],
    /// The path of the program's file, its last component first, up to the root, which is `/`; each ended by NUL. Without a
    /// root it is cut.
    pub exe: [[u8; SHORT_NAME]; EXE_PARTS],
}

/// One step towards init.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Ancestor {
    /// Its thread group.
    pub pid: u32,
    /// Its name.
    pub comm: [u8; COMM_LEN],
}

/// A description came into being on a file that matters.
///
/// Behind it follow the names of the file, of its directory and, at depth 2, of the directory above, each in a room of
/// its own and ended by NUL: two rooms of [`SHORT_NAME`], or two or three of [`LONG_NAME`] bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct OpenRecord {
    /// The call.
    pub header: Header,
    /// Address of the `struct file`.
    pub file: u64,
    /// When the call returned: with `file`, the description's identity.
    pub opened: u64,
    /// Inode number.
    pub ino: u64,
    /// Device.
    pub dev: u32,
    /// Generation.
    pub generation: u32,
    /// Size at return.
    pub size: u64,
    /// `f_mode`.
    pub mode: u32,
    /// The flags that the caller gave.
    pub flags: u32,
    /// The root.
    pub root: u16,
    /// How far below the root it lies: the directories between the two, or the level of a locked directory.
    pub depth: u8,
    /// 0 for a file, [`LOCKED_DIRECTORY`](crate::LOCKED_DIRECTORY) for what was opened earlier and is locked now.
    pub what: u8,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

/// What an [`IoRecord`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum IoKind {
    /// `offset`, `requested`, `result` bytes read.
    Read = 1,
    /// `offset`, `requested`, `result` bytes written.
    Write = 2,
    /// `requested` is the new size; `extra` is 1 when it belongs to an open.
    Truncate = 3,
    /// `offset`, `requested` is the length, `extra` the mode.
    Allocate = 4,
    /// `extra` is the protection, with [`SHARED_MAPPING`] for a mapping that is shared.
    Map = 5,
    /// fsync, fdatasync.
    Sync = 6,
    /// `extra` is flock's operation.
    Flock = 7,
    /// `extra` is `l_type`, `requested` 1 for an open-file-description lock.
    RecordLock = 8,
    /// The last reference is gone.
    Release = 9,
    /// A write failed; `extra` is the error number.
    WriteFailed = 10,
}

/// In a [`IoKind::Map`]: stores through the mapping reach the file.
pub const SHARED_MAPPING: u64 = 1 << 32;

/// Something happened through a tracked description.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct IoRecord {
    /// The call; `what` is an [`IoKind`].
    pub header: Header,
    /// Address of the `struct file`.
    pub file: u64,
    /// When it was opened.
    pub opened: u64,
    /// Where, or [`UNKNOWN`].
    pub offset: u64,
    /// How much was asked for, or [`UNKNOWN`].
    pub requested: u64,
    /// What the call returned.
    pub result: u64,
    /// Size at entry.
    pub size_before: u64,
    /// Size at return.
    pub size: u64,
    /// See [`IoKind`].
    pub extra: u64,
}

/// What a [`PathRecord`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum PathKind {
    /// `first` became `second`.
    Rename = 1,
    /// `first` got the further name `second`.
    Link = 2,
    /// `first` is gone.
    Unlink = 3,
    /// `first` has size `argument`.
    Truncate = 4,
}

/// The directory at which a relative path begins, as it was when the call returned.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PathBase {
    /// Inode number; 0 where there is no such directory.
    pub ino: u64,
    /// Device.
    pub dev: u32,
    /// Generation.
    pub generation: u32,
    /// The root below which files in this directory are state files.
    pub root: u16,
    /// The root's depth.
    pub depth: u8,
    /// 1 when there is such a root.
    pub is_below_root: u8,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
    /// The directory's own name.
    pub name: [u8; LONG_NAME],
}

/// A call by path, the last component of which matters, succeeded; or any truncation by path.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct PathRecord {
    /// The call; `what` is a [`PathKind`].
    pub header: Header,
    /// rename's flags, truncate's size.
    pub argument: u64,
    /// Inode number of the caller's mount namespace.
    pub mount_namespace: u32,
    /// Directory descriptor of `first`; AT_FDCWD for the working directory.
    pub first_dir: i32,
    /// Directory descriptor of `second`.
    pub second_dir: i32,
    /// Length of `first` with its NUL, or negative when it could not be read.
    pub first_len: i32,
    /// Length of `second` with its NUL.
    pub second_len: i32,
    /// 1 when no name in the paths is one that matters: the file that was truncated may have another.
    pub is_other: u32,
    /// Where `first` begins when it is relative.
    pub first_base: PathBase,
    /// Where `second` begins when it is relative.
    pub second_base: PathBase,
    /// Inode number of the caller's root directory, where its absolute paths begin.
    pub root_ino: u64,
    /// Device.
    pub root_dev: u32,
    /// Generation.
    pub root_generation: u32,
    /// The path.
    pub first: [u8; PATH_LEN],
    /// The other path.
    pub second: [u8; PATH_LEN],
}

/// A directory entry as the kernel knows it.
///
/// The names are those of the file, of its directory and of the directory above, each ended by NUL.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Place {
    /// The root.
    pub root: u16,
    /// The root's depth.
    pub depth: u8,
    /// 1 when the entry lies at its root's depth below it; [`ALIAS`](crate::ALIAS) when it lies elsewhere and its file is a
    /// state file of the root, which then has the first name alone. All else counts only then.
    pub is_below_root: u8,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
    /// The names.
    pub names: [[u8; LONG_NAME]; 3],
}

/// A name that matters came, went or changed hands, or the file behind it was truncated by name.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct EntryRecord {
    /// The call; `what` is a [`PathKind`].
    pub header: Header,
    /// rename's flags, truncate's size.
    pub argument: u64,
    /// Inode number of the file behind `first`.
    pub ino: u64,
    /// Device.
    pub dev: u32,
    /// Generation.
    pub generation: u32,
    /// Size at entry.
    pub size_before: u64,
    /// `i_writecount` at return: above 0, someone has the file open for writing.
    pub writers: i64,
    /// The entry.
    pub first: Place,
    /// The new entry of a rename or link.
    pub second: Place,
}

/// A process that had touched a file that matters ended.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExitRecord {
    /// When.
    pub header: Header,
    /// As wait(2) gives it: signal in the low 7 bits, code in the next byte.
    pub status: u32,
    /// Keeps the size a multiple of 8.
    pub reserved: u32,
}

const _: () = {
    assert!(size_of::<Header>() == 56);
    assert!(size_of::<ProcessRecord>() == 56 + 48 + ANCESTORS * 20 + ARGS_LEN + EXE_PARTS * SHORT_NAME);
    assert!(size_of::<OpenRecord>() == 56 + 56);
    assert!(size_of::<IoRecord>() == 56 + 64);
    assert!(size_of::<PathRecord>() == 56 + 32 + 2 * (24 + LONG_NAME) + 16 + 2 * PATH_LEN);
    assert!(size_of::<EntryRecord>() == 56 + 40 + 2 * (8 + 3 * LONG_NAME));
    assert!(size_of::<ExitRecord>() == 64);
};
