//! The lines of the house: which module may use what.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::fs;
use std::path::{Path, PathBuf};

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

#[test]
fn unsafe_code_stands_where_it_must() {
    for (name, code) in sources() {
        let at_home = ["clock.rs", "memory.rs", "source/ebpf", "source/inotify/queue.rs"]
            .iter()
            .any(|home| name.starts_with(home));
        assert!(at_home || !uses(&code, "unsafe {"), "src/{name} holds unsafe code");
    }
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
