//! The source under test, chosen by the environment.

use std::fs::File;
use std::sync::LazyLock;

use watchdog::model::{BootNanos, InodeId, OpenId, RootId};
use watchdog::source::ebpf::{LoadError, Options, SyscallsSource, VfsSource};
use watchdog::source::{Item, Losses, RootSpec, Source as _, SourceError};

/// The environment's word for it.
static NAME: LazyLock<String> =
    LazyLock::new(|| std::env::var("STATE_WATCHDOG_TEST_SOURCE").unwrap_or_else(|_| "syscalls".to_owned()));

/// One of the sources that run eBPF programs.
pub(crate) enum Watched {
    Syscalls(SyscallsSource),
    Vfs(VfsSource),
}

macro_rules! each {
    ($watched:expr, $source:ident => $answer:expr) => {
        match $watched {
            Self::Syscalls($source) => $answer,
            Self::Vfs($source) => $answer,
        }
    };
}

impl Watched {
    /// Its name in an expectation's conditions.
    pub(crate) fn name() -> &'static str {
        &NAME
    }

    /// How the return of a read is watched: `fentry`, `kprobe`, a mixture of them, or `tp_btf`.
    pub(crate) fn mechanism(&self) -> &'static str {
        let probes = each!(self, source => source.probes());
        probes.iter().find(|probe| probe.probe == "read").map_or("tp_btf", |probe| probe.mechanism)
    }

    /// The kernel shows it the directories themselves, so that no path is left to resolve.
    pub(crate) fn knows_paths() -> bool {
        Self::name() == "vfs"
    }

    /// The kernel shows it the end of every description.
    pub(crate) fn sees_releases() -> bool {
        Self::name() == "vfs"
    }

    pub(crate) fn attach(options: &Options) -> Result<Self, LoadError> {
        match Self::name() {
            "syscalls" => SyscallsSource::attach(options).map(Self::Syscalls),
            "vfs" => VfsSource::attach(options).map(Self::Vfs),
            other => panic!("STATE_WATCHDOG_TEST_SOURCE names no source of eBPF programs: {other}"),
        }
    }

    pub(crate) async fn read(&mut self, items: &mut Vec<Item>) -> Result<(), SourceError> {
        each!(self, source => source.read(items).await)
    }

    pub(crate) fn watch(&mut self, root: &RootSpec) -> Result<(), SourceError> {
        each!(self, source => source.watch(root))
    }

    pub(crate) fn unwatch(&mut self, root: RootId) {
        each!(self, source => source.unwatch(root));
    }

    pub(crate) fn poll_released(&mut self, opens: &[OpenId]) -> Result<(), SourceError> {
        each!(self, source => source.poll_released(opens))
    }

    pub(crate) fn reconcile(&mut self, now: BootNanos) -> Option<BootNanos> {
        each!(self, source => source.reconcile(now))
    }

    pub(crate) fn identify(&self, file: &File) -> Option<InodeId> {
        each!(self, source => source.identify(file))
    }

    pub(crate) fn losses(&self) -> Losses {
        each!(self, source => source.losses())
    }

    pub(crate) fn tracked(&self) -> u64 {
        each!(self, source => source.tracked())
    }
}
