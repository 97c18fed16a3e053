//! A small world: processes that write, replace and read one state file, on files of real bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::iter::repeat_n;
use std::ops::Range;
use std::sync::Arc;

use watchdog::model::{
    Access, Actor, BootNanos, Comm, EventOperation, ExitStatus, FileEvent, InodeId, OpenId, Pid, Place, Role,
    RootId, Span, Target,
};

/// What happened in a world.
pub(crate) struct Played {
    /// As a source would tell it, in the order of the returns.
    pub(crate) events: Vec<FileEvent>,
    /// When each event took effect.
    pub(crate) instants: Vec<u64>,
    /// The bytes that each event read. A byte is the stamp of the operation that wrote it.
    pub(crate) bytes: Vec<Vec<u32>>,
    /// Each inode's content after each effect on it: when, and what.
    pub(crate) contents: BTreeMap<u64, Vec<(u64, Vec<u32>)>>,
    /// Sizes are in the events.
    pub(crate) sizes_shown: bool,
}

/// How long a page is. As short as the files, so that they have several.
pub(crate) const PAGE: u64 = 16;

/// The processes and files at one moment.
pub(crate) struct World {
    random: Random,
    used: BTreeSet<u64>,
    steps: BTreeMap<u64, Step>,
    actors: Vec<Process>,
    descriptions: Vec<Description>,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    told: Vec<(u64, u64, FileEvent, Vec<u32>)>,
    contents: BTreeMap<u64, Vec<(u64, Vec<u32>)>>,
    stamp: u32,
    sizes_shown: bool,
    /// A read that a cut meets may get a page's tail, as from tmpfs.
    gives_tails: bool,
}

struct Random(u64);

struct Process {
    actor: Actor,
    script: VecDeque<Act>,
    holds: Option<usize>,
}

struct Description {
    id: OpenId,
    file: usize,
    position: u64,
    holders: u32,
    last_told: u64,
}

struct File {
    inode: InodeId,
    content: Vec<u32>,
}

/// One system call, before it is made.
#[derive(Clone, Debug)]
enum Act {
    Open { name: String, write: bool, create: bool, truncate: bool, read: bool },
    Read { length: u64 },
    ReadAll { chunk: u64, left: u32 },
    Seek { to: u64 },
    Write { length: u64 },
    Truncate { to: u64 },
    TruncatePath { to: u64 },
    Sync,
    Rename { from: String },
    Link { from: String },
    Unlink { name: String },
    Fork { script: Vec<Act> },
    Close,
    Exit { code: u8 },
    Pause { length: u64 },
}

enum Step {
    Begin { process: usize },
    Effect { process: usize, call: Call },
    Finish { process: usize, call: Call },
    Discover { description: usize },
}

/// One system call under way.
struct Call {
    act: Act,
    start: u64,
    instant: u64,
    end: u64,
    size_before: Option<u64>,
    told: Option<EventOperation>,
    bytes: Vec<u32>,
}

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to.saturating_sub(from) + 1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

impl World {
    /// Plays the schedule of this seed from beginning to end.
    pub(crate) fn play(seed: u64) -> Played {
        let mut world = Self {
            random: Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d)),
            used: BTreeSet::new(),
            steps: BTreeMap::new(),
            actors: Vec::new(),
            descriptions: Vec::new(),
            files: Vec::new(),
            names: BTreeMap::new(),
            told: Vec::new(),
            contents: BTreeMap::new(),
            stamp: 0,
            sizes_shown: true,
            gives_tails: seed % 4 == 3,
        };
        world.sizes_shown = !world.random.one_in(8);
        world.populate();
        while let Some((at, step)) = world.steps.pop_first() {
            world.step(at, step);
        }
        world.told.sort_by_key(|(end, ..)| *end);
        let mut played = Played {
            events: Vec::new(),
            instants: Vec::new(),
            bytes: Vec::new(),
            contents: world.contents,
            sizes_shown: world.sizes_shown,
        };
        for (_, instant, event, bytes) in world.told {
            played.events.push(event);
            played.instants.push(instant);
            played.bytes.push(bytes);
        }
        played
    }

    fn populate(&mut self) {
        if !self.random.one_in(6) {
            let file = self.create("state.json");
            self.stamp += 1;
            let length = self.random.within(0, 60);
            self.files[file].content = vec![self.stamp; usize::try_from(length).unwrap()];
            let inode = self.files[file].inode;
            self.note_content(file, 1);
            let operation = EventOperation::Present {
                place: place("state.json"),
                inode: Some(inode),
                size: self.sizes_shown.then_some(length),
            };
            self.tell((1, 1, 1), Actor::default(), operation, Vec::new());
        }
        let (writers, readers) = (self.random.within(1, 4), self.random.within(1, 6));
        for writer in 0..writers {
            let script = self.writer(writer);
            self.start(script);
        }
        for _ in 0..readers {
            let script = self.reader();
            self.start(script);
        }
    }

    fn start(&mut self, script: Vec<Act>) {
        let pid = 100 + u32::try_from(self.actors.len()).unwrap();
        let actor = Actor { pid: Pid(pid), tid: pid, comm: Comm::new("p") };
        self.actors.push(Process { actor, script: script.into(), holds: None });
        let at = self.random.within(10, 600);
        self.soon(at, Step::Begin { process: self.actors.len() - 1 });
    }

    fn writer(&mut self, writer: u64) -> Vec<Act> {
        let mut script = Vec::new();
        for attempt in 0..self.random.within(1, 3) {
            match self.random.below(16) {
                0..8 => self.in_place(&mut script),
                8..12 => self.atomic(&mut script, &format!("state-{writer}{attempt}")),
                12 => script.push(Act::TruncatePath { to: self.random.within(0, 40) }),
                13 => script.extend([open("state.json", true, false), Act::Pause { length: 20 }, Act::Close]),
                _ => {
                    script.push(Act::Unlink { name: "state.json".into() });
                    script.push(Act::Open {
                        name: "state.json".into(),
                        write: true,
                        create: true,
                        truncate: true,
                        read: true,
                    });
                    self.fill(&mut script);
                    script.push(Act::Close);
                }
            }
            script.push(Act::Pause { length: self.random.within(0, 200) });
        }
        if self.random.one_in(8) {
            let at = usize::try_from(self.random.below(script.len() as u64)).unwrap();
            script.truncate(at);
        }
        script.push(Act::Exit { code: 0 });
        script
    }

    fn in_place(&mut self, script: &mut Vec<Act>) {
        let truncate = !self.random.one_in(4);
        let create = !self.random.one_in(3);
        let read = !self.random.one_in(3);
        script.push(Act::Open { name: "state.json".into(), write: true, create, truncate, read });
        if self.random.one_in(8) {
            let mut child = Vec::new();
            self.fill(&mut child);
            child.push(Act::Close);
            child.push(Act::Exit { code: 0 });
            script.push(Act::Fork { script: child });
        }
        if !truncate && read && self.random.one_in(3) {
            script.extend([Act::Read { length: 64 }, Act::Seek { to: 0 }]);
        }
        self.fill(script);
        if !truncate && self.random.one_in(2) {
            script.push(Act::Truncate { to: self.random.within(0, 40) });
        }
        if self.random.one_in(4) {
            script.push(Act::Sync);
        }
        script.push(Act::Pause { length: self.random.within(0, 60) });
        script.push(Act::Close);
    }

    fn atomic(&mut self, script: &mut Vec<Act>, name: &str) {
        script.push(Act::Open { name: name.into(), write: true, create: true, truncate: false, read: false });
        self.fill(script);
        if self.random.one_in(2) {
            script.push(Act::Sync);
        }
        let early = self.random.one_in(8);
        if !early {
            script.push(Act::Close);
        }
        if self.random.one_in(8) {
            script.push(Act::Link { from: name.into() });
            script.push(Act::Unlink { name: name.into() });
        } else {
            script.push(Act::Rename { from: name.into() });
        }
        if early {
            self.fill(script);
            script.push(Act::Close);
        }
    }

    fn fill(&mut self, script: &mut Vec<Act>) {
        for _ in 0..self.random.within(0, 3) {
            script.push(Act::Write { length: self.random.within(1, 30) });
            if self.random.one_in(3) {
                script.push(Act::Pause { length: self.random.within(0, 60) });
            }
        }
    }

    fn reader(&mut self) -> Vec<Act> {
        let mut script = Vec::new();
        for _ in 0..self.random.within(1, 4) {
            script.push(open("state.json", false, false));
            if self.random.one_in(4) {
                script.push(Act::Pause { length: self.random.within(0, 100) });
            }
            let chunk = [4, 16, 64, 512][usize::try_from(self.random.below(4)).unwrap()];
            let left =
                if self.random.one_in(4) { 1 + u32::try_from(self.random.below(3)).unwrap() } else { 40 };
            if self.random.one_in(10) {
                let child = vec![Act::ReadAll { chunk, left }, Act::Close, Act::Exit { code: 1 }];
                script.push(Act::Fork { script: child });
            }
            if !self.random.one_in(12) {
                script.push(Act::ReadAll { chunk, left });
            }
            if self.random.one_in(10) {
                script.extend([
                    Act::Pause { length: self.random.within(0, 200) },
                    Act::Seek { to: 0 },
                    Act::ReadAll { chunk, left },
                ]);
            }
            if self.random.one_in(4) {
                script.push(Act::Pause { length: self.random.within(0, 200) });
            }
            script.push(Act::Close);
            script.push(Act::Pause { length: self.random.within(0, 200) });
        }
        script.push(Act::Exit { code: u8::from(self.random.one_in(2)) });
        script
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
        let Some(act) = self.actors[process].script.pop_front() else { return };
        if let Act::Pause { length } = act {
            let until = at + length + 1;
            return self.soon(until, Step::Begin { process });
        }
        let slow = match &act {
            Act::Open { truncate: true, .. } => self.random.one_in(3),
            _ => self.random.one_in(10),
        };
        let length = if slow { self.random.within(20, 300) } else { self.random.within(0, 12) };
        let instant = self.random.within(at, at + length);
        let size_before = self.shown_size(process);
        let call =
            Call { act, start: at, instant, end: at + length, size_before, told: None, bytes: Vec::new() };
        self.soon(instant, Step::Effect { process, call });
    }

    fn effect(&mut self, process: usize, call: &mut Call) {
        let at = call.instant;
        let held = self.actors[process].holds;
        match call.act.clone() {
            Act::Open { name, write, create, truncate, read } => {
                let known = self.names.get(&name).copied();
                let Some(file) = known.or_else(|| create.then(|| self.create(&name))) else {
                    self.abandon(process);
                    return;
                };
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
                });
                self.actors[process].holds = Some(self.descriptions.len() - 1);
                call.told = Some(EventOperation::Open {
                    id: OpenId { file: 0, opened: 0 },
                    inode: self.files[file].inode,
                    place: place(&name),
                    access: Access { read, write },
                    created: known.is_none(),
                    truncated,
                    size: None,
                });
            }
            Act::Read { length } | Act::ReadAll { chunk: length, .. } => {
                let Some(held) = held else { return };
                let description = &mut self.descriptions[held];
                let file = &self.files[description.file];
                let from = usize::try_from(description.position).unwrap();
                let to = from + usize::try_from(length).unwrap();
                let history = &self.contents[&file.inode.ino];
                let tail = if self.gives_tails { tail(history, call.start, from..to) } else { None };
                let part = || file.content[from.min(file.content.len())..to.min(file.content.len())].to_vec();
                call.bytes = tail.unwrap_or_else(part);
                let returned = call.bytes.len() as u64;
                call.told = Some(EventOperation::Read {
                    id: description.id,
                    offset: Some(description.position),
                    requested: length,
                    returned,
                    size_before: call.size_before,
                    size: None,
                });
                description.position += returned;
            }
            Act::Seek { to } => {
                if let Some(held) = held {
                    self.descriptions[held].position = to;
                }
            }
            Act::Write { length } => {
                let Some(held) = held else { return };
                let (file, offset) = (self.descriptions[held].file, self.descriptions[held].position);
                self.descriptions[held].position += length;
                self.write(file, offset, length, at);
                call.told = Some(EventOperation::Write {
                    id: self.descriptions[held].id,
                    offset: Some(offset),
                    length,
                    size_before: call.size_before,
                    size: None,
                });
            }
            Act::Truncate { to } => {
                let Some(held) = held else { return };
                let file = self.descriptions[held].file;
                self.resize(file, to, at);
                call.told = Some(EventOperation::Truncate {
                    target: Target::Open(self.descriptions[held].id),
                    inode: Some(self.files[file].inode),
                    to,
                    size_before: call.size_before,
                });
            }
            Act::TruncatePath { to } => {
                let Some(&file) = self.names.get("state.json") else { return };
                self.resize(file, to, at);
                call.told = Some(EventOperation::Truncate {
                    target: Target::Place(place("state.json")),
                    inode: Some(self.files[file].inode),
                    to,
                    size_before: None,
                });
            }
            Act::Sync => {
                let Some(held) = held else { return };
                call.told = Some(EventOperation::Sync { id: self.descriptions[held].id });
            }
            Act::Rename { from } => {
                let Some(file) = self.names.remove(&from) else { return };
                self.names.insert("state.json".into(), file);
                call.told = Some(EventOperation::Rename {
                    from: Some(place(&from)),
                    to: Some(place("state.json")),
                    inode: Some(self.files[file].inode),
                    exchange: false,
                    still_open_for_writing: None,
                });
            }
            Act::Link { from } => {
                let Some(&file) = self.names.get(&from) else { return };
                if self.names.contains_key("state.json") {
                    return;
                }
                self.names.insert("state.json".into(), file);
                call.told = Some(EventOperation::Link {
                    from: Some(place(&from)),
                    to: place("state.json"),
                    inode: Some(self.files[file].inode),
                });
            }
            Act::Unlink { name } => {
                let Some(file) = self.names.remove(&name) else { return };
                call.told =
                    Some(EventOperation::Unlink { place: place(&name), inode: Some(self.files[file].inode) });
            }
            Act::Fork { script } => {
                let Some(held) = held else { return };
                self.descriptions[held].holders += 1;
                self.start(script);
                self.actors.last_mut().unwrap().holds = Some(held);
                // The child begins right away rather than at some time of its own.
                let child = self.actors.len() - 1;
                self.steps.retain(|_, step| !matches!(step, Step::Begin { process } if *process == child));
                self.soon(at + 1, Step::Begin { process: child });
            }
            Act::Close => self.close(process, call),
            Act::Exit { code } => {
                call.told = Some(EventOperation::Exit { status: ExitStatus::Code(code) });
            }
            Act::Pause { .. } => {}
        }
    }

    fn finish(&mut self, at: u64, process: usize, mut call: Call) {
        let size = self.shown_size(process);
        match &mut call.told {
            Some(EventOperation::Open { id, size: shown, .. }) => {
                *shown = size;
                let held = self.actors[process].holds.unwrap();
                // Addresses are used again: by the next description that is opened after a release.
                *id = OpenId { file: 0x1000 + held as u64, opened: at };
                self.descriptions[held].id = *id;
            }
            Some(EventOperation::Read { size: shown, .. } | EventOperation::Write { size: shown, .. }) => {
                *shown = size;
            }
            _ => {}
        }
        let got = call.bytes.len();
        if let Act::ReadAll { chunk, left } = call.act
            && got > 0
            && left > 1
        {
            self.actors[process].script.push_front(Act::ReadAll { chunk, left: left - 1 });
        }
        let exited = matches!(call.act, Act::Exit { .. });
        if let Some(operation) = call.told {
            let actor = self.actors[process].actor;
            let start = if exited { at } else { call.start };
            self.tell((start, call.instant, at), actor, operation, call.bytes);
        }
        if exited {
            if self.actors[process].holds.is_some() {
                self.actors[process].script = VecDeque::from([Act::Close]);
                self.soon(at + 1, Step::Begin { process });
            }
            return;
        }
        let gap = if self.random.one_in(6) { self.random.within(1, 60) } else { self.random.within(1, 6) };
        self.soon(at + gap, Step::Begin { process });
    }

    fn close(&mut self, process: usize, call: &mut Call) {
        let Some(held) = self.actors[process].holds.take() else { return };
        self.descriptions[held].holders -= 1;
        if self.descriptions[held].holders > 0 {
            return;
        }
        if self.random.one_in(12) {
            let later = call.instant + self.random.within(1, 200);
            self.soon(later, Step::Discover { description: held });
        } else {
            call.told = Some(EventOperation::Release { id: self.descriptions[held].id });
        }
    }

    /// What it wanted to open is not there: the process goes on with its next attempt, that is, it ends.
    fn abandon(&mut self, process: usize) {
        self.actors[process].script = VecDeque::from([Act::Exit { code: 1 }]);
    }

    fn create(&mut self, name: &str) -> usize {
        let ino = 1 + self.files.len() as u64;
        self.files.push(File { inode: InodeId { dev: 1, ino, generation: 0 }, content: Vec::new() });
        self.names.insert(name.into(), self.files.len() - 1);
        self.files.len() - 1
    }

    fn write(&mut self, file: usize, offset: u64, length: u64, at: u64) {
        self.stamp += 1;
        let (from, to) = (usize::try_from(offset).unwrap(), usize::try_from(offset + length).unwrap());
        let content = &mut self.files[file].content;
        let gap = content.len().min(from);
        if content.len() < to {
            content.resize(to, self.stamp);
        }
        content[gap.max(from)..to].fill(self.stamp);
        self.note_content(file, at);
    }

    fn resize(&mut self, file: usize, to: u64, at: u64) {
        self.stamp += 1;
        self.files[file].content.resize(usize::try_from(to).unwrap(), self.stamp);
        self.note_content(file, at);
    }

    fn note_content(&mut self, file: usize, at: u64) {
        let known = &self.files[file];
        self.contents.entry(known.inode.ino).or_default().push((at, known.content.clone()));
    }

    fn shown_size(&self, process: usize) -> Option<u64> {
        let description = &self.descriptions[self.actors[process].holds?];
        self.sizes_shown.then(|| self.files[description.file].content.len() as u64)
    }

    fn tell(
        &mut self,
        (start, instant, end): (u64, u64, u64),
        actor: Actor,
        operation: EventOperation,
        bytes: Vec<u32>,
    ) {
        let id = match &operation {
            EventOperation::Open { id, .. }
            | EventOperation::Read { id, .. }
            | EventOperation::Write { id, .. }
            | EventOperation::Sync { id } => Some(*id),
            _ => None,
        };
        if let Some(known) = self.descriptions.iter_mut().find(|known| Some(known.id) == id) {
            known.last_told = end;
        }
        let span = Span::new(BootNanos(start), BootNanos(end));
        self.told.push((end, instant, FileEvent { span, actor, lost: 0, operation }, bytes));
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
fn tail(history: &[(u64, Vec<u32>)], start: u64, range: Range<usize>) -> Option<Vec<u32>> {
    let page = usize::try_from(PAGE).unwrap();
    let (_, now) = history.last()?;
    let mut steps = history.iter().zip(history.iter().skip(1)).rev();
    let ((_, old), _) = steps.find(|((_, old), (at, new))| *at > start && new.len() < old.len())?;
    let last = range.end.min(old.len()).checked_sub(1)? / page;
    let end = range.end.min((last + 1) * page);
    let given = range.start < old.len() && old.len() < end && now.len() / page < last;
    given.then(|| old[range.start..].iter().copied().chain(repeat_n(0, end - old.len())).collect())
}

fn open(name: &str, write: bool, truncate: bool) -> Act {
    Act::Open { name: name.into(), write, create: false, truncate, read: true }
}

fn place(name: &str) -> Arc<Place> {
    let role = if name == "state.json" { Role::State } else { Role::Temporary };
    Arc::new(Place { root: RootId(0), container: "a".into(), name: name.into(), role })
}
