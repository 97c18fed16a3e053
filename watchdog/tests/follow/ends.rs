//! How `trace` and `record` end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::program::{PROGRAM, Program, wait};
use crate::work::{NAMED, ROUNDS, play, prepare};

#[test]
fn trace_shows_events_and_findings_and_ends_on_a_signal() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    for signal in ["INT", "TERM"] {
        let Some(program) = Program::start("trace", "inotify", folder.path(), &[]) else { return };
        play(folder.path());
        program.shows(">>> WRITTEN IN PLACE: ", 3 * ROUNDS);
        let (status, lines) = program.end(signal);
        assert_eq!(status.code(), Some(0), "{signal}");
        assert!(lines[0].starts_with("TIME (UTC)       RUNTIME"), "{}", lines[0]);
        assert!(lines.iter().any(|line| line.contains("test        atomic")), "{lines:#?}");
        // No terminal: no colours, and foreign names steer nothing.
        assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:#?}");
        fs::remove_dir_all(folder.path().join("atomic")).unwrap();
        for round in 0..ROUNDS {
            fs::remove_dir_all(folder.path().join(format!("made-{round}"))).unwrap();
        }
        prepare(folder.path());
    }
}

#[test]
fn trace_shows_one_container_by_the_beginning_of_its_id() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let options = ["--container", &NAMED[..8]];
    let Some(program) = Program::start("trace", "inotify", folder.path(), &options) else { return };
    play(folder.path());
    program.shows(">>> WRITTEN IN PLACE: ", ROUNDS);
    let (_, lines) = program.end("TERM");
    let about = |name: &str| lines.iter().filter(|line| line.contains(name)).count();
    assert!(about("shop/web-0/app") + about(&NAMED[..12]) >= lines.len() - 1, "{lines:#?}");
    assert_eq!(about("atomic"), 0);
}

#[test]
fn they_end_well_when_nobody_reads_them_any_more() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    for (command, file) in [("trace", None), ("record", Some("-"))] {
        let mut child = Command::new(PROGRAM)
            .args([command, "--source", "inotify", "--root"])
            .arg(format!("test={}", folder.path().display()))
            .args(file)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        assert!(
            first.starts_with("TIME") || first.starts_with("{\"state_watchdog_recording\":1,"),
            "{first}"
        );
        // The pipe is closed, and nothing happens below the root that would be written to it.
        let mut ended = None;
        wait("it ends", || {
            ended = child.try_wait().unwrap();
            ended.is_some()
        });
        assert_eq!(ended.unwrap().code(), Some(0), "{command}");
    }
}

#[test]
fn a_recording_that_cannot_be_made_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("test={}", folder.path().display());
    let said = |arguments: &[&str]| {
        let command = ["record", "--source", "inotify", "--root", &root];
        let output = Command::new(PROGRAM).args(command).args(arguments).output().unwrap();
        assert!(output.stdout.is_empty());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, stderr) = said(&["/nonexistent/recording"]);
    assert!(code == 64 && stderr.contains("cannot create /nonexistent/recording: No such file"), "{stderr}");
    let (code, stderr) = said(&["--findings", "json", "-"]);
    assert!(code == 64 && stderr.contains("stdout takes either"), "{stderr}");
    let (code, stderr) = said(&["/dev/full"]);
    assert!(code == 74 && stderr.contains("cannot write on to /dev/full"), "{stderr}");
}
