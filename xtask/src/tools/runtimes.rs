//! The container runtimes that the tests drive.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result};

use super::{Cache, debian};

/// A version that still writes its state in place.
const YOUKI_VERSION: &str = "0.7.0";

/// youki, built from its published sources.
pub(crate) fn youki(cache: &Cache) -> Result<PathBuf> {
    let folder = cache.folder().join(format!("youki-{YOUKI_VERSION}"));
    let program = folder.join("bin/youki");
    if !program.is_file() {
        let mut install = Command::new("nice");
        install
            .args(["cargo", "install", "youki", "--version", YOUKI_VERSION, "--locked"])
            .args(["--no-default-features", "--features", "v1,v2", "--root"])
            .arg(&folder)
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("RUSTFLAGS");
        cache.run(&format!("build youki {YOUKI_VERSION}"), &mut install)?;
    }
    Ok(program)
}

/// runc as Debian ships it, which replaces its state atomically.
pub(crate) fn runc(cache: &Cache) -> Result<PathBuf> {
    if let Some(program) = debian::find_program("runc") {
        return Ok(program);
    }
    debian::installed(cache, &["runc"])?;
    debian::find_program("runc").context("the package runc brought no program runc")
}
