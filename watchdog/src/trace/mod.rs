//! `trace`: one aligned line per event for a person at a terminal, with the findings among them.

mod filter;
mod line;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::rc::Rc;

use crate::agent::{Follower, Step, follow};
use crate::cli::FindingsFormat;
use crate::clock::WallClock;
use crate::config::Config;
use crate::exit::Exit;
use crate::model::{BootNanos, EventOperation as Operation, FileEvent, OpenId, Pid, Place, Target};
use crate::report::{FileFacts, Finding, Outlet, clean, closed, has_colours};
use crate::telemetry;

pub use filter::Filter;
use line::{Label, Writer};

/// Runs the agent and shows what it sees, until SIGTERM or SIGINT, or until nobody reads standard output any more.
#[must_use]
pub fn start(config: &Config, filter: Filter) -> Exit {
    telemetry::start(config.log_format);
    let outlet = match Outlet::start(io::stdout()) {
        Ok(outlet) => outlet,
        Err(error) => {
            tracing::error!(%error, "cannot start to write");
            return Exit::Internal;
        }
    };
    let quiet = Config { findings: FindingsFormat::None, ..config.clone() };
    let trace = Rc::new(RefCell::new(Trace::new(filter, outlet, has_colours())));
    let exit = follow(&quiet, Rc::<RefCell<Trace>>::clone(&trace), closed());
    trace.borrow_mut().finish();
    exit
}

/// Shows events and findings as lines.
struct Trace {
    filter: Filter,
    writer: Writer,
    outlet: Outlet,
    /// Whom open descriptions and processes that were shown have to do with; `None` for those that are kept out.
    opens: Bounded<OpenId, Option<Label>>,
    processes: Bounded<Pid, Label>,
    lost: u64,
}

impl Trace {
    fn new(filter: Filter, outlet: Outlet, colours: bool) -> Self {
        let writer = Writer { wall: WallClock::read(), colours };
        Self { filter, writer, outlet, opens: Bounded::default(), processes: Bounded::default(), lost: 0 }
    }

    fn finish(&mut self) {
        std::mem::replace(&mut self.outlet, Outlet::closed()).finish();
    }

    /// Whom an event is about; `None` when it is not to be shown.
    fn label(
        &mut self,
        event: &FileEvent,
        know: &mut dyn FnMut(&Place) -> Option<FileFacts>,
    ) -> Option<Label> {
        let unknown = || self.filter.is_open().then(Label::default);
        let mut known = |place: &Place| match know(place) {
            Some(facts) => self.filter.lets(&facts).then(|| label(&facts)),
            None => unknown(),
        };
        match &event.operation {
            Operation::Open { id, place, .. } => {
                let label = known(place);
                self.opens.insert(*id, label.clone());
                label
            }
            Operation::Read { id, .. }
            | Operation::Write { id, .. }
            | Operation::WriteFailed { id }
            | Operation::Map { id, .. }
            | Operation::Sync { id }
            | Operation::Lock { id, .. }
            | Operation::Truncate { target: Target::Open(id) | Target::Opening(id), .. } => {
                self.opens.get(id).cloned().unwrap_or_else(unknown)
            }
            Operation::Release { id } => self.opens.remove(id).unwrap_or_else(unknown),
            Operation::Truncate { target: Target::Place(place), .. } | Operation::Unlink { place, .. } => {
                known(place)
            }
            Operation::Rename { from, to, .. } => {
                to.as_ref().or(from.as_ref()).and_then(|place| known(place))
            }
            Operation::Link { to, .. } => known(to),
            Operation::Exit { .. } => self.processes.remove(&event.actor.pid),
            Operation::Present { .. }
            | Operation::Content { .. }
            | Operation::MoveDirectory { .. }
            | Operation::Heartbeat => None,
        }
    }

    fn lost(&mut self, at: BootNanos, lost: u64) {
        if lost > self.lost {
            self.outlet.send(self.writer.lost(at, lost - self.lost));
            self.lost = lost;
        }
    }
}

impl Follower for Trace {
    fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Begin { source: _, started: _, boot_unix_ns } => {
                self.writer.wall = WallClock::booted_at(*boot_unix_ns);
                self.lost = 0;
                self.outlet.send(self.writer.heading());
            }
            Step::Clock { at: _, boot_unix_ns } => self.writer.wall = WallClock::booted_at(*boot_unix_ns),
            _ => {}
        }
    }

    fn event(&mut self, event: &FileEvent, know: &mut dyn FnMut(&Place) -> Option<FileFacts>) {
        self.lost(event.at(), event.lost);
        let Some(label) = self.label(event, know) else { return };
        if event.actor.is_known() && !matches!(event.operation, Operation::Exit { .. }) {
            self.processes.insert(event.actor.pid, label.clone());
        }
        if let Some(line) = self.writer.event(event, &label) {
            self.outlet.send(line);
        }
    }

    fn finding(&mut self, finding: &Finding, file: &FileFacts) {
        if self.filter.lets(file) {
            self.outlet.send(self.writer.finding(finding, &label(file)));
        }
    }
}

/// `shop/web-0/app`, as far as it is known, else the id; an id of 64 digits is told by its first 12, as people do.
fn label(file: &FileFacts) -> Label {
    let pod = file.pod.as_ref();
    let parts = pod.map(|pod| [&pod.namespace, &pod.name, &pod.container]);
    let named = parts.filter(|[_, name, container]| name.is_some() || container.is_some());
    let container = match named {
        Some(parts) => parts.into_iter().flatten().map(|part| clean(part)).collect::<Vec<_>>().join("/"),
        None => {
            let id = clean(&file.container);
            let long = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
            if long { id[..12].to_owned() } else { id }
        }
    };
    Label { runtime: clean(&file.runtime), container }
}

/// A map that does not grow beyond a fixed size: what comes later is not kept.
struct Bounded<K, V>(HashMap<K, V>);

impl<K, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V> Bounded<K, V> {
    const MAX: usize = 4_096;

    fn insert(&mut self, key: K, value: V) {
        if self.0.len() < Self::MAX || self.0.contains_key(&key) {
            self.0.insert(key, value);
        }
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.0.get(key)
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        self.0.remove(key)
    }
}
