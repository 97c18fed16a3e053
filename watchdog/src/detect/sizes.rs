//! What is known of a file's size over time, and where that does not add up.

use std::collections::VecDeque;

use crate::model::{BootNanos, Span};

/// How many different sizes in a row are remembered.
const SAMPLES: usize = 8;
/// How many unexplained changes are held at once; beyond, the newest widens the last one.
const DOUBTS: usize = 4;

/// A file's size over time.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    samples: VecDeque<Sample>,
    doubts: Vec<Doubt>,
    /// Of what was before, nothing is known.
    since: Option<BootNanos>,
}

/// The same size seen from `first` to `last`; `None` after a modification whose result could not be told.
#[derive(Clone, Copy, Debug)]
struct Sample {
    first: BootNanos,
    last: BootNanos,
    value: Option<u64>,
}

/// The size changed between two looks at it, and no modification is known that did it. Usually that modification
/// is still under way, and its event comes when it returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// The look before.
    pub(super) from: BootNanos,
    /// The look that found another size.
    pub(super) to: BootNanos,
    /// The size that it became.
    pub(super) size: u64,
    /// It became less.
    pub(super) shrank: bool,
}

impl Doubt {
    /// True when the change may have been within `span`.
    pub(super) fn meets(self, span: Span) -> bool {
        self.from <= span.end && self.to >= span.start
    }

    /// True when a modification in `span`, which can set sizes within `reach`, can have had a part in the change. One
    /// that had returned by the first look had made its change by then.
    pub(super) fn explained_by(self, span: Span, reach: Reach) -> bool {
        let enough = if self.shrank {
            reach.least.is_some_and(|least| least <= self.size)
        } else {
            reach.most >= self.size
        };
        span.start < self.to && span.end > self.from && enough
    }
}

/// What a modification can have made of the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The least that it cuts the file to; `None` when it only adds.
    pub(super) least: Option<u64>,
    /// The most that it makes the file long.
    pub(super) most: u64,
}

impl Reach {
    /// Nothing is known of it.
    pub(super) const ANY: Self = Self { least: Some(0), most: u64::MAX };

    /// A truncation's.
    pub(super) fn truncation(to: u64) -> Self {
        Self { least: Some(to), most: to }
    }
}

impl Sizes {
    /// The size now, when it is known.
    pub(super) fn latest(&self) -> Option<u64> {
        self.samples.back()?.value
    }

    /// The size when an operation that started at `at` began, when it is known.
    pub(super) fn before(&self, at: BootNanos) -> Option<u64> {
        self.samples.iter().rev().find(|sample| sample.first < at)?.value
    }

    /// The size that a truncation to `to`, entered at `at`, cut off: the size at its entry, unless others changed it
    /// meanwhile.
    fn cut_off(&self, at: BootNanos, to: u64) -> Option<u64> {
        let since = self.samples.iter().rposition(|sample| sample.first < at)?;
        let mut seen = self.samples.iter().skip(since).map(|sample| sample.value);
        let before = seen.next()??;
        seen.all(|value| value == Some(before) || value == Some(to)).then_some(before)
    }

    /// True unless a truncation to `to`, entered at `at`, may have found the file that long already, if no other
    /// truncation overlaps it.
    pub(super) fn surely_cuts(&self, at: BootNanos, to: u64) -> bool {
        let since = self.samples.iter().rposition(|sample| sample.first < at);
        let Some(since) = since else { return false };
        let mut before = self.samples.iter().skip(since).map(|sample| sample.value);
        let grows = self.cut_off(at, to).is_some_and(|before| before < to);
        let starts_longer = before.clone().next().flatten().is_some_and(|size| size > to);
        let stays_longer = before.by_ref().take_while(|size| *size != Some(to)).all(|size| size > Some(to));
        grows || starts_longer && stays_longer
    }

    /// True when the size is known to have been `value` since an operation that started at `at` began.
    pub(super) fn stood_at(&self, value: u64, at: BootNanos) -> bool {
        let since = self.samples.iter().rposition(|sample| sample.first < at);
        since.is_some_and(|since| self.samples.iter().skip(since).all(|sample| sample.value == Some(value)))
    }

    /// Takes the size that a modification left behind.
    pub(super) fn set(&mut self, at: BootNanos, value: Option<u64>) {
        self.push(at, value);
    }

    /// Takes a look at the size. Answers with a doubt when it is not the size known so far.
    pub(super) fn look(&mut self, at: BootNanos, value: u64) -> Option<Doubt> {
        let doubt = match self.samples.back() {
            None if self.since.is_some_and(|since| at <= since) => return None,
            // The same moment has no order, and of an earlier one nothing new is to be learned.
            Some(last) if at <= last.last && last.value.is_some() => return None,
            Some(Sample { last, value: Some(known), .. }) if *known != value => {
                Some(Doubt { from: *last, to: at, size: value, shrank: value < *known })
            }
            _ => None,
        };
        self.push(at, Some(value));
        doubt
    }

    /// Takes an end-of-file at `end`, read in `span` by someone who did not look at the size. Answers with a doubt when
    /// the size known before cannot have given it.
    pub(super) fn end_of_file(&self, span: Span, end: u64, nothing_read: bool) -> Option<Doubt> {
        let last = self.samples.back().filter(|sample| sample.last < span.start)?;
        let known = last.value?;
        let fits = if nothing_read { known <= end } else { known == end };
        (!fits).then_some(Doubt { from: last.last, to: span.end, size: end, shrank: end < known })
    }

    /// Remembers a doubt until it is explained or given up.
    pub(super) fn doubt(&mut self, doubt: Doubt) {
        if self.doubts.len() < DOUBTS {
            self.doubts.push(doubt);
        } else if let Some(last) = self.doubts.last_mut() {
            last.to = doubt.to;
            (last.size, last.shrank) = (doubt.size, doubt.shrank);
        }
    }

    /// True when a truncation to `to` in `span` is what a doubt waits for.
    pub(super) fn awaits_truncation(&self, span: Span, to: u64) -> bool {
        self.doubts.iter().any(|doubt| doubt.explained_by(span, Reach::truncation(to)))
    }

    /// Forgets the doubts that a modification in `span` explains.
    pub(super) fn explain(&mut self, span: Span, reach: Reach) {
        self.doubts.retain(|doubt| !doubt.explained_by(span, reach));
    }

    /// Gives up the doubts from `at` or before.
    pub(super) fn give_up(&mut self, at: BootNanos) -> Vec<Doubt> {
        let (old, kept) = self.doubts.iter().partition(|doubt| doubt.to <= at);
        self.doubts = kept;
        old
    }

    /// The doubt that is given up first.
    pub(super) fn oldest_doubt(&self) -> Option<Doubt> {
        self.doubts.iter().copied().min_by_key(|doubt| doubt.to)
    }

    /// True when some size seen within `span` is in doubt.
    pub(super) fn in_doubt(&self, span: Span) -> bool {
        self.doubts.iter().any(|doubt| doubt.meets(span))
    }

    /// Forgets the sizes until `at`: after a loss, none is certain. What is in doubt stays so.
    pub(super) fn forget(&mut self, at: BootNanos) {
        self.samples.clear();
        self.since = Some(at);
    }

    fn push(&mut self, at: BootNanos, value: Option<u64>) {
        match self.samples.back_mut() {
            Some(last) if at < last.last => {}
            Some(last) if last.value == value && value.is_some() => last.last = at,
            _ => {
                if self.samples.len() >= SAMPLES {
                    self.samples.pop_front();
                }
                self.samples.push_back(Sample { first: at, last: at, value });
            }
        }
    }
}
