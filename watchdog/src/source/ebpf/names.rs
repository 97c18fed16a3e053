//! The names that matter, as the probes compare them.

use watchdog_common::{Filter, Name, NameShape, ending};

use crate::model::{Role, RootId};
use crate::source::{NamePattern, RootSpec, Shape};

/// The patterns that the probes are given: those of state and lock files of the roots that stand. Temporaries need
/// none, because every file that is opened for writing in a state file's directory is taken for one.
///
/// A pattern keeps its place in the probes' list as long as a root uses it.
#[derive(Default)]
pub(super) struct Names {
    slots: Vec<Option<NamePattern>>,
    roots: Vec<RootSpec>,
    /// What else is looked for: state files of these depths and locks, in directories that stand elsewhere.
    elsewhere: (u8, u8),
}

/// More distinct patterns than the probes' list has room for.
#[derive(Debug, thiserror::Error)]
#[error("the roots that stand have more than {} different names of state and lock files", Name::MAX)]
pub(super) struct TooManyNames;

impl Names {
    /// Takes a root's patterns in, in place of those that it had. Returns a bit for each.
    pub(super) fn add(&mut self, root: &RootSpec) -> Result<u32, TooManyNames> {
        // Those of the root as it was stay until the new ones are there: what both have keeps its place.
        let before = self.roots.len();
        self.roots.push(root.clone());
        let mut bits = 0;
        for pattern in needed(&root.names) {
            let Some(slot) = self.slot(pattern) else {
                self.roots.truncate(before);
                self.vacate();
                return Err(TooManyNames);
            };
            self.slots[slot] = Some(pattern.clone());
            bits |= 1 << slot;
        }
        let mut place = 0..;
        self.roots.retain(|known| place.next() == Some(before) || known.id != root.id);
        self.vacate();
        Ok(bits)
    }

    /// The root is not watched any more.
    pub(super) fn remove(&mut self, id: RootId) {
        self.roots.retain(|known| known.id != id);
        self.vacate();
    }

    /// The bits of a root's patterns.
    pub(super) fn bits(&self, root: &RootSpec) -> u32 {
        let slot = |pattern| self.slots.iter().position(|slot| slot.as_ref() == Some(pattern));
        needed(&root.names).filter_map(slot).fold(0, |bits, slot| bits | 1 << slot)
    }

    /// What is known of a root.
    pub(super) fn root(&self, id: RootId) -> Option<&RootSpec> {
        self.roots.iter().find(|root| root.id == id)
    }

    /// Has directories looked at that stand elsewhere, at these depths.
    pub(super) fn look_elsewhere(&mut self, depths: u8, locks: u8) {
        self.elsewhere.0 |= depths;
        self.elsewhere.1 |= locks;
    }

    /// Their form for the probes, in order.
    pub(super) fn for_probes(&self) -> Vec<Name> {
        let shape = |shape| match shape {
            Shape::Exact => NameShape::Exact,
            Shape::Prefix => NameShape::Prefix,
            Shape::Suffix => NameShape::Suffix,
        };
        let name = |slot: &Option<NamePattern>| match slot {
            Some(p) => Name::new(shape(p.shape), p.text.as_bytes()).unwrap_or(Name::VACANT),
            None => Name::VACANT,
        };
        self.slots.iter().map(name).collect()
    }

    /// The first thing that the probes look at.
    pub(super) fn filter(&self) -> Filter {
        let (depths, locks) = (self.elsewhere.0.into(), self.elsewhere.1.into());
        let mut filter = Filter { depths, locks, ..Filter::default() };
        for root in &self.roots {
            filter.depths |= u32::from(root.depths.bits());
            filter.locks |= u32::from(root.locks.bits());
        }
        for NamePattern { shape, text, .. } in self.slots.iter().flatten() {
            let len = text.len().min(63);
            match (shape, text.as_bytes().last_chunk()) {
                (Shape::Exact, _) => filter.lengths |= 1 << len,
                (Shape::Prefix, _) => filter.lengths |= u64::MAX << len,
                (Shape::Suffix, Some(last)) => filter.endings |= ending(u32::from_ne_bytes(*last)),
                // Its last four bytes may be any.
                (Shape::Suffix, None) => filter.endings = u64::MAX,
            }
        }
        filter
    }

    /// The role of a name below a root with these patterns; a name that none of them matches is a temporary's.
    pub(super) fn role(patterns: &[NamePattern], name: &[u8]) -> Role {
        let matches = |pattern: &&NamePattern| pattern.role != Role::Temporary && pattern.matches(name);
        let best = patterns.iter().filter(matches).min_by_key(|pattern| pattern.shape != Shape::Exact);
        best.map_or(Role::Temporary, |pattern| pattern.role)
    }

    fn slot(&mut self, pattern: &NamePattern) -> Option<usize> {
        if let Some(slot) = self.slots.iter().position(|slot| slot.as_ref() == Some(pattern)) {
            return Some(slot);
        }
        if let Some(slot) = self.slots.iter().position(Option::is_none) {
            return Some(slot);
        }
        if self.slots.len() >= Name::MAX as usize {
            return None;
        }
        self.slots.push(None);
        Some(self.slots.len() - 1)
    }

    fn vacate(&mut self) {
        for slot in &mut self.slots {
            let used = |pattern: &NamePattern| self.roots.iter().any(|root| root.names.contains(pattern));
            if slot.as_ref().is_some_and(|pattern| !used(pattern)) {
                *slot = None;
            }
        }
    }
}

fn needed(patterns: &[NamePattern]) -> impl Iterator<Item = &NamePattern> {
    patterns.iter().filter(|pattern| pattern.role != Role::Temporary)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Depths;

    fn pattern(role: Role, shape: Shape, text: &str) -> NamePattern {
        NamePattern { role, shape, text: text.into() }
    }

    fn root(id: u16, names: Vec<NamePattern>) -> RootSpec {
        let (depths, locks) = (Depths::only(1), Depths::NONE);
        RootSpec { id: RootId(id), path: "/r".into(), depths, locks, names }
    }

    #[test]
    fn temporaries_need_no_pattern_and_duplicates_count_once() {
        let state = pattern(Role::State, Shape::Exact, "state.json");
        let status = pattern(Role::State, Shape::Exact, "status");
        let temporary = pattern(Role::Temporary, Shape::Prefix, "state-");
        let mut names = Names::default();
        assert_eq!(names.add(&root(0, vec![state.clone(), temporary])).unwrap(), 0b01);
        assert_eq!(names.add(&root(1, vec![status, state])).unwrap(), 0b11);
        assert_eq!(names.for_probes().len(), 2);
        let filter = names.filter();
        assert_eq!((filter.lengths, filter.endings, filter.depths), (1 << 10 | 1 << 6, 0, 0b10));
    }

    #[test]
    fn the_end_of_a_name_is_looked_at_only_while_a_root_asks_for_it() {
        let mut names = Names::default();
        names.add(&root(0, vec![pattern(Role::State, Shape::Suffix, ".state")])).unwrap();
        let filter = names.filter();
        assert_eq!((filter.lengths, filter.endings.count_ones()), (0, 1));
        assert_eq!(filter.endings, ending(u32::from_ne_bytes(*b"tate")));
        names.remove(RootId(0));
        assert_eq!(names.filter(), Filter::default());
    }

    #[test]
    fn a_name_keeps_its_place_while_a_root_uses_it() {
        let (a, b) = (pattern(Role::State, Shape::Exact, "a"), pattern(Role::State, Shape::Exact, "b"));
        let mut names = Names::default();
        names.add(&root(0, vec![a.clone()])).unwrap();
        names.add(&root(1, vec![b.clone()])).unwrap();
        names.remove(RootId(0));
        assert_eq!(names.for_probes()[0], Name::VACANT);
        assert_eq!(names.add(&root(1, vec![b.clone(), a.clone()])).unwrap(), 0b11);
        names.remove(RootId(1));
        assert_eq!(names.add(&root(2, vec![b])).unwrap(), 0b01);
    }

    #[test]
    fn more_names_than_the_probes_compare_are_refused_and_leave_nothing_behind() {
        let state = |i: u32| pattern(Role::State, Shape::Exact, &format!("state{i}"));
        let mut names = Names::default();
        assert!(names.add(&root(0, (0..=Name::MAX).map(state).collect())).is_err());
        assert_eq!(names.filter(), Filter::default());
        assert!(names.add(&root(0, (0..Name::MAX).map(state).collect())).is_ok());
    }

    #[test]
    fn a_name_beside_the_state_file_is_a_temporary() {
        let patterns =
            [pattern(Role::State, Shape::Exact, "state.json"), pattern(Role::Lock, Shape::Suffix, ".lock")];
        assert_eq!(Names::role(&patterns, b"state.json"), Role::State);
        assert_eq!(Names::role(&patterns, b"a.lock"), Role::Lock);
        assert_eq!(Names::role(&patterns, b"state.json.tmp"), Role::Temporary);
    }
}
