//! Names that come, go and change hands.

use std::fs;

use libc::{
    AT_FDCWD, AT_SYMLINK_FOLLOW, O_CREAT, O_DIRECTORY, O_RDONLY, O_WRONLY, RENAME_EXCHANGE, RENAME_NOREPLACE,
};

use crate::bench::{check, check_with};
use crate::call::{refused, sys};
use crate::site::Site;

fn temporary(site: &Site) {
    let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state-1"), O_CREAT | O_WRONLY, 0o600);
    sys!(SYS_write, fd, c"{}", 2);
    sys!(SYS_close, fd);
}

#[test]
fn a_temporary_takes_over_the_name() {
    check(
        |site| {
            temporary(site);
            sys!(SYS_renameat, AT_FDCWD, site.path("a/state-1"), AT_FDCWD, site.path("a/state.test"));
            let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_RDONLY);
            sys!(SYS_close, fd);
        },
        "p open tmp:a/state-1 as f ino=1 write-only created size=0
         p write f 0 2 size=0..2
         p release f
         p rename tmp:a/state-1 to a/state.test
         p open a/state.test as g ino=1 size=2
         p release g",
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_old_calls_by_path_are_told() {
    check(
        |site| {
            sys!(SYS_rename, site.path("a/state.test"), site.path("a/old"));
            sys!(SYS_link, site.path("a/old"), site.path("a/state.test"));
            sys!(SYS_unlink, site.path("a/state.test"));
            sys!(SYS_unlink, site.path("a/old"));
        },
        "p rename a/state.test to tmp:a/old
         p link tmp:a/old to a/state.test
         p unlink a/state.test",
    );
}

#[test]
fn renameat2_may_exchange_and_may_refuse_to_replace() {
    check(
        |site| {
            fs::write(site.root().join("a/new"), "{}").unwrap();
            let (new, state) = (site.path("a/new"), site.path("a/state.test"));
            let rename = |flags| sys!(SYS_renameat2, AT_FDCWD, new, AT_FDCWD, state, flags);
            rename(RENAME_EXCHANGE);
            let error = refused!(SYS_renameat2, AT_FDCWD, new, AT_FDCWD, state, RENAME_NOREPLACE);
            assert_eq!(error, libc::EEXIST);
            sys!(SYS_unlinkat, AT_FDCWD, state, 0);
            rename(RENAME_NOREPLACE);
        },
        "p open tmp:a/new as f ino=1 write-only created size=0
         p write f 0 2 size=0..2
         p release f
         p rename tmp:a/new to a/state.test exchange
         p unlink a/state.test
         p rename tmp:a/new to a/state.test",
    );
}

#[test]
fn a_rename_may_come_from_elsewhere_and_go_there() {
    check(
        |site| {
            let (state, other) = (site.path("a/state.test"), site.outside("elsewhere/other"));
            sys!(SYS_renameat, AT_FDCWD, state, AT_FDCWD, other);
            sys!(SYS_renameat, AT_FDCWD, other, AT_FDCWD, state);
        },
        "p rename a/state.test to elsewhere
         p rename elsewhere to a/state.test",
    );
}

#[test]
fn renames_that_do_not_concern_a_state_file_are_left_out() {
    check(
        |site| {
            temporary(site);
            sys!(SYS_renameat, AT_FDCWD, site.path("a/state-1"), AT_FDCWD, site.path("a/state-2"));
            let (from, to) = (site.outside("elsewhere/state.test"), site.outside("state.test"));
            sys!(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
            sys!(SYS_unlinkat, AT_FDCWD, to, 0);
            sys!(SYS_unlinkat, AT_FDCWD, site.path("a/state-2"), 0);
        },
        "p open tmp:a/state-1 as f ino=1 write-only created size=0
         p write f 0 2 size=0..2
         p release f",
    );
}

#[test]
fn relative_names_begin_at_the_directory_or_at_a_descriptor() {
    check_with(
        |_| {},
        |site, parent| {
            temporary(site);
            let (root, a) = (site.path("."), site.path("a"));
            let root = sys!(SYS_openat, AT_FDCWD, root, O_DIRECTORY);
            let a = sys!(SYS_openat, AT_FDCWD, a, O_DIRECTORY);
            sys!(SYS_renameat, a, c"state-1", root, c"a/state.test");
            parent.checkpoint();
            sys!(SYS_chdir, site.path("a"));
            sys!(SYS_linkat, AT_FDCWD, c"state.test", AT_FDCWD, c"state-3", 0);
            sys!(SYS_renameat, AT_FDCWD, c"./state-3", AT_FDCWD, c"../a/state.test");
            sys!(SYS_unlinkat, AT_FDCWD, c"state.test", 0);
            parent.checkpoint();
        },
        // A rename between two names of one file does nothing, and says that it succeeded.
        "p open tmp:a/state-1 as f ino=1 write-only created size=0
         p write f 0 2 size=0..2
         p release f
         p rename tmp:a/state-1 to a/state.test
         [vfs: p rename tmp:a/state-3 to a/state.test]
         p unlink a/state.test",
    );
}

#[test]
fn a_link_gives_a_file_the_state_files_name() {
    check(
        |site| {
            temporary(site);
            fs::create_dir(site.root().join("b")).unwrap();
            let (from, to) = (site.path("a/state-1"), site.path("b/state.test"));
            sys!(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW);
            assert_eq!(refused!(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0), libc::EEXIST);
            sys!(SYS_linkat, AT_FDCWD, to, AT_FDCWD, site.outside("elsewhere/link"), 0);
        },
        "p open tmp:a/state-1 as f ino=1 write-only created size=0
         p write f 0 2 size=0..2
         p release f
         p link tmp:a/state-1 to b/state.test",
    );
}

#[test]
fn a_name_that_could_not_be_removed_stays() {
    check(
        |site| {
            fs::create_dir_all(site.root().join("b/state.test")).unwrap();
            let directory = site.path("b/state.test");
            assert_eq!(refused!(SYS_unlinkat, AT_FDCWD, directory, 0), libc::EISDIR);
            assert_eq!(refused!(SYS_unlinkat, AT_FDCWD, site.path("c/state.test"), 0), libc::ENOENT);
            sys!(SYS_unlinkat, AT_FDCWD, site.path("a/state.test"), 0);
        },
        "p unlink a/state.test",
    );
}
