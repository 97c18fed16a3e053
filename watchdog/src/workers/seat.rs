//! One thread: takes a job, does it, and answers.

use std::cell::Cell;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::state::{Blocked, Shared};
use crate::files::{Gate, Whereabouts};
use crate::privilege;

/// The gate of one job.
struct Pass<'a, A> {
    shared: &'a Shared<A>,
    number: u64,
    blocked: Cell<Option<Blocked>>,
}

impl<A> Gate for Pass<'_, A> {
    fn enter(&self, whereabouts: Whereabouts) -> io::Result<()> {
        self.shared.enter(self.number, whereabouts).map_err(|blocked| {
            self.blocked.set(Some(blocked));
            blocked.error()
        })
    }

    fn pass(&self) {
        self.shared.operate(self.number, false);
    }

    fn again(&self) {
        self.shared.operate(self.number, true);
    }

    fn skip(&self) {
        self.blocked.set(None);
    }

    fn heavy(&self) -> io::Result<()> {
        self.shared.make_heavy(self.number).map_err(|blocked| {
            self.blocked.set(Some(blocked));
            blocked.error()
        })
    }
}

/// What a thread does until it is needed no more.
pub(super) fn work_on<A>(shared: &Shared<A>) {
    privilege::shed_for_reading();
    while let Some((number, mut job)) = shared.take() {
        let pass = Pass { shared, number, blocked: Cell::new(None) };
        let answer = catch_unwind(AssertUnwindSafe(|| (job.task)(&pass))).ok();
        shared.leave(number, job, answer, pass.blocked.get());
    }
}
