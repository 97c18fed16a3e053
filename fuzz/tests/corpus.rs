//! The committed corpus, replayed without a fuzzer: what was found once stays mended.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use watchdog_fuzz::TARGETS;

#[test]
fn every_target_stands_its_corpus() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let (mut replayed, mut broken) = (0, Vec::new());
    for (name, target) in TARGETS {
        let mut files: Vec<_> =
            fs::read_dir(corpus.join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 5, "{name} has {} files", files.len());
        for file in files {
            let bytes = fs::read(&file).unwrap();
            let stood = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            if stood.is_err() {
                broken.push(format!("{name}/{}", file.file_name().unwrap().display()));
            }
            replayed += 1;
        }
    }
    assert_eq!(broken, [""; 0], "each panic stands above");
    println!("{replayed} inputs");
}

#[test]
fn every_corpus_and_every_binary_has_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (below, end) in [("corpus", ""), ("fuzz_targets", ".rs")] {
        for entry in fs::read_dir(folder.join(below)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let known = TARGETS.iter().any(|(target, _)| name == format!("{target}{end}"));
            assert!(known, "{below}/{name} belongs to no target");
        }
    }
}

/// Each target's program is built with the fuzzer alone, so what it is made of is held here.
#[test]
fn every_target_has_its_program() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
    for (name, _) in TARGETS {
        let path = format!("fuzz_targets/{name}.rs");
        let program = format!(
            "#![no_main]\n//! See [`watchdog_fuzz::{name}`].\n\n\
             libfuzzer_sys::fuzz_target!(|bytes: &[u8]| watchdog_fuzz::{name}(bytes));\n"
        );
        assert_eq!(fs::read_to_string(folder.join(&path)).unwrap(), program, "{path}");
        let stands = format!(
            "[[bin]]\nname = \"{name}\"\npath = \"{path}\"\nrequired-features = [\"fuzzer\"]\ntest = false\n"
        );
        assert!(manifest.contains(&stands), "{name} is no program in Cargo.toml");
    }
}
