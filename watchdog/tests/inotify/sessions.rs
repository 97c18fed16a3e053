//! What writers and readers do, and what comes of it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use crate::bench::{anywhere, on_each_filesystem};

fn truncated(path: &Path) -> File {
    File::create(path).unwrap()
}

fn read(path: &Path) -> usize {
    let mut bytes = Vec::new();
    File::open(path).unwrap().read_to_end(&mut bytes).unwrap()
}

#[test]
fn every_way_of_writing_in_place_is_in_place() {
    on_each_filesystem(|mut bench| {
        let file = bench.state("a");
        fs::write(&file, "{\"a\": 1}").unwrap();
        bench.says(&["a in_place"]);
        OpenOptions::new().append(true).open(&file).unwrap().write_all(b" ").unwrap();
        bench.says(&["a in_place"]);
        OpenOptions::new().write(true).open(&file).unwrap().set_len(3).unwrap();
        bench.says(&["a in_place"]);
        let mut chunks = truncated(&file);
        chunks.write_all(b"{").unwrap();
        bench.drain();
        chunks.write_all(b"}").unwrap();
        drop(chunks);
        bench.says(&["a in_place"]);
    });
}

#[test]
fn reads_in_the_window_overlap_and_an_empty_one_is_exposed() {
    on_each_filesystem(|mut bench| {
        let file = bench.state("a");
        let mut writer = truncated(&file);
        assert_eq!(read(&file), 0);
        bench.drain();
        writer.write_all(b"{").unwrap();
        assert_eq!(read(&file), 1);
        drop(writer);
        assert_eq!(read(&file), 1);
        bench.says(&["a in_place", "a exposed", "a overlapping"]);
    });
}

#[test]
fn an_atomic_replace_is_one_and_readers_of_either_version_are_nothing() {
    on_each_filesystem(|mut bench| {
        let (file, temporary) = (bench.state("a"), bench.beside("a", "state-1"));
        let mut old = File::open(&file).unwrap();
        let mut writer = File::create_new(&temporary).unwrap();
        writer.write_all(b"{\"new\": 1}").unwrap();
        drop(writer);
        fs::rename(&temporary, &file).unwrap();
        assert_eq!(old.read_to_end(&mut Vec::new()).unwrap(), 2);
        drop(old);
        assert_eq!(read(&file), 10);
        bench.says(&["a atomic_replace"]);
    });
}

#[test]
fn renamed_before_its_writer_is_done_is_an_incomplete_replace() {
    on_each_filesystem(|mut bench| {
        let (file, temporary) = (bench.state("a"), bench.beside("a", "state-1"));
        let mut writer = File::create_new(&temporary).unwrap();
        fs::rename(&temporary, &file).unwrap();
        assert_eq!(read(&file), 0);
        bench.drain();
        writer.write_all(b"{\"new\": 1}").unwrap();
        assert_eq!(read(&file), 10);
        drop(writer);
        bench.says(&["a incomplete_replace", "a exposed", "a overlapping"]);
    });
}

#[test]
fn closed_after_the_rename_and_not_written_any_more_is_an_atomic_replace() {
    on_each_filesystem(|mut bench| {
        let (file, temporary) = (bench.state("a"), bench.beside("a", "state-1"));
        let mut writer = File::create_new(&temporary).unwrap();
        writer.write_all(b"{\"new\": 1}").unwrap();
        fs::rename(&temporary, &file).unwrap();
        assert_eq!(read(&file), 10);
        drop(writer);
        bench.says(&["a atomic_replace"]);
    });
}

#[test]
fn removed_and_filled_again_is_recreated_and_a_new_one_is_created_in_place() {
    on_each_filesystem(|mut bench| {
        fs::remove_file(bench.state("a")).unwrap();
        fs::write(bench.state("a"), "{}").unwrap();
        bench.says(&["a recreated"]);
        fs::create_dir(bench.root().join("b")).unwrap();
        bench.drain();
        fs::write(bench.state("b"), "{}").unwrap();
        bench.says(&["b created_in_place"]);
    });
}

#[test]
fn what_is_written_to_a_file_that_has_lost_its_name_is_nothing() {
    on_each_filesystem(|mut bench| {
        let mut writer = OpenOptions::new().write(true).open(bench.state("a")).unwrap();
        fs::write(bench.beside("a", "state-1"), "{}").unwrap();
        fs::rename(bench.beside("a", "state-1"), bench.state("a")).unwrap();
        writer.write_all(b"late").unwrap();
        drop(writer);
        bench.says(&["a atomic_replace"]);
    });
}

#[test]
fn a_file_that_is_renamed_out_of_sight_is_gone() {
    on_each_filesystem(|mut bench| {
        fs::rename(bench.state("a"), bench.base.path().join("state.json")).unwrap();
        bench.drain();
        fs::write(bench.state("a"), "{}").unwrap();
        bench.says(&["a recreated"]);
    });
}

#[test]
fn every_depth_is_watched() {
    for (depth, container) in [(0, ""), (1, "a"), (2, "a/userdata")] {
        let mut bench = anywhere(depth);
        fs::write(bench.state("a"), "{\"a\": 1}").unwrap();
        bench.says(&[&format!("{container} in_place")]);
    }
}

#[test]
fn a_directory_two_levels_down_is_found_when_both_are_made_at_once() {
    let mut bench = anywhere(2);
    fs::create_dir_all(bench.root().join("b/userdata")).unwrap();
    bench.drain();
    fs::write(bench.state("b"), "{}").unwrap();
    bench.says(&["b/userdata created_in_place"]);
}

#[test]
fn our_own_reads_are_nobodys() {
    use std::sync::Arc;
    use watchdog::model::{Place, Role, RootId};
    use watchdog::source::Source;

    on_each_filesystem(|mut bench| {
        let file = bench.state("a");
        let place =
            Place { root: RootId(0), container: "a".into(), name: "state.json".into(), role: Role::State };
        let mut writer = truncated(&file);
        writer.write_all(b"{}").unwrap();
        bench.source.reads_itself(&Arc::new(place));
        read(&file);
        drop(writer);
        bench.says(&["a in_place"]);
    });
}

#[test]
fn two_thousand_rewrites_are_two_thousand_sessions() {
    on_each_filesystem(|mut bench| {
        for turn in 0..2_000 {
            fs::write(bench.state("a"), "{\"a\": 1}").unwrap();
            // A container's burst; the agent is awake once in a while.
            if turn % 100 == 0 {
                bench.drain();
            }
        }
        bench.until(|bench| bench.said.len() >= 2_000);
        assert!(bench.said.iter().all(|said| said == "a in_place"), "{:?}", bench.said);
        assert_eq!(bench.said.len(), 2_000);
        assert_eq!(bench.lost(watchdog::source::LossReason::QueueOverflow), 0);
    });
}
