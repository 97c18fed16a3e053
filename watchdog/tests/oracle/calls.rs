//! What system calls do to the world's files, and what a source reports of them.

use watchdog::model::{EventOperation, Target, UNKNOWN_LENGTH};

use super::played::place;
use super::schedule::Act;
use super::world::{Call, World, tail};

impl World {
    /// Calls on a description.
    pub(super) fn through(&mut self, act: &Act, held: usize, call: &mut Call) -> Option<EventOperation> {
        let at = call.instant;
        let (id, file, position) =
            (self.descriptions[held].id, self.descriptions[held].file, self.descriptions[held].position);
        match act {
            Act::Read { length } | Act::ReadAll { chunk: length, .. } => {
                let vague = matches!(act, Act::ReadAll { vague: true, .. });
                let from = usize::try_from(position).unwrap();
                let to = from + usize::try_from(*length).unwrap();
                let file = &self.files[file];
                let history = &self.played.contents[&file.inode.ino];
                let tail = if self.gives_tails { tail(history, call.start, from..to) } else { None };
                let part = || file.content[from.min(file.content.len())..to.min(file.content.len())].to_vec();
                call.bytes = tail.unwrap_or_else(part);
                let returned = call.bytes.len() as u64;
                self.descriptions[held].position += returned;
                Some(EventOperation::Read {
                    id,
                    offset: Some(position),
                    requested: if vague { UNKNOWN_LENGTH } else { *length },
                    returned,
                    size_before: call.size_before,
                    size: None,
                })
            }
            Act::Seek { to } => {
                self.descriptions[held].position = *to;
                None
            }
            Act::SeekEnd => {
                self.descriptions[held].position = self.files[file].content.len() as u64;
                None
            }
            _ if !self.descriptions[held].writes && !matches!(act, Act::Map { .. } | Act::Sync) => None,
            Act::Write { part } => {
                self.descriptions[held].position += part.length;
                self.stamp += 1;
                self.played.parts.insert(self.stamp, (*part, position));
                self.played.writers.insert(self.stamp, id);
                self.write(file, position, part.length, at);
                Some(EventOperation::Write {
                    id,
                    offset: Some(position),
                    length: part.length,
                    size_before: call.size_before,
                    size: None,
                })
            }
            Act::WriteFails => Some(EventOperation::WriteFailed { id }),
            Act::Truncate { to } => {
                self.resize(file, *to, at);
                let inode = Some(self.files[file].inode);
                let target = Target::Open(id);
                Some(EventOperation::Truncate { target, inode, to: *to, size_before: call.size_before })
            }
            Act::Map { shared, writable } => {
                let writable = *writable && self.descriptions[held].writes;
                self.descriptions[held].mapped |= writable && *shared;
                Some(EventOperation::Map { id, shared: *shared, writable })
            }
            Act::Store { from, length } => {
                if !self.descriptions[held].mapped {
                    return None;
                }
                self.stamp += 1;
                let end = self.files[file].content.len() as u64;
                let (from, to) = ((*from).min(end), (from + length).min(end));
                if from < to {
                    self.write(file, from, to - from, at);
                }
                None
            }
            Act::Sync => Some(EventOperation::Sync { id }),
            _ => None,
        }
    }

    /// Calls on names.
    pub(super) fn by_name(&mut self, call: &Call) -> Option<EventOperation> {
        let at = call.instant;
        let state = "state.json";
        match &call.act {
            Act::TruncatePath { to } => {
                let file = *self.names.get(state)?;
                self.resize(file, *to, at);
                let inode = Some(self.files[file].inode);
                let target = Target::Place(place(state));
                Some(EventOperation::Truncate { target, inode, to: *to, size_before: None })
            }
            Act::Rename { from } => {
                let file = self.names.remove(from)?;
                self.name(state, Some(file), at);
                let mut descriptions = self.descriptions.iter();
                let writers = descriptions.any(|d| d.file == file && d.writes && d.holders > 0);
                Some(EventOperation::Rename {
                    from: Some(place(from)),
                    to: Some(place(state)),
                    inode: Some(self.files[file].inode),
                    exchange: false,
                    still_open_for_writing: Some(writers),
                })
            }
            Act::Link { from } => {
                let file = *self.names.get(from)?;
                if self.names.contains_key(state) {
                    return None;
                }
                self.name(state, Some(file), at);
                let inode = Some(self.files[file].inode);
                Some(EventOperation::Link { from: Some(place(from)), to: place(state), inode })
            }
            Act::Unlink { name } => {
                let file = self.names.remove(name)?;
                self.name(name, None, at);
                Some(EventOperation::Unlink { place: place(name), inode: Some(self.files[file].inode) })
            }
            _ => None,
        }
    }
}
