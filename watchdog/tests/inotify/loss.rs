//! A queue that overflows.

use std::fs::{self, File};
use std::io::Write;

use watchdog::source::LossReason;

use crate::bench::{Bench, on_each_filesystem};

/// Until the queue is full, without taking anything from it. Two files in turn, or the events would be merged.
fn flood(bench: &Bench) {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let files = [bench.state("a"), bench.beside("a", "state-9")];
    File::create(&files[1]).unwrap();
    for _ in 0..limit / 4 + 1 {
        for file in &files {
            drop(File::open(file).unwrap());
        }
    }
}

#[test]
fn an_overflow_is_counted_and_what_was_open_is_unknown() {
    on_each_filesystem(|mut bench| {
        let mut writer = File::create(bench.state("a")).unwrap();
        bench.drain();
        flood(&bench);
        writer.write_all(b"{}").unwrap();
        drop(writer);
        bench.until(|bench| bench.said.iter().any(|said| said == "a unknown"));
        assert_eq!(bench.lost(LossReason::QueueOverflow), 1);
        assert!(bench.said.contains(&"anomaly events_lost".to_owned()), "{:?}", bench.said);
        assert!(!bench.said.contains(&"a in_place".to_owned()), "{:?}", bench.said);
        bench.said.clear();
        fs::write(bench.state("a"), "{\"a\": 1}").unwrap();
        bench.says(&["a in_place"]);
    });
}

#[test]
fn what_came_and_went_during_an_overflow_is_found_by_looking() {
    on_each_filesystem(|mut bench| {
        fs::create_dir(bench.root().join("b")).unwrap();
        bench.drain();
        let watched = bench.source.watched();
        flood(&bench);
        fs::remove_dir(bench.root().join("b")).unwrap();
        for container in ["c", "d"] {
            fs::create_dir(bench.root().join(container)).unwrap();
        }
        bench.until(|bench| bench.lost(LossReason::QueueOverflow) == 1);
        bench.until(|bench| bench.source.watched() == watched + 1);
        bench.said.clear();
        fs::write(bench.state("d"), "{}").unwrap();
        bench.until(|bench| bench.said.iter().any(|said| said.starts_with("d ")));
    });
}
