//! A small world: processes that write, replace and read one state file, on files of real bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::iter::repeat_n;
use std::ops::Range;

use watchdog::model::{
    Access, Actor, BootNanos, Comm, EventOperation, ExitStatus, FileEvent, InodeId, OpenId, Pid, Span,
};

use super::played::{Bytes, Happened, PAGE, Played, place};
use super::random::Random;
use super::schedule::{Act, Part, Schedule};

/// The processes and files at one moment.
pub(crate) struct World {
    pub(super) seed: u64,
    pub(super) used: BTreeSet<u64>,
    pub(super) steps: BTreeMap<u64, Step>,
    pub(super) actors: Vec<Process>,
    pub(super) descriptions: Vec<Description>,
    pub(super) files: Vec<File>,
    pub(super) names: BTreeMap<String, usize>,
    pub(super) told: Vec<(u64, Happened)>,
    pub(super) played: Played,
    pub(super) stamp: u32,
    pub(super) gives_tails: bool,
}

pub(super) struct Process {
    actor: Actor,
    script: VecDeque<(u64, Act)>,
    holds: Option<usize>,
}

pub(super) struct Description {
    pub(super) id: OpenId,
    pub(super) file: usize,
    pub(super) position: u64,
    pub(super) holders: u32,
    pub(super) last_told: u64,
    pub(super) writes: bool,
    /// Stores reach the file.
    pub(super) mapped: bool,
}

pub(super) struct File {
    pub(super) inode: InodeId,
    pub(super) content: Bytes,
}

pub(super) enum Step {
    Begin { process: usize },
    Effect { process: usize, call: Call },
    Finish { process: usize, call: Call },
    Discover { description: usize },
}

/// One system call under way.
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) act: Act,
    pub(super) random: Random,
    pub(super) start: u64,
    pub(super) instant: u64,
    pub(super) end: u64,
    pub(super) size_before: Option<u64>,
    pub(super) told: Option<EventOperation>,
    pub(super) bytes: Bytes,
}

impl World {
    /// Plays a schedule from beginning to end.
    pub(crate) fn play(schedule: &Schedule) -> Played {
        let played = Played {
            events: Vec::new(),
            contents: BTreeMap::new(),
            names: vec![(0, None)],
            parts: BTreeMap::new(),
            writers: BTreeMap::new(),
            sizes_shown: schedule.sizes_shown,
            checks: schedule.checks,
            seed: schedule.seed,
        };
        let mut world = Self {
            seed: schedule.seed,
            used: BTreeSet::new(),
            steps: BTreeMap::new(),
            actors: Vec::new(),
            descriptions: Vec::new(),
            files: Vec::new(),
            names: BTreeMap::new(),
            told: Vec::new(),
            played,
            stamp: 0,
            gives_tails: schedule.gives_tails,
        };
        world.populate(schedule);
        while let Some((at, step)) = world.steps.pop_first() {
            world.step(at, step);
        }
        world.told.sort_by_key(|(end, _)| *end);
        world.played.events = world.told.into_iter().map(|(_, happened)| happened).collect();
        world.played
    }

    fn populate(&mut self, schedule: &Schedule) {
        if let Some(length) = schedule.initial {
            let file = self.create("state.json");
            self.name("state.json", Some(file), 1);
            self.stamp += 1;
            let part = Part { document: 0, from: 0, length, total: length };
            self.played.parts.insert(self.stamp, (part, 0));
            self.files[file].content = vec![self.stamp; usize::try_from(length).unwrap()];
            let inode = self.files[file].inode;
            self.note_content(file, 1);
            let operation = EventOperation::Present {
                place: place("state.json"),
                inode: Some(inode),
                size: self.played.sizes_shown.then_some(length),
            };
            self.tell((1, 1, 1), Actor::default(), operation, Vec::new());
        }
        for (at, script) in &schedule.processes {
            self.start(script.clone(), *at);
        }
    }

    fn start(&mut self, script: Vec<(u64, Act)>, at: u64) {
        let pid = 100 + u32::try_from(self.actors.len()).unwrap();
        let actor = Actor { pid: Pid(pid), tid: pid, comm: Comm::new("p") };
        self.actors.push(Process { actor, script: script.into(), holds: None });
        self.soon(at, Step::Begin { process: self.actors.len() - 1 });
    }

    fn step(&mut self, at: u64, step: Step) {
        match step {
            Step::Begin { process } => self.begin(at, process),
            Step::Effect { process, mut call } => {
                call.instant = at;
                self.effect(process, &mut call);
                let end = self.moment(call.end.max(at));
                self.steps.insert(end, Step::Finish { process, call });
            }
            Step::Finish { process, call } => self.finish(at, process, call),
            Step::Discover { description } => {
                let known = &self.descriptions[description];
                let (id, from) = (known.id, known.last_told);
                self.tell((from, at, at), Actor::default(), EventOperation::Release { id }, Vec::new());
            }
        }
    }

    fn begin(&mut self, at: u64, process: usize) {
        let Some((number, act)) = self.actors[process].script.pop_front() else { return };
        match act {
            Act::Pause { length } => return self.soon(at + length + 1, Step::Begin { process }),
            Act::Until { at: until } => return self.soon(until.max(at + 1), Step::Begin { process }),
            _ => {}
        }
        let left = if let Act::ReadAll { left, .. } = &act { u64::from(*left) } else { 0 };
        let mut random = Random::keyed(self.seed, (number << 32) ^ left);
        let slow = match &act {
            Act::Open { truncate: true, .. } => random.one_in(3),
            _ => random.one_in(10),
        };
        let length = if slow { random.within(20, 300) } else { random.within(0, 12) };
        let instant = random.within(at, at + length);
        let size_before = self.shown_size(process);
        let end = at + length;
        let call =
            Call { number, act, random, start: at, instant, end, size_before, told: None, bytes: Vec::new() };
        self.soon(instant, Step::Effect { process, call });
    }

    fn effect(&mut self, process: usize, call: &mut Call) {
        let at = call.instant;
        let held = self.actors[process].holds;
        match call.act.clone() {
            Act::Open { name, write, create, truncate, read } => {
                self.open(process, call, &name, (read, write, create, truncate));
            }
            Act::Rename { .. } | Act::Link { .. } | Act::Unlink { .. } | Act::TruncatePath { .. } => {
                call.told = self.by_name(call);
            }
            Act::Close => self.close(process, call),
            Act::Exit { code } => {
                call.told = Some(EventOperation::Exit { status: ExitStatus::Code(code) });
            }
            Act::Kill => call.told = Some(EventOperation::Exit { status: ExitStatus::Signal(9) }),
            Act::Fork { script } => {
                let Some(held) = held else { return };
                self.descriptions[held].holders += 1;
                self.start(script, at + 1);
                self.actors.last_mut().unwrap().holds = Some(held);
            }
            Act::Pause { .. } | Act::Until { .. } => {}
            act => {
                if let Some(held) = held {
                    call.told = self.through(&act, held, call);
                }
            }
        }
    }

    fn open(
        &mut self,
        process: usize,
        call: &mut Call,
        name: &str,
        (read, write, create, truncate): (bool, bool, bool, bool),
    ) {
        let at = call.instant;
        let known = self.names.get(name).copied();
        let Some(file) = known.or_else(|| create.then(|| self.create(name))) else {
            // What it wanted is not there: the process ends.
            self.actors[process].script = VecDeque::from([(call.number, Act::Exit { code: 1 })]);
            return;
        };
        if known.is_none() {
            self.name(name, Some(file), at);
        }
        let truncated = truncate && known.is_some();
        if truncated {
            self.files[file].content.clear();
        }
        if truncated || known.is_none() {
            self.note_content(file, at);
        }
        self.descriptions.push(Description {
            id: OpenId { file: 0, opened: 0 },
            file,
            position: 0,
            holders: 1,
            last_told: 0,
            writes: write,
            mapped: false,
        });
        // Who opens another file has closed the one before.
        if self.actors[process].holds.is_some() {
            self.drop_held(process, call.start, &mut call.random);
        }
        self.actors[process].holds = Some(self.descriptions.len() - 1);
        call.told = Some(EventOperation::Open {
            id: OpenId { file: 0, opened: 0 },
            inode: self.files[file].inode,
            place: place(name),
            access: Access { read, write },
            created: known.is_none(),
            truncated,
            size: None,
        });
    }

    fn finish(&mut self, at: u64, process: usize, mut call: Call) {
        let size = self.shown_size(process);
        match &mut call.told {
            Some(EventOperation::Open { id, size: shown, .. }) => {
                *shown = size;
                let held = self.actors[process].holds.unwrap();
                *id = OpenId { file: 0x1000 + held as u64, opened: at };
                self.descriptions[held].id = *id;
            }
            Some(EventOperation::Read { size: shown, .. } | EventOperation::Write { size: shown, .. }) => {
                *shown = size;
            }
            _ => {}
        }
        let got = call.bytes.len();
        if let Act::ReadAll { chunk, left, vague } = call.act
            && got > 0
            && left > 1
        {
            let again = (call.number, Act::ReadAll { chunk, left: left - 1, vague });
            self.actors[process].script.push_front(again);
        }
        let exited = matches!(call.act, Act::Exit { .. } | Act::Kill);
        if let Some(operation) = call.told {
            let actor = self.actors[process].actor;
            let start = if exited { at } else { call.start };
            self.tell((start, call.instant, at), actor, operation, call.bytes);
        }
        if exited {
            self.actors[process].script.clear();
            if self.actors[process].holds.is_some() {
                self.actors[process].script.push_back((call.number, Act::Close));
                self.soon(at + 1, Step::Begin { process });
            }
            return;
        }
        let random = &mut call.random;
        let gap = if random.one_in(6) { random.within(1, 60) } else { random.within(1, 6) };
        self.soon(at + gap, Step::Begin { process });
    }

    fn close(&mut self, process: usize, call: &mut Call) {
        let Some(held) = self.actors[process].holds.take() else { return };
        self.descriptions[held].holders -= 1;
        if self.descriptions[held].holders > 0 {
            return;
        }
        if call.random.one_in(12) {
            let later = call.instant + call.random.within(1, 200);
            self.soon(later, Step::Discover { description: held });
        } else {
            call.told = Some(EventOperation::Release { id: self.descriptions[held].id });
        }
    }

    /// Another open takes the place of what a process holds, as in a schedule from which the close was taken away.
    fn drop_held(&mut self, process: usize, at: u64, random: &mut Random) {
        let Some(held) = self.actors[process].holds.take() else { return };
        self.descriptions[held].holders -= 1;
        if self.descriptions[held].holders == 0 {
            self.soon(at + random.within(1, 20), Step::Discover { description: held });
        }
    }

    fn create(&mut self, name: &str) -> usize {
        let ino = 1 + self.files.len() as u64;
        self.files.push(File { inode: InodeId { dev: 1, ino, generation: 0 }, content: Vec::new() });
        self.names.insert(name.into(), self.files.len() - 1);
        self.files.len() - 1
    }

    pub(super) fn name(&mut self, name: &str, file: Option<usize>, at: u64) {
        if let Some(file) = file {
            self.names.insert(name.into(), file);
        }
        if name == "state.json" {
            self.played.names.push((at, file.map(|file| self.files[file].inode)));
        }
    }

    pub(super) fn write(&mut self, file: usize, offset: u64, length: u64, at: u64) {
        let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset + length).unwrap());
        let content = &mut self.files[file].content;
        if content.len() < to {
            // A gap before what is written is of this operation, too.
            content.resize(to, self.stamp);
        }
        content[from..to].fill(self.stamp);
        self.note_content(file, at);
    }

    pub(super) fn resize(&mut self, file: usize, to: u64, at: u64) {
        self.stamp += 1;
        self.files[file].content.resize(usize::try_from(to).unwrap(), self.stamp);
        self.note_content(file, at);
    }

    fn note_content(&mut self, file: usize, at: u64) {
        let known = &self.files[file];
        let history = self.played.contents.entry(known.inode.ino).or_default();
        // What changes nothing leaves the content that it was.
        if history.last().is_none_or(|(_, content)| *content != known.content) {
            history.push((at, known.content.clone()));
        }
    }

    fn shown_size(&self, process: usize) -> Option<u64> {
        let description = &self.descriptions[self.actors[process].holds?];
        self.played.sizes_shown.then(|| self.files[description.file].content.len() as u64)
    }

    fn tell(
        &mut self,
        (start, instant, end): (u64, u64, u64),
        actor: Actor,
        operation: EventOperation,
        bytes: Bytes,
    ) {
        let id = match &operation {
            EventOperation::Open { id, .. }
            | EventOperation::Read { id, .. }
            | EventOperation::Write { id, .. }
            | EventOperation::WriteFailed { id }
            | EventOperation::Map { id, .. }
            | EventOperation::Sync { id } => Some(*id),
            _ => None,
        };
        if let Some(known) = self.descriptions.iter_mut().find(|known| Some(known.id) == id) {
            known.last_told = end;
        }
        let span = Span::new(BootNanos(start), BootNanos(end));
        let event = FileEvent { span, actor, lost: 0, operation };
        self.told.push((end, Happened { event, instant, bytes }));
    }

    fn soon(&mut self, at: u64, step: Step) {
        let at = self.moment(at);
        self.steps.insert(at, step);
    }

    /// The first moment from `at` on at which nothing else happens.
    fn moment(&mut self, mut at: u64) -> u64 {
        while !self.used.insert(at) {
            at += 1;
        }
        at
    }
}

/// What a read of `range` that began at `start` gets if tmpfs finds that the last page of it, which it has already, lies
/// behind the end of the file by now: all of that page, of which what was never written is zeros.
pub(super) fn tail(history: &[(u64, Bytes)], start: u64, range: Range<usize>) -> Option<Bytes> {
    let page = usize::try_from(PAGE).unwrap();
    let (_, now) = history.last()?;
    let mut steps = history.iter().zip(history.iter().skip(1)).rev();
    let ((_, old), _) = steps.find(|((_, old), (at, new))| *at > start && new.len() < old.len())?;
    let last = range.end.min(old.len()).checked_sub(1)? / page;
    let end = range.end.min((last + 1) * page);
    let given = range.start < old.len() && old.len() < end && now.len() / page < last;
    given.then(|| old[range.start..].iter().copied().chain(repeat_n(0, end - old.len())).collect())
}
