//! What is to be concluded from a schedule, by the definitions and by enumeration.
//!
//! Slow and simple on purpose, and without a look at how the engine does it. A session is what the events are in their
//! order. A reader is torn when no version explains it. The world's own bytes are the second witness.

pub(crate) mod changes;
pub(crate) mod damaged;
pub(crate) mod readers;
pub(crate) mod session;
pub(crate) mod sessions;
pub(crate) mod torn;
pub(crate) mod versions;

use crate::oracle::played::Played;
use crate::oracle::run::Run;
use changes::Facts;
use readers::Judged;
use session::Ended;
use sessions::Sessions;

/// All that is to be concluded.
pub(crate) struct Truth {
    pub(crate) readers: Vec<Judged>,
    /// `None` when the order of events leaves it open what the sessions are.
    pub(crate) sessions: Option<Vec<Ended>>,
    /// A request to read the file that did not come when it was due.
    pub(crate) unasked: Option<String>,
}

/// Says what is to be concluded.
pub(crate) fn judge(played: &Played, run: &Run) -> Truth {
    let facts = Facts::new(played, run);
    let sessions = Sessions::of(&facts);
    let readers = readers::judge(&facts, &sessions);
    let clear = sessions.unclear.is_empty() && played.sizes_shown && !sessions.uncountable;
    let unasked = sessions.unasked.clone().filter(|_| clear);
    Truth { readers, sessions: clear.then(|| sessions.ended()), unasked }
}
