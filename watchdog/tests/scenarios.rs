//! Stories in text, and what the engine finds in them.
//!
//! Each file in `tests/scenarios` holds stories; `scenarios/README.md` explains how they are written. The lines that
//! begin with `=>` are what the engine says to the line above; `UPDATE_SCENARIOS=1 cargo test --test scenarios`
//! writes them anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod story;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use story::Story;
use watchdog::model::{AnomalyKind, Operation, Outcome, ReaderResult, Verdict};

#[test]
fn every_story_is_told_as_it_is_written() {
    let mut wrong = Vec::new();
    for path in files() {
        let written = fs::read_to_string(&path).unwrap();
        let told = tell(&written);
        if told == written {
            continue;
        }
        if std::env::var_os("UPDATE_SCENARIOS").is_some() {
            fs::write(&path, &told).unwrap();
        } else {
            wrong.push(format!("{}:\n{}", path.display(), difference(&written, &told)));
        }
    }
    assert!(wrong.is_empty(), "told otherwise than written:\n{}", wrong.join("\n"));
}

#[test]
fn telling_a_story_twice_tells_the_same() {
    for path in files() {
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(tell(&written), tell(&tell(&written)), "{}", path.display());
    }
}

/// What is due goes off at its own time: how often the engine is told the time changes nothing.
#[test]
fn the_time_told_between_events_changes_nothing() {
    for path in files() {
        for story in stories(&fs::read_to_string(&path).unwrap()) {
            let story = Story::parse(&story);
            assert_eq!(story.tell_all(false), story.tell_all(true), "{}: {}", path.display(), story.title);
        }
    }
}

#[test]
fn every_label_has_a_story_and_a_near_miss() {
    let mut said = BTreeSet::new();
    let mut near_misses = String::new();
    for path in files() {
        let written = fs::read_to_string(&path).unwrap();
        for line in written.lines() {
            let words = line.trim_start();
            if let Some(words) = words.strip_prefix("=> ") {
                said.extend(words.split([' ', ',']).map(str::to_owned));
            }
            if let Some(title) = words.strip_prefix("## near miss of ") {
                near_misses.push_str(title.split_once(':').map_or(title, |(kinds, _)| kinds));
                near_misses.push(' ');
            }
        }
    }
    let near: BTreeSet<String> = near_misses.split([' ', ',']).map(str::to_owned).collect();
    let labels = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    let labels = labels.chain(Verdict::ALL.iter().map(|verdict| verdict.as_str()));
    let labels = labels.chain(Operation::ALL.iter().map(|operation| operation.as_str()));
    // What two witnesses disagree on, the engine does not know.
    let witnesses = [AnomalyKind::SessionUnwitnessed, AnomalyKind::SessionMissed];
    // What has become an outcome, or an end, is counted no more.
    let former = [AnomalyKind::RenamedWhileWritten, AnomalyKind::DeadlinePassed];
    let kinds = AnomalyKind::ALL.iter().filter(|kind| !witnesses.contains(kind) && !former.contains(kind));
    let labels = labels.chain(kinds.map(|kind| kind.as_str()));
    for label in labels {
        assert!(said.contains(label), "no story tells {label}");
        assert!(near.contains(label), "no story is a near miss of {label}");
    }
    for result in ReaderResult::ALL {
        assert!(said.contains(result.as_str()), "no story tells {}", result.as_str());
    }
}

fn files() -> Vec<PathBuf> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|e| e == "txt")).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// A story begins at its title and ends before the next one.
fn stories(text: &str) -> Vec<String> {
    let mut stories = vec![String::new()];
    for line in text.lines() {
        if line.starts_with("## ") {
            stories.push(String::new());
        }
        let story = stories.last_mut().unwrap();
        story.push_str(line);
        story.push('\n');
    }
    stories
}

fn tell(text: &str) -> String {
    stories(text).iter().map(|story| Story::parse(story).tell()).collect()
}

fn difference(written: &str, told: &str) -> String {
    let (written, told): (Vec<_>, Vec<_>) = (written.lines().collect(), told.lines().collect());
    let same_before = written.iter().zip(&told).take_while(|(a, b)| a == b).count();
    let title = written[..same_before].iter().rfind(|line| line.starts_with("## "));
    let mut text = format!("in {}\n", title.unwrap_or(&"the beginning"));
    for line in written.iter().skip(same_before.saturating_sub(2)).take(6) {
        text.push_str(&format!("- {line}\n"));
    }
    for line in told.iter().skip(same_before.saturating_sub(2)).take(6) {
        text.push_str(&format!("+ {line}\n"));
    }
    text
}
