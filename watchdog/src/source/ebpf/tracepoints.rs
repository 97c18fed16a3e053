//! The doors of the source `syscalls`.

use aya::programs::BtfTracePoint;
use aya::{Btf, Ebpf};

use super::control::Channel;
use super::copies::Tracing;
use super::load::{self, Doors, LoadError, Opened};
use super::offsets::Layout;
use crate::source::{ProbeStatus, SourceKind};

/// Tracepoints on system calls, and on the end of threads.
#[derive(Debug)]
pub struct Tracepoints;

const NAMES: [&str; 3] = ["sys_enter", "sys_exit", PROCESS_EXIT];
/// What goes past system calls is at least counted.
pub(super) const IO_URING: &str = "io_uring_file_get";
pub(super) const PROCESS_EXIT: &str = "sched_process_exit";

#[expect(private_interfaces, reason = "only this folder makes doors")]
impl Doors for Tracepoints {
    const KIND: SourceKind = SourceKind::Syscalls;
    const CHANNEL: Channel = Channel::Fsync;

    fn functions() -> Vec<&'static str> {
        Vec::new()
    }

    fn open(ebpf: &mut Ebpf, layout: &Layout) -> Result<Opened, LoadError> {
        let btf = load::attach_points(layout)?;
        let status: Result<_, _> = NAMES.iter().map(|name| attach(ebpf, &btf, name)).collect();
        let mut status: Vec<ProbeStatus> = status?;
        // Nothing is missing where the kernel was built without io_uring.
        if layout.optional_tracepoints.contains(&IO_URING) {
            status.push(attach(ebpf, &btf, IO_URING).unwrap_or_else(|error| ProbeStatus {
                probe: IO_URING,
                mechanism: "tp_btf",
                attached: false,
                reason: Some(format!("{error:?}")),
            }));
        }
        Ok(Opened { status, tracing: NAMES.map(tracing).to_vec() })
    }
}

/// The probe on the end of threads.
pub(super) fn process_exit() -> Tracing {
    tracing(PROCESS_EXIT)
}

fn tracing(target: &'static str) -> Tracing {
    Tracing { program: target.to_owned(), target, probe: None }
}

/// Attaches the probe on the end of threads, which every source has.
pub(super) fn attach_process_exit(ebpf: &mut Ebpf, btf: &Btf) -> Result<ProbeStatus, LoadError> {
    attach(ebpf, btf, PROCESS_EXIT)
}

fn attach(ebpf: &mut Ebpf, btf: &Btf, probe: &'static str) -> Result<ProbeStatus, LoadError> {
    let refused = |cause| LoadError::Program { probe, cause: Box::new(cause) };
    let program = ebpf.program_mut(probe).ok_or(LoadError::Map { name: probe, cause: None })?;
    let program: &mut BtfTracePoint = program.try_into().map_err(refused)?;
    program.load(probe, btf).map_err(refused)?;
    program.attach().map_err(refused)?;
    Ok(ProbeStatus { probe, mechanism: "tp_btf", attached: true, reason: None })
}
