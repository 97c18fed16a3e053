//! The engine.

use arbitrary::Unstructured;
use watchdog::detect::{Engine, Limits};
use watchdog::model::{BootNanos, FileEvent, Output, Verdict};

use crate::events::Story;

/// Any events in any order leave it standing, within its bounds, and it says the same again.
pub fn engine(bytes: &[u8]) {
    let told = [(); 2].map(|()| {
        let mut story = Story::new(Unstructured::new(bytes));
        let mut judge = Judge::default();
        while let Some(event) = story.next() {
            judge.hear(&event);
        }
        judge.finish()
    });
    assert_eq!(told[0], told[1]);
}

/// An engine with bounds that are met soon, and what it said.
pub(crate) struct Judge {
    engine: Engine,
    limits: Limits,
    out: Vec<Output>,
}

impl Default for Judge {
    fn default() -> Self {
        let limits = Limits::tight();
        Self { engine: Engine::new(limits.clone()), limits, out: Vec::new() }
    }
}

impl Judge {
    pub(crate) fn hear(&mut self, event: &FileEvent) {
        self.engine.observe(event, &mut self.out);
        let counts = self.engine.counts();
        assert!(counts.are_within(&self.limits), "{counts:?} after {event:?}");
    }

    pub(crate) fn finish(mut self) -> Vec<Output> {
        self.engine.advance(BootNanos(u64::MAX), &mut self.out);
        for output in &self.out {
            if let Output::Read(report) = output
                && report.verdict == Verdict::Torn
            {
                assert!(report.read_calls > 0, "torn without a read: {report:?}");
            }
        }
        self.out
    }
}
