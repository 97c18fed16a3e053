//! What inotify says, in words, against what the engine makes of it.

use super::*;
use crate::detect::{Engine, Limits};
use crate::model::{Output, SessionReport};

/// A translator and the engine behind it.
struct Stage {
    translator: Translator,
    engine: Engine,
    now: u64,
    events: Vec<FileEvent>,
    said: Vec<String>,
}

impl Stage {
    fn new() -> Self {
        let engine = Engine::new(Limits::default());
        Self {
            translator: Translator::new(),
            engine,
            now: 1_000_000_000,
            events: Vec::new(),
            said: Vec::new(),
        }
    }

    /// Plays lines of `event name [cookie]`, a microsecond apart.
    fn play(&mut self, text: &str) -> &mut Self {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            self.now += 1_000;
            let words: Vec<&str> = line.split(' ').collect();
            let at = BootNanos(self.now);
            match words[..] {
                ["overflow"] => self.translator.overflow(at, &mut self.events),
                ["wait", seconds] => self.now += seconds.parse::<u64>().unwrap() * 1_000_000_000,
                ["own", name] => self.translator.own_read(&place(name), at),
                ["empty", name] => self.translator.found_empty(&place(name), at),
                ["gone", container] => {
                    self.translator.forget(RootId(0), container, at, &mut self.events);
                }
                [event, name, ref cookie @ ..] => {
                    let mask = EventMask::from_name(&event.to_uppercase()).unwrap();
                    let cookie = cookie.first().map_or(0, |cookie| cookie.parse().unwrap());
                    let sign = Sign { place: place(name), mask, cookie, at };
                    self.translator.sign(&sign, &mut self.events);
                }
                _ => panic!("{line}"),
            }
            self.translator.flush(BootNanos(self.now), &mut self.events);
            self.judge();
        }
        self
    }

    fn judge(&mut self) {
        let mut outputs = Vec::new();
        for event in self.events.drain(..) {
            assert!(!event.actor.is_known());
            self.engine.observe(&event, &mut outputs);
        }
        self.engine.advance(BootNanos(self.now), &mut outputs);
        // What the engine asks the agent for is no word on what happened.
        for output in outputs.into_iter().filter(|output| !matches!(output, Output::Check(_))) {
            self.said.push(match output {
                Output::Session(report) => session(&report),
                Output::Read(report) => format!("{} {}", report.verdict.as_str(), report.place.container),
                Output::ReaderExit(_) => "exit".to_owned(),
                Output::DamagedRead(report) => format!("damaged {}", report.place.container),
                Output::Check(_) => "check".to_owned(),
                Output::Anomaly(anomaly) => format!("anomaly {}", anomaly.kind.as_str()),
            });
        }
    }

    #[track_caller]
    fn says(&self, expected: &[&str]) {
        assert_eq!(self.said, expected);
    }
}

fn session(report: &SessionReport) -> String {
    let operation = report.operation.map_or("", |operation| operation.as_str());
    let micros = report.window.end.since(report.window.start) / 1_000;
    format!("{} {operation} {micros}us", report.outcome.as_str()).replace("  ", " ")
}

/// `a/state.json`; other names are temporary.
fn place(path: &str) -> Arc<Place> {
    let (container, name) = path.rsplit_once('/').unwrap();
    let role = match name {
        "state.json" => Role::State,
        "lock" => Role::Lock,
        _ => Role::Temporary,
    };
    Arc::new(Place { root: RootId(0), container: container.into(), name: name.into(), role })
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    Stage::new().play(text).says(expected);
}

#[test]
fn from_first_modify_to_close_after_write_is_one_window() {
    let text = "open a/state.json
        modify a/state.json
        modify a/state.json
        close_write a/state.json";
    check(text, &["in_place unknown 2us"]);
}

#[test]
fn opened_for_writing_and_not_modified_is_no_session() {
    check("open a/state.json\nclose_write a/state.json", &[]);
}

#[test]
fn reads_inside_the_window_overlap_and_are_never_torn() {
    let text = "modify a/state.json
        access a/state.json
        access a/state.json
        close_nowrite a/state.json
        access a/state.json
        modify a/state.json
        close_write a/state.json
        close_nowrite a/state.json";
    check(text, &["in_place unknown 6us", "overlapping a", "overlapping a"]);
}

#[test]
fn a_reader_that_only_closes_inside_the_window_is_exposed() {
    check(
        "modify a/state.json\nclose_nowrite a/state.json\nclose_write a/state.json",
        &["in_place unknown 2us", "exposed a"],
    );
}

#[test]
fn reads_outside_of_windows_are_nothing() {
    let text = "open a/state.json
        access a/state.json
        close_nowrite a/state.json
        modify a/state.json
        close_write a/state.json
        access a/state.json
        close_nowrite a/state.json";
    check(text, &["in_place unknown 1us"]);
}

#[test]
fn our_own_read_is_nobodys() {
    let text = "modify a/state.json
        close_write a/state.json
        own a/state.json
        modify a/state.json
        open a/state.json
        access a/state.json
        close_nowrite a/state.json
        access a/state.json
        close_write a/state.json";
    check(text, &["in_place unknown 1us", "in_place unknown 5us", "overlapping a"]);
}

#[test]
fn created_and_filled_is_created_in_place_from_its_creation() {
    let text = "create a/state.json
        open a/state.json
        modify a/state.json
        close_write a/state.json
        modify a/state.json
        close_write a/state.json";
    check(text, &["created_in_place create 3us", "in_place unknown 1us"]);
}

#[test]
fn created_and_left_empty_is_created_in_place() {
    check(
        "create a/state.json\nopen a/state.json\nclose_write a/state.json",
        &["created_in_place create 2us"],
    );
}

#[test]
fn an_empty_file_in_a_new_directory_was_created_unseen() {
    check(
        "empty a/state.json\nmodify a/state.json\nclose_write a/state.json",
        &["created_in_place create 2us"],
    );
}

#[test]
fn a_linked_file_with_content_was_not_created_empty() {
    let text = "create a/state.json
        open a/state.json
        access a/state.json
        close_nowrite a/state.json
        modify a/state.json
        close_write a/state.json";
    check(text, &["in_place unknown 1us"]);
}

#[test]
fn a_creation_long_ago_is_none() {
    check(
        "create a/state.json\nwait 11\nmodify a/state.json\nclose_write a/state.json",
        &["in_place unknown 1us"],
    );
}

#[test]
fn deleted_and_created_again_is_recreated() {
    let text = "delete a/state.json
        create a/state.json
        open a/state.json
        modify a/state.json
        close_write a/state.json";
    check(text, &["recreated create 3us"]);
}

#[test]
fn whoever_reads_the_deleted_file_on_says_nothing_of_the_new_one() {
    let text = "access a/state.json
        delete a/state.json
        access a/state.json
        create a/state.json
        open a/state.json
        access a/state.json
        close_nowrite a/state.json
        modify a/state.json
        close_write a/state.json";
    check(text, &["recreated create 5us"]);
}

#[test]
fn deleted_while_it_is_written_ends_the_session() {
    check("modify a/state.json\ndelete a/state.json", &["in_place unknown 1us"]);
}

#[test]
fn a_rename_from_a_temporary_file_is_an_atomic_replace() {
    let text = "create a/state-1
        open a/state-1
        modify a/state-1
        close_write a/state-1
        moved_from a/state-1 7
        moved_to a/state.json 7";
    check(text, &["atomic_replace 0us"]);
}

#[test]
fn a_rename_from_a_name_that_nobody_knows_is_one_too() {
    check("moved_to a/state.json 7", &["atomic_replace 0us"]);
}

#[test]
fn what_is_written_after_a_rename_is_a_session_of_its_own() {
    let text = "modify a/state-1\nmoved_from a/state-1 7\nmoved_to a/state.json 7\nclose_write a/state.json";
    check(text, &["atomic_replace 0us"]);
    let text = "modify a/state-1\nclose_write a/state-1\nmoved_from a/state-1 7\nmoved_to a/state.json 7
        modify a/state.json\nclose_write a/state.json";
    check(text, &["atomic_replace 0us", "in_place unknown 1us"]);
}

#[test]
fn what_its_writer_writes_after_a_rename_makes_that_incomplete() {
    let text = "modify a/state-1\nmoved_from a/state-1 7\nmoved_to a/state.json 7
        modify a/state.json\nclose_write a/state.json";
    check(text, &["incomplete_replace rename 1us"]);
    let text = "create a/state-1\nopen a/state-1\nmoved_from a/state-1 7\nmoved_to a/state.json 7
        open a/state.json\naccess a/state.json\nclose_nowrite a/state.json
        modify a/state.json\nclose_write a/state.json\nmodify a/state.json\nclose_write a/state.json";
    check(text, &["incomplete_replace rename 4us", "overlapping a", "in_place unknown 1us"]);
}

#[test]
fn a_link_that_nobody_opens_is_complete_when_it_is_renamed() {
    let text = "create a/state-1\nmoved_from a/state-1 7\nmoved_to a/state.json 7";
    check(text, &["atomic_replace 0us"]);
}

#[test]
fn a_writer_that_keeps_a_replaced_file_open_does_not_hide_it() {
    let text = "create a/state-1\nopen a/state-1\nmodify a/state-1
        moved_from a/state-1 7\nmoved_to a/state.json 7\nwait 5\nopen b/state.json";
    check(text, &["atomic_replace 0us"]);
    let text = format!("{text}\nmodify a/state.json\nclose_write a/state.json");
    check(&text, &["atomic_replace 0us", "in_place unknown 1us"]);
}

#[test]
fn a_file_that_took_over_is_another_than_before() {
    let text = "modify a/state.json
        close_write a/state.json
        moved_from a/state-1 7
        moved_to a/state.json 7
        modify a/state.json
        close_write a/state.json";
    check(text, &["in_place unknown 1us", "atomic_replace 0us", "in_place unknown 1us"]);
}

#[test]
fn an_exchange_replaces_the_state_file_once_whichever_name_comes_first() {
    let later = "modify a/state.json\nclose_write a/state.json";
    for (one, other) in [("state-1", "state.json"), ("state.json", "state-1")] {
        let text = format!(
            "moved_from a/{one} 7\nmoved_to a/{other} 7\nmoved_from a/{other} 8\nmoved_to a/{one} 8\n{later}"
        );
        check(&text, &["atomic_replace 0us", "in_place unknown 1us"]);
    }
}

#[test]
fn moved_away_and_created_again_is_recreated() {
    let later = "create a/state.json\nmodify a/state.json\nclose_write a/state.json";
    for pause in ["", "\nwait 1\nopen b/state.json"] {
        check(&format!("moved_from a/state.json 7{pause}\n{later}"), &["recreated create 2us"]);
    }
}

#[test]
fn an_overflow_leaves_open_sessions_unknown_and_later_ones_known() {
    let text = "modify a/state.json
        access a/state.json
        overflow
        modify a/state.json
        close_write a/state.json";
    check(text, &["anomaly events_lost", "unknown unknown 2us", "unknown a", "in_place unknown 1us"]);
}

#[test]
fn two_containers_are_two_stories() {
    let text = "modify a/state.json
        modify b/state.json
        access b/state.json
        close_write a/state.json
        close_write b/state.json";
    check(text, &["in_place unknown 3us", "in_place unknown 3us", "overlapping b"]);
}

#[test]
fn a_directory_that_goes_takes_its_session_along() {
    let text = "modify a/state.json\ngone a";
    let mut stage = Stage::new();
    stage.play(text).says(&["in_place unknown 1us"]);
    assert!(stage.translator.files.is_empty());
}

#[test]
fn events_of_one_read_keep_their_order() {
    let mut translator = Translator::new();
    let mut events = Vec::new();
    for mask in [EventMask::MODIFY, EventMask::ACCESS, EventMask::CLOSE_WRITE] {
        let sign = Sign { place: place("a/state.json"), mask, cookie: 0, at: BootNanos(5) };
        translator.sign(&sign, &mut events);
    }
    let times: Vec<u64> = events.iter().map(|event| event.span.start.0).collect();
    assert!(times.is_sorted() && times[0] < times[times.len() - 1], "{times:?}");
}

#[test]
fn a_hostile_number_of_names_is_bounded() {
    let mut translator = Translator::new();
    let mut events = Vec::new();
    for number in 0..2 * Translator::MAX_FILES as u64 {
        let place = place(&format!("a/state-{number}"));
        let sign = Sign { place, mask: EventMask::MODIFY, cookie: 0, at: BootNanos(number) };
        translator.sign(&sign, &mut events);
    }
    assert!(translator.files.len() <= Translator::MAX_FILES);
    assert!(events.is_empty());
}
