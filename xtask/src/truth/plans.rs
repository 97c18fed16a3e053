//! What is saved and read, and how often: here, and in emulated machines.

use workload::{How, Style};

use super::Plan;

/// How many saves, and how many reads of them.
type Numbers = [u64; 2];

/// Each way of saving and reading. Here it is at least 2,000 in-place saves and 10,000 reads of them; emulation is slow, so
/// in machines it is little of each kind.
///
/// Not in it, for what the agent says of them and what they record do not agree yet:
/// - `How::Pair`: while two write over each other, some complete reads are reported as torn, and what they leave behind may be
///   mixed and yet valid;
/// - `Style::Mapped`: a reader may ask for the length within a session and map the file after it: short, yet exposed, seldom;
/// - `Style::Bytes`: thousands of events for each reader, of which a busy machine loses some, and their verdicts. It agreed
///   whenever nothing was lost.
///
/// A rename before the end is not saved in machines: inotify, which is asked there too, cannot tell it (see `watch`).
const CATALOGUE: [(How, Style, Numbers, Option<Numbers>); 13] = [
    (How::Truncate, Style::Go, [1000, 5000], Some([16, 60])),
    (How::Truncate, Style::Blocks, [400, 2000], None),
    (How::Chunks, Style::Go, [300, 1500], Some([10, 40])),
    (How::Ftruncate, Style::Whole, [300, 1500], Some([10, 40])),
    (How::Recreate, Style::Blocks, [200, 1000], Some([8, 30])),
    (How::Overwrite, Style::Blocks, [200, 1000], Some([8, 30])),
    (How::Append, Style::Go, [100, 500], Some([4, 20])),
    (How::Die, Style::Go, [100, 500], None),
    (How::Rename, Style::Go, [500, 2500], Some([10, 40])),
    (How::RenameSync, Style::Whole, [100, 500], Some([4, 20])),
    (How::Daemon, Style::Go, [300, 1500], Some([10, 40])),
    (How::RenameEarly, Style::Whole, [200, 1000], None),
    (How::Killed, Style::Whole, [20, 600], Some([4, 30])),
];

/// What is run on this machine.
pub(crate) const PLANS: [Plan; 13] = plans(false);
/// What is run in emulated machines.
pub(crate) const SMALL_PLANS: [Plan; 10] = plans(true);

const fn plans<const N: usize>(small: bool) -> [Plan; N] {
    let (how, style, [writes, reads], _) = CATALOGUE[0];
    let mut plans = [Plan { how, style, writes, reads }; N];
    let (mut row, mut plan) = (0, 0);
    while row < CATALOGUE.len() {
        let (how, style, large, few) = CATALOGUE[row];
        if let Some([writes, reads]) = if small { few } else { Some(large) } {
            plans[plan] = Plan { how, style, writes, reads };
            plan += 1;
        }
        row += 1;
    }
    assert!(plan == N, "the catalogue has another number of such plans");
    plans
}
