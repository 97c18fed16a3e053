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
    /// It was at least that.
    least: u64,
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
    size: u64,
    /// Something must have cut it to that or less.
    needs_cut: bool,
    /// Something must have left just that size.
    needs_end: bool,
    /// Nobody looked: the file may have been longer meanwhile.
    guessed: bool,
    /// More than that size will do as well.
    or_more: bool,
    /// So will a cut to less than that: where the page begins of which a read then got all.
    page: Option<u64>,
}

impl Doubt {
    /// The size changed to `size` between the two times, from more when it `shrank`.
    pub(super) fn new(from: BootNanos, to: BootNanos, size: u64, shrank: bool) -> Self {
        Self {
            from,
            to,
            size,
            needs_cut: shrank,
            needs_end: true,
            guessed: false,
            or_more: false,
            page: None,
        }
    }

    /// The same doubt of a read that may have got all that it asked of the page that begins at `page`, as if the file went
    /// on behind it.
    pub(super) fn of_page(self, page: Option<u64>) -> Self {
        Self { page, ..self }
    }

    /// True when the change may have been within `span`.
    pub(super) fn meets(self, span: Span) -> bool {
        self.from <= span.end && self.to >= span.start
    }

    /// What is left of it once a modification in `span` is known, which can set sizes within `reach`: nothing, when all
    /// of the change is explained. One that had returned by the first look had made its change by then.
    pub(super) fn without(mut self, span: Span, reach: Reach) -> Option<Self> {
        if span.start < self.to && span.end > self.from {
            self.needs_cut &= reach.least.is_none_or(|least| least > self.size);
            let goes_beyond = self.or_more && reach.range.1 >= self.size;
            let cuts_below = reach.least.zip(self.page).is_some_and(|(least, page)| least < page);
            let leaves = reach.leaves(self.size, self.guessed || span.end >= self.to);
            self.needs_end &= !goes_beyond && !cuts_below && !leaves;
        }
        (self.needs_cut || self.needs_end).then_some(self)
    }
}

/// What a modification can have made of the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// The least that it cuts the file to; `None` when it only adds.
    pub(super) least: Option<u64>,
    /// Where it begins to write, and where it ends; a truncation ends at the size that it sets.
    pub(super) range: (u64, u64),
}

impl Reach {
    /// Nothing is known of it.
    pub(super) const ANY: Self = Self { least: Some(0), range: (0, u64::MAX) };

    /// A truncation's.
    pub(super) fn truncation(to: u64) -> Self {
        Self { least: Some(to), range: (to, to) }
    }

    /// True when it can have left the file just `size` bytes long; a write that is still under way may have come that far,
    /// and one whose end is not known may have ended anywhere.
    fn leaves(self, size: u64, is_under_way: bool) -> bool {
        let (from, to) = self.range;
        size == to || (is_under_way || to == u64::MAX) && from < size && size <= to
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
        let mut before = self.samples.iter().skip(since);
        let grows = self.cut_off(at, to).is_some_and(|before| before < to);
        let starts_longer = before.clone().next().is_some_and(|sample| sample.least > to);
        let mut known = before.by_ref().take_while(|sample| sample.value != Some(to));
        let stays_longer = known.all(|sample| sample.least > to);
        grows || starts_longer && stays_longer
    }

    /// True when the size is known to have been `value` since an operation that started at `at` began.
    pub(super) fn stood_at(&self, value: u64, at: BootNanos) -> bool {
        let since = self.samples.iter().rposition(|sample| sample.first < at);
        since.is_some_and(|since| self.samples.iter().skip(since).all(|sample| sample.value == Some(value)))
    }

    /// Takes the size that a modification left behind; when it cannot be told, it is at `least` that.
    pub(super) fn set(&mut self, at: BootNanos, value: Option<u64>, least: u64) {
        self.push(at, value, least);
    }

    /// Takes a look at the size. Answers with a doubt when it is not the size known so far.
    pub(super) fn look(&mut self, at: BootNanos, value: u64) -> Option<Doubt> {
        let doubt = match self.samples.back() {
            None if self.since.is_some_and(|since| at <= since) => return None,
            Some(last) if at <= last.last && last.value.is_some() => return self.look_back(at, value),
            Some(Sample { last, value: Some(known), .. }) if *known != value => {
                Some(Doubt::new(*last, at, value, value < *known))
            }
            _ => None,
        };
        self.push(at, Some(value), value);
        doubt
    }

    /// Takes a look that is older than the last one.
    fn look_back(&self, at: BootNanos, value: u64) -> Option<Doubt> {
        let before = self.samples.iter().rev().find(|sample| sample.first < at)?;
        // The same moment has no order.
        let from = if before.last < at { before.last } else { before.first };
        let known = before.value.filter(|known| *known != value && before.last != at)?;
        Some(Doubt::new(from, at, value, value < known))
    }

    /// The doubt that a write in `span` leaves, which returned to find the file `size` bytes long, when somebody saw
    /// another size meanwhile: since then, others cut the file or wrote behind the write's own `end`.
    pub(super) fn changed_since(&self, span: Span, size: u64, end: Option<u64>) -> Option<Doubt> {
        let last = self.samples.back().filter(|sample| span.start < sample.last && sample.last < span.end)?;
        let known = last.value?;
        let changed = size < known || size > known.max(end?);
        changed.then_some(Doubt::new(last.last, span.end, size, size < known))
    }

    /// Takes an end-of-file at `end`, read in `span` by someone who did not look at the size. Answers with a doubt when
    /// the size known before cannot have given it.
    pub(super) fn end_of_file(&self, span: Span, end: u64, nothing_read: bool) -> Option<Doubt> {
        let last = self.samples.back().filter(|sample| sample.last < span.start)?;
        let known = last.value?;
        let fits = if nothing_read { known <= end } else { known == end };
        let doubt = Doubt::new(last.last, span.end, end, end < known);
        (!fits).then_some(Doubt { needs_end: end > known, guessed: true, ..doubt })
    }

    /// Takes a read in `span` that got bytes up to `end`. Answers with a doubt when the file is not known to have been that
    /// long meanwhile.
    pub(super) fn reached(&self, span: Span, end: u64) -> Option<Doubt> {
        let since = self.samples.iter().rposition(|sample| sample.first < span.start)?;
        let mut seen = self.samples.iter().skip(since).take_while(|sample| sample.first <= span.end);
        let from = self.samples.get(since)?.last.min(span.start);
        let doubt = Doubt { or_more: true, ..Doubt::new(from, span.end, end, false) };
        seen.all(|sample| sample.value.is_some_and(|value| value < end)).then_some(doubt)
    }

    /// Remembers a doubt until it is explained or given up.
    pub(super) fn doubt(&mut self, doubt: Doubt) {
        if self.doubts.len() < DOUBTS {
            self.doubts.push(doubt);
        } else if let Some(last) = self.doubts.last_mut() {
            *last = Doubt { from: last.from, ..doubt };
        }
    }

    /// True when a truncation to `to` in `span` is what a doubt waits for.
    pub(super) fn awaits_truncation(&self, span: Span, to: u64) -> bool {
        self.doubts.iter().any(|doubt| doubt.without(span, Reach::truncation(to)) != Some(*doubt))
    }

    /// True when what is in doubt within `span` is not explained by that modification: another is under way.
    pub(super) fn doubts_more_than(&self, span: Span, reach: Reach) -> bool {
        let mut met = self.doubts.iter().filter(|doubt| doubt.meets(span));
        met.any(|doubt| doubt.without(span, reach).is_some())
    }

    /// Takes from the doubts what a modification in `span` explains.
    pub(super) fn explain(&mut self, span: Span, reach: Reach) {
        self.doubts = self.doubts.iter().filter_map(|doubt| doubt.without(span, reach)).collect();
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

    fn push(&mut self, at: BootNanos, value: Option<u64>, least: u64) {
        match self.samples.back_mut() {
            Some(last) if at < last.last => {}
            Some(last) if last.value == value && value.is_some() => last.last = at,
            _ => {
                if self.samples.len() >= SAMPLES {
                    self.samples.pop_front();
                }
                // Most files have one size only, or that of their creation and another. A list that grows by itself begins
                // with room for four.
                if self.samples.len() < 2 {
                    self.samples.reserve_exact(1);
                }
                self.samples.push_back(Sample { first: at, last: at, value, least: value.unwrap_or(least) });
            }
        }
    }
}
