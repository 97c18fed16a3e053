//! Live and replayed findings are equal.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::program::{PROGRAM, Program, send};
use crate::work::{ROUNDS, play, prepare};

/// Exit code, stdout's lines, stderr.
fn replay(file: &Path, options: &[&str]) -> (Option<i32>, Vec<String>, String) {
    let Output { status, stdout, stderr } =
        Command::new(PROGRAM).arg("replay").args(options).arg(file).stdin(Stdio::null()).output().unwrap();
    let lines = String::from_utf8(stdout).unwrap().lines().map(str::to_owned).collect();
    (status.code(), lines, String::from_utf8(stderr).unwrap())
}

fn count(findings: &[String], matches: impl Fn(&Value) -> bool) -> usize {
    findings.iter().filter(|line| matches(&serde_json::from_str(line).unwrap())).count()
}

/// Records a session of work; the folder holds it as `recording`. Gives what was found live.
fn recorded(source: &str, await_last: (&str, usize)) -> Option<(tempfile::TempDir, Vec<String>)> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    prepare(&root);
    let recording = folder.path().join("recording");
    let options = ["--findings", "json", recording.to_str().unwrap()];
    let program = Program::start("record", source, &root, &options)?;
    play(&root);
    let (text, times) = await_last;
    program.shows(text, times);
    program.shows("\"kind\":\"damaged_state_file\"", 1);
    let (status, live) = program.end("TERM");
    assert_eq!(status.code(), Some(0));
    Some((folder, live))
}

/// Judges the recording anew and compares, field by field.
fn equal(folder: &Path, live: &[String]) {
    let recording = folder.join("recording");
    let mode = fs::metadata(&recording).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "command lines of strangers stand in it");
    let (code, replayed, stderr) = replay(&recording, &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.ends_with(&format!("{} findings\n", live.len())), "{stderr}");
    for (index, (live, replayed)) in live.iter().zip(&replayed).enumerate() {
        let both: [Value; 2] = [live, replayed].map(|line| serde_json::from_str(line).unwrap());
        let [live, replayed] = both.each_ref().map(|finding| finding.as_object().unwrap());
        for (field, value) in live {
            assert_eq!(Some(value), replayed.get(field), "{field} of finding {index}");
        }
        assert_eq!(live.len(), replayed.len(), "finding {index}");
    }
    assert_eq!(replayed, live);
    let header = fs::read_to_string(&recording).unwrap();
    let header: Value = serde_json::from_str(header.lines().next().unwrap()).unwrap();
    assert_eq!(header["state_watchdog_recording"], 1);
    assert_eq!(header["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
#[cfg(feature = "ebpf")]
fn what_system_calls_did_is_judged_anew_as_it_was_live() {
    let Some((folder, live)) = recorded("syscalls", ("\"kind\":\"reader_exit\"", 4 * ROUNDS)) else { return };
    equal(folder.path(), &live);
    let torn = |finding: &Value| finding["kind"] == "torn_read";
    assert_eq!(count(&live, torn), 4 * ROUNDS);
    let named = |finding: &Value| torn(finding) && finding["container_id"] == crate::work::NAMED;
    assert_eq!(count(&live, named), 2 * ROUNDS);
    // Its pod is known once its file was read between two saves.
    assert!(count(&live, |finding| named(finding) && finding["pod"]["name"] == "web-0") > 0);
    assert_eq!(
        count(&live, |finding| finding["container_id"] == crate::work::TORN.escape_default().to_string()),
        5 * ROUNDS
    );
    let failed = |finding: &Value| finding["exit"]["result"] == "failure" && finding["exit"]["code"] == 1;
    assert_eq!(count(&live, failed), 2 * ROUNDS);
    assert_eq!(count(&live, |finding| finding["container_id"] == "atomic"), 0);
    assert!(count(&live, |finding| finding["aftermath"] == "truncated") >= 2);
    let known = |finding: &Value| torn(finding) && finding["reader"]["attribution"] != "none";
    assert_eq!(count(&live, known), 4 * ROUNDS);
}

#[test]
fn what_inotify_saw_is_judged_anew_as_it_was_live() {
    // Containers that are gone at once may go past it.
    let writes = 3 * ROUNDS;
    let Some((folder, live)) = recorded("inotify", ("\"kind\":\"nonatomic_write\"", writes)) else { return };
    equal(folder.path(), &live);
    assert_eq!(count(&live, |finding| finding["source"] == "inotify"), live.len());
    assert_eq!(count(&live, |finding| finding["container_id"] == "atomic"), 0);

    // The same from a pipe, for a person, and in silence.
    let recording = folder.path().join("recording");
    let piped =
        Command::new(PROGRAM).args(["replay", "-"]).stdin(fs::File::open(&recording).unwrap()).output();
    assert_eq!(String::from_utf8(piped.unwrap().stdout).unwrap().lines().collect::<Vec<_>>(), live);
    let (code, text, _) = replay(&recording, &["--findings", "text"]);
    assert_eq!((code, text.len()), (Some(0), live.len()));
    assert!(text[0].contains("IN PLACE") || text[0].contains("exposed"), "{}", text[0]);
    assert_eq!(replay(&recording, &["--findings", "none"]).1, Vec::<String>::new());

    // A broken line is named, and what stands before it is judged.
    let whole = fs::read_to_string(&recording).unwrap();
    let mut lines: Vec<&str> = whole.lines().collect();
    let last = lines.len() - 1;
    lines[last] = "{\"event\":";
    fs::write(&recording, lines.join("\n") + "\n").unwrap();
    let (code, findings, stderr) = replay(&recording, &[]);
    assert_eq!((code, findings), (Some(64), live));
    let place = format!("error: {}: line {} is broken: ", recording.display(), lines.len());
    assert!(stderr.starts_with(&place), "{stderr}");
}

#[test]
fn a_recording_that_was_killed_is_judged_as_far_as_it_goes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    prepare(&root);
    let recording = folder.path().join("recording");
    let options = ["--findings", "json", recording.to_str().unwrap()];
    let Some(program) = Program::start("record", "inotify", &root, &options) else { return };
    play(&root);
    program.shows("\"kind\":\"nonatomic_write\"", 3 * ROUNDS);
    send(&program.child, "KILL");
    let (status, live) = program.end("KILL");
    assert!(!status.success());
    // What was said is written; the last line may be a piece of one.
    let text = fs::read(&recording).unwrap();
    fs::write(&recording, [&text[..], b"{\"event\":{\"sp"].concat()).unwrap();
    let (code, replayed, stderr) = replay(&recording, &[]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("cut short"), "{stderr}");
    let writes = |findings: &[String]| count(findings, |finding| finding["kind"] == "nonatomic_write");
    assert!(writes(&replayed) >= 3 * ROUNDS && writes(&live) >= 3 * ROUNDS);
}

#[test]
fn what_is_no_recording_is_64() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("recording");
    for (text, complaint) in [
        ("", "line 1 is no header of a recording"),
        ("nonsense\n", "line 1 is no header of a recording: expected ident"),
        ("{\"state_watchdog_recording\":7}\n", "line 1: the recording has format 7, this version reads 1"),
    ] {
        fs::write(&file, text).unwrap();
        let (code, stdout, stderr) = replay(&file, &[]);
        assert_eq!((code, stdout.len()), (Some(64), 0), "{text}");
        assert!(stderr.contains(complaint), "{stderr}");
    }
    let (code, _, stderr) = replay(&folder.path().join("absent"), &[]);
    assert_eq!(code, Some(64));
    assert!(stderr.contains("cannot open"), "{stderr}");
}
