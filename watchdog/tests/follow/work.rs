//! What writers and readers do to a root while somebody follows.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// A container that is written in place and read in between, again and again.
pub(crate) const TORN: &str = "torn\u{1b}[2J";
/// A container that Kubernetes made.
pub(crate) const NAMED: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// How often.
pub(crate) const ROUNDS: usize = 25;

/// Containers with their first state files.
pub(crate) fn prepare(root: &Path) {
    for container in [TORN, NAMED, "atomic", "large", "left"] {
        fs::create_dir_all(root.join(container)).unwrap();
        fs::write(root.join(container).join("state.json"), content(container)).unwrap();
    }
}

fn content(container: &str) -> String {
    let padding = if container == "large" { "x".repeat(300_000) } else { "x".repeat(300) };
    format!(
        "{{\"id\":\"c\",\"annotations\":{{\"io.kubernetes.cri.sandbox-name\":\"web-0\",\
         \"io.kubernetes.cri.sandbox-namespace\":\"shop\",\"io.kubernetes.cri.container-name\":\"app\"}},\
         \"padding\":\"{padding}\"}}"
    )
}

/// One torn read that ends well and one that fails for each round, and every kind of save beside them.
pub(crate) fn play(root: &Path) {
    let state = |container: &str| root.join(container).join("state.json");
    // Whoever follows may be ready before it has been through the root: of a file that is truncated before anybody looked
    // at it, nobody can tell what a reader lost. An open is a look.
    for container in [TORN, NAMED, "large", "left"] {
        drop(File::open(state(container)).unwrap());
    }
    for round in 0..ROUNDS {
        for container in [TORN, NAMED] {
            let mut writer = File::create(state(container)).unwrap();
            // Both meet an empty file.
            assert!(read(&["cat"], &state(container)));
            assert!(!read(&["grep", "-q", "padding"], &state(container)));
            writer.write_all(content(container).as_bytes()).unwrap();
        }
        fs::write(root.join("atomic/state-1"), content("atomic")).unwrap();
        fs::rename(root.join("atomic/state-1"), state("atomic")).unwrap();
        let mut writer = File::create(state("large")).unwrap();
        for piece in content("large").as_bytes().chunks(100_000) {
            writer.write_all(piece).unwrap();
        }
        drop(writer);
        let made = root.join(format!("made-{round}"));
        fs::create_dir(&made).unwrap();
        fs::write(made.join("state.json"), "{}").unwrap();
        fs::remove_file(made.join("state.json")).unwrap();
    }
    // And one is left broken.
    File::create(state("left")).unwrap().write_all(b"{\"id\":").unwrap();
}

fn read(program: &[&str], file: &Path) -> bool {
    let mut command = Command::new(program[0]);
    // Arguments are foreign bytes.
    command.arg0(OsStr::from_bytes(b"/bin/\xffreader")).args(&program[1..]).arg(file);
    command.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success()
}
