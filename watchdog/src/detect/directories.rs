//! Directories that move, and all names in them.

use std::sync::Arc;

use super::engine::Engine;
use super::names::Standing;
use crate::model::{Output, RootId, Span};

impl Engine {
    /// Takes in that a directory below a root was moved within `span`, or the root itself; `to` is `None` when it is
    /// below no root now. What stood there no longer does, and nothing was removed: a file that is made under one of
    /// these names next is the first one there.
    pub(super) fn move_directory(
        &mut self,
        (root, container): (RootId, &str),
        to: Option<(RootId, &str)>,
        span: Span,
        out: &mut Vec<Output>,
    ) {
        for old in self.names.inside(root, container) {
            let inode = self.names.inode(&old);
            self.names.remove(&old);
            let new = to.and_then(|to| old.moved(container, to)).map(Arc::new);
            let file = inode.and_then(|inode| self.files.find(&inode));
            if let Some(new) = new.as_ref().filter(|_| inode.is_some()) {
                self.make_room_for_name(out);
                self.names.set(new, Standing::File(inode), span);
            }
            let Some(slot) = file else { continue };
            if let Some(file) = self.files.get_mut(slot) {
                file.drop_name(&old, span.end);
                if let Some(new) = &new {
                    file.add_name(new);
                    if let Some(session) = file.current.as_mut().filter(|session| session.place == old) {
                        session.place = Arc::clone(new);
                    }
                }
            }
            self.drop_if_spent(slot);
        }
    }
}
