//! A read that a truncation meets on tmpfs may get what lies behind the file's end: the rest of the page, in zeros.

use std::time::{Duration, Instant};

use libc::{AT_FDCWD, O_RDONLY, O_TRUNC, O_WRONLY};
use watchdog::model::{EventOperation as Operation, FileEvent, OpenId, Output, Verdict};

use crate::bench::{Story, run, sites};
use crate::call::{exit, fork, sys, wait};
use crate::site::{Filesystem, Site};

/// How long the file is: its end lies in its second page.
const LENGTH: usize = 5453;
/// What each read asks for: bytes on both sides of the file's end.
const READ: (i64, usize) = (5120, 512);
/// Saves of one run: no more than the engine remembers of a file, however long a reader is held up.
const SAVES: usize = 30;
/// Reads of one run at most.
const READS: usize = 100;
/// A machine that has shown no tail by then is too slow to show one.
const DEADLINE: Duration = Duration::from_secs(60);
/// Of so many tails, one is told as torn: others may be unknown, but not all of them.
const ENOUGH: usize = 20;

/// Saves in place, while another process reads the file's end until it gets too much of it.
fn save_and_read(site: &Site) {
    let path = site.path("a/state.test");
    // How long the file was before the first save is known only to who has looked: without that, a call that began in the
    // first save and was held up until the second may have got what stood there before.
    let looked = sys!(SYS_openat, AT_FDCWD, &*path, O_RDONLY);
    sys!(SYS_close, looked);
    let reader = fork();
    if reader == 0 {
        let mut room = [0_u8; READ.1];
        for _ in 0..READS {
            let fd = sys!(SYS_openat, AT_FDCWD, &*path, O_RDONLY);
            let got = sys!(SYS_pread64, fd, room.as_mut_ptr(), room.len(), READ.0);
            sys!(SYS_close, fd);
            if READ.0 + got > LENGTH as i64 {
                break;
            }
        }
        exit(0);
    }
    let content = [b'x'; LENGTH];
    for _ in 0..SAVES {
        let fd = sys!(SYS_openat, AT_FDCWD, &*path, O_WRONLY | O_TRUNC);
        sys!(SYS_write, fd, content.as_ptr(), content.len());
        sys!(SYS_close, fd);
    }
    assert_eq!(wait(reader), 0);
}

/// Who got more than the file ever had.
fn tails(events: &[FileEvent]) -> Vec<OpenId> {
    let tail = |event: &FileEvent| match event.operation {
        Operation::Read { id, offset, returned, .. } => {
            (offset.unwrap() + returned > LENGTH as u64).then_some(id)
        }
        _ => None,
    };
    events.iter().filter_map(tail).collect()
}

/// `shmem_file_read_iter` gives them on 5.10, 6.1 and 6.12, and no more on 6.18.
fn gives_tails(site: &Site) -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(['.', '-']).map(|number| number.parse::<u32>().unwrap());
    let version = (numbers.next().unwrap(), numbers.next().unwrap());
    site.filesystem == Filesystem::Memory && version <= (6, 12)
}

#[test]
fn a_tail_behind_the_files_end_is_torn() {
    for site in sites() {
        let (start, mut runs, mut given, mut torn) = (Instant::now(), 0, 0, 0);
        while runs == 0 || torn == 0 && gives_tails(&site) && start.elapsed() < DEADLINE {
            let story = run(&site, |_| save_and_read(&site));
            let told = told_of_tails(&story);
            given += told.len();
            torn += told.iter().filter(|told| **told == Verdict::Torn).count();
            runs += 1;
            assert!(torn > 0 || given < ENOUGH, "none of {given} tails was told as torn");
        }
        let (filesystem, took) = (site.filesystem, start.elapsed());
        println!("{filesystem:?}: {given} tails in {runs} runs, {torn} told as torn, {took:?}");
        if torn == 0 && gives_tails(&site) {
            println!("{filesystem:?}: this machine is too slow to give a tail that nothing disturbs");
        }
    }
}

/// What is told of each reader of a tail: torn, or unknown. That is said where something was lost, or the file was cut twice
/// within one look at its size, between whose halves the probe stood still.
fn told_of_tails(story: &Story) -> Vec<Verdict> {
    let outputs = story.judged();
    let verdict = |tail: OpenId| {
        outputs.iter().rev().find_map(|output| match output {
            Output::Read(report) if report.open == tail => Some(report.verdict),
            _ => None,
        })
    };
    let told: Vec<Option<Verdict>> = tails(&story.events).into_iter().map(verdict).collect();
    let honest = |told: &Option<Verdict>| matches!(told, Some(Verdict::Torn | Verdict::Unknown));
    assert!(told.iter().all(honest), "{told:?}:\n{}", story.lines.join("\n"));
    told.into_iter().flatten().collect()
}
