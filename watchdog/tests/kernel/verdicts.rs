//! What the engine makes of what the source says: ways to a file on which verdicts hang, with real locks and rings.

mod tails;

use std::ptr;

use libc::{
    AT_FDCWD, F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_SH, LOCK_UN, O_CREAT, O_RDONLY, O_RDWR, O_TRUNC,
    O_WRONLY,
};
use watchdog::model::Output;

use crate::bench::{run, sites};
use crate::call::{in_another_process, sys};
use crate::ring::Ring;
use crate::site::Site;
use crate::uring::{READ, WRITE, data};
use crate::watched::Watched;

const NEW: &[u8; 12] = br#"{"id":"new"}"#;

/// The engine's words on the state file when `calls` are made, on each filesystem.
#[track_caller]
fn judged(calls: impl Fn(&Site), expected: &[&str]) {
    for site in sites() {
        let story = run(&site, |_| calls(&site));
        let outputs = story.judged();
        let mut said: Vec<&str> = outputs.iter().filter_map(word).collect();
        said.sort_unstable();
        let lines = story.lines.join("\n");
        assert_eq!(said, expected, "on {:?}:\n{lines}\n{outputs:#?}", site.filesystem);
    }
}

fn word(output: &Output) -> Option<&'static str> {
    match output {
        Output::Session(report) => Some(report.outcome.as_str()),
        Output::Read(report) => Some(report.verdict.as_str()),
        Output::DamagedRead(_) => Some("damaged"),
        Output::ReaderExit(_) | Output::Anomaly(_) | Output::Check(_) => None,
    }
}

fn open(site: &Site, flags: i32) -> i32 {
    sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), flags) as i32
}

/// In another process, which must come to its end.
fn elsewhere(body: impl FnOnce()) {
    assert_eq!(in_another_process(body), 0);
}

/// How a process goes to the file.
enum Way {
    Call,
    Ring(Ring),
}

impl Way {
    fn call() -> Self {
        Self::Call
    }

    fn ring() -> Self {
        Self::Ring(Ring::new())
    }

    fn write(&self, fd: i32, bytes: &[u8]) {
        let mut room = bytes.to_vec();
        match self {
            Self::Call => drop(sys!(SYS_write, fd, room.as_ptr(), room.len())),
            Self::Ring(ring) => {
                let written = ring.run(data(WRITE, fd, &mut room, u64::MAX));
                assert_eq!(usize::try_from(written).unwrap(), bytes.len());
            }
        }
    }

    fn read(&self, fd: i32) -> usize {
        let mut room = [0; 64];
        match self {
            Self::Call => sys!(SYS_read, fd, room.as_mut_ptr(), room.len()) as usize,
            Self::Ring(ring) => usize::try_from(ring.run(data(READ, fd, &mut room, u64::MAX))).unwrap(),
        }
    }
}

/// A reader meets the end in the middle of a save. Each process opens its own way.
fn meet_half(site: &Site, writes: fn() -> Way, reads: fn() -> Way) {
    let (writer, writes) = (open(site, O_WRONLY | O_TRUNC), writes());
    writes.write(writer, &NEW[..5]);
    elsewhere(|| {
        let (reader, reads) = (open(site, O_RDONLY), reads());
        assert_eq!((reads.read(reader), reads.read(reader)), (5, 0));
        sys!(SYS_close, reader);
    });
    writes.write(writer, &NEW[5..]);
    sys!(SYS_close, writer);
}

#[test]
fn half_a_save_is_torn() {
    judged(|site| meet_half(site, Way::call, Way::call), &["in_place", "torn"]);
}

#[test]
fn half_a_save_through_io_uring_is_torn_or_unknown_but_never_well() {
    let [call, ring]: [fn() -> Way; 2] = [Way::call, Way::ring];
    for (writes, reads) in [(ring, call), (call, ring), (ring, ring)] {
        let expected = if Watched::knows_paths() { ["in_place", "torn"] } else { ["unknown", "unknown"] };
        judged(|site| meet_half(site, writes, reads), &expected);
    }
}

/// A lock that writer and readers take, each on a description of its own.
#[derive(Clone, Copy)]
enum Lock {
    Flock,
    Process,
    Description,
}

impl Lock {
    fn take(self, site: &Site, exclusive: bool) -> i64 {
        let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.lock"), O_CREAT | O_RDWR, 0o600);
        match self {
            Self::Flock => drop(sys!(SYS_flock, fd, if exclusive { LOCK_EX } else { LOCK_SH })),
            Self::Process | Self::Description => self.set(fd, if exclusive { F_WRLCK } else { F_RDLCK }),
        }
        fd
    }

    fn give_back(self, fd: i64) {
        match self {
            Self::Flock => drop(sys!(SYS_flock, fd, LOCK_UN)),
            Self::Process | Self::Description => self.set(fd, F_UNLCK),
        }
        sys!(SYS_close, fd);
    }

    fn set(self, fd: i64, kind: i32) {
        let command = if matches!(self, Self::Process) { libc::F_SETLKW } else { libc::F_OFD_SETLKW };
        let lock = libc::flock { l_type: kind as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
        sys!(SYS_fcntl, fd, command, ptr::from_ref(&lock));
    }
}

/// A save in place under the lock, as gVisor's runsc makes it, with `meanwhile` in its midst.
fn guarded_save(site: &Site, lock: Lock, meanwhile: impl FnOnce()) {
    let held = lock.take(site, true);
    let writer = open(site, O_WRONLY | O_TRUNC);
    Way::Call.write(writer, &NEW[..5]);
    meanwhile();
    Way::Call.write(writer, &NEW[5..]);
    lock.give_back(held);
    elsewhere(|| {
        let held = lock.take(site, false);
        let reader = open(site, O_RDONLY);
        assert_eq!(Way::Call.read(reader), NEW.len());
        sys!(SYS_close, reader);
        lock.give_back(held);
    });
    sys!(SYS_close, writer);
}

#[test]
fn writers_and_readers_that_take_the_lock_are_guarded() {
    for lock in [Lock::Flock, Lock::Process, Lock::Description] {
        judged(|site| guarded_save(site, lock, || {}), &["guarded", "guarded"]);
    }
}

#[test]
fn one_reader_that_takes_no_lock_is_found() {
    for lock in [Lock::Flock, Lock::Process, Lock::Description] {
        let calls = |site: &Site| {
            let intrude = || {
                elsewhere(|| {
                    let reader = open(site, O_RDONLY);
                    assert_eq!((Way::Call.read(reader), Way::Call.read(reader)), (5, 0));
                    sys!(SYS_close, reader);
                });
            };
            guarded_save(site, lock, intrude);
        };
        judged(calls, &["guarded", "in_place", "torn"]);
    }
}
