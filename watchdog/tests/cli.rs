//! The program as a script sees it: exit codes, stdout, stderr.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::net::TcpListener;
use std::process::{Command, Output};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_state-watchdog")).args(args).output().unwrap()
}

/// Exit code, stdout, stderr.
fn said(args: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = run(args);
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn help_and_version_are_fine() {
    for args in [&["--help"][..], &["--version"], &["run", "--help"], &["help"]] {
        let (code, stdout, stderr) = said(args);
        assert_eq!(code, 0, "{args:?}");
        assert!(!stdout.is_empty() && stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn bad_usage_is_64_before_anything_opens() {
    for args in [
        &[][..],
        &["nonsense"],
        &["run", "--source", "ptrace"],
        &["run", "--listen", "127.0.0.1:99999"],
        &["run", "--listen", "9737"],
        &["run", "--findings", "xml"],
        &["run", "--root", "runc"],
        &["run", "--root", "runc=relative"],
        &["run", "--root", "runc=/a", "--root", "youki=/a"],
        &["run", "--host-root", "relative"],
        &["run", "--config", "/nonexistent.toml"],
        &["doctor", "--root", "runc"],
    ] {
        let (code, stdout, stderr) = said(args);
        assert_eq!(code, 64, "{args:?}: {stderr}");
        assert!(stdout.is_empty() && !stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_bad_file_is_named_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sw.toml");
    std::fs::write(&path, "source = \"auto\"\nlog-format = \"xml\"\n").unwrap();
    let (code, _, stderr) = said(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(code, 64);
    let expected =
        format!("error: {}:2: unknown variant `xml`, expected `text` or `json`\n", path.to_str().unwrap());
    assert_eq!(stderr, expected);
}

#[test]
fn the_resolved_configuration_can_be_read_again() {
    let (code, stdout, _) = said(&["config", "--root", "youki=/r", "--findings", "text"]);
    assert_eq!(code, 0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sw.toml");
    std::fs::write(&path, &stdout).unwrap();
    let (code, again, _) = said(&["config", "--config", path.to_str().unwrap()]);
    assert_eq!((code, again), (0, stdout));
}

#[cfg(not(feature = "ebpf"))]
#[test]
fn a_source_that_is_not_built_in_is_69() {
    let (code, _, stderr) = said(&["run", "--source", "vfs", "--listen", "127.0.0.1:0"]);
    assert_eq!(code, 69, "{stderr}");
    assert!(stderr.contains("built without eBPF"), "{stderr}");
    let (code, stdout, _) = said(&["doctor", "--json", "--source", "vfs"]);
    assert_eq!(code, 69);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(report["sources"][0]["source"], "vfs");
}

#[test]
fn a_taken_address_is_74_and_said() {
    let (_, stdout, _) = said(&["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    if report["takes"].is_null() {
        println!("skipped: no source can run here");
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, _, stderr) = said(&["run", "--root", "runc=/nonexistent", "--listen", &address]);
    assert_eq!(code, 74, "{stderr}");
    assert!(stderr.contains("cannot listen") && stderr.contains(&address), "{stderr}");
}

#[test]
fn a_web_configuration_that_makes_no_sense_is_64_with_its_line_or_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("web.yml");
    let web = path.to_str().unwrap();
    let files = "tls_server_config:\n  cert_file: a\n  key_file: b\n";
    for (text, words) in [
        (format!("{files}  cert_flie: c\n"), ["web.yml:4", "cert_flie"]),
        (format!("{files}rate_limit: {{}}\n"), ["web.yml:4", "rate_limit is not supported"]),
        // Nothing is wrong with what it says, but with what it names.
        (files.to_owned(), ["the certificate", "No such file"]),
    ] {
        std::fs::write(&path, text).unwrap();
        let (code, _, stderr) =
            said(&["run", "--source", "inotify", "--listen", "127.0.0.1:0", "--web-config", web]);
        assert_eq!(code, 64, "{stderr}");
        assert!(words.iter().all(|word| stderr.contains(word)), "{words:?} in {stderr}");
    }
}
