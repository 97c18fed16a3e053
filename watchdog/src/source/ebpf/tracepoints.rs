//! The doors of the source `syscalls`.

use aya::programs::{BtfTracePoint, ProgramError, TracePoint};
use aya::{Btf, Ebpf};

use super::control::Channel;
use super::copies::{Running, Tracing};
use super::load::{self, Doors, LoadError, Opened};
use super::offsets::{IO_URING, Layout};
use super::preemption::{self, Preemption};
use crate::source::{ProbeStatus, SourceKind};

/// Tracepoints on system calls, and on the end of threads.
#[derive(Debug)]
pub struct Tracepoints;

pub(super) const PROCESS_EXIT: &str = "sched_process_exit";

const NEEDED: [Probe; 3] = [
    Probe { category: "raw_syscalls", name: "sys_enter" },
    Probe { category: "raw_syscalls", name: "sys_exit" },
    Probe { category: "sched", name: PROCESS_EXIT },
];
/// Nothing is missing where the kernel was built without io_uring.
const OPTIONAL: Probe = Probe { category: "io_uring", name: IO_URING };

/// A tracepoint, by the names that the kernel's tracing file system has for it.
#[derive(Clone, Copy)]
struct Probe {
    category: &'static str,
    name: &'static str,
}

#[expect(private_interfaces, reason = "only this folder makes doors")]
impl Doors for Tracepoints {
    const KIND: SourceKind = SourceKind::Syscalls;
    const CHANNEL: Channel = Channel::Fsync;
    const CASTS: bool = false;

    fn functions() -> Vec<&'static str> {
        Vec::new()
    }

    fn open(ebpf: &mut Ebpf, layout: &Layout) -> Result<Opened, LoadError> {
        let btf = load::attach_points(layout)?;
        let mut points =
            Points { ebpf, btf: &btf, preemption: preemption::ask(), running: Running::default() };
        let status: Result<_, _> = NEEDED.iter().map(|&probe| points.attach(probe)).collect();
        let mut status: Vec<ProbeStatus> = status?;
        if layout.optional_tracepoints.contains(&IO_URING) {
            status.push(points.attach(OPTIONAL).unwrap_or_else(|error| ProbeStatus {
                probe: IO_URING,
                mechanism: Mechanism::Tracing.name(),
                attached: false,
                reason: Some(format!("{error:?}")),
            }));
        }
        Ok(Opened { status, running: points.running })
    }
}

/// The loaded object and the kernel that it goes to.
struct Points<'a> {
    ebpf: &'a mut Ebpf,
    btf: &'a Btf,
    preemption: Preemption,
    running: Running,
}

impl Points<'_> {
    /// Where tracing programs may be preempted, and so miss calls, perf's are asked for first: they are dearer.
    fn attach(&mut self, probe: Probe) -> Result<ProbeStatus, LoadError> {
        if self.preemption == Preemption::Possible {
            match attach_perf(self.ebpf, probe) {
                Ok(program) => {
                    self.running.perf.push(program);
                    return Ok(Mechanism::Perf.attached(probe.name));
                }
                Err(error) => tracing::debug!(probe = probe.name, %error, "cannot attach for perf"),
            }
        }
        let status = attach_tracing(self.ebpf, self.btf, probe.name)?;
        self.running.tracing.push(tracing(probe.name));
        Ok(status)
    }
}

/// How a program is attached to a tracepoint.
#[derive(Clone, Copy)]
enum Mechanism {
    /// As a tracing program.
    Tracing,
    /// As one of perf's.
    Perf,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Tracing => "tp_btf",
            Self::Perf => "tracepoint",
        }
    }

    fn attached(self, probe: &'static str) -> ProbeStatus {
        ProbeStatus { probe, mechanism: self.name(), attached: true, reason: None }
    }
}

/// The probe on the end of threads.
pub(super) fn process_exit() -> Tracing {
    tracing(PROCESS_EXIT)
}

fn tracing(target: &'static str) -> Tracing {
    Tracing { program: target.to_owned(), target }
}

/// Attaches the probe on the end of threads, which every source has.
pub(super) fn attach_process_exit(ebpf: &mut Ebpf, btf: &Btf) -> Result<ProbeStatus, LoadError> {
    attach_tracing(ebpf, btf, PROCESS_EXIT)
}

fn attach_tracing(ebpf: &mut Ebpf, btf: &Btf, probe: &'static str) -> Result<ProbeStatus, LoadError> {
    let mut attach = || -> Result<(), ProgramError> {
        let program: &mut BtfTracePoint =
            ebpf.program_mut(probe).ok_or(ProgramError::NotLoaded)?.try_into()?;
        program.load(probe, btf)?;
        program.attach()?;
        Ok(())
    };
    attach().map_err(|cause| LoadError::Program { probe, cause: Box::new(cause.into()) })?;
    Ok(Mechanism::Tracing.attached(probe))
}

/// Needs `bpf_task_pt_regs`, from 5.15 on, and a tracing file system that can be seen.
fn attach_perf(ebpf: &mut Ebpf, Probe { category, name }: Probe) -> Result<String, ProgramError> {
    let in_object = format!("{name}_perf");
    let program: &mut TracePoint = ebpf.program_mut(&in_object).ok_or(ProgramError::NotLoaded)?.try_into()?;
    program.load()?;
    program.attach(category, name).inspect_err(|_| drop(program.unload()))?;
    Ok(in_object)
}
