//! A root is an inode: whatever path leads to it, the file is the same.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use libc::{AT_FDCWD, CLONE_NEWNS, MS_BIND, MS_PRIVATE, MS_REC, O_CREAT, O_DIRECTORY, O_RDONLY, O_WRONLY};
use watchdog::source::LossReason;

use crate::bench::{check, check_with, run, sites};
use crate::call::{in_another_process, sys};
use crate::site::Site;
use crate::watched::Watched;

/// An open for reading and its end.
fn visit(path: std::ffi::CString) {
    let fd = sys!(SYS_openat, AT_FDCWD, path, O_RDONLY);
    sys!(SYS_close, fd);
}

const VISIT: &str = "p open a/state.test as f ino=1 size=13
                     p release f";

#[test]
fn a_relative_path_leads_there() {
    check(
        |site| {
            sys!(SYS_chdir, site.path("a"));
            visit(c"./../a/state.test".into());
        },
        VISIT,
    );
    check(
        |site| {
            let root = sys!(SYS_openat, AT_FDCWD, site.path("."), O_DIRECTORY);
            let fd = sys!(SYS_openat, root, c"a/state.test", O_RDONLY);
            sys!(SYS_close, fd);
        },
        VISIT,
    );
}

#[test]
fn a_symlink_leads_there() {
    check(
        |site| {
            symlink("../root/a", site.base().join("elsewhere/container")).unwrap();
            symlink("container/state.test", site.base().join("elsewhere/file")).unwrap();
            visit(site.outside("elsewhere/file"));
            let path = site.outside("elsewhere/container/state.test");
            sys!(SYS_unlinkat, AT_FDCWD, path, 0);
        },
        "p open a/state.test as f ino=1 size=13
         p release f
         p unlink a/state.test",
    );
}

#[test]
fn a_root_may_be_registered_through_a_symlink() {
    check_with(
        |site| {
            let link = site.base().join("link");
            symlink("root", &link).unwrap();
            site.registered = link;
        },
        |site, _| {
            visit(site.path("a/state.test"));
            visit(site.outside("link/a/state.test"));
            sys!(SYS_truncate, site.path("a/state.test"), 1);
            sys!(SYS_truncate, site.outside("link/a/state.test"), 2);
        },
        "p open a/state.test as f ino=1 size=13
         p release f
         p open a/state.test as g ino=1 size=13
         p release g
         p truncate a/state.test to 1[vfs:  from=13]
         p truncate a/state.test to 2[vfs:  from=1]",
    );
}

/// Mounts of this process alone from here on, with the root visible at `elsewhere`.
fn bind_elsewhere(site: &Site) {
    sys!(SYS_unshare, CLONE_NEWNS);
    sys!(SYS_mount, 0, c"/", 0, MS_REC | MS_PRIVATE, 0);
    sys!(SYS_mount, site.path("."), site.outside("elsewhere"), 0, MS_BIND, 0);
}

#[test]
fn a_bind_mount_in_a_namespace_of_its_own_leads_there() {
    check(
        |site| {
            bind_elsewhere(site);
            visit(site.outside("elsewhere/a/state.test"));
            sys!(SYS_unlinkat, AT_FDCWD, site.outside("elsewhere/a/state.test"), 0);
        },
        "p open a/state.test as f ino=1 size=13
         p release f
         p unlink a/state.test",
    );
}

#[test]
fn an_absolute_symlink_leads_where_it_leads_for_the_process() {
    check_with(
        |site| symlink("/root/a", site.base().join("container")).unwrap(),
        |site, _| {
            sys!(SYS_chroot, site.outside(""));
            sys!(SYS_unlinkat, AT_FDCWD, c"/container/state.test", 0);
        },
        "p unlink a/state.test",
    );
}

#[test]
fn a_path_of_a_dead_process_in_another_namespace_is_counted_where_it_must_be_resolved() {
    for site in sites() {
        let calls = || {
            in_another_process(|| {
                bind_elsewhere(&site);
                sys!(SYS_truncate, site.outside("elsewhere/a/state.test"), 2);
            });
        };
        let story = run(&site, |_| calls());
        if Watched::knows_paths() {
            assert_eq!(story.lines, ["q truncate a/state.test to 2 from=13", "q exit 0"]);
            continue;
        }
        assert!(story.lines.is_empty(), "{:?}", story.lines);
        assert!(story.losses.get(LossReason::Unresolved) >= 1);
    }
}

#[test]
fn a_relative_path_of_a_dead_process_needs_no_resolution() {
    check(
        |site| {
            in_another_process(|| {
                bind_elsewhere(site);
                sys!(SYS_chdir, site.outside("elsewhere/a"));
                sys!(SYS_unlinkat, AT_FDCWD, c"state.test", 0);
            });
        },
        "q unlink a/state.test
         q exit 0",
    );
}

#[test]
fn another_name_of_the_file_elsewhere_is_another_name() {
    check(
        |site| {
            let link = site.outside("elsewhere/link");
            sys!(SYS_linkat, AT_FDCWD, site.path("a/state.test"), AT_FDCWD, link, 0);
            visit(link.clone());
            visit(site.path("a/state.test"));
            fs::create_dir(site.root().join("b")).unwrap();
            sys!(SYS_linkat, AT_FDCWD, link, AT_FDCWD, site.path("b/state.test"), 0);
            visit(site.path("b/state.test"));
        },
        // The system call does not say which file was linked: one that nobody opened yet is known by its name alone.
        "[vfs: p open tmp:link as f ino=1 size=13]
         [vfs: p release f]
         p open a/state.test as [syscalls: f][vfs: g] ino=1 size=13
         p release [syscalls: f][vfs: g]
         p link [syscalls: elsewhere][vfs: tmp:link] to b/state.test
         p open b/state.test as [syscalls: g][vfs: h] ino=1 size=13
         p release [syscalls: g][vfs: h]",
    );
}

#[test]
fn state_files_may_lie_in_the_root_itself() {
    check_with(
        |site| *site = Site::new(site.filesystem, 0),
        |site, _| {
            visit(site.path("state.test"));
            sys!(SYS_truncate, site.path("state.test"), 2);
            sys!(SYS_chdir, site.path("."));
            sys!(SYS_unlinkat, AT_FDCWD, c"state.test", 0);
        },
        "p open state.test as f ino=1 size=13
         p release f
         p truncate state.test to 2[vfs:  from=13]
         p unlink state.test",
    );
}

#[test]
fn state_files_may_lie_two_directories_below_the_root() {
    check_with(
        |site| *site = Site::new(site.filesystem, 2),
        |site, parent| {
            visit(site.path("n/a/state.test"));
            sys!(SYS_truncate, site.path("n/a/state.test"), 2);
            sys!(SYS_chdir, site.path("n/a"));
            sys!(SYS_unlinkat, AT_FDCWD, c"state.test", 0);
            parent.checkpoint();
        },
        "p open n/a/state.test as f ino=1 size=13
         p release f
         p truncate n/a/state.test to 2[vfs:  from=13]
         p unlink n/a/state.test",
    );
}

#[test]
fn names_may_be_as_long_as_a_directory_allows() {
    for depth in [1, 2] {
        let (outer, container) = ("x".repeat(255), "y".repeat(255));
        let containers = if depth == 1 { container } else { format!("{outer}/{container}") };
        let file = "z".repeat(255);
        check_with(
            |site| {
                *site = Site::new(site.filesystem, depth);
                fs::create_dir_all(site.root().join(&containers)).unwrap();
            },
            |site, _| {
                for name in ["state.test", &file] {
                    let new = site.path(format!("{containers}/{name}"));
                    let fd = sys!(SYS_openat, AT_FDCWD, new, O_CREAT | O_WRONLY, 0o600);
                    sys!(SYS_close, fd);
                }
            },
            &format!(
                "p open {containers}/state.test as f ino=1 write-only created size=0
                 p release f
                 p open tmp:{containers}/{file} as g ino=2 write-only created size=0
                 p release g"
            ),
        );
    }
}

#[test]
fn a_path_that_does_not_fit_into_a_record_is_counted_where_it_must_be_resolved() {
    let container = "y".repeat(255);
    for site in sites() {
        fs::create_dir(site.root().join(&container)).unwrap();
        let long = format!("{container}/../{container}/../a/state.test");
        let story = run(&site, |_| {
            sys!(SYS_truncate, site.path(&long), 2);
        });
        if Watched::knows_paths() {
            assert_eq!(story.lines, ["p truncate a/state.test to 2 from=13"]);
            continue;
        }
        assert!(story.lines.is_empty(), "{:?}", story.lines);
        assert!(story.losses.get(LossReason::Unresolved) >= 1);
    }
}

#[test]
fn names_are_bytes() {
    check_with(
        |_| {},
        |site, _| {
            for container in [&b"line\nbreak"[..], b"quo\"te'", b"not\xffutf-8", b" "] {
                let directory = site.root().join(OsStr::from_bytes(container));
                fs::create_dir(&directory).unwrap();
                let new = site.path(directory.join("state.test"));
                let fd = sys!(SYS_openat, AT_FDCWD, new, O_CREAT | O_WRONLY, 0o600);
                sys!(SYS_close, fd);
                sys!(SYS_truncate, new, 4);
            }
        },
        r#"p open line\nbreak/state.test as f ino=1 write-only created size=0
         p release f
         p truncate line\nbreak/state.test to 4[vfs:  from=0]
         p open quo\"te\'/state.test as g ino=2 write-only created size=0
         p release g
         p truncate quo\"te\'/state.test to 4[vfs:  from=0]
         p open not�utf-8/state.test as h ino=3 write-only created size=0
         p release h
         p truncate not�utf-8/state.test to 4[vfs:  from=0]
         p open  /state.test as i ino=4 write-only created size=0
         p release i
         p truncate  /state.test to 4[vfs:  from=0]"#,
    );
}
