//! Sizes that are told with a moment at which the file had them.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use crate::clock::boot_now;
use crate::model::BootNanos;

/// The file's size, and a moment at which it had it. `None` when it was never at rest.
pub(super) fn size_of(file: &File) -> (BootNanos, Option<u64>) {
    let look = || {
        let metadata = file.metadata().ok()?;
        let changed = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        Some((metadata.len(), changed))
    };
    let (at, seen) = steady(boot_now, look);
    (at, seen.flatten().map(|(size, _)| size))
}

/// What a look gives, and a moment at which that was so: the same before and after the clock was read. Between the look and
/// the clock the thread may be away for long, and a size of another moment would have the engine take the next
/// truncation for one that cuts nothing off. `None` for what is another whenever it is looked at.
fn steady<T: PartialEq>(now: impl Fn() -> BootNanos, look: impl Fn() -> T) -> (BootNanos, Option<T>) {
    const LOOKS: usize = 4;
    let (mut before, mut at) = (look(), now());
    for _ in 0..LOOKS {
        let after = look();
        if after == before {
            return (at, Some(after));
        }
        (before, at) = (after, now());
    }
    (at, None)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// Gives each of the values in turn, each look a nanosecond after the one before; the clock is read between them.
    fn looked(values: &[u64]) -> (BootNanos, Option<u64>) {
        let looks = Cell::new(0);
        let look = || {
            looks.set(looks.get() + 1);
            values[looks.get() - 1]
        };
        steady(|| BootNanos(looks.get() as u64), look)
    }

    #[test]
    fn a_size_is_told_of_a_moment_at_which_the_file_had_it() {
        assert_eq!(looked(&[7, 7]), (BootNanos(1), Some(7)));
        assert_eq!(looked(&[0, 7, 7]), (BootNanos(2), Some(7)), "between the second and the third look");
        assert_eq!(looked(&[1, 2, 3, 4, 5]).1, None);
    }
}
