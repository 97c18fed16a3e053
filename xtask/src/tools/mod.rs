//! Finds the tools that cargo does not bring, or installs them: once, saying what it does.

mod bpf;
mod browser;
mod cache;
mod debian;
pub(crate) mod index;
mod podman;
mod programs;
mod published;
mod python;
mod runtimes;
mod suite;
#[path = "../../../watchdog/build/toolchain.rs"]
mod toolchain;

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result};

pub(crate) use bpf::{Origin, set_up_bpf};
pub(crate) use browser::{Browser, View};
pub(crate) use cache::Cache;
pub(crate) use debian::{installed, unpacked};
pub(crate) use podman::Podman;
pub(crate) use programs::has_program;
pub(crate) use published::{CARGO_DENY, CARGO_FUZZ};
pub(crate) use python::{helm_and_kubectl, python};
pub(crate) use runtimes::Runtimes;
pub(crate) use suite::{Suite, released};

/// What tells one program from another.
pub(crate) fn sha256(file: &Path) -> Result<String> {
    let output = Command::new("sha256sum").arg(file).output().context("cannot start sha256sum")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let sum = text.split_whitespace().next();
    Ok(sum.with_context(|| format!("no sum of {}", file.display()))?.to_owned())
}
