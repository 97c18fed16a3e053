//! Watches on what stands elsewhere than its name below a root says.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use ::inotify::WatchMask;

use super::{News, Stand, Watches};
use crate::model::Place;
use crate::source::Elsewhere;

impl Watches {
    /// Watches what stands for a container's directory, or for its state file, because a link or a mount leads there.
    pub(in crate::source::inotify) fn add_elsewhere(
        &mut self,
        found: &Elsewhere<'_>,
        out: &mut Vec<News>,
    ) -> io::Result<()> {
        let place = found.place;
        if self.stands.len() >= self.most || self.root(place.root).is_none() {
            return Ok(());
        }
        // The way to what is open already leads nowhere else.
        let path = |file: &File| format!("/proc/self/fd/{}", file.as_raw_fd());
        let flags = WatchMask::MASK_ADD | WatchMask::EXCL_UNLINK;
        let Some(directory) = found.directory else {
            let file = self.instance.add(path(found.file), self.interest | flags)?;
            self.drop_where(|stand| *stand == Stand::File(Arc::clone(place)), out);
            self.elsewhere.insert(file.clone());
            self.note(file, Stand::File(Arc::clone(place)));
            return Ok(());
        };
        let level = u8::try_from(place.container.split('/').count()).unwrap_or(u8::MAX);
        let directory = self.instance.add(path(directory), self.mask(place.root, level) | flags)?;
        let stand = Stand::Level(place.root, level, Arc::clone(&place.container));
        if self.stands.get(&directory).is_some_and(|stands| stands.contains(&stand)) {
            return Ok(());
        }
        // What stood there before is not reached by that name any more.
        self.drop_where(|known| *known == stand, out);
        self.elsewhere.insert(directory.clone());
        self.note(directory, stand);
        if self.holds_files(place.root, level) {
            out.push(News::Begins(place.root, Arc::clone(&place.container)));
        }
        Ok(())
    }

    /// The place's file is reached by no link and over no mount any more.
    pub(in crate::source::inotify) fn remove_elsewhere(&mut self, place: &Place, out: &mut Vec<News>) {
        let is_its = |stand: &Stand| match stand {
            Stand::File(known) => **known == *place,
            Stand::Level(root, _, container) => *root == place.root && *container == place.container,
            Stand::Parent(_) => false,
        };
        let kept = |stands: &Vec<Stand>| stands.iter().any(is_its);
        let gone: Vec<_> =
            self.elsewhere.iter().filter(|watch| self.stands.get(watch).is_some_and(kept)).cloned().collect();
        for watch in gone {
            self.elsewhere.remove(&watch);
            let stands = self.stands.remove(&watch).unwrap_or_default();
            self.unwatch(watch);
            self.ended(stands, out);
        }
    }
}
