//! Roots and containers that come and go.

use std::fs;

use crate::bench::{anywhere, on_each_filesystem};

#[test]
fn a_root_that_vanishes_and_comes_back_is_watched_without_being_told() {
    on_each_filesystem(|mut bench| {
        fs::remove_dir_all(bench.root()).unwrap();
        bench.drain();
        bench.said.clear();
        fs::create_dir(bench.root()).unwrap();
        bench.drain();
        fs::create_dir(bench.root().join("a")).unwrap();
        bench.drain();
        fs::write(bench.state("a"), "{}").unwrap();
        bench.says(&["a recreated"]);
    });
}

#[test]
fn a_root_that_is_exchanged_for_another_is_watched_as_the_new_one() {
    on_each_filesystem(|mut bench| {
        let (old, new) = (bench.base.path().join("old"), bench.base.path().join("new"));
        fs::create_dir_all(new.join("b")).unwrap();
        fs::rename(bench.root(), &old).unwrap();
        fs::rename(&new, bench.root()).unwrap();
        bench.drain();
        fs::write(old.join("a/state.json"), "{\"nobody\": 1}").unwrap();
        fs::write(bench.state("b"), "{}").unwrap();
        bench.says(&["b created_in_place"]);
    });
}

#[test]
fn a_root_that_is_told_twice_is_watched_once() {
    let mut bench = anywhere(1);
    let watched = bench.source.watched();
    bench.watch().unwrap();
    fs::write(bench.state("a"), "{\"a\": 1}").unwrap();
    bench.says(&["a in_place"]);
    assert_eq!(bench.source.watched(), watched);
}

#[test]
fn containers_that_go_are_not_watched_any_more() {
    on_each_filesystem(|mut bench| {
        let watched = bench.source.watched();
        for container in ["b", "c", "d"] {
            fs::create_dir(bench.root().join(container)).unwrap();
        }
        bench.until(|bench| bench.source.watched() == watched + 3);
        fs::remove_dir(bench.root().join("b")).unwrap();
        fs::rename(bench.root().join("c"), bench.base.path().join("c")).unwrap();
        fs::rename(bench.root().join("d"), bench.root().join("e")).unwrap();
        bench.until(|bench| bench.source.watched() == watched + 1);
        fs::write(bench.state("e"), "{}").unwrap();
        fs::write(bench.base.path().join("c/state.json"), "{}").unwrap();
        bench.says(&["e created_in_place"]);
    });
}

#[test]
fn ten_thousand_containers_are_watched() {
    let mut bench = anywhere(1);
    for container in 0..10_000 {
        fs::create_dir(bench.root().join(format!("{container:064x}"))).unwrap();
    }
    // The root, its parent, and `a`.
    bench.until(|bench| bench.source.watched() == 10_003);
    let last = format!("{:064x}", 9_999);
    fs::write(bench.state(&last), "{}").unwrap();
    bench.says(&[&format!("{last} created_in_place")]);
}
