//! What the processes of a schedule do: scripts of system calls.

use std::ops::Range;

use super::random::Random;

/// A second in the world's time, which counts nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;

/// One system call, before it is made.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Open {
        name: String,
        write: bool,
        create: bool,
        truncate: bool,
        read: bool,
    },
    Read {
        length: u64,
    },
    /// Reads on until the end of the file, `left` calls at most. How much it asks for may not be seen: so many buffers.
    ReadAll {
        chunk: u64,
        left: u32,
        vague: bool,
    },
    Seek {
        to: u64,
    },
    SeekEnd,
    /// Writes one part of a document.
    Write {
        part: Part,
    },
    /// A write that stores nothing, as on a full disk.
    WriteFails,
    Truncate {
        to: u64,
    },
    TruncatePath {
        to: u64,
    },
    Map {
        shared: bool,
        writable: bool,
    },
    /// A store through the mapping, which no source sees.
    Store {
        from: u64,
        length: u64,
    },
    Sync,
    Rename {
        from: String,
    },
    Link {
        from: String,
    },
    Unlink {
        name: String,
    },
    Fork {
        script: Script,
    },
    Close,
    /// Ends with a code, or by a signal.
    Exit {
        code: u8,
    },
    Kill,
    Pause {
        length: u64,
    },
    /// Waits until this time, if it has not come yet.
    Until {
        at: u64,
    },
}

/// A piece of a document that its writer means to store from the file's beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// Which document.
    pub(crate) document: u64,
    /// Where the part belongs.
    pub(crate) from: u64,
    pub(crate) length: u64,
    /// How long the document is.
    pub(crate) total: u64,
}

/// Acts in order, each with a number that stays its own when others are taken away.
pub(crate) type Script = Vec<(u64, Act)>;

/// All that is to happen, but for the moments at which it does.
#[derive(Clone)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) sizes_shown: bool,
    /// A read that a cut meets may get a page's tail, as from tmpfs.
    pub(crate) gives_tails: bool,
    /// How long the state file is at the beginning; `None` where there is none.
    pub(crate) initial: Option<u64>,
    pub(crate) checks: Checks,
    /// When each process begins, and what it does.
    pub(crate) processes: Vec<(u64, Script)>,
}

/// How the agent answers when it is asked to read the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checks {
    /// By what it read.
    Judged,
    /// That it cannot judge.
    NotJudged,
    /// Not at all.
    Silent,
}

impl Schedule {
    /// The schedule of this seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut maker = Maker { random: Random::new(seed), acts: 0, documents: 0, turns: 1 };
        let random = &mut maker.random;
        let sizes_shown = !random.one_in(8);
        let checks = match random.below(12) {
            0 => Checks::NotJudged,
            1 => Checks::Silent,
            _ => Checks::Judged,
        };
        // Every third schedule lasts for seconds: a writer then waits for its turn, and so do readers.
        maker.turns = if seed % 3 == 2 { random.within(2, 5) } else { 1 };
        let initial = (!random.one_in(6))
            .then(|| if random.one_in(8) { random.within(70, 160) } else { random.within(0, 60) });
        let (writers, readers) = (random.within(1, 4), random.within(1, 6));
        let mut processes = Vec::new();
        for writer in 0..writers {
            let at = maker.begin();
            processes.push((at, maker.writer(writer)));
        }
        for _ in 0..readers {
            let at = maker.begin();
            processes.push((at, maker.reader()));
        }
        Self { seed, sizes_shown, gives_tails: seed % 4 == 3, initial, checks, processes }
    }

    /// Every schedule that lacks one process or one call of this one.
    pub(crate) fn smaller(&self) -> impl Iterator<Item = Self> + '_ {
        let without = |process: usize, acts: Range<usize>| {
            let mut smaller = self.clone();
            if acts.len() == smaller.processes[process].1.len() {
                smaller.processes.remove(process);
            } else {
                smaller.processes[process].1.drain(acts);
            }
            smaller
        };
        let whole = (0..self.processes.len())
            .map(move |process| without(process, 0..self.processes[process].1.len()));
        let single = (0..self.processes.len()).flat_map(move |process| {
            (0..self.processes[process].1.len()).map(move |act| without(process, act..act + 1))
        });
        whole.chain(single)
    }
}

/// How far apart the turns of a long schedule are: longer than a file must be quiet.
const TURN: u64 = 3 * SECOND;

struct Maker {
    random: Random,
    acts: u64,
    documents: u64,
    turns: u64,
}

impl Maker {
    fn number(&mut self, acts: Vec<Act>) -> Script {
        let numbered = acts.into_iter().map(|act| {
            self.acts += 1;
            (self.acts, act)
        });
        numbered.collect()
    }

    fn turn(&mut self) -> u64 {
        let turn = self.random.below(self.turns);
        turn * TURN
    }

    fn begin(&mut self) -> u64 {
        self.turn() + self.random.within(10, 600)
    }

    /// A wait within a save or between two: short, or in a long schedule until another turn.
    fn rest(&mut self) -> Act {
        if self.turns > 1 && self.random.one_in(3) {
            return Act::Until { at: self.begin() };
        }
        Act::Pause { length: self.random.within(0, 200) }
    }

    fn writer(&mut self, writer: u64) -> Script {
        let mut acts = Vec::new();
        for attempt in 0..self.random.within(1, 3) {
            match self.random.below(24) {
                0..7 => self.in_place(&mut acts),
                7..11 => self.atomic(&mut acts, &format!("state-{writer}{attempt}")),
                11 => acts.push(Act::TruncatePath { to: self.random.pick(&[0, 0, 0, 9, 25, 40]) }),
                12 => acts.extend([open("state.json", true, false), Act::Pause { length: 20 }, Act::Close]),
                13 | 14 => self.recreate(&mut acts),
                15..19 => self.daemon(&mut acts),
                19 | 20 => self.append(&mut acts),
                21 | 22 => self.stalled(&mut acts),
                _ => self.mapped(&mut acts),
            }
            acts.push(self.rest());
        }
        if self.turns > 1 && self.random.one_in(40) {
            acts.clear();
            self.steady(&mut acts);
        }
        let ends = if self.random.one_in(8) {
            let at = usize::try_from(self.random.below(acts.len() as u64)).unwrap();
            acts.truncate(at);
            if self.random.one_in(2) { Act::Kill } else { Act::Exit { code: 0 } }
        } else {
            Act::Exit { code: 0 }
        };
        acts.push(ends);
        self.number(acts)
    }

    fn in_place(&mut self, acts: &mut Vec<Act>) {
        let truncate = !self.random.one_in(4);
        let create = !self.random.one_in(3);
        let read = !self.random.one_in(3);
        acts.push(Act::Open { name: "state.json".into(), write: true, create, truncate, read });
        if self.random.one_in(8) {
            let mut child = Vec::new();
            if self.random.one_in(2) {
                self.fill(&mut child);
            } else {
                // It was given a descriptor that it does not use.
                child.push(self.rest());
            }
            child.extend([Act::Close, Act::Exit { code: 0 }]);
            let script = self.number(child);
            acts.push(Act::Fork { script });
        }
        if !truncate && read && self.random.one_in(3) {
            acts.extend([Act::Read { length: 64 }, Act::Seek { to: 0 }]);
        }
        let total = self.fill(acts);
        if !truncate && self.random.one_in(2) {
            let to = if self.random.one_in(2) { total } else { self.random.within(0, 40) };
            acts.push(Act::Truncate { to });
        }
        if self.random.one_in(4) {
            acts.push(Act::Sync);
        }
        acts.push(Act::Pause { length: self.random.within(0, 60) });
        acts.push(Act::Close);
    }

    fn recreate(&mut self, acts: &mut Vec<Act>) {
        acts.push(Act::Unlink { name: "state.json".into() });
        acts.push(Act::Open {
            name: "state.json".into(),
            write: true,
            create: true,
            truncate: true,
            read: true,
        });
        self.fill(acts);
        acts.push(Act::Close);
    }

    /// Saves again and again through one description.
    fn daemon(&mut self, acts: &mut Vec<Act>) {
        let (create, truncate) = (!self.random.one_in(3), self.random.one_in(2));
        acts.push(Act::Open { name: "state.json".into(), write: true, create, truncate, read: true });
        let way = self.random.below(4);
        for save in 0..self.random.within(2, 4) {
            let start = save == 0 && truncate;
            match way {
                _ if start => {}
                0 => acts.extend([Act::Truncate { to: 0 }, Act::Seek { to: 0 }]),
                1 => acts.extend([Act::Seek { to: 0 }, Act::Truncate { to: 0 }]),
                2 => acts.extend([Act::Truncate { to: self.random.within(1, 40) }, Act::Seek { to: 0 }]),
                _ => acts.push(Act::Seek { to: 0 }),
            }
            let total = self.fill(acts);
            if way == 3 && self.random.one_in(2) {
                acts.push(Act::Truncate { to: total });
            }
            acts.push(self.rest());
        }
        acts.push(Act::Close);
    }

    /// Adds to what is there, a description for each piece or one for all.
    fn append(&mut self, acts: &mut Vec<Act>) {
        let anew = self.random.one_in(2);
        let truncate = self.random.one_in(3);
        acts.push(Act::Open { name: "state.json".into(), write: true, create: true, truncate, read: false });
        for _ in 0..self.random.within(1, 3) {
            if anew {
                acts.extend([Act::Close, self.rest(), open("state.json", true, false)]);
            }
            acts.push(Act::SeekEnd);
            self.fill(acts);
            acts.push(self.rest());
        }
        acts.push(Act::Close);
    }

    /// Stops half way, then goes on, gives up, is killed or finds the disk full.
    fn stalled(&mut self, acts: &mut Vec<Act>) {
        acts.push(open("state.json", true, true));
        let parts = self.parts(2);
        acts.push(Act::Write { part: parts[0] });
        let long = self.turns > 1 && self.random.one_in(4);
        acts.push(if long { Act::Pause { length: self.random.within(2, 90) * SECOND } } else { self.rest() });
        match self.random.below(4) {
            0 => acts.push(Act::Close),
            1 => acts.extend([Act::WriteFails, Act::Close]),
            2 => acts.push(Act::Kill),
            _ => acts.extend([Act::Write { part: parts[1] }, self.rest(), Act::Close]),
        }
    }

    fn mapped(&mut self, acts: &mut Vec<Act>) {
        acts.push(open("state.json", true, self.random.one_in(3)));
        if self.random.one_in(2) {
            self.fill(acts);
        }
        let writable = !self.random.one_in(4);
        acts.push(Act::Map { shared: !self.random.one_in(4), writable });
        for _ in 0..self.random.within(0, 2) {
            acts.push(Act::Store { from: self.random.within(0, 20), length: self.random.within(1, 20) });
            acts.push(self.rest());
        }
        acts.push(Act::Close);
    }

    /// Writes without a pause that would be quiet, for more than a minute.
    fn steady(&mut self, acts: &mut Vec<Act>) {
        acts.push(open("state.json", true, true));
        let parts = self.random.within(36, 60);
        for part in self.parts(parts) {
            acts.push(Act::Write { part });
            acts.push(Act::Pause { length: 1_300_000_000 + self.random.below(600_000_000) });
        }
        acts.push(Act::Close);
    }

    fn atomic(&mut self, acts: &mut Vec<Act>, name: &str) {
        acts.push(Act::Open { name: name.into(), write: true, create: true, truncate: false, read: false });
        self.fill(acts);
        if self.random.one_in(2) {
            acts.push(Act::Sync);
        }
        let early = self.random.one_in(4);
        if !early {
            acts.push(Act::Close);
        }
        if self.random.one_in(8) {
            acts.push(Act::Link { from: name.into() });
            acts.push(Act::Unlink { name: name.into() });
        } else {
            acts.push(Act::Rename { from: name.into() });
        }
        if early {
            if self.random.one_in(2) {
                acts.push(self.rest());
            }
            if !self.random.one_in(3) {
                self.fill(acts);
            }
            acts.push(Act::Close);
        }
    }

    /// A document in so many parts at most.
    fn parts(&mut self, parts: u64) -> Vec<Part> {
        self.documents += 1;
        let lengths: Vec<u64> = (0..parts).map(|_| self.random.within(1, 30)).collect();
        let total = lengths.iter().sum();
        let document = self.documents;
        let mut from = 0;
        let parts = lengths.into_iter().map(|length| {
            let part = Part { document, from, length, total };
            from += length;
            part
        });
        parts.collect()
    }

    /// Writes a document, and says how long it is.
    fn fill(&mut self, acts: &mut Vec<Act>) -> u64 {
        let count = self.random.within(0, 3);
        let parts = self.parts(count);
        for part in &parts {
            acts.push(Act::Write { part: *part });
            if self.random.one_in(3) {
                acts.push(self.rest());
            }
        }
        parts.first().map_or(0, |part| part.total)
    }

    fn reader(&mut self) -> Script {
        let mut acts = Vec::new();
        for _ in 0..self.random.within(1, 4) {
            if self.turns > 1 {
                acts.push(Act::Until { at: self.begin() });
            }
            acts.push(open("state.json", false, false));
            if self.random.one_in(4) {
                acts.push(self.rest());
            }
            let chunk = self.random.pick(&[1, 4, 16, 64, 512]);
            let left = if self.random.one_in(4) {
                1 + u32::try_from(self.random.below(3)).unwrap()
            } else {
                u32::MAX
            };
            let vague = self.random.one_in(16);
            if self.random.one_in(10) {
                let child = vec![Act::ReadAll { chunk, left, vague }, Act::Close, Act::Exit { code: 1 }];
                let script = self.number(child);
                acts.push(Act::Fork { script });
            }
            if self.random.one_in(16) {
                acts.push(Act::Map { shared: self.random.one_in(2), writable: false });
            } else if !self.random.one_in(12) {
                acts.push(Act::ReadAll { chunk, left, vague });
            }
            if self.random.one_in(10) {
                acts.extend([self.rest(), Act::Seek { to: 0 }, Act::ReadAll { chunk, left, vague }]);
            }
            if self.random.one_in(4) {
                acts.push(self.rest());
            }
            acts.push(Act::Close);
            acts.push(self.rest());
        }
        acts.push(Act::Exit { code: u8::from(self.random.one_in(2)) });
        self.number(acts)
    }
}

fn open(name: &str, write: bool, truncate: bool) -> Act {
    Act::Open { name: name.into(), write, create: false, truncate, read: true }
}
