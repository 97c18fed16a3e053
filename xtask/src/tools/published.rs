//! Programs that are built from their published sources, once, in versions of our choice.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use super::Cache;

/// A program that is published as a crate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    /// The crate's name, and its program's.
    pub(crate) name: &'static str,
    /// The version.
    pub(crate) version: &'static str,
}

/// Builds and runs fuzz targets.
pub(crate) const CARGO_FUZZ: Published = Published { name: "cargo-fuzz", version: "0.13.2" };

/// Judges licences, versions and origins of what the sources depend on.
pub(crate) const CARGO_DENY: Published = Published { name: "cargo-deny", version: "0.20.2" };

impl Published {
    /// Where its program is; builds it when it is not there.
    pub(crate) fn program(&self, cache: &Cache) -> Result<PathBuf> {
        let Self { name, version } = self;
        let folder = cache.folder().join(format!("{name}-{version}"));
        let program = folder.join("bin").join(name);
        if !program.is_file() {
            let mut install = Command::new("nice");
            install
                .args(["cargo", "install", name, "--version", version, "--locked"])
                .arg("--root")
                .arg(&folder)
                // Some crates ask for the slowest of all builds, and their programs run for seconds.
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .env_remove("CARGO_TARGET_DIR")
                .env_remove("RUSTFLAGS");
            cache.run(&format!("build {name} {version}"), &mut install)?;
        }
        Ok(program)
    }
}
