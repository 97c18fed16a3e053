//! Names that change where the text of the call misleads or nobody is left to ask: the marks on the directories name
//! them.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use libc::{AT_FDCWD, O_CREAT, O_DIRECTORY, O_WRONLY};
use watchdog::model::EventOperation as Operation;

use crate::bench::{check, check_with, run, sites};
use crate::call::{in_a_light_process, in_another_process, sys};
use crate::site::{Filesystem, Site};

/// A process that ends right after its rename.
fn replace(site: &Site, number: u32) {
    let (from, to) = (site.path(format!("a/state-{number}")), site.path("a/state.test"));
    in_a_light_process(|| {
        sys!(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
    });
}

#[test]
fn ten_thousand_replaces_by_processes_that_end_at_once_are_counted_exactly() {
    const BATCH: u32 = 100;
    let is_replace = |operation: &Operation| match operation {
        Operation::Rename { from: Some(from), to: Some(to), .. } => {
            from.name.starts_with("state-") && *to.name == *"state.test" && *to.container == *"a"
        }
        _ => false,
    };
    let (mut told, mut named, mut expected) = (0, 0, 0);
    for site in sites().filter(|site| site.filesystem == Filesystem::Memory) {
        // Each process has its deadline.
        for _ in 0..10 {
            let story = run(&site, |parent| {
                for _ in 0..10 {
                    for number in 0..BATCH {
                        let new = site.path(format!("a/state-{number}"));
                        let fd = sys!(SYS_openat, AT_FDCWD, new, O_CREAT | O_WRONLY, 0o600);
                        sys!(SYS_close, fd);
                    }
                    (0..BATCH).for_each(|number| replace(&site, number));
                    parent.checkpoint();
                }
            });
            assert_eq!(story.losses.total(), 0);
            let replaces = story.events.iter().filter(|event| is_replace(&event.operation));
            named += replaces.clone().filter(|event| event.actor.is_known()).count();
            told += replaces.count();
            expected += 1_000;
        }
    }
    assert_eq!((told, named), (expected, expected));
}

#[test]
fn what_a_chrooted_process_does_to_a_path_of_the_same_text_is_nothing() {
    let jailed = |site: &Site| -> PathBuf {
        let jail = site.base().join("jail");
        jail.join(site.root().strip_prefix("/").unwrap()).join("a")
    };
    check_with(
        |site| {
            fs::create_dir_all(jailed(site)).unwrap();
            for name in ["state.test", "new", "other"] {
                fs::write(jailed(site).join(name), "{}").unwrap();
            }
        },
        |site, _| {
            sys!(SYS_chroot, site.outside("jail"));
            let state = site.path("a/state.test");
            sys!(SYS_truncate, state, 0);
            sys!(SYS_renameat, AT_FDCWD, site.path("a/new"), AT_FDCWD, state);
            sys!(SYS_unlinkat, AT_FDCWD, state, 0);
            sys!(SYS_linkat, AT_FDCWD, site.path("a/other"), AT_FDCWD, state, 0);
        },
        "",
    );
}

#[test]
fn a_directory_link_that_is_switched_leads_to_the_new_directory_at_once() {
    check_with(
        |site| {
            fs::create_dir(site.root().join("b")).unwrap();
            symlink("../root/a", site.base().join("elsewhere/current")).unwrap();
        },
        |site, _| {
            let current = |name: &str| site.outside(&format!("elsewhere/current/{name}"));
            for container in ["a", "b"] {
                symlink(format!("../root/{container}"), site.base().join("elsewhere/next")).unwrap();
                fs::rename(site.base().join("elsewhere/next"), site.base().join("elsewhere/current"))
                    .unwrap();
                in_another_process(|| {
                    let fd = sys!(SYS_openat, AT_FDCWD, current("state-1"), O_CREAT | O_WRONLY, 0o600);
                    sys!(SYS_close, fd);
                    sys!(SYS_renameat, AT_FDCWD, current("state-1"), AT_FDCWD, current("state.test"));
                });
            }
        },
        // The text tells nothing, so these wait until no other call can have been it.
        "q open tmp:a/state-1 as f ino=1 write-only created size=0
         q release f
         [vfs: q rename tmp:a/state-1 to a/state.test]
         q exit 0
         r open tmp:b/state-1 as g ino=2 write-only created size=0
         r release g
         [vfs: r rename tmp:b/state-1 to b/state.test]
         r exit 0
         [!vfs: q rename tmp:a/state-1 to a/state.test]
         [!vfs: r rename tmp:b/state-1 to b/state.test]",
    );
}

#[test]
fn a_rename_between_two_names_of_one_file_is_none() {
    check(
        |site| {
            sys!(SYS_linkat, AT_FDCWD, site.path("a/state.test"), AT_FDCWD, site.path("a/state-1"), 0);
            sys!(SYS_renameat, AT_FDCWD, site.path("a/state-1"), AT_FDCWD, site.path("a/state.test"));
        },
        "[vfs: p rename tmp:a/state-1 to a/state.test]",
    );
}

#[test]
fn a_container_that_is_new_needs_no_mark() {
    check(
        |site| {
            fs::create_dir(site.root().join("new")).unwrap();
            let (from, to) = (site.path("new/state-1"), site.path("new/state.test"));
            let fd = sys!(SYS_openat, AT_FDCWD, from, O_CREAT | O_WRONLY, 0o600);
            sys!(SYS_close, fd);
            sys!(SYS_renameat, AT_FDCWD, from, AT_FDCWD, to);
            sys!(SYS_unlinkat, AT_FDCWD, to, 0);
            fs::remove_dir(site.root().join("new")).unwrap();
        },
        "p open tmp:new/state-1 as f ino=1 write-only created size=0
         p release f
         p rename tmp:new/state-1 to new/state.test
         p unlink new/state.test",
    );
}

#[test]
fn a_container_that_is_moved_away_and_made_anew_is_told() {
    check(
        |site| {
            fs::rename(site.root().join("a"), site.root().join("old")).unwrap();
            fs::create_dir(site.root().join("a")).unwrap();
            let fd = sys!(SYS_openat, AT_FDCWD, site.path("a/state.test"), O_CREAT | O_WRONLY, 0o600);
            sys!(SYS_close, fd);
        },
        "- move-directory a to old
         p open a/state.test as f ino=1 write-only created size=0
         p release f",
    );
    check(
        |site| {
            let base = sys!(SYS_openat, AT_FDCWD, site.outside("elsewhere"), O_DIRECTORY);
            sys!(SYS_renameat, AT_FDCWD, site.path("a"), base, c"away");
            sys!(SYS_renameat, base, c"away", AT_FDCWD, site.path("a"));
        },
        "- move-directory a to elsewhere",
    );
}
