//! Loading and attaching the probes.

use aya::maps::{Array, HashMap, Map, MapData, MapError, RingBuf};
use aya::programs::ProgramError;
use aya::{Btf, BtfError as AyaBtfError, Ebpf, EbpfError, EbpfLoader, Endianness};
use watchdog_common::{Name, RootKey, RootValue, Settings};

use super::btf::BtfError;
use super::calls;
use super::control::{Channel, Control};
use super::copies::{Programs, Tracing};
use super::names::Names;
use super::offsets::{self, Layout};
use crate::memory;
use crate::source::{ProbeStatus, SourceKind};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/watchdog-ebpf"));

/// Why the probes could not be loaded or attached.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel's type information is missing or odd.
    #[error(
        "cannot learn the kernel's data layout (a kernel with CONFIG_DEBUG_INFO_BTF has it in /sys/kernel/btf)"
    )]
    Btf(#[from] BtfError),
    /// More names than the probes can compare.
    #[error("the profiles name more than {} different state and lock files", Name::MAX)]
    TooManyNames,
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
        cause: Box<ProgramError>,
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

/// A type of [`watchdog_common`] as a map's key or value.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(super) struct Plain<T>(pub(super) T);

macro_rules! plain {
    ($($type:ty),*) => {$(
        // SAFETY: `repr(C)`, integers alone, no padding: watchdog-common keeps to that.
        #[expect(unsafe_code, reason = "aya asks for the promise that any bytes are a value")]
        unsafe impl aya::Pod for Plain<$type> {}
    )*};
}
plain!(Settings, Name, RootKey, RootValue, watchdog_common::Identity);

/// What programs are attached to.
pub trait Doors {
    /// The source that this makes.
    const KIND: SourceKind;
    /// How its programs hear the agent.
    #[expect(private_interfaces, reason = "only this folder makes doors")]
    const CHANNEL: Channel;

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
    pub(super) roots: HashMap<MapData, Plain<RootKey>, Plain<RootValue>>,
    pub(super) losses: Array<MapData, u64>,
    pub(super) gate: Array<MapData, u64>,
    pub(super) status: Vec<ProbeStatus>,
    pub(super) programs: Programs,
}

/// What a kind of doors has attached.
pub(super) struct Opened {
    pub(super) status: Vec<ProbeStatus>,
    pub(super) tracing: Vec<Tracing>,
}

/// Sizes the ring buffer and says what the probes look for.
pub(super) struct Parameters<'a> {
    pub(super) names: &'a Names,
    pub(super) depths: u32,
    pub(super) ring_bytes: u32,
}

/// Loads, attaches and makes sure that the probes answer.
pub(super) fn attach<D: Doors>(parameters: &Parameters<'_>) -> Result<Probes, LoadError> {
    let layout = offsets::resolve(&D::functions())?;
    let key = random()?;
    let settings = Plain(Settings {
        key,
        depths: parameters.depths,
        name_lengths: parameters.names.lengths(),
        ..layout.settings
    });
    let (calls, compat) = (calls::table(), calls::compat_opens());
    let mut ebpf = EbpfLoader::new()
        .btf(None)
        .override_global("SETTINGS", &settings, true)
        .override_global("CALLS", &calls, true)
        .override_global("COMPAT_OPENS", &compat, true)
        .map_max_entries("EVENTS", parameters.ring_bytes)
        .load(OBJECT)
        .map_err(|error| LoadError::Object(Box::new(error)))?;
    // aya has taken what it needs of the object, most of which is debug information.
    memory::let_go(OBJECT);
    // It parses the whole BTF when a loader is made, whether it is needed or not.
    memory::give_back();

    let mut names: Array<_, Plain<Name>> = take(&mut ebpf, "NAMES")?;
    for (i, name) in parameters.names.for_probes().into_iter().enumerate() {
        names.set(i as u32, Plain(name), 0).map_err(map_error("NAMES"))?;
    }
    let Opened { status, tracing } = D::open(&mut ebpf, &layout)?;
    let identity = ebpf.take_map("IDENTITY").ok_or(LoadError::Map { name: "IDENTITY", cause: None })?;
    let probes = Probes {
        ring: take(&mut ebpf, "EVENTS")?,
        control: Control::new(D::CHANNEL, key, identity).map_err(map_error("IDENTITY"))?,
        roots: take(&mut ebpf, "ROOTS")?,
        losses: take(&mut ebpf, "LOSSES")?,
        gate: take(&mut ebpf, ".bss.gate")?,
        status,
        programs: Programs::new(ebpf, tracing, layout.attach_points),
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
