//! Where the BPF toolchain is: written by `cargo xtask setup`, read by the build script.
//!
//! Both crates include this one file, so that they cannot disagree about its place or its format.

use std::{
    env,
    path::{Path, PathBuf},
};

/// What is needed to build the eBPF object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BpfToolchain {
    /// The rustup toolchain whose rustc has the library sources.
    pub(crate) toolchain: String,
    /// The linker.
    pub(crate) linker: PathBuf,
}

impl BpfToolchain {
    /// The folder for everything that setting up finds or builds; `None` without a home.
    pub(crate) fn cache() -> Option<PathBuf> {
        let folder = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        folder("STATE_WATCHDOG_CACHE")
            .or_else(|| folder("XDG_CACHE_HOME").map(|cache| cache.join("state-watchdog")))
            .or_else(|| folder("HOME").map(|home| home.join(".cache/state-watchdog")))
    }

    /// The file within the cache that says which toolchain to use.
    pub(crate) fn file(cache: &Path) -> PathBuf {
        cache.join("bpf-toolchain")
    }

    /// Reads lines of `key=value`; `None` when one is missing.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
        };
        Some(Self { toolchain: value("toolchain")?, linker: value("linker")?.into() })
    }
}
