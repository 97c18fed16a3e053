//! Beside probes that name the files themselves, changes only put the moves of directories in order.

use std::sync::Arc;

use super::{Join, Joined, SURE};
use crate::model::{EventOperation as Operation, Place};
use crate::source::names::pool::{Deed, Entry};

impl Join {
    /// Returns a join beside probes that name the files themselves.
    #[must_use]
    pub fn beside_names() -> Self {
        Self { probes_name: true, ..Self::default() }
    }

    /// The probes report this operation with its names: its change is explained.
    pub fn reported(&mut self, operation: &Operation, out: &mut Vec<Joined>) {
        let is_same =
            |marked: &Option<Arc<Place>>, place: &Option<Arc<Place>>| marked.is_none() || marked == place;
        let is_it = |entry: &Entry| {
            let is_it = match (&entry.deed, operation) {
                (Deed::Moved(old, new), Operation::Rename { from, to, .. }) => {
                    is_same(old, from) && is_same(new, to)
                }
                (Deed::Created(created), Operation::Link { to, .. }) => created == to,
                (Deed::Deleted(deleted), Operation::Unlink { place, .. }) => deleted == place,
                _ => false,
            };
            is_it.then_some(SURE)
        };
        let Some((index, _)) = self.pool.best(is_it) else { return };
        self.pool.take(index);
        self.depart(index, out);
        if let Operation::Rename { from, to, exchange: true, .. } = operation {
            self.take_way_back(from.as_ref(), to.as_ref());
        }
    }
}
