//! Each way in which a state file can be damaged or no file at all, on the real file system.
#![expect(clippy::unwrap_used, reason = "a test may fail this way")]

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use watchdog::enrich::{Content, Damage, Reading, read_state_file};
use watchdog::files::Ungated;

const MIB: u64 = 1 << 20;
/// The verdict on what is no regular file.
const NO_FILE: Option<Content> = Some(Content::Damaged(Damage::Invalid));

fn reading(path: &Path) -> Option<Reading> {
    read_state_file(path.parent().unwrap(), Path::new(path.file_name().unwrap()), &Ungated)
}

fn content(path: &Path) -> Option<Content> {
    reading(path).map(|reading| reading.content)
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn bytes_that_are_no_json_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let binary: Vec<u8> = (0..=u8::MAX).cycle().take(5_000).collect();
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    for (bytes, damage) in [
        (&b""[..], Damage::Empty),
        (b"{\"id\":", Damage::Truncated),
        (&binary, Damage::Invalid),
        (b"\x7fELF\x02\x01\x01\0\0\0", Damage::Invalid),
        (&deep, Damage::Invalid),
        (&[b'['; 100_000], Damage::Invalid),
    ] {
        fs::write(&path, bytes).unwrap();
        assert_eq!(content(&path), Some(Content::Damaged(damage)), "{:?}", &bytes[..bytes.len().min(10)]);
    }
}

#[test]
fn sixteen_mebibytes_are_read_and_one_byte_more_is_not_judged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"{\"id\":\"abc\"}").unwrap();
    let spaces = vec![b' '; usize::try_from(16 * MIB).unwrap() - 12];
    file.write_all(&spaces).unwrap();
    assert_eq!(
        reading(&path).map(|reading| (reading.content, reading.size)),
        Some((Content::Valid, 16 * MIB))
    );
    file.write_all(b" ").unwrap();
    assert_eq!(content(&path), Some(Content::NotJudged));
    // A sparse file of any size costs no more.
    file.set_len(1 << 40).unwrap();
    let found = reading(&path).unwrap();
    assert_eq!((found.content, found.size), (Content::NotJudged, 1 << 40));
}

#[test]
fn what_is_no_file_is_not_opened_and_nothing_waits() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    make_fifo(&at("fifo"));
    symlink("loop", at("loop")).unwrap();
    symlink("there", at("back")).unwrap();
    symlink("back", at("there")).unwrap();
    symlink(at("fifo"), at("link")).unwrap();
    symlink("nowhere", at("dangling")).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    for name in ["fifo", "loop", "back", "link", "dangling", "socket"] {
        assert_eq!(content(&at(name)), NO_FILE, "{name}");
    }
    drop(socket);
    for device in ["/dev/zero", "/dev/full", "/dev/null", "/dev/tty"] {
        assert_eq!(content(Path::new(device)), NO_FILE, "{device}");
    }
}

#[test]
fn a_file_that_may_not_be_read_has_no_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    fs::write(&path, "{}").unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o0)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    // Root may read everything; of a thread that is nobody, no other one knows.
    let found = thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65_534);
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        }
        assert_eq!(File::open(&path).unwrap_err().kind(), std::io::ErrorKind::PermissionDenied);
        content(&path)
    });
    assert_eq!(found.join().unwrap(), None);
}

#[test]
fn a_file_that_vanishes_or_becomes_a_fifo_between_two_looks_is_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let (path, fifo) = (folder.path().join("state.json"), folder.path().join("fifo"));
    make_fifo(&fifo);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let whole = folder.path().join("whole");
                fs::write(&whole, "{\"id\":\"abc\"}").unwrap();
                fs::rename(&whole, &path).unwrap();
                fs::remove_file(&path).unwrap();
                fs::hard_link(&fifo, &path).unwrap();
                fs::remove_file(&path).unwrap();
            }
        });
        // Neither a hang nor a false verdict, however often the two meet.
        let (mut read, mut passed) = (0, 0);
        let mut wrong = None;
        while wrong.is_none() && (read < 500 || passed < 500) {
            match reading(&path).map(|reading| (reading.content, reading.size)) {
                Some((Content::Valid, _)) => read += 1,
                None | Some((Content::Damaged(Damage::Invalid), 0)) => passed += 1,
                Some(damaged) => wrong = Some(damaged),
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert_eq!(wrong, None);
    });
}
