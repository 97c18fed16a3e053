use super::*;
use crate::source::names::Change;

const ROOT: RootId = RootId(0);
const MILLISECOND: u64 = 1_000_000;

/// A join, and what came out of it.
#[derive(Default)]
struct Bench {
    join: Join,
    out: Vec<Joined>,
    cookie: u32,
}

fn place(container: &str, name: &str) -> Arc<Place> {
    let role = if name == "state.json" { Role::State } else { Role::Temporary };
    Arc::new(Place { root: ROOT, container: container.into(), name: name.into(), role })
}

fn places(root: RootId, container: &str, name: &str) -> Arc<Place> {
    assert_eq!(root, ROOT);
    place(container, name)
}

fn named(name: &str, directory: Directory) -> Named {
    Named { name: Some(name.into()), directory }
}

fn textual(container: &str) -> Directory {
    Directory::Textual(ROOT, container.into())
}

fn certain(container: &str) -> Directory {
    Directory::Certain(ROOT, container.into())
}

fn last(name: &str) -> Directory {
    Directory::Named(name.into())
}

fn at(milliseconds: u64) -> BootNanos {
    BootNanos(milliseconds * MILLISECOND)
}

impl Bench {
    /// Containers `a` and `b` are watched since time 0.
    fn new() -> Self {
        let mut bench = Self::default();
        for container in ["a", "b"] {
            bench.join.begins(ROOT, container.into(), at(0));
        }
        bench
    }

    fn change(&mut self, change: Change, container: &str, name: &str, time: u64) {
        let place = place(container, name);
        let cookie = if matches!(change, Change::MovedFrom | Change::MovedTo) { self.cookie } else { 0 };
        let between = (at(time), at(time + 1));
        self.join.change(NameEvent { place, change, cookie, between }, &mut self.out);
    }

    /// A rename within a container.
    fn moved(&mut self, container: &str, from: &str, to: &str, time: u64) {
        self.cookie += 1;
        self.change(Change::MovedFrom, container, from, time);
        self.change(Change::MovedTo, container, to, time);
    }

    fn call(&mut self, kind: CallKind, tid: u32, paths: &[Named], time: u64) {
        let actor = Actor { tid, ..Actor::UNKNOWN };
        let span = Span::new(at(time), at(time + 1));
        let [first, second @ ..] = paths else { panic!("a call has a path") };
        let call = Call { kind, span, actor, first: first.clone(), second: second.first().cloned() };
        self.join.call(call, &mut places, &mut self.out);
    }

    /// Thread `tid` renames within a directory.
    fn rename(&mut self, tid: u32, directory: &Directory, from: &str, to: &str, time: u64) {
        let paths = [named(from, directory.clone()), named(to, directory.clone())];
        self.call(CallKind::Rename { exchange: false }, tid, &paths, time);
    }

    fn idle(&mut self, time: u64) {
        self.join.idle(at(time), &mut places, &mut self.out);
    }

    /// What came out since the last look: thread and operation.
    #[track_caller]
    fn expect(&mut self, expected: &[&str]) {
        let say = |place: &Option<Arc<Place>>| {
            place.as_ref().map_or("-".to_owned(), |place| format!("{}/{}", place.container, place.name))
        };
        let line = |joined: &Joined| {
            let what = match &joined.operation {
                Operation::Rename { from, to, exchange, .. } => {
                    let verb = if *exchange { "exchange" } else { "rename" };
                    format!("{verb} {} {}", say(from), say(to))
                }
                Operation::Link { from, to, .. } => format!("link {} {}", say(from), say(&Some(to.clone()))),
                Operation::Unlink { place, .. } => format!("unlink {}", say(&Some(place.clone()))),
                Operation::Truncate { target: Target::Place(place), to, .. } => {
                    format!("truncate {} {to}", say(&Some(place.clone())))
                }
                Operation::MoveDirectory { container, to, .. } => {
                    format!("move {container} {}", to.as_ref().map_or("-", |(_, to)| to))
                }
                other => format!("{other:?}"),
            };
            format!("{} {what}", joined.actor.tid)
        };
        let lines: Vec<String> = self.out.drain(..).map(|joined| line(&joined)).collect();
        assert_eq!(lines, expected);
    }
}

#[test]
fn a_change_is_told_with_its_directory_and_the_calls_thread() {
    let mut bench = Bench::new();
    for directory in [textual("a"), certain("a")] {
        bench.moved("a", "tmp", "state.json", 10);
        bench.rename(7, &directory, "tmp", "state.json", 10);
        bench.expect(&["7 rename a/tmp a/state.json"]);
    }
    bench.change(Change::Deleted, "a", "state.json", 20);
    bench.call(CallKind::Unlink, 7, &[named("state.json", textual("a"))], 20);
    bench.expect(&["7 unlink a/state.json"]);
}

#[test]
fn what_the_marks_do_not_show_did_not_happen_in_a_watched_directory() {
    let mut bench = Bench::new();
    // Two names of one file, and a text that leads elsewhere by now.
    bench.rename(7, &textual("a"), "tmp", "state.json", 10);
    bench.rename(7, &certain("a"), "tmp", "state.json", 10);
    // A chroot, and a place that has nothing to do with any root.
    bench.rename(7, &last("a"), "tmp", "state.json", 10);
    bench.rename(7, &Directory::Unknown, "tmp", "state.json", 10);
    bench.call(CallKind::Truncate(0), 7, &[named("state.json", textual("a"))], 10);
    bench.idle(1_000);
    bench.expect(&[]);
    assert_eq!(bench.join.unresolved(), 0);
}

#[test]
fn a_link_that_leads_elsewhere_does_not_mislead() {
    let mut bench = Bench::new();
    bench.moved("b", "tmp", "state.json", 10);
    bench.rename(7, &textual("current"), "tmp", "state.json", 10);
    bench.idle(11);
    bench.expect(&["7 rename b/tmp b/state.json"]);
}

#[test]
fn a_call_that_is_surer_takes_the_change_whichever_comes_first() {
    let mut bench = Bench::new();
    bench.moved("a", "tmp", "state.json", 10);
    bench.rename(1, &last("a"), "tmp", "state.json", 10);
    bench.expect(&[]);
    bench.rename(2, &textual("a"), "tmp", "state.json", 10);
    bench.idle(11);
    bench.expect(&["2 rename a/tmp a/state.json"]);
}

#[test]
fn calls_that_waited_come_before_a_later_one_that_is_sure() {
    let mut bench = Bench::new();
    bench.moved("a", "x", "state.json", 10);
    bench.moved("a", "tmp", "state.json", 20);
    bench.rename(1, &last("link"), "x", "state.json", 10);
    bench.rename(2, &textual("a"), "tmp", "state.json", 20);
    bench.expect(&["1 rename a/x a/state.json", "2 rename a/tmp a/state.json"]);
}

#[test]
fn a_burst_of_one_name_in_several_directories_keeps_its_directories() {
    let mut bench = Bench::new();
    for container in ["a", "b", "a"] {
        bench.moved(container, "tmp", "state.json", 10);
    }
    for container in ["a", "b", "a"] {
        bench.rename(7, &textual(container), "tmp", "state.json", 10);
    }
    bench.expect(&[
        "7 rename a/tmp a/state.json",
        "7 rename b/tmp b/state.json",
        "7 rename a/tmp a/state.json",
    ]);
}

#[test]
fn an_exchange_takes_both_of_its_changes() {
    let mut bench = Bench::new();
    bench.moved("a", "tmp", "state.json", 10);
    bench.moved("a", "state.json", "tmp", 10);
    let paths = [named("tmp", textual("a")), named("state.json", textual("a"))];
    bench.call(CallKind::Rename { exchange: true }, 7, &paths, 10);
    bench.idle(1_000);
    bench.expect(&["7 exchange a/tmp a/state.json"]);
}

#[test]
fn one_side_of_a_rename_may_lie_elsewhere() {
    let mut bench = Bench::new();
    bench.cookie = 5;
    bench.change(Change::MovedTo, "a", "state.json", 10);
    let paths = [named("tmp", last("x")), named("state.json", textual("a"))];
    bench.call(CallKind::Rename { exchange: false }, 7, &paths, 10);
    // The next one may have been merged with it.
    bench.call(CallKind::Rename { exchange: false }, 7, &paths, 10);
    bench.cookie = 6;
    bench.change(Change::MovedFrom, "a", "state.json", 20);
    let paths = [named("state.json", textual("a")), named("old", last("x"))];
    bench.call(CallKind::Rename { exchange: false }, 7, &paths, 20);
    bench.expect(&["7 rename - a/state.json", "7 rename - a/state.json", "7 rename a/state.json -"]);
}

#[test]
fn a_link_knows_its_other_name_by_the_text() {
    let mut bench = Bench::new();
    let cases = [
        (textual("b"), textual("a"), "7 link b/x a/state.json"),
        (last("q"), textual("a"), "7 link - a/state.json"),
    ];
    for (from, to, expected) in cases {
        bench.change(Change::Created, "a", "state.json", 10);
        bench.call(CallKind::Link, 7, &[named("x", from), named("state.json", to)], 10);
        bench.expect(&[expected]);
    }
}

#[test]
fn what_an_open_created_no_link_claims() {
    let mut bench = Bench::new();
    bench.change(Change::Created, "a", "state.json", 10);
    bench.join.created(&place("a", "state.json"), &mut bench.out);
    bench.call(CallKind::Link, 7, &[named("x", last("q")), named("state.json", last("q"))], 10);
    bench.idle(1_000);
    bench.expect(&[]);
}

#[test]
fn in_a_directory_that_was_not_watched_yet_the_text_decides() {
    let mut bench = Bench::new();
    bench.rename(7, &textual("new"), "tmp", "state.json", 10);
    bench.expect(&["7 rename new/tmp new/state.json"]);
    bench.join.begins(ROOT, "new".into(), at(20));
    bench.rename(7, &textual("new"), "tmp", "state.json", 15);
    bench.expect(&["7 rename new/tmp new/state.json"]);
    // One of the two directories was.
    bench.cookie = 9;
    bench.change(Change::MovedFrom, "a", "tmp", 15);
    let paths = [named("tmp", textual("a")), named("state.json", textual("new"))];
    bench.call(CallKind::Rename { exchange: false }, 7, &paths, 15);
    bench.expect(&["7 rename a/tmp new/state.json"]);
    bench.call(CallKind::Link, 7, &paths, 15);
    bench.expect(&["7 link a/tmp new/state.json"]);
    // Another mount namespace's text proves nothing.
    bench.rename(7, &last("new"), "tmp", "state.json", 15);
    bench.expect(&[]);
    assert_eq!(bench.join.unresolved(), 1);
    bench.rename(7, &last("new"), "tmp", "state.json", 25);
    bench.expect(&[]);
    assert_eq!(bench.join.unresolved(), 1);
}

#[test]
fn after_a_loss_the_text_decides_for_what_was_before() {
    let mut bench = Bench::new();
    bench.moved("a", "tmp", "state.json", 10);
    bench.join.lost(at(20));
    bench.rename(7, &textual("a"), "tmp", "state.json", 10);
    bench.expect(&["7 rename a/tmp a/state.json"]);
    bench.rename(7, &textual("a"), "tmp", "state.json", 30);
    bench.expect(&[]);
}

#[test]
fn a_change_without_a_call_is_told_without_a_process() {
    let mut bench = Bench::new();
    bench.moved("a", "tmp", "state.json", 10);
    bench.change(Change::Deleted, "b", "state.json", 10);
    bench.idle(200);
    bench.expect(&[]);
    assert_eq!(bench.join.due(), Some(BootNanos(at(311).0 + 1)));
    bench.idle(312);
    bench.expect(&["0 rename a/tmp a/state.json", "0 unlink b/state.json"]);
    assert_eq!(bench.join.due(), None);
}

#[test]
fn a_change_without_a_call_that_others_followed_is_lost() {
    let mut bench = Bench::new();
    bench.moved("a", "tmp", "state.json", 10);
    bench.moved("a", "tmp", "state.json", 300);
    bench.idle(320);
    bench.expect(&[]);
    assert_eq!(bench.join.unresolved(), 1);
}

#[test]
fn a_truncation_is_certain_or_it_is_counted() {
    let mut bench = Bench::new();
    let truncate = CallKind::Truncate(3);
    bench.change(Change::Modified, "a", "state.json", 10);
    bench.call(truncate, 7, &[named("state.json", textual("a"))], 10);
    bench.call(truncate, 7, &[named("state.json", textual("a"))], 10);
    bench.expect(&["7 truncate a/state.json 3", "7 truncate a/state.json 3"]);
    // A writer modifies a state file while another file of that name is truncated.
    bench.call(truncate, 7, &[named("state.json", textual("b"))], 10);
    bench.call(truncate, 7, &[named("state.json", Directory::Elsewhere)], 10);
    bench.call(truncate, 7, &[named("state.json", last("x"))], 10);
    assert_eq!(bench.join.unresolved(), 0);
    bench.call(truncate, 7, &[named("state.json", last("a"))], 10);
    assert_eq!(bench.join.unresolved(), 1);
    bench.expect(&[]);
}

#[test]
fn a_directory_that_was_moved_is_told_in_the_order_of_the_marks() {
    let mut bench = Bench::new();
    let depart = |bench: &mut Bench| {
        let between = (at(10), at(11));
        let (container, to) = ("a".into(), Some((ROOT, "old".into())));
        bench.join.directory(DirectoryMove { root: ROOT, container, to, between });
    };
    // Made anew, and its first file is made before the directory is watched.
    depart(&mut bench);
    bench.join.created(&place("a", "state.json"), &mut bench.out);
    bench.expect(&["0 move a old"]);
    // The file is made, and the directory moved then.
    bench.change(Change::Created, "a", "state.json", 10);
    depart(&mut bench);
    bench.join.created(&place("a", "state.json"), &mut bench.out);
    bench.expect(&[]);
    bench.moved("a", "tmp", "state.json", 10);
    bench.rename(7, &textual("a"), "tmp", "state.json", 10);
    bench.expect(&["0 move a old", "7 rename a/tmp a/state.json"]);
    depart(&mut bench);
    bench.idle(10);
    bench.expect(&["0 move a old"]);
}

#[test]
fn memory_is_bounded() {
    let mut bench = Bench::new();
    for time in 0..20_000 {
        bench.moved("a", "tmp", "state.json", time);
        bench.change(Change::Modified, if time % 2 == 0 { "a" } else { "b" }, "state.json", time);
        bench.rename(7, &last("x"), "other", "state.json", time);
        bench.out.clear();
    }
    assert!(bench.join.pool.len() <= 16_384);
    assert!(bench.join.waiting.len() <= Join::MAX_WAITING);
}

#[test]
fn beside_probes_that_name_files_a_change_is_not_reported_and_keeps_moves_in_order() {
    let mut bench = Bench { join: Join::beside_names(), ..Bench::default() };
    bench.join.begins(ROOT, "a".into(), at(0));
    let replace = Operation::Rename {
        from: Some(place("a", "tmp")),
        to: Some(place("a", "state.json")),
        inode: None,
        exchange: false,
        still_open_for_writing: None,
    };
    bench.moved("a", "tmp", "state.json", 10);
    let (container, to) = ("a".into(), Some((ROOT, "old".into())));
    bench.join.directory(DirectoryMove { root: ROOT, container, to, between: (at(20), at(21)) });
    bench.moved("a", "tmp", "state.json", 30);
    bench.join.reported(&replace, &mut bench.out);
    bench.expect(&[]);
    bench.join.reported(&replace, &mut bench.out);
    bench.expect(&["0 move a old"]);
    // Nobody reported this one.
    bench.change(Change::Deleted, "a", "state.json", 40);
    bench.idle(10_000);
    bench.expect(&[]);
    assert_eq!((bench.join.unresolved(), bench.join.due()), (0, None));
}
