//! Which file stands at which name, and what stood there before.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use crate::model::{BootNanos, InodeId, Place, RootId, Span};

/// How many standings that may be true beside the likeliest one are remembered.
const RIVALS: usize = 4;

/// How many earlier standings are remembered.
const HISTORY: usize = 8;

/// The names that matter.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Apart from the table, which may be less than half full.
    names: FxHashMap<Arc<Place>, Box<Name>>,
}

/// One name.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) standing: Standing,
    /// When `standing` last changed, as far as was seen.
    pub(super) changed: Span,
    /// When `standing` was last known to be true.
    pub(super) confirmed: BootNanos,
    /// Until then it was not known what stands there.
    unknown_until: BootNanos,
    /// Apart from the rest: most names never change.
    past: Option<Box<Past>>,
}

/// What is known of a name beside what stands there.
#[derive(Debug)]
struct Past {
    /// What stood there before, and until when.
    history: Vec<(Standing, BootNanos)>,
    /// What else may stand there, because the changes had no order, and when the one that put it there returned.
    rivals: Vec<(Standing, BootNanos)>,
    /// Set while nothing explains how it came to stand there.
    doubt: Option<Doubt>,
    /// When its timer goes off.
    timer: Option<BootNanos>,
}

/// What stands at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not known: the name was not seen before.
    Unknown,
    /// A file, this one when that could be told.
    File(Option<InodeId>),
    /// Nothing: what stood there was removed.
    Removed,
}

/// Another file stands at a name, and no rename, link or unlink is known that did it. Usually that operation is
/// still under way, and its event comes when it returns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    /// From when the old standing was last known to be true until another was found.
    pub(super) between: Span,
    /// The new file's own creation accounts for it: there will be a session.
    pub(super) created: bool,
}

impl Standing {
    /// The file, when it is known.
    pub(super) fn inode(self) -> Option<InodeId> {
        match self {
            Self::File(inode) => inode,
            Self::Unknown | Self::Removed => None,
        }
    }
}

/// What an open or a scan taught about a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// Nothing new.
    Known,
    /// A file at a name that was not known, or not known well.
    Learned,
    /// Another file than was thought: the changes that made it so had no order. The old one, when known, no longer
    /// stands there.
    Explained(Option<InodeId>),
    /// Another file than was known, without explanation so far. The old one, when known, no longer stands there.
    Unexplained(Option<InodeId>),
    /// The look is older than what is known.
    Stale,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn get(&self, place: &Place) -> Option<&Name> {
        self.names.get(place).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, place: &Place) -> Option<&mut Name> {
        self.names.get_mut(place).map(Box::as_mut)
    }

    /// The file at a name, when it is known.
    pub(super) fn inode(&self, place: &Place) -> Option<InodeId> {
        self.names.get(place)?.standing.inode()
    }

    /// The `count` names that were confirmed the longest time ago.
    pub(super) fn oldest(&self, count: usize) -> Vec<Arc<Place>> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort_by_cached_key(|(place, name)| {
            (
                name.confirmed,
                place.root,
                Arc::clone(&place.container),
                Arc::clone(&place.name),
                place.role as u8,
            )
        });
        names.into_iter().take(count).map(|(place, _)| Arc::clone(place)).collect()
    }

    /// The names in a directory below a root and in those below it, in order.
    pub(super) fn inside(&self, root: RootId, container: &str) -> Vec<Arc<Place>> {
        let is_inside = |place: &&Arc<Place>| place.root == root && place.is_inside(container);
        let mut names: Vec<_> = self.names.keys().filter(is_inside).map(Arc::clone).collect();
        names.sort_by(|a, b| (&a.container, &a.name).cmp(&(&b.container, &b.name)));
        names
    }

    pub(super) fn remove(&mut self, place: &Place) {
        self.names.remove(place);
    }

    /// Takes in that `inode` was found at `place` by an operation in `span`, which created it when `created`.
    pub(super) fn found(
        &mut self,
        place: &Arc<Place>,
        inode: Option<InodeId>,
        span: Span,
        created: bool,
    ) -> Lesson {
        let found = Standing::File(inode);
        let Some(name) = self.names.get_mut(place) else {
            self.names.insert(Arc::clone(place), Box::new(Name::new(found, span)));
            return Lesson::Learned;
        };
        if created {
            name.explain(span);
        }
        match name.standing {
            known if known == found => {
                name.confirmed = name.confirmed.max(span.end);
                Lesson::Known
            }
            Standing::File(Some(_)) if inode.is_none() => {
                name.confirmed = name.confirmed.max(span.end);
                Lesson::Known
            }
            Standing::Unknown | Standing::File(None) => {
                name.change(found, span);
                Lesson::Learned
            }
            Standing::Removed if created => {
                name.change(found, span);
                Lesson::Learned
            }
            // An open that creates found nothing there, so it was before the change that put something there.
            Standing::File(_) if created && name.vacant_within(span).is_some() => {
                name.may_be(found, span.end);
                Lesson::Stale
            }
            _ if created && name.had_within(found, span) => Lesson::Stale,
            _ if !created && span.start <= name.changed.end => Lesson::Stale,
            old if name.may_have(if created { Standing::Removed } else { found }) => {
                name.change(found, span);
                Lesson::Explained(old.inode())
            }
            old => {
                let between = Span::new(name.confirmed.min(span.end), span.end);
                match &mut name.past_mut().doubt {
                    Some(doubt) => doubt.between.end = span.end,
                    none => *none = Some(Doubt { between, created }),
                }
                name.change(found, span);
                Lesson::Unexplained(old.inode())
            }
        }
    }

    /// Takes in that a rename, link or unlink in `span` changed what stands at `place`.
    pub(super) fn set(&mut self, place: &Arc<Place>, standing: Standing, span: Span) {
        match self.names.get_mut(place) {
            Some(name) => {
                name.explain(span);
                name.change(standing, span);
            }
            None => {
                self.names.insert(Arc::clone(place), Box::new(Name::new(standing, span)));
            }
        }
    }
}

impl Name {
    fn new(standing: Standing, span: Span) -> Self {
        Self { standing, changed: span, confirmed: span.end, unknown_until: span.end, past: None }
    }

    fn past_mut(&mut self) -> &mut Past {
        let history = || vec![(Standing::Unknown, self.unknown_until)];
        let empty = || Past { history: history(), rivals: Vec::new(), doubt: None, timer: None };
        self.past.get_or_insert_with(|| Box::new(empty()))
    }

    /// What stood there before, and until when.
    fn history(&self) -> impl DoubleEndedIterator<Item = (Standing, BootNanos)> {
        let unknown = self.past.is_none().then_some((Standing::Unknown, self.unknown_until));
        unknown.into_iter().chain(self.past.iter().flat_map(|past| past.history.iter().copied()))
    }

    fn rivals(&self) -> &[(Standing, BootNanos)] {
        self.past.as_ref().map_or(&[], |past| &past.rivals)
    }

    /// Set while nothing explains how `standing` came to be.
    pub(super) fn doubt(&self) -> Option<Doubt> {
        self.past.as_ref()?.doubt
    }

    /// Nothing will explain it any more.
    pub(super) fn drop_doubt(&mut self) {
        if let Some(past) = &mut self.past {
            past.doubt = None;
        }
    }

    /// When its timer goes off.
    pub(super) fn timer(&self) -> Option<BootNanos> {
        self.past.as_ref()?.timer
    }

    /// The same, to be set.
    pub(super) fn timer_mut(&mut self) -> &mut Option<BootNanos> {
        &mut self.past_mut().timer
    }

    /// What stood there before the last change.
    pub(super) fn before(&self) -> Standing {
        self.history().next_back().map_or(Standing::Unknown, |(standing, _)| standing)
    }

    /// Why nothing stood there at some time since an operation in `span` began, although something does now.
    pub(super) fn vacant_within(&self, span: Span) -> Option<Standing> {
        let past = self.history().rev().filter(|(_, until)| span.start <= *until);
        let mut past = past.chain(self.rivals().iter().copied()).map(|(standing, _)| standing);
        past.find(|standing| matches!(standing, Standing::Removed | Standing::Unknown))
            .filter(|_| span.start <= self.changed.end)
    }

    /// True when the file stood there, or may have, at some time since an operation in `span` began.
    fn had_within(&self, found: Standing, span: Span) -> bool {
        self.history().any(|(standing, until)| standing == found && span.start <= until)
            || span.start <= self.changed.end && self.may_have(found)
    }

    fn may_have(&self, standing: Standing) -> bool {
        self.rivals().iter().any(|(rival, _)| *rival == standing)
    }

    /// Remembers what else may stand there, or have stood there a moment ago, by a change that returned at `end`.
    pub(super) fn may_be(&mut self, standing: Standing, end: BootNanos) {
        let rivals = &mut self.past_mut().rivals;
        if let Some((_, known)) = rivals.iter_mut().find(|(rival, _)| *rival == standing) {
            *known = end.max(*known);
        } else if rivals.len() < RIVALS {
            rivals.push((standing, end));
        }
    }

    /// Forgets the doubt when an operation in `span` explains it. True when it did.
    pub(super) fn explain(&mut self, span: Span) -> bool {
        let between = self.doubt().map(|doubt| doubt.between);
        let explained = between.is_some_and(|between| span.meets(between));
        if explained {
            self.drop_doubt();
        }
        explained
    }

    fn change(&mut self, standing: Standing, span: Span) {
        if self.standing != standing {
            let (old, changed) = (self.standing, self.changed);
            let is_ordered = !span.meets(changed);
            if !is_ordered {
                self.may_be(old, changed.end);
            }
            let past = self.past_mut();
            if is_ordered {
                // What put a rival there may still come after this, if the two had no order either.
                let over = past.rivals.extract_if(.., |(_, end)| *end < span.start);
                past.history.extend(over.map(|(rival, _)| (rival, span.end)));
            }
            past.history.push((old, span.end));
            past.history.drain(..past.history.len().saturating_sub(HISTORY));
            self.standing = standing;
        }
        self.changed = span;
        self.confirmed = span.end;
    }
}
