//! The container runtimes that the tests drive.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use super::{Cache, debian, programs::find_program};

/// The programs that run containers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Runtimes {
    /// The runtime that writes in place.
    pub(crate) youki: PathBuf,
    /// One that replaces atomically.
    pub(crate) runc: PathBuf,
    /// Another one, whose state file has another name and another schema.
    pub(crate) crun: PathBuf,
    /// What runs runtimes for Kubernetes; `ctr` and the shim lie beside it.
    pub(crate) containerd: PathBuf,
    /// Makes images.
    pub(crate) umoci: PathBuf,
    /// A static busybox for containers.
    pub(crate) busybox: PathBuf,
}

impl Runtimes {
    /// Finds or installs all of them; youki is built, which takes minutes.
    pub(crate) fn get(cache: &Cache) -> Result<Self> {
        Ok(Self { youki: youki(cache)?, ..Self::packaged(cache)? })
    }

    /// Finds or installs those that Debian has; youki's path is empty.
    pub(crate) fn packaged(cache: &Cache) -> Result<Self> {
        Ok(Self { crun: packaged(cache, "crun")?, ..Self::of_pods(cache)? })
    }

    /// Those that pods need; the others' paths are empty. containerd is not installed but unpacked: as a service it
    /// would start.
    pub(crate) fn of_pods(cache: &Cache) -> Result<Self> {
        Ok(Self {
            runc: packaged(cache, "runc")?,
            containerd: debian::unpacked(cache, "containerd", "usr/bin/containerd")?,
            umoci: debian::unpacked(cache, "umoci", "usr/bin/umoci")?,
            busybox: debian::unpacked(cache, "busybox-static", "bin/busybox")?,
            ..Self::default()
        })
    }
}

/// A version that still writes its state in place.
const YOUKI_VERSION: &str = "0.7.0";

/// youki, built from its published sources.
fn youki(cache: &Cache) -> Result<PathBuf> {
    let folder = cache.folder().join(format!("youki-{YOUKI_VERSION}"));
    let program = folder.join("bin/youki");
    if !program.is_file() {
        let mut install = Command::new("nice");
        install
            .args(["cargo", "install", "youki", "--version", YOUKI_VERSION, "--locked"])
            .args(["--no-default-features", "--features", "v1,v2", "--root"])
            .arg(&folder)
            // It asks for a slower build, and does the same either way.
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS");
        cache.run(&format!("build youki {YOUKI_VERSION}"), &mut install)?;
    }
    Ok(program)
}

/// A program of the Debian package that has its name.
fn packaged(cache: &Cache, name: &str) -> Result<PathBuf> {
    if let Some(program) = find_program(name) {
        return Ok(program);
    }
    debian::installed(cache, &[name])?;
    find_program(name).with_context(|| format!("the package {name} brought no program {name}"))
}
