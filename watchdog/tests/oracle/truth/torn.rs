//! Whether the lengths and sizes that are seen prove a reader torn: by enumeration.
//!
//! A reader is torn when there is no moment and no choice of writers that may have been done by it under which every
//! single byte and every length that the reader got is that of the content at that moment.

use std::collections::{BTreeMap, BTreeSet};

use watchdog::model::{EventOperation as Operation, UNKNOWN_LENGTH};

use super::changes::{Change, Facts, Sets, Writer, is_end, overlap};
use super::readers::Reader;
use super::session::Session;

/// Whether the reader must be torn, and whether it may be.
///
/// Where other writers were at work so close to a moment that its size has not been seen, any length is as good for
/// "must", and none for "may". A truncation that may have found nothing to cut off did nothing for "must", and did
/// something for "may". For "must", the content between two writers of one session is a version; for "may" it is none.
pub(crate) fn torn(facts: &Facts<'_>, sessions: &[&Session], reader: &Reader) -> (bool, bool) {
    let search = |changes: Changes<'_>, by_writer: bool| {
        let mut writers: Vec<Vec<&Change>> = Vec::new();
        let (mut always, mut never) = (BTreeSet::new(), BTreeSet::new());
        let released = reader.released.map_or(u64::MAX, |(at, _)| at.max(reader.opened));
        // What began after the last call is no version that it got. Whether that is seen is left open.
        let last = reader.reads.last().map(|read| facts.event(*read).span.end.0);
        let gone = last.filter(|_| !by_writer).unwrap_or(released);
        for session in sessions {
            let mut groups: BTreeMap<Option<Writer>, Vec<&Change>> = BTreeMap::new();
            for change in &session.changes {
                groups.entry(by_writer.then_some(change.writer)).or_default().push(change);
            }
            let (start, end) = session.window();
            for own in groups.into_values() {
                let arrives = own.iter().any(|change| matches!(change.kind, "create" | "rename"));
                always.extend((end < reader.opened || arrives).then_some(writers.len()));
                never.extend((start > gone).then_some(writers.len()));
                writers.push(own);
            }
        }
        // Bytes show by themselves whether what was there before came back; whether that is seen is left open.
        let by_time = !by_writer || reader.reads.iter().all(|read| facts.bytes(*read).is_empty());
        Search { facts, reader, writers, always, never, by_time, changes }.run()
    };
    let (must, _) = search(&surely_changes, true);
    let (_, may) = search(&|_, _| true, false);
    (must, may)
}

type Changes<'a> = &'a dyn Fn(&Change, &[Vec<&Change>]) -> bool;

struct Search<'a, 'f> {
    facts: &'a Facts<'f>,
    reader: &'a Reader,
    writers: Vec<Vec<&'a Change>>,
    /// Who had done it all before the reader came.
    always: BTreeSet<usize>,
    /// Who began when the reader had gone.
    never: BTreeSet<usize>,
    /// What was there before a writer that had begun before the first call was gone by then.
    by_time: bool,
    changes: Changes<'a>,
}

impl Search<'_, '_> {
    fn run(mut self) -> (bool, bool) {
        let first = self.reader.reads.first().filter(|_| self.by_time);
        let first = first.map(|read| self.facts.event(*read).span.start);
        for (index, own) in self.writers.iter().enumerate() {
            let mut sure = own.iter().filter(|change| (self.changes)(change, &self.writers));
            if sure.any(|change| Some(change.span.end) < first)
                || own.iter().all(|change| Some(change.span.end) < first)
            {
                self.always.insert(index);
            }
        }
        let mut moments: BTreeSet<u64> = BTreeSet::from([0, u64::MAX / 2]);
        for change in self.writers.iter().flatten() {
            for at in [change.span.start.0, change.span.end.0] {
                // Twice the time, so that there is a moment between two neighbours.
                moments.extend([2 * at - 1, 2 * at, 2 * at + 1]);
            }
        }
        let (mut must, mut may) = (true, true);
        let mut seen = BTreeSet::new();
        for moment in moments {
            for choice in self.choices(moment) {
                if !seen.insert(choice.clone()) || !self.bytes_fit(&choice) {
                    continue;
                }
                // Who ended with what may have changed nothing may have been done before.
                let ended = choice.iter().all(|index| {
                    let last = self.writers[*index].iter().max_by_key(|change| change.span.end);
                    last.is_none_or(|last| (self.changes)(last, &self.writers))
                });
                match self.seen_size(&choice).filter(|_| ended) {
                    Some(size) if self.lengths_fit(size) => (must, may) = (false, false),
                    Some(_) => {}
                    None => must = false,
                }
            }
        }
        (must, may)
    }

    /// Who may have been done by a moment, in each way in which nobody was half done.
    fn choices(&self, moment: u64) -> Vec<BTreeSet<usize>> {
        let mut choices = vec![BTreeSet::new()];
        for (index, own) in self.writers.iter().enumerate() {
            let counts = |change: &&Change| (self.changes)(change, &self.writers);
            let done = own.iter().all(|change| !counts(change) || 2 * change.span.start.0 <= moment);
            // Once all that it did has returned, a writer that may have changed nothing has finished as well.
            let last = own.iter().map(|change| 2 * change.span.end.0).max();
            let unbegun = last >= Some(moment)
                && own.iter().filter(|change| counts(change)).all(|change| 2 * change.span.end.0 >= moment);
            let mut next = Vec::new();
            for choice in &choices {
                if done && !self.never.contains(&index) {
                    let mut with: BTreeSet<usize> = choice.clone();
                    with.insert(index);
                    next.push(with);
                }
                if unbegun && !self.always.contains(&index) {
                    next.push(choice.clone());
                }
            }
            choices = next;
        }
        choices
    }

    /// Every single byte can be the one that the chosen writers left.
    fn bytes_fit(&self, chosen: &BTreeSet<usize>) -> bool {
        self.reader.reads.iter().all(|read| {
            let event = self.facts.event(*read);
            let Operation::Read { offset: Some(offset), returned, .. } = &event.operation else {
                return true;
            };
            (*offset..offset + returned).all(|byte| {
                self.writers.iter().enumerate().all(|(index, own)| {
                    let touching = own.iter().filter(|change| {
                        change.first_byte(&self.writers) <= byte
                            && byte < change.to
                            && (self.changes)(change, &self.writers)
                    });
                    touching.into_iter().all(|change| {
                        if chosen.contains(&index) {
                            change.span.start <= event.span.end
                        } else {
                            change.span.end >= event.span.start
                        }
                    })
                })
            })
        })
    }

    fn lengths_fit(&self, size: u64) -> bool {
        let reads = &self.reader.reads;
        reads.iter().enumerate().all(|(index, read)| {
            let Operation::Read {
                offset: Some(offset), requested, returned, size_before, size: after, ..
            } = &self.facts.event(*read).operation
            else {
                return true;
            };
            let end = offset + returned;
            let may_go_on = index + 1 == reads.len() && self.reader.released.is_none();
            let went_on =
                may_go_on || reads[index + 1..].iter().any(|later| !self.facts.bytes(*later).is_empty());
            let stood_still = size_before.is_some() && size_before == after && *after > Some(end);
            if is_end(self.facts.event(*read)) {
                size <= *offset
            } else if *requested == UNKNOWN_LENGTH {
                *returned == 0 || size >= end
            } else if returned < requested && !went_on && !stood_still {
                size == end
            } else {
                size >= end
            }
        })
    }

    /// The size that the chosen writers left, when nobody else was at work around that moment: then it is what the
    /// world says.
    fn seen_size(&self, chosen: &BTreeSet<usize>) -> Option<u64> {
        let (facts, inode) = (self.facts, self.reader.inode);
        let split = |wanted: bool| -> Vec<&Change> {
            let own = self.writers.iter().enumerate().filter(|(index, _)| chosen.contains(index) == wanted);
            own.flat_map(|(_, own)| own.iter().copied()).collect()
        };
        let (inside, outside) = (split(true), split(false));
        let last = inside.iter().map(|change| change.span.end.0).max();
        let next = outside.iter().map(|change| change.span.start.0).min();
        let (Some(last), next) = (last, next) else {
            return Some(facts.size(inode, next.map_or(u64::MAX, |next| next - 1)));
        };
        // Of all operations, a truncation alone returns without saying what the size is then.
        let told = inside.iter().filter(|change| change.span.end.0 == last).all(|change| {
            change.kind != "truncate"
                || inside.iter().all(|other| other.event == change.event || !overlap(other.span, change.span))
        });
        // What is in no session may have been at work by then.
        let told = told
            && (0..facts.events.len()).all(|number| {
                facts.modified_inode(number) != Some(inode)
                    || self.writers.iter().flatten().any(|change| change.event == number)
                    || facts.event(number).span.start.0 > last
                    || facts.event(number).span.end.0
                        < inside.iter().map(|change| change.span.start.0).max().unwrap()
            });
        // Whether someone looked at it later is not followed here.
        (told && next.is_none_or(|next| last < next)).then(|| facts.size(inode, last))
    }
}

/// A truncation that found the file that short, or met another to the same size, may have changed nothing.
fn surely_changes(change: &Change, writers: &[Vec<&Change>]) -> bool {
    let truncates = |change: &Change| matches!(change.sets, Sets::To(_)) && change.kind != "create";
    let others = || writers.iter().flatten().filter(|other| other.event != change.event);
    let met = || {
        others().any(|other| {
            matches!((other.sets, change.sets), (Sets::To(other), Sets::To(to)) if other == to)
                && overlap(other.span, change.span)
        })
    };
    // One that makes the file longer may find that a write which it met has done so.
    let met_write = |to: u64| {
        others()
            .filter(|other| matches!(other.sets, Sets::More))
            .any(|other| other.to >= to && overlap(other.span, change.span))
    };
    let nothing = change.untold
        || matches!(change.sets, Sets::To(to) if to == change.before || change.before < to && met_write(to));
    !(truncates(change) && (nothing || met()))
}
