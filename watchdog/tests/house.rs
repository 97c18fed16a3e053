//! The lines of the house: which module may use what.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

#[path = "house/imports.rs"]
mod imports;

use std::fs;
use std::path::{Path, PathBuf};

use imports::{Crate, Rule};

/// A thing that stands in some modules only.
struct Line {
    /// Any of these in code counts as use.
    words: &'static [&'static str],
    /// Path prefixes below `src/` where it may stand.
    home: &'static [&'static str],
}

/// Each outside crate has one door.
const DOORS: [Line; 8] = [
    Line { words: &["aya::", "aya_obj::"], home: &["source/ebpf"] },
    Line { words: &["inotify::", "inotify_init", "IN_MODIFY"], home: &["source/inotify"] },
    Line { words: &["prometheus::"], home: &["metrics.rs"] },
    Line { words: &["set_capabilities", "set_no_new_privs"], home: &["privilege.rs"] },
    Line { words: &["axum::", "hyper::"], home: &["http/"] },
    Line { words: &["rustls::", "tokio_rustls::", "bcrypt::", "ring::"], home: &["http/"] },
    Line { words: &["serde_saphyr::"], home: &["config/web.rs"] },
    Line { words: &["TcpListener", "UnixListener"], home: &["http/", "agent/start.rs", "agent/attach.rs"] },
];

/// What the pure modules must not touch.
const PURE: [(&[&str], &[&str]); 3] = [
    (
        &[
            "model/",
            "detect/",
            "health.rs",
            "source/plan.rs",
            "source/names/",
            "source/inotify/translate.rs",
            "source/witness/testimony.rs",
            "source/witness/story.rs",
            "agent/descriptions.rs",
            "agent/canary/round.rs",
        ],
        &[
            "std::fs",
            "std::io",
            "std::net",
            "std::process",
            "std::thread",
            "tokio",
            "libc::",
            "tracing",
            "Instant::now",
            "SystemTime",
        ],
    ),
    // The vocabulary stands alone; the engine knows the vocabulary alone.
    (&["model/"], &["crate::"]),
    (
        &["detect/"],
        &[
            "crate::agent",
            "crate::cli",
            "crate::clock",
            "crate::config",
            "crate::doctor",
            "crate::enrich",
            "crate::health",
            "crate::host_root",
            "crate::http",
            "crate::metrics",
            "crate::profile",
            "crate::recent",
            "crate::report",
            "crate::source",
            "crate::telemetry",
        ],
    ),
];

#[test]
fn every_outside_crate_has_one_door() {
    for (name, code) in sources() {
        for Line { words, home } in &DOORS {
            if !home.iter().any(|home| name.starts_with(home)) {
                let used: Vec<_> = words.iter().filter(|word| uses(&code, word)).collect();
                assert!(used.is_empty(), "src/{name} uses {used:?}, at home in {home:?}");
            }
        }
    }
}

#[test]
fn pure_modules_touch_nothing() {
    for (name, code) in sources() {
        for (modules, forbidden) in PURE {
            if modules.iter().any(|module| name.starts_with(module)) {
                let used: Vec<_> = forbidden.iter().filter(|word| uses(&code, word)).collect();
                assert!(used.is_empty(), "src/{name} uses {used:?}");
            }
        }
    }
}

/// The file at each crate's root, and what counts as a circle there.
const ROOTS: [(&str, Rule); 7] = [
    ("watchdog/src/lib.rs", Rule::Families),
    ("watchdog/src/main.rs", Rule::Files),
    ("watchdog-common/src/lib.rs", Rule::Files),
    ("watchdog-ebpf/src/main.rs", Rule::Families),
    ("workload/src/lib.rs", Rule::Files),
    ("xtask/src/main.rs", Rule::Files),
    ("fuzz/src/lib.rs", Rule::Files),
];

/// Circles that are still to be cut.
const KNOWN: [&str; 0] = [];

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut told = Vec::new();
    for (root, rule) in ROOTS {
        let read = Crate::load(&repository().join(root), &|file| fs::read_to_string(file).ok());
        let circles = read.circles(rule).into_iter().filter(|circle| !KNOWN.contains(&circle.as_str()));
        told.extend(circles.map(|circle| format!("{root}:\n  {circle}")));
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
}

#[test]
fn circles_are_found_and_nothing_else_is() {
    let circles = |files: &[(&str, &str)], rule| {
        let read = |path: &Path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        };
        let read = Crate::load(Path::new("main.rs"), &read);
        assert_eq!(read.len(), files.len());
        read.circles(rule)
    };
    let root = ("main.rs", "mod a;\nmod b;\nuse a::Shown;\nfn main() { b::run(Shown) }\n");
    let child = ("a/c.rs", "use crate::{\n    b::{self, Other as Another},\n};\npub(crate) struct Shown;\n");
    let parent = ("a/mod.rs", "mod c;\npub(crate) use c::Shown;\npub(crate) fn help() {}\n");
    let fine = "pub(crate) struct Other;\npub(crate) fn run(_: crate::Shown) {} // super::a::help()\n";
    // What a folder only hands on is used where it is declared: here in `c`, which uses `b`.
    let told = circles(&[root, child, parent, ("b.rs", fine)], Rule::Files);
    assert_eq!(told, ["a::c uses b\n  b uses a::c"]);
    let fine = "pub(crate) struct Other;\npub(crate) fn run<T>(_: T) { println!(\"{}\", \"super::a\") }\n";
    assert!(circles(&[root, child, parent, ("b.rs", fine)], Rule::Files).is_empty());
    // A child that uses its parent is no circle until the parent uses the child.
    let child = ("a/c.rs", "pub(crate) struct Shown;\nfn all() { super::help() }\n");
    assert!(circles(&[root, child, parent, ("b.rs", fine)], Rule::Files).is_empty());
    let parent = ("a/mod.rs", "mod c;\npub(crate) use c::Shown;\npub(crate) fn help() { c::all() }\n");
    assert_eq!(circles(&[root, child, parent, ("b.rs", fine)], Rule::Files), ["a uses a::c\n  a::c uses a"]);
    assert!(circles(&[root, child, parent, ("b.rs", fine)], Rule::Families).is_empty());
}

#[test]
fn unsafe_code_stands_where_it_must() {
    for (name, code) in sources() {
        let at_home =
            ["apart.rs", "clock.rs", "memory.rs", "prepare.rs", "source/ebpf", "source/inotify/queue.rs"]
                .iter()
                .any(|home| name.starts_with(home));
        assert!(at_home || !uses(&code, "unsafe {"), "src/{name} holds unsafe code");
    }
}

#[test]
fn unsafe_code_is_counted_and_each_place_says_why() {
    let page = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let table = page.split("<!-- begin unsafe -->").nth(1).unwrap();
    let table = table.split("<!-- end unsafe -->").next().unwrap();
    let mut told: Vec<(String, usize)> = Vec::new();
    for row in table.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [file, places, why] = cells[..] else { panic!("no row of three: {row}") };
        assert!(why.len() > 10, "{file} says no reason");
        told.push((file.trim_matches('`').to_owned(), places.parse().unwrap()));
    }
    told.sort();
    let mut found = Vec::new();
    for folder in ["watchdog", "watchdog-common", "watchdog-ebpf", "workload", "xtask", "fuzz"] {
        for (path, text) in rust_below(&repository().join(folder).join("src")) {
            let places = unsafe_places(&text);
            for &line in &places {
                assert!(says_why(&text, line), "{}:{} says nothing", path.display(), line + 1);
            }
            if !places.is_empty() {
                let name = path.strip_prefix(repository()).unwrap().to_str().unwrap().to_owned();
                found.push((name, places.len()));
            }
        }
    }
    found.sort();
    assert_eq!(found, told, "found, and told in SECURITY.md");
}

#[test]
fn every_test_that_the_security_page_names_is_there() {
    let page = fs::read_to_string(repository().join("SECURITY.md")).unwrap();
    let (mut file, mut named) = (String::new(), 0);
    for word in page.split('`').skip(1).step_by(2) {
        let is_name =
            word.contains('_') && word.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c));
        if word.starts_with("watchdog/") && word.ends_with(".rs") {
            file = fs::read_to_string(repository().join(word)).unwrap_or_else(|_| panic!("{word} is gone"));
        } else if is_name && word.split('_').count() > 4 {
            assert!(file.contains(&format!("fn {word}(")), "{word} is gone");
            named += 1;
        }
    }
    assert!(named > 10, "the page names no tests");
}

/// The lines, counted from 0, on which unsafe code begins.
fn unsafe_places(text: &str) -> Vec<usize> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let begins = |line: &str| {
        ["unsafe {", "unsafe fn ", "unsafe extern ", "unsafe impl "].iter().any(|word| uses(line, word))
    };
    let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.filter(|(_, line)| begins(line)).map(|(number, _)| number).collect()
}

/// True when the comment above, with attributes and the statement's beginning in between, gives the reason.
fn says_why(text: &str, line: usize) -> bool {
    let before: Vec<&str> = text.lines().take(line + 1).collect();
    before.iter().rev().take(12).any(|line| line.contains("// SAFETY:") || line.contains("# Safety"))
}

fn rust_below(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(rust_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn no_file_outgrows_its_reader() {
    for (name, _) in sources() {
        let lines = fs::read_to_string(source_folder().join(&name)).unwrap().lines().count();
        assert!(lines <= 500, "src/{name} has {lines} lines; split it");
    }
}

#[test]
fn the_doors_exist() {
    let names: Vec<String> = sources().into_iter().map(|(name, _)| name).collect();
    for home in ["metrics.rs", "http/", "model/", "detect/", "clock.rs", "agent/start.rs"] {
        assert!(names.iter().any(|name| name.starts_with(home)), "{home} is gone");
    }
}

/// True when code, not a comment, holds the word, and not as the end of a longer one.
fn uses(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || (c == ':' && !word.starts_with("crate")))
    })
}

/// All source files by their path below `src/`, without comments and without what is compiled for tests alone.
fn sources() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![source_folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(source_folder()).unwrap().to_str().unwrap().to_owned();
                if name.ends_with("tests.rs") || name == "source/scripted.rs" {
                    continue;
                }
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
                let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
                found.push((name, code.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn source_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}
