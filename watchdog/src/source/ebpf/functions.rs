//! The doors of the source `vfs`: fentry and fexit where the kernel lets them attach, else kprobe and kretprobe.

use std::error::Error as _;
use std::io;

use aya::programs::fentry::FEntryLinkId;
use aya::programs::fexit::FExitLinkId;
use aya::programs::kprobe::KProbeLinkId;
use aya::programs::{FEntry, FExit, KProbe, ProgramError};
use aya::{Btf, Ebpf};

use super::control::Channel;
use super::copies::{Running, Tracing};
use super::hooks::{Candidate, HOOKS, Hook, Need, Shape};
use super::load::{self, Doors, LoadError, Opened};
use super::offsets::Layout;
use super::preemption::{self, Preemption};
use super::tracepoints;
use crate::source::{ProbeStatus, SourceKind};

/// Functions of the VFS.
#[derive(Debug)]
pub struct Functions;

/// Set to `kprobe` to do without fentry, as on kernels that refuse it.
const FORCE: &str = "STATE_WATCHDOG_MECHANISM";

#[expect(private_interfaces, reason = "only this folder makes doors")]
impl Doors for Functions {
    const KIND: SourceKind = SourceKind::Vfs;
    const CHANNEL: Channel = Channel::Fallocate;
    const CASTS: bool = true;

    fn functions() -> Vec<&'static str> {
        let mut names: Vec<_> =
            HOOKS.iter().flat_map(|hook| hook.candidates).map(|candidate| candidate.function).collect();
        names.push(Candidate::PROCESS_EXIT.function);
        names.sort_unstable();
        names.dedup();
        names
    }

    fn open(ebpf: &mut Ebpf, layout: &Layout) -> Result<Opened, LoadError> {
        let (btf, preemption) = (load::attach_points(layout)?, preemption::ask());
        let mut kernel = Kernel { ebpf, layout, btf, preemption, running: Running::default() };
        let mut status = Vec::new();
        for hook in &HOOKS {
            let outcome = kernel.attach(hook);
            match (hook.need, outcome) {
                (Need::Required, Err(Refusal { reasons, errno })) => {
                    let (operation, reason) = (hook.operation, text(&reasons));
                    return Err(LoadError::Hook { operation, reason, errno });
                }
                (Need::Extra, Err(refusal)) if refusal.reasons.is_empty() => {}
                (Need::Required | Need::Wanted | Need::Extra, outcome) => status.push(verdict(hook, outcome)),
            }
        }
        status.push(kernel.attach_process_exit()?);
        Ok(Opened { status, running: kernel.running })
    }
}

fn verdict(hook: &Hook, outcome: Result<&'static str, Refusal>) -> ProbeStatus {
    let probe = hook.operation;
    match outcome {
        Ok(mechanism) => ProbeStatus { probe, mechanism, attached: true, reason: None },
        Err(refusal) => {
            ProbeStatus { probe, mechanism: "fentry", attached: false, reason: Some(text(&refusal.reasons)) }
        }
    }
}

/// Why no candidate of an operation could be used.
#[derive(Debug, Default)]
struct Refusal {
    reasons: Vec<String>,
    /// The error number of the last refusal by the kernel.
    errno: Option<i32>,
}

impl Refusal {
    fn add(&mut self, what: &str, error: &ProgramError) {
        let io = io_error(error);
        self.errno = io.and_then(io::Error::raw_os_error).or(self.errno);
        // The verifier's log would drown the reason.
        let why = io.map_or_else(|| error.to_string(), io::Error::to_string);
        tracing::debug!(what, %error, "cannot attach");
        self.reasons.push(format!("{what}: {why}"));
    }
}

fn text(reasons: &[String]) -> String {
    if reasons.is_empty() {
        return "the kernel has no function for it with known parameters".to_owned();
    }
    reasons.join("; ")
}

/// The system's own word, somewhere down the chain.
fn io_error(error: &ProgramError) -> Option<&io::Error> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref() {
            return Some(io);
        }
        next = error.source();
    }
    None
}

/// The loaded object and the kernel that it goes to.
struct Kernel<'a> {
    ebpf: &'a mut Ebpf,
    layout: &'a Layout,
    btf: Btf,
    preemption: Preemption,
    running: Running,
}

impl Kernel<'_> {
    /// Attaches the first candidate that can be; how it is attached.
    fn attach(&mut self, hook: &Hook) -> Result<&'static str, Refusal> {
        let layout = self.layout;
        let fits =
            |candidate: &&Candidate| layout.functions.get(candidate.function) == Some(&candidate.parameters);
        let mut refusal = Refusal::default();
        for candidate in hook.candidates.iter().filter(fits) {
            for &mechanism in self.mechanisms(hook) {
                let result = match mechanism {
                    Mechanism::Tracing => self.attach_tracing(candidate),
                    Mechanism::Probes => self.attach_probes(candidate, hook.waits),
                    Mechanism::Mixed => self.attach_mixed(candidate),
                };
                match result {
                    Ok(()) => return Ok(mechanism.name()),
                    Err(error) => {
                        refusal.add(&format!("{} {}", mechanism.name(), candidate.function), &error)
                    }
                }
            }
        }
        Err(refusal)
    }

    /// What to try, in order.
    fn mechanisms(&self, hook: &Hook) -> &'static [Mechanism] {
        if std::env::var_os(FORCE).is_some_and(|value| value == "kprobe") {
            return &[Mechanism::Probes];
        }
        match (self.preemption, hook.waits) {
            (Preemption::Possible, false) => &[Mechanism::Probes, Mechanism::Tracing],
            (Preemption::Possible, true) => &[Mechanism::Mixed, Mechanism::Tracing, Mechanism::Probes],
            (Preemption::Unsaid, _) => &[Mechanism::Tracing, Mechanism::Probes],
        }
    }

    /// All programs or none: the return first, which finds nothing to do until the entry is there.
    fn attach_tracing(&mut self, candidate: &Candidate) -> Result<(), ProgramError> {
        let mut attached = Vec::new();
        for (name, at_return) in candidate.tracing_programs() {
            let result = if at_return {
                self.attach_fexit(&name, candidate.function).map(Link::Exit)
            } else {
                self.attach_fentry(&name, candidate.function).map(Link::Entry)
            };
            match result {
                Ok(link) => attached.push((name, link)),
                Err(error) => {
                    self.detach(attached);
                    return Err(error);
                }
            }
        }
        let tracing = |(program, _)| Tracing { program, target: candidate.function };
        self.running.tracing.extend(attached.into_iter().map(tracing));
        Ok(())
    }

    /// All probes or none. Of opens, and of calls on descriptions that may wait, the programs themselves find out which
    /// returns they were not shown.
    fn attach_probes(&mut self, candidate: &Candidate, waits: bool) -> Result<(), ProgramError> {
        let is_found_out = waits || candidate.shape == Shape::Return;
        if self.layout.cast.is_some()
            && let Some(typed) = candidate.typed_probe_programs()
        {
            match self.attach_all(typed, candidate.function, is_found_out) {
                Ok(()) => return Ok(()),
                Err(error) => tracing::debug!(candidate.function, %error, "cannot attach a probe that casts"),
            }
        }
        self.attach_all(candidate.probe_programs(), candidate.function, is_found_out)
    }

    fn attach_all(
        &mut self,
        programs: Vec<(String, bool)>,
        function: &str,
        is_found_out: bool,
    ) -> Result<(), ProgramError> {
        let mut attached = Vec::new();
        for (name, at_return) in programs {
            match self.attach_kprobe(&name, function) {
                Ok(link) => attached.push((name, at_return, link)),
                Err(error) => {
                    let links = attached.into_iter().map(|(name, _, link)| (name, Link::Probe(link)));
                    self.detach(links.collect());
                    return Err(error);
                }
            }
        }
        let counted = attached.into_iter().filter(|(_, at_return, _)| !(is_found_out && *at_return));
        self.running.perf.extend(counted.map(|(name, ..)| name));
        Ok(())
    }

    /// A kprobe at the entry, which never fails to run, and at the return a tracing program, which has room for all
    /// who wait, twice. Whether one return was shown to neither, the programs themselves find out.
    fn attach_mixed(&mut self, candidate: &Candidate) -> Result<(), ProgramError> {
        let mut attached = Vec::new();
        let outcome = candidate.mixed_programs().into_iter().try_for_each(|(name, at_return)| {
            let link = if at_return {
                self.attach_fexit(&name, candidate.function).map(Link::Exit)
            } else {
                self.attach_kprobe(&name, candidate.function).map(Link::Probe)
            };
            attached.push((name, link?));
            Ok(())
        });
        if outcome.is_err() {
            self.detach(attached);
            return outcome;
        }
        let entries = attached.into_iter().filter(|(_, link)| matches!(link, Link::Probe(_)));
        self.running.perf.extend(entries.map(|(name, _)| name));
        Ok(())
    }

    /// The end of threads, which every source sees by the same tracepoint, unless a program on it would miss some.
    fn attach_process_exit(&mut self) -> Result<ProbeStatus, LoadError> {
        let probe = Candidate::PROCESS_EXIT;
        let fits = self.layout.functions.get(probe.function) == Some(&probe.parameters);
        if self.preemption == Preemption::Possible && fits && self.attach_probes(&probe, false).is_ok() {
            let mechanism = Mechanism::Probes.name();
            return Ok(ProbeStatus {
                probe: tracepoints::PROCESS_EXIT,
                mechanism,
                attached: true,
                reason: None,
            });
        }
        self.running.tracing.push(tracepoints::process_exit());
        tracepoints::attach_process_exit(self.ebpf, &self.btf)
    }

    fn attach_fentry(&mut self, name: &str, function: &str) -> Result<FEntryLinkId, ProgramError> {
        let program: &mut FEntry = program(self.ebpf, name)?;
        program.load(function, &self.btf)?;
        program.attach().inspect_err(|_| drop(program.unload()))
    }

    fn attach_fexit(&mut self, name: &str, function: &str) -> Result<FExitLinkId, ProgramError> {
        let program: &mut FExit = program(self.ebpf, name)?;
        program.load(function, &self.btf)?;
        program.attach().inspect_err(|_| drop(program.unload()))
    }

    fn attach_kprobe(&mut self, name: &str, function: &str) -> Result<KProbeLinkId, ProgramError> {
        let program: &mut KProbe = program(self.ebpf, name)?;
        program.load()?;
        program.attach(function, 0).inspect_err(|_| drop(program.unload()))
    }

    fn detach(&mut self, links: Vec<(String, Link)>) {
        for (name, link) in links {
            let result = match link {
                Link::Entry(link) => program::<FEntry>(self.ebpf, &name).and_then(|p| p.detach(link)),
                Link::Exit(link) => program::<FExit>(self.ebpf, &name).and_then(|p| p.detach(link)),
                Link::Probe(link) => program::<KProbe>(self.ebpf, &name).and_then(|p| p.detach(link)),
            };
            if let Err(error) = result {
                tracing::debug!(name, %error, "cannot detach");
            }
        }
    }
}

/// How programs are attached to a function.
#[derive(Clone, Copy)]
enum Mechanism {
    /// fentry and fexit.
    Tracing,
    /// kprobe and kretprobe.
    Probes,
    /// kprobe, and fexit twice.
    Mixed,
}

impl Mechanism {
    fn name(self) -> &'static str {
        match self {
            Self::Tracing => "fentry",
            Self::Probes => "kprobe",
            Self::Mixed => "kprobe+fexit",
        }
    }
}

enum Link {
    Entry(FEntryLinkId),
    Exit(FExitLinkId),
    Probe(KProbeLinkId),
}

fn program<'a, T>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut T, ProgramError>
where
    &'a mut T: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}
