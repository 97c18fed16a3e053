//! A look at all roots anew, after events were lost, but at none that does not answer.

use std::collections::HashMap;
use std::sync::Arc;

use ::inotify::WatchDescriptor;

use super::{News, Stand, Watches};
use crate::model::RootId;

impl Watches {
    /// Looks at all roots anew: what is missing is added, what is gone is dropped.
    pub(in crate::source::inotify) fn rescan(&mut self, out: &mut Vec<News>) {
        let before = std::mem::take(&mut self.stands);
        let mut found = Vec::new();
        self.refused = 0;
        let roots: Vec<RootId> = self.roots.keys().copied().collect();
        for id in roots {
            if self.keep_silent(id, &before) {
                continue;
            }
            if self.enter_root(id, &mut found).is_err() {
                // The agent will say so when it stands there again.
                self.set_identity(id, None);
            }
        }
        for (directory, stands) in before {
            if self.elsewhere.contains(&directory) {
                stands.into_iter().for_each(|stand| self.note(directory.clone(), stand));
                continue;
            }
            let now = self.stands.get(&directory);
            for stand in stands {
                if let Stand::Level(root, level, container) = stand
                    && !now
                        .is_some_and(|now| now.contains(&Stand::Level(root, level, Arc::clone(&container))))
                    && self.holds_files(root, level)
                {
                    out.push(News::Ends(root, container));
                }
            }
            if now.is_none() {
                self.unwatch(directory);
            }
        }
        // A directory that was made anew under its old name has ended, and begins.
        out.append(&mut found);
    }

    /// A root that does not answer keeps its watches, and is looked at when it answers again.
    fn keep_silent(&mut self, id: RootId, before: &HashMap<WatchDescriptor, Vec<Stand>>) -> bool {
        let Some(root) = self.roots.get_mut(&id).filter(|root| root.is_silent) else { return false };
        root.is_owed = true;
        for (directory, stands) in before {
            for stand in stands {
                if matches!(stand, Stand::Level(root, ..) | Stand::Parent(root) if *root == id) {
                    self.note(directory.clone(), stand.clone());
                }
            }
        }
        true
    }

    /// Notes whether a root answers. What it is owed is made up for when it does.
    pub(in crate::source::inotify) fn set_silent(
        &mut self,
        id: RootId,
        is_silent: bool,
        out: &mut Vec<News>,
    ) {
        let Some(root) = self.roots.get_mut(&id) else { return };
        root.is_silent = is_silent;
        if !is_silent && std::mem::take(&mut root.is_owed) {
            self.rescan(out);
        }
    }
}
