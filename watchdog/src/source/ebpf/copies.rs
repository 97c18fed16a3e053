//! Programs that are attached twice, where one copy would not be run for everything: see `turn` beside the probes.

use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf, Endianness};

use super::misses::{self, Links};
use super::preemption::{self, Preemption};

/// The loaded object. Dropping it detaches its programs.
pub(super) struct Programs {
    ebpf: Ebpf,
    copies: Copies,
    links: Links,
    /// The BTF that names the programs' targets, until second copies are attached.
    attach_points: Option<Vec<u8>>,
}

impl Programs {
    /// The programs are attached; second copies will be when there is reason.
    pub(super) fn new(ebpf: Ebpf, tracing: Vec<Tracing>, attach_points: Vec<u8>) -> Self {
        let links = Links::of(&ebpf);
        let mut programs =
            Self { ebpf, copies: Copies::new(tracing), links, attach_points: Some(attach_points) };
        if preemption::ask() == Preemption::Possible {
            programs.attach_copies();
        }
        programs
    }

    /// How many calls may have been missed so far; the first to be missed is reason enough for second copies.
    pub(super) fn watch(&mut self) -> u64 {
        let missed = self.missed();
        if missed > 0 {
            self.attach_copies();
        }
        missed
    }

    fn attach_copies(&mut self) {
        let Some(attach_points) = self.attach_points.take() else { return };
        let Ok(btf) = Btf::parse(&attach_points, Endianness::default()) else { return };
        self.copies.attach(&mut self.ebpf, &btf);
        tracing::info!("the kernel can be preempted, so probes are attached twice to miss less");
    }

    /// How many calls may have been missed so far.
    pub(super) fn missed(&self) -> u64 {
        let tracing = self.copies.0.iter().map(|copied| self.missed_by_both(copied));
        let is_probe = |program: &Program| matches!(program, Program::KProbe(_));
        let probes =
            self.ebpf.programs().filter(|(name, program)| is_probe(program) && !self.copies.have(name));
        let of_probe = |name: &str| self.missed_by(name) + self.links.missed(name).unwrap_or(0);
        tracing.sum::<u64>() + probes.map(|(name, _)| of_probe(name)).sum::<u64>()
    }

    /// What both copies missed is no more than either missed.
    fn missed_by_both(&self, copied: &Copied) -> u64 {
        let Copied { program: Tracing { program, .. }, second } = copied;
        match second {
            Second::None => self.missed_by(program),
            Second::Copy { name, before } => {
                let other = self.missed_by(name);
                let both =
                    if other == 0 { 0 } else { other.min(self.missed_by(program).saturating_sub(*before)) };
                before + both
            }
            Second::Probe(name) => {
                let other = self.links.missed(name).map_or(u64::MAX, |missed| missed + self.missed_by(name));
                if other == 0 { 0 } else { other.min(self.missed_by(program)) }
            }
        }
    }

    fn missed_by(&self, name: &str) -> u64 {
        self.ebpf.program(name).map_or(0, misses::of_program)
    }
}

/// A tracing program that is attached.
#[derive(Clone, Debug)]
pub(super) struct Tracing {
    /// Its name in the object.
    pub(super) program: String,
    /// The function or tracepoint.
    pub(super) target: &'static str,
    /// The kretprobe that is attached beside it and does the same.
    pub(super) probe: Option<String>,
}

/// The attached tracing programs, and what is attached beside them.
struct Copies(Vec<Copied>);

struct Copied {
    program: Tracing,
    second: Second,
}

/// What does a program's work where that is not run.
enum Second {
    None,
    /// A second copy, and how much the program had missed when it came.
    Copy {
        name: String,
        before: u64,
    },
    /// A kretprobe: never preempted, but without room for many waiting threads.
    Probe(String),
}

impl Copies {
    fn new(programs: Vec<Tracing>) -> Self {
        let copied = |mut program: Tracing| {
            let second = program.probe.take().map_or(Second::None, Second::Probe);
            Copied { program, second }
        };
        Self(programs.into_iter().map(copied).collect())
    }

    fn have(&self, probe: &str) -> bool {
        self.0.iter().any(|copied| matches!(&copied.second, Second::Probe(name) if name == probe))
    }

    /// Attaches second copies where there is nothing beside a program. One whose copy is refused stays alone.
    fn attach(&mut self, ebpf: &mut Ebpf, btf: &Btf) {
        let alone = self.0.iter_mut().filter(|copied| matches!(copied.second, Second::None));
        for Copied { program: Tracing { program, target, .. }, second } in alone {
            let name = format!("{program}_again");
            match attach(ebpf, btf, &name, target) {
                Ok(()) => {
                    let before = ebpf.program(program).map_or(0, misses::of_program);
                    *second = Second::Copy { name, before };
                }
                Err(error) => tracing::debug!(name, %error, "cannot attach a second copy"),
            }
        }
    }
}

fn attach(ebpf: &mut Ebpf, btf: &Btf, name: &str, target: &str) -> Result<(), ProgramError> {
    match ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)? {
        Program::FEntry(program) => {
            program.load(target, btf)?;
            program.attach()?;
        }
        Program::FExit(program) => {
            program.load(target, btf)?;
            program.attach()?;
        }
        Program::BtfTracePoint(program) => {
            program.load(target, btf)?;
            program.attach()?;
        }
        _ => return Err(ProgramError::UnexpectedProgramType),
    }
    Ok(())
}
