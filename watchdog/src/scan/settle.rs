//! A state file that is damaged when it is read may merely be being saved. Here it is read until that is certain.
//!
//! A damaged file counts as broken once nothing has changed it for [`QUIET`] and a second reading of the same file found it
//! damaged too. As soon as one reading finds it whole, it is not broken. All doubtful files are waited for together, so a
//! scan takes at most [`PATIENCE`] longer than without.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::enrich::Inspection;
use crate::files::{Gate, Whereabouts};
use crate::model::Content;

/// As long as a session takes to become quiet for the agent.
const QUIET: Duration = Duration::from_secs(2);
/// At least so much time lies between two readings, also of a file that has long been quiet: clocks of file servers differ.
const BETWEEN: Duration = Duration::from_millis(100);
/// A file that changes all the time is given up after this.
const PATIENCE: Duration = Duration::from_secs(6);
/// Files are looked at so often.
const POLL: Duration = Duration::from_millis(25);

/// By what a change of a file is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    file: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            file: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    /// True if nothing changed the file for [`QUIET`], as far as its own times tell.
    fn is_quiet(&self) -> bool {
        let (seconds, nanos) = self.modified.max(self.changed);
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else { return false };
        let at = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
        at.elapsed().is_ok_and(|elapsed| elapsed >= QUIET)
    }
}

/// A file that was read as damaged.
#[derive(Clone, Debug)]
pub(super) struct Doubt {
    /// Where it is.
    pub(super) path: PathBuf,
    /// The name below the root that leads there.
    pub(super) name: PathBuf,
    /// Index of its root in the scan's table.
    pub(super) root: usize,
    /// The file as it was last read, and since when it is so; nothing where it changed meanwhile.
    seen: Option<(Mark, Instant)>,
}

/// What became of a doubt.
#[derive(Debug)]
pub(super) enum Certainty {
    /// It is broken.
    Broken(Inspection),
    /// It is whole, or gone, or was not judged.
    NotBroken(Option<Inspection>),
    /// It was damaged and changed until patience ended.
    Restless,
    /// It cannot be read any more.
    Unread(io::Error),
}

type Look<'a> = dyn FnMut(usize, &Path) -> io::Result<Inspection> + 'a;

/// Reads a file for the first time. A damaged one is left in doubt.
pub(super) fn first(
    root: usize,
    (name, path): (&Path, &Path),
    look: &mut Look<'_>,
) -> io::Result<Result<Inspection, Doubt>> {
    let mut doubt = Doubt { path: path.to_owned(), name: name.to_owned(), root, seen: None };
    let inspection = doubt.read(look)?;
    Ok(match inspection.content {
        Content::Damaged(_) => Err(doubt),
        Content::Valid | Content::NotJudged => Ok(inspection),
    })
}

/// Waits until all is certain; the answers are in the order of the doubts.
pub(super) fn settle(doubts: Vec<Doubt>, gate: &dyn Gate, look: &mut Look<'_>) -> Vec<(Doubt, Certainty)> {
    let deadline = Instant::now() + PATIENCE;
    let mut certain = Vec::new();
    let mut open: Vec<(usize, Doubt)> = doubts.into_iter().enumerate().collect();
    while !open.is_empty() {
        gate.pass();
        std::thread::sleep(POLL);
        let is_late = Instant::now() >= deadline;
        for (index, mut doubt) in std::mem::take(&mut open) {
            // What does not answer holds up no other file twice.
            if let Err(error) = gate.enter(Whereabouts::path(&doubt.path)) {
                gate.skip();
                certain.push((index, doubt, Certainty::Unread(error)));
                continue;
            }
            match doubt.look_again(look) {
                Some(certainty) => certain.push((index, doubt, certainty)),
                None if is_late => certain.push((index, doubt, Certainty::Restless)),
                None => open.push((index, doubt)),
            }
        }
    }
    certain.sort_by_key(|(index, ..)| *index);
    certain.into_iter().map(|(_, doubt, certainty)| (doubt, certainty)).collect()
}

impl Doubt {
    /// Reads the file, and notes what it was if nobody changed it meanwhile.
    fn read(&mut self, look: &mut Look<'_>) -> io::Result<Inspection> {
        let before = Mark::of(&self.path)?;
        let inspection = look(self.root, &self.path)?;
        let is_same = Mark::of(&self.path).is_ok_and(|after| after == before);
        let since = match self.seen {
            Some((mark, since)) if mark == before => since,
            _ => Instant::now(),
        };
        self.seen = is_same.then_some((before, since));
        Ok(inspection)
    }

    /// Reads the file again if it changed or if it was left alone long enough. `None` while it is in doubt.
    fn look_again(&mut self, look: &mut Look<'_>) -> Option<Certainty> {
        let before = self.seen;
        if let Some((mark, since)) = before
            && Mark::of(&self.path).is_ok_and(|now| now == mark)
        {
            let waited = since.elapsed();
            if waited < BETWEEN || (waited < QUIET && !mark.is_quiet()) {
                return None;
            }
        }
        match self.read(look) {
            Ok(inspection) => match inspection.content {
                Content::Valid | Content::NotJudged => Some(Certainty::NotBroken(Some(inspection))),
                // The same file, damaged at two readings, and quiet in between.
                Content::Damaged(_) if before.is_some() && self.seen == before => {
                    Some(Certainty::Broken(inspection))
                }
                Content::Damaged(_) => None,
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Certainty::NotBroken(None)),
            Err(error) => Some(Certainty::Unread(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ungated;
    use std::cell::Cell;

    fn inspect(path: &Path) -> io::Result<Inspection> {
        let (folder, name) = (path.parent().unwrap(), Path::new(path.file_name().unwrap()));
        crate::enrich::inspect(folder, name, &Ungated)
    }

    fn certainty(path: &Path, look: &mut Look<'_>) -> Certainty {
        let doubt = first(0, (path, path), look).unwrap().unwrap_err();
        settle(vec![doubt], &Ungated, look).pop().unwrap().1
    }

    #[test]
    fn a_file_that_is_being_saved_is_not_broken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "{\"half").unwrap();
        let reads = Cell::new(0);
        // The writer goes on between two looks, and is done at last.
        let mut look = |_: usize, path: &Path| {
            reads.set(reads.get() + 1);
            let inspection = inspect(path);
            fs::write(path, if reads.get() < 3 { "{\"half\": " } else { "{\"half\": 1}" }).unwrap();
            inspection
        };
        assert!(matches!(certainty(&path, &mut look), Certainty::NotBroken(Some(_))));
        assert!(reads.get() >= 4, "{}", reads.get());
    }

    #[test]
    fn a_damaged_file_is_broken_after_two_readings_and_at_once_if_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "{").unwrap();
        let mut look = |_: usize, path: &Path| inspect(path);
        let start = Instant::now();
        assert!(matches!(certainty(&path, &mut look), Certainty::Broken(_)));
        assert!(start.elapsed() >= QUIET / 2, "it was judged while somebody may have been at it");
        // Nobody was at it for that long.
        let mark = Mark::of(&path).unwrap();
        assert!(mark.is_quiet() && Mark { changed: (i64::MAX, 0), ..mark } != mark);
        assert!(
            !Mark { modified: (i64::from(u32::MAX), 0), ..mark }.is_quiet(),
            "a time to come is not quiet"
        );
    }

    #[test]
    fn a_file_that_goes_is_not_broken_and_one_that_never_rests_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::write(&path, "{").unwrap();
        let mut goes = |_: usize, path: &Path| {
            let inspection = inspect(path);
            let _ = fs::remove_file(path);
            inspection
        };
        assert!(matches!(certainty(&path, &mut goes), Certainty::NotBroken(None)));
        fs::write(&path, "{").unwrap();
        let turns = Cell::new(0);
        let mut changes = |_: usize, path: &Path| {
            let inspection = inspect(path);
            turns.set(turns.get() + 1);
            fs::write(path, "{".repeat(1 + turns.get() % 2)).unwrap();
            inspection
        };
        assert!(matches!(certainty(&path, &mut changes), Certainty::Restless));
    }
}
