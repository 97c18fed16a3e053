//! Locks: whoever holds the profile's lock is not accused.

use std::ptr;

use libc::{
    AT_FDCWD, F_RDLCK, F_UNLCK, F_WRLCK, LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_CREAT, O_DIRECTORY, O_RDWR,
};
use watchdog::source::Depths;

use crate::bench::{check, check_with};
use crate::call::{in_another_process, refused, sys};
use crate::site::Site;

fn open(site: &Site) -> i64 {
    sys!(SYS_openat, AT_FDCWD, site.path("a/state.lock"), O_CREAT | O_RDWR, 0o600)
}

fn record(kind: i32) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 }
}

#[test]
fn flock_belongs_to_the_description() {
    check(
        |site| {
            let fd = open(site);
            for operation in [LOCK_SH, LOCK_EX, LOCK_UN, LOCK_EX | LOCK_NB, LOCK_UN | LOCK_NB] {
                sys!(SYS_flock, fd, operation);
            }
            sys!(SYS_close, fd);
        },
        "p open lock:a/ as f ino=1 rw created size=0
         p lock f shared
         p lock f exclusive
         p lock f unlocked
         p lock f exclusive
         p lock f unlocked
         p release f",
    );
}

#[test]
fn record_locks_belong_to_the_process_or_to_the_description() {
    const COMMANDS: [i32; 4] = [libc::F_SETLK, libc::F_SETLKW, libc::F_OFD_SETLK, libc::F_OFD_SETLKW];
    check(
        |site| {
            let fd = open(site);
            for (command, kind) in COMMANDS.into_iter().zip([F_RDLCK, F_WRLCK, F_RDLCK, F_WRLCK]) {
                sys!(SYS_fcntl, fd, command, ptr::from_ref(&record(kind)));
                sys!(SYS_fcntl, fd, command, ptr::from_ref(&record(F_UNLCK)));
            }
            sys!(SYS_close, fd);
        },
        "p open lock:a/ as f ino=1 rw created size=0
         p lock f shared process
         p lock f unlocked process
         p lock f exclusive process
         p lock f unlocked process
         p lock f shared
         p lock f unlocked
         p lock f exclusive
         p lock f unlocked
         p release f",
    );
}

#[test]
fn who_only_asks_or_is_refused_holds_no_lock() {
    check(
        |site| {
            let fd = open(site);
            sys!(SYS_fcntl, fd, libc::F_GETLK, ptr::from_mut(&mut record(F_WRLCK)));
            sys!(SYS_fcntl, fd, libc::F_GETFL, 0);
            sys!(SYS_flock, fd, LOCK_EX);
            in_another_process(|| {
                let mine = open(site);
                assert_eq!(refused!(SYS_flock, mine, LOCK_EX | LOCK_NB), libc::EWOULDBLOCK);
                sys!(SYS_close, mine);
            });
            sys!(SYS_close, fd);
        },
        "p open lock:a/ as f ino=1 rw created size=0
         p lock f exclusive
         q open lock:a/ as g ino=1 rw size=0
         q release g
         q exit 0
         p release f",
    );
}

#[test]
fn a_lock_whose_name_tells_of_a_state_file_is_that_file_s() {
    check(
        |site| {
            let guard = site.path("a/state.test.guard");
            let fd = sys!(SYS_openat, AT_FDCWD, guard, O_CREAT | O_RDWR, 0o600);
            sys!(SYS_flock, fd, LOCK_EX);
            sys!(SYS_close, fd);
        },
        "p open lock:a/state.test as f ino=1 rw created size=0
         p lock f exclusive
         p release f",
    );
}

fn lock_directory(site: &Site, relative: &str) {
    let fd = sys!(SYS_openat, AT_FDCWD, site.path(relative), O_DIRECTORY, 0);
    for operation in [LOCK_SH, LOCK_EX, LOCK_UN] {
        sys!(SYS_flock, fd, operation);
    }
    sys!(SYS_close, fd);
}

#[test]
fn a_directory_matters_when_it_is_locked() {
    check_with(
        |site| site.locks = Depths::only(1),
        |site, _| lock_directory(site, "a"),
        "p open lock:a/ as f ino=1
         p lock f shared
         p lock f exclusive
         p lock f unlocked
         p release f",
    );
    check_with(
        |site| site.locks = Depths::only(0),
        |site, _| lock_directory(site, "."),
        "p open lock: as f ino=1
         p lock f shared
         p lock f exclusive
         p lock f unlocked
         p release f",
    );
}

#[test]
fn a_directory_that_no_profile_locks_is_nothing() {
    check(|site| lock_directory(site, "a"), "");
    check_with(|site| site.locks = Depths::only(1), |site, _| lock_directory(site, "."), "");
}
