//! inotify's events.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;

use arbitrary::{Result, Unstructured};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use watchdog::model::RootId;
use watchdog::profile::Profile;
use watchdog::source::inotify::fuzz::Untrue;
use watchdog::source::{Depths, RootSpec};

use crate::engine::Judge;

/// A root with two containers, and a directory that is none of it.
struct Ground {
    runtime: Runtime,
    folder: TempDir,
}

impl Ground {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        for name in ["root/a", "root/b", "other"] {
            fs::create_dir_all(folder.path().join(name)).ok()?;
        }
        fs::write(folder.path().join("root/a/state.json"), "{}").ok()?;
        Some(Self { runtime: Builder::new_current_thread().enable_all().build().ok()?, folder })
    }

    fn paths(&self) -> [PathBuf; 4] {
        ["root", "root/a", "root/b", "other"].map(|name| self.folder.path().join(name))
    }
}

thread_local! {
    static GROUND: RefCell<Option<Ground>> = RefCell::new(Ground::new());
}

/// Whatever the kernel may say happened, in whatever order, becomes events that the engine takes.
pub fn inotify(bytes: &[u8]) {
    GROUND.with_borrow(|ground| {
        let Some(ground) = ground else { panic!("no folder to watch") };
        let _inside = ground.runtime.enter();
        let paths = ground.paths();
        let spec = RootSpec {
            id: RootId(0),
            path: paths[0].clone(),
            depths: Depths::only(1),
            locks: Depths::NONE,
            names: Profile::unknown("any").names,
        };
        let paths: Vec<_> = paths.iter().map(PathBuf::as_path).collect();
        let mut source = match Untrue::new(&spec, &paths) {
            Ok(source) => source,
            Err(error) => panic!("cannot watch: {error}"),
        };
        let mut judge = Judge::default();
        let _ = tell(&mut source, &mut judge, &mut Unstructured::new(bytes));
        judge.finish();
    });
}

fn tell(source: &mut Untrue, judge: &mut Judge, bytes: &mut Unstructured<'_>) -> Result<()> {
    let mut now: u64 = 1_000_000_000;
    while !bytes.is_empty() {
        now += u64::from(bytes.arbitrary::<u16>()?) << bytes.int_in_range(0..=20)?;
        let directory = bytes.int_in_range(0..=3)?;
        // The kernel puts one thing that happened into an event, with marks beside it.
        let happened = 1 << bytes.int_in_range(0..=15)?;
        let mask = if bytes.ratio(1, 4)? { happened | 0x4000_0000 } else { happened };
        let cookie = bytes.int_in_range(0..=3)?;
        let name = match bytes.int_in_range(0..=7)? {
            0 => None,
            1..=3 => Some(&b"state.json"[..]),
            4 => Some(&b"state.json.tmp"[..]),
            5 => Some(&b"a"[..]),
            6 => Some(&b"b"[..]),
            _ => {
                let length = bytes.int_in_range(1..=255)?;
                Some(bytes.bytes(length.min(bytes.len()))?)
            }
        };
        for event in source.tell(directory, mask, cookie, name, now) {
            assert!(!event.actor.is_known(), "inotify sees nobody: {event:?}");
            judge.hear(&event);
        }
    }
    Ok(())
}
