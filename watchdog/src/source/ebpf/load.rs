//! Loading and attaching the probes.

use std::error::Error;
use std::fmt;

use aya::maps::{Array, HashMap, Map, MapData, MapError, RingBuf};
use aya::programs::ProgramError;
use aya::{Btf, BtfError as AyaBtfError, Ebpf, EbpfError, EbpfLoader, Endianness};
use watchdog_common::{Answer, Filter, LossCounter, Name, RootKey, RootValue, Settings};

use super::btf::BtfError;
use super::calls;
use super::cast;
use super::control::{Channel, Control};
use super::copies::{Programs, Running};
use super::names::Names;
use super::offsets::{self, Layout};
use super::plain::Plain;
use super::reconcile::Files;
use super::words::Words;
use crate::memory;
use crate::source::{ProbeStatus, SourceKind};

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/watchdog-ebpf"));

/// Why the probes could not be loaded or attached.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel's type information is missing or odd.
    #[error(
        "cannot learn the kernel's data layout (a kernel with CONFIG_DEBUG_INFO_BTF has it in /sys/kernel/btf)"
    )]
    Btf(#[from] BtfError),
    /// The object was refused.
    #[error("the kernel refused the probes (they need CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN)")]
    Object(#[source] Box<EbpfError>),
    /// A program was refused or could not be attached.
    #[error("cannot attach the probe on {probe}")]
    Program {
        /// Which.
        probe: &'static str,
        /// Why.
        #[source]
        cause: Box<Refusal>,
    },
    /// An operation that cannot be done without has no door.
    #[error("cannot see the operation {operation} ({reason})")]
    Hook {
        /// Which.
        operation: &'static str,
        /// Why.
        reason: String,
        /// The kernel's error number.
        errno: Option<i32>,
    },
    /// A map is not what we expect: object and agent do not belong together.
    #[error("the probes' map {name} is unusable")]
    Map {
        /// Which.
        name: &'static str,
        /// Why; `None` when it is not there.
        #[source]
        cause: Option<Box<MapError>>,
    },
    /// No random number for the key.
    #[error("cannot get a random number")]
    Random(#[source] std::io::Error),
    /// No event loop to wait in.
    #[error("cannot wait for events")]
    Runtime(#[source] std::io::Error),
    /// The probes are attached but do not answer.
    #[error("the probes are attached but do not fire")]
    Silent,
}

/// What the kernel said to a program: the verifier's whole log would drown it.
#[derive(Debug)]
pub struct Refusal(ProgramError);

impl From<ProgramError> for Refusal {
    fn from(error: ProgramError) -> Self {
        Self(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ProgramError::LoadError { verifier_log, .. } = &self.0 else { return self.0.fmt(f) };
        let log = verifier_log.to_string();
        // It ends with figures; what stands before them is the reason.
        let is_figure = |line: &&str| FIGURES.iter().any(|figure| line.starts_with(figure));
        let reason = log.lines().map(str::trim).rfind(|line| !line.is_empty() && !is_figure(line));
        write!(f, "the kernel's verifier refused it: {}", reason.unwrap_or("it gave no reason"))
    }
}

/// How the lines begin that the verifier ends with (`print_verification_stats`, 5.10 to 7.2).
const FIGURES: [&str; 4] = ["verification time", "stack depth", "insns processed", "processed"];

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            ProgramError::LoadError { io_error, .. } => Some(io_error),
            other => other.source(),
        }
    }
}

/// What programs are attached to.
pub trait Doors {
    /// The source that this makes.
    const KIND: SourceKind;
    /// How its programs hear the agent.
    #[expect(private_interfaces, reason = "only this folder makes doors")]
    const CHANNEL: Channel;
    /// One of its programs calls [`cast::FUNCTION`] where the kernel has it.
    const CASTS: bool;

    /// The functions that it would attach to.
    fn functions() -> Vec<&'static str>;

    /// Loads the programs and attaches them.
    #[expect(private_interfaces, reason = "only this folder makes doors")]
    fn open(ebpf: &mut Ebpf, layout: &Layout) -> Result<Opened, LoadError>;
}

/// The probes, attached. Dropping it detaches them.
pub(super) struct Probes {
    pub(super) ring: RingBuf<MapData>,
    pub(super) control: Control,
    pub(super) interest: Interest,
    pub(super) losses: Words,
    pub(super) files: Files,
    pub(super) gate: Array<MapData, u64>,
    pub(super) status: Vec<ProbeStatus>,
    pub(super) programs: Programs,
}

/// The maps that say what the probes look for.
pub(super) struct Interest {
    names: Array<MapData, Plain<Name>>,
    roots: HashMap<MapData, Plain<RootKey>, Plain<RootValue>>,
    filter: Array<MapData, Plain<Filter>>,
}

impl Interest {
    /// Has the probes look for a root; they know its names before they let one through.
    pub(super) fn add(&mut self, key: RootKey, value: RootValue, names: &Names) -> Result<(), MapError> {
        self.set_names(names)?;
        self.roots.insert(Plain(key), Plain(value), 0)?;
        // Another directory may have stood for the root.
        for other in self.keys(value.root) {
            if other.0 != key {
                self.roots.remove(&other)?;
            }
        }
        self.filter.set(0, Plain(names.filter()), 0)
    }

    /// The reverse. `names` are those that are left.
    pub(super) fn remove(&mut self, root: u16, names: &Names) -> Result<(), MapError> {
        self.leave(root)?;
        self.filter.set(0, Plain(names.filter()), 0)?;
        self.set_names(names)
    }

    /// No directory stands for a root any more.
    pub(super) fn leave(&mut self, root: u16) -> Result<(), MapError> {
        for key in self.keys(root) {
            self.roots.remove(&key)?;
        }
        Ok(())
    }

    /// The directories that stand for a root.
    fn keys(&self, root: u16) -> Vec<Plain<RootKey>> {
        let of_root =
            |(key, value): (Plain<RootKey>, Plain<RootValue>)| (value.0.root == root).then_some(key);
        self.roots.iter().filter_map(Result::ok).filter_map(of_root).collect()
    }

    fn set_names(&mut self, names: &Names) -> Result<(), MapError> {
        for (i, name) in (0..).zip(names.for_probes()) {
            self.names.set(i, Plain(name), 0)?;
        }
        Ok(())
    }
}

/// What a kind of doors has attached.
pub(super) struct Opened {
    pub(super) status: Vec<ProbeStatus>,
    /// The programs whose misses count.
    pub(super) running: Running,
}

/// What the source must know before it loads the probes.
#[derive(Clone, Debug)]
pub struct Options {
    /// Size of the ring buffer in bytes: a power of two, at least a page.
    pub ring_bytes: u32,
    /// What the probes know the agent's questions by, and where they look for a thread's entry: a random number, unless a test
    /// must know it.
    pub key: Option<u64>,
}

/// Loads, attaches and makes sure that the probes answer.
pub(super) fn attach<D: Doors>(options: &Options) -> Result<Probes, LoadError> {
    let layout = offsets::resolve(&D::functions())?;
    let key = options.key.map_or_else(random, Ok)?;
    let settings = Plain(Settings { key, ..layout.settings });
    let (calls, compat) = (calls::table(), calls::compat_opens());
    let object = cast::linked(OBJECT, layout.cast.filter(|_| D::CASTS));
    let mut ebpf = EbpfLoader::new()
        .btf(None)
        .override_global("SETTINGS", &settings, true)
        .override_global("CALLS", &calls, true)
        .override_global("COMPAT_OPENS", &compat, true)
        .map_max_entries("EVENTS", options.ring_bytes)
        .load(&object)
        .map_err(|error| LoadError::Object(Box::new(error)))?;
    drop(object);
    // aya has taken what it needs of the object.
    memory::let_go(OBJECT);
    // It parses the whole BTF when a loader is made, whether it is needed or not.
    memory::give_back();

    let Opened { status, running } = D::open(&mut ebpf, &layout)?;
    let identity = ebpf.take_map("IDENTITY").ok_or(LoadError::Map { name: "IDENTITY", cause: None })?;
    let answers = words(&mut ebpf, "ANSWERS", Answer::COUNT)?;
    let probes = Probes {
        ring: take(&mut ebpf, "EVENTS")?,
        control: Control::new(D::CHANNEL, key, identity, answers).map_err(map_error("IDENTITY"))?,
        interest: Interest {
            names: take(&mut ebpf, "NAMES")?,
            roots: take(&mut ebpf, "ROOTS")?,
            filter: take(&mut ebpf, ".bss.filter")?,
        },
        losses: words(&mut ebpf, "LOSSES", LossCounter::COUNT)?,
        files: take(&mut ebpf, "FILES")?,
        gate: take(&mut ebpf, ".bss.gate")?,
        status,
        programs: Programs::new(ebpf, running, layout.attach_points),
    };
    probes.control.hello();
    // Loading programs takes as much again for a moment.
    memory::give_back();
    Ok(probes)
}

/// The small BTF from which aya takes type ids.
pub(super) fn attach_points(layout: &Layout) -> Result<Btf, LoadError> {
    Btf::parse(&layout.attach_points, Endianness::default()).map_err(btf_error)
}

fn btf_error(error: AyaBtfError) -> LoadError {
    LoadError::Object(Box::new(EbpfError::BtfError(error)))
}

fn take<T: TryFrom<Map, Error = MapError>>(ebpf: &mut Ebpf, name: &'static str) -> Result<T, LoadError> {
    let map = ebpf.take_map(name).ok_or(LoadError::Map { name, cause: None })?;
    T::try_from(map).map_err(map_error(name))
}

fn words(ebpf: &mut Ebpf, name: &'static str, count: u32) -> Result<Words, LoadError> {
    let Some(Map::Array(map)) = ebpf.take_map(name) else { return Err(LoadError::Map { name, cause: None }) };
    Words::of(map, count).map_err(|error| map_error(name)(error.into()))
}

fn map_error(name: &'static str) -> impl Fn(MapError) -> LoadError {
    move |cause| LoadError::Map { name, cause: Some(Box::new(cause)) }
}

/// A key that no other process can guess: with it, anyone could ask the probes.
fn random() -> Result<u64, LoadError> {
    let mut bytes = [0; 8];
    let mut file = std::fs::File::open("/dev/urandom").map_err(LoadError::Random)?;
    std::io::Read::read_exact(&mut file, &mut bytes).map_err(LoadError::Random)?;
    Ok(u64::from_ne_bytes(bytes))
}
