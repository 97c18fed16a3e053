//! Mappings: a shared writable one is a writer that no write shows.

use std::ptr;

use libc::{
    AT_FDCWD, MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, MAP_SHARED_VALIDATE, O_RDONLY, O_RDWR, PROT_READ,
    PROT_WRITE,
};

use crate::bench::{check, check_with};
use crate::call::{refused, sys};
use crate::site::Site;

fn open(site: &Site, flags: i32) -> i64 {
    sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), flags)
}

fn map(fd: i64, protection: i32, flags: i32) -> i64 {
    sys!(SYS_mmap, ptr::null::<u8>(), 4096, protection, flags, fd, 0)
}

#[test]
fn shared_and_private_mappings_of_the_file_are_told() {
    check(
        |site| {
            let fd = open(site, O_RDWR);
            for (protection, flags) in [
                (PROT_READ | PROT_WRITE, MAP_PRIVATE),
                (PROT_READ | PROT_WRITE, MAP_SHARED),
                (PROT_READ, MAP_SHARED),
                (PROT_WRITE, MAP_SHARED_VALIDATE),
                (PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS),
            ] {
                let address = map(if flags & MAP_ANONYMOUS == 0 { fd } else { -1 }, protection, flags);
                sys!(SYS_munmap, address, 4096);
            }
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p map f private writable
         p map f writable
         p map f
         p map f writable
         p release f",
    );
}

#[test]
fn a_refused_mapping_is_none() {
    check(
        |site| {
            let fd = open(site, O_RDONLY);
            let error = refused!(SYS_mmap, ptr::null::<u8>(), 4096, PROT_WRITE, MAP_SHARED, fd, 0);
            assert_eq!(error, libc::EACCES);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p release f",
    );
}

#[test]
fn a_mapping_keeps_its_description_alive() {
    // But on an overlay, where a mapping holds the description of the file below (`backing_file_mmap`).
    check_with(
        |_| {},
        |site, parent| {
            let fd = open(site, O_RDWR);
            let address = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
            sys!(SYS_close, fd);
            parent.checkpoint();
            // What follows shows that the description outlived the question.
            sys!(SYS_truncate, site.path("a/state.test"), 3);
            sys!(SYS_munmap, address, 4096);
            parent.checkpoint();
            sys!(SYS_truncate, site.path("a/state.test"), 4);
        },
        "p open a/state.test as f ino=1 rw size=13
         p map f writable
         [overlay: p release f]
         p truncate a/state.test to 3[vfs:  from=13]
         [!overlay syscalls: - release f][!overlay vfs: p release f]
         p truncate a/state.test to 4[vfs:  from=3]",
    );
}

#[test]
fn whoever_opens_a_file_finds_out_that_its_writer_is_gone() {
    check(
        |site| {
            let fd = open(site, O_RDWR);
            let address = map(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
            sys!(SYS_close, fd);
            sys!(SYS_munmap, address, 4096);
            let fd = open(site, O_RDONLY);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p map f writable
         p release f
         p open a/state.test as g ino=1 size=13
         p release g",
    );
}
