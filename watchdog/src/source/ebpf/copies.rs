//! Programs that are attached twice, where one copy would not be run for everything: see `turn` beside the probes.

use aya::programs::{Program, ProgramError};
use aya::{Btf, Ebpf, Endianness};

use super::misses::{self, Links};
use super::preemption::{self, Preemption};

/// The loaded object. Dropping it detaches its programs.
pub(super) struct Programs {
    ebpf: Ebpf,
    copies: Copies,
    /// Those of perf's programs whose misses count.
    perf: Vec<String>,
    links: Links,
    /// The BTF that names the programs' targets, until second copies are attached.
    attach_points: Option<Vec<u8>>,
}

impl Programs {
    /// The programs are attached; second copies will be when there is reason.
    pub(super) fn new(ebpf: Ebpf, Running { tracing, perf }: Running, attach_points: Vec<u8>) -> Self {
        let links = Links::of(&ebpf);
        let mut programs =
            Self { ebpf, copies: Copies::new(tracing), perf, links, attach_points: Some(attach_points) };
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
        let Some(attach_points) = self.attach_points.take().filter(|_| !self.copies.0.is_empty()) else {
            return;
        };
        let Ok(btf) = Btf::parse(&attach_points, Endianness::default()) else { return };
        self.copies.attach(&mut self.ebpf, &btf);
        tracing::info!("the kernel can be preempted, so probes are attached twice to miss less");
    }

    /// How many calls may have been missed so far.
    pub(super) fn missed(&self) -> u64 {
        let tracing = self.copies.0.iter().map(|copied| self.missed_by_both(copied));
        let of_perf = |name: &String| self.missed_by(name) + self.links.missed(name).unwrap_or(0);
        tracing.sum::<u64>() + self.perf.iter().map(of_perf).sum::<u64>()
    }

    /// What both copies missed is no more than either missed.
    fn missed_by_both(&self, Copied { program: Tracing { program, .. }, second }: &Copied) -> u64 {
        let Some(Second { name, before }) = second else { return self.missed_by(program) };
        let other = self.missed_by(name);
        let both = if other == 0 { 0 } else { other.min(self.missed_by(program).saturating_sub(*before)) };
        before + both
    }

    fn missed_by(&self, name: &str) -> u64 {
        self.ebpf.program(name).map_or(0, misses::of_program)
    }
}

/// The programs whose misses count, because nothing else tells of them.
#[derive(Default)]
pub(super) struct Running {
    /// Tracing programs. They get second copies where there is reason.
    pub(super) tracing: Vec<Tracing>,
    /// kprobes, kretprobes and perf's tracepoints, by their names in the object.
    pub(super) perf: Vec<String>,
}

/// A tracing program that is attached.
#[derive(Clone, Debug)]
pub(super) struct Tracing {
    /// Its name in the object.
    pub(super) program: String,
    /// The function or tracepoint.
    pub(super) target: &'static str,
}

/// The attached tracing programs, and their second copies.
struct Copies(Vec<Copied>);

struct Copied {
    program: Tracing,
    second: Option<Second>,
}

/// A second copy, and how much the program had missed when it came.
struct Second {
    name: String,
    before: u64,
}

impl Copies {
    fn new(programs: Vec<Tracing>) -> Self {
        Self(programs.into_iter().map(|program| Copied { program, second: None }).collect())
    }

    /// Attaches second copies. A program whose copy is refused stays alone.
    fn attach(&mut self, ebpf: &mut Ebpf, btf: &Btf) {
        for Copied { program: Tracing { program, target }, second } in &mut self.0 {
            let name = format!("{program}_again");
            match attach(ebpf, btf, &name, target) {
                Ok(()) => {
                    let before = ebpf.program(program).map_or(0, misses::of_program);
                    *second = Some(Second { name, before });
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
