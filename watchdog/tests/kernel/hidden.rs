//! Ways to a state file that neither its name nor a write shows.

use std::ffi::CString;
use std::ptr;

use libc::{
    AT_FDCWD, MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, MAP_SHARED, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY,
    PROT_NONE, PROT_READ, PROT_WRITE,
};

use crate::bench::{check, run, sites};
use crate::call::{exit, in_another_process, sys};

const PAGE: i64 = 4096;

fn open(path: CString, flags: i32) -> i64 {
    sys!(SYS_openat, AT_FDCWD, path, flags)
}

fn map_readable(fd: i64) -> i64 {
    sys!(SYS_mmap, ptr::null::<u8>(), PAGE, PROT_READ, MAP_SHARED, fd, 0)
}

// On an overlay, a mapping holds the description of the file below (`backing_file_mmap`), which `vfs` is shown.

#[test]
fn a_shared_mapping_that_becomes_writable_is_a_writer_from_then_on() {
    check(
        |site| {
            let fd = open(site.path("a/state.test"), O_RDWR);
            let address = map_readable(fd);
            sys!(SYS_mprotect, address, PAGE, PROT_READ);
            sys!(SYS_mprotect, address, PAGE, PROT_READ | PROT_WRITE);
            sys!(SYS_munmap, address, PAGE);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p map f
         [!overlay: p map f writable][overlay syscalls: p map f writable]
         p release f",
    );
}

#[test]
fn a_mapping_that_was_moved_is_still_known() {
    check(
        |site| {
            let fd = open(site.path("a/state.test"), O_RDWR);
            let address = map_readable(fd);
            let aside =
                sys!(SYS_mmap, ptr::null::<u8>(), PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
            let address = sys!(SYS_mremap, address, PAGE, PAGE, flags, aside);
            sys!(SYS_mprotect, address, PAGE, PROT_READ | PROT_WRITE);
            sys!(SYS_munmap, address, PAGE);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p map f
         [!overlay: p map f writable][overlay syscalls: p map f writable]
         p release f",
    );
}

#[test]
fn what_is_mapped_elsewhere_later_is_no_state_file() {
    check(
        |site| {
            let fd = open(site.path("a/state.test"), O_RDWR);
            let address = map_readable(fd);
            sys!(SYS_munmap, address, PAGE);
            let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
            sys!(SYS_mmap, address, PAGE, PROT_NONE, flags, -1, 0);
            sys!(SYS_mprotect, address, PAGE, PROT_READ | PROT_WRITE);
            sys!(SYS_munmap, address, PAGE);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p map f
         p release f",
    );
}

#[test]
fn a_child_has_its_parents_mappings() {
    check(
        |site| {
            let fd = open(site.path("a/state.test"), O_RDWR);
            let address = map_readable(fd);
            in_another_process(|| {
                sys!(SYS_mprotect, address, PAGE, PROT_READ | PROT_WRITE);
                exit(0);
            });
            sys!(SYS_munmap, address, PAGE);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 rw size=13
         p map f
         [!overlay: q map f writable][overlay syscalls: q map f writable]
         [!overlay: q exit 0][overlay syscalls: q exit 0]
         p release f",
    );
}

#[test]
fn a_hard_link_of_another_name_leads_to_the_same_file() {
    check(
        |site| {
            let other = site.outside("elsewhere/other");
            let fd = open(site.path("a/state.test"), O_RDONLY);
            sys!(SYS_close, fd);
            sys!(SYS_linkat, AT_FDCWD, site.path("a/state.test"), AT_FDCWD, other, 0);
            let fd = open(other, O_WRONLY | O_TRUNC);
            sys!(SYS_write, fd, b"0123".as_ptr(), 4);
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         p release f
         p open tmp:other as g ino=1 write-only[syscalls:  truncated] size=[syscalls: 0][vfs: 13]
         [vfs: p truncate g to 0 from=13]
         p write g 0 4 size=0..4
         p release g",
    );
}

#[test]
fn a_hard_link_of_a_file_that_nobody_opened_leads_there_where_the_call_shows_the_file() {
    check(
        |site| {
            let other = site.outside("elsewhere/other");
            sys!(SYS_linkat, AT_FDCWD, site.path("a/state.test"), AT_FDCWD, other, 0);
            let fd = open(other, O_WRONLY);
            sys!(SYS_ftruncate, fd, 0);
            sys!(SYS_write, fd, b"0123".as_ptr(), 4);
            sys!(SYS_close, fd);
        },
        "[vfs: p open tmp:other as f ino=1 write-only size=13]
         [vfs: p truncate f to 0 from=13]
         [vfs: p write f 0 4 size=0..4]
         [vfs: p release f]",
    );
}

#[test]
fn a_descriptor_that_somebody_else_opened_has_his_name_and_what_comes_later_the_readers() {
    check(
        |site| {
            let fd = open(site.path("a/state.test"), O_RDONLY);
            in_another_process(|| {
                let mut room = [0; 20];
                sys!(SYS_read, fd, room.as_mut_ptr(), 20);
                exit(5);
            });
            sys!(SYS_close, fd);
        },
        "p open a/state.test as f ino=1 size=13
         q read f 0 20 got 13 size=13
         q exit 5
         p release f",
    );
}

#[test]
fn each_program_of_a_process_is_introduced_with_what_belongs_together() {
    for site in sites() {
        let story = run(&site, |_| {
            in_another_process(|| {
                let fd = open(site.path("a/state.test"), O_RDONLY);
                let mut room = [0; 4];
                sys!(SYS_read, fd, room.as_mut_ptr(), 4);
                sys!(SYS_dup3, fd, 0, 0);
                sys!(SYS_dup3, open(c"/dev/null".into(), O_WRONLY), 1, 0);
                let (program, argument) = (c"/bin/cat", c"-");
                let arguments = [program.as_ptr(), argument.as_ptr(), ptr::null()];
                sys!(SYS_execve, program, arguments.as_ptr(), 0);
            });
        });
        let [before, after] =
            story.facts.iter().filter(|facts| facts.pid != story.pid).collect::<Vec<_>>()[..]
        else {
            panic!("{:?}", story.facts)
        };
        assert_eq!((before.pid, before.started), (after.pid, after.started));
        assert!(before.program != after.program && before.since < after.since, "{before:?} {after:?}");
        let own = std::fs::read_link("/proc/self/exe").unwrap();
        assert_eq!(before.exe.as_deref(), own.to_str());
        let cat = std::fs::canonicalize("/bin/cat").unwrap();
        assert_eq!(after.exe.as_deref(), cat.to_str());
        assert_eq!(after.comm.to_string(), "cat");
        assert_eq!(after.args, b"/bin/cat\0-\0");
    }
}
