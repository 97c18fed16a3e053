//! `cargo xtask image`: the container image, a static agent and nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    architecture::Architecture,
    build::{self, Profile},
    repository::Repository,
    scratch::{Medium, Scratch},
    tools::{self, Cache, Podman, sha256},
};

/// The image's name without registry.
pub(crate) const NAME: &str = "state-watchdog";
const FOLDER: &str = "deploy/image";

/// What is built.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The kind of processor, by default this machine's.
    #[arg(long, value_enum)]
    arch: Option<Architecture>,
}

/// An image as a file that podman, docker and containerd load.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// The archive.
    pub(crate) archive: PathBuf,
    /// The agent in it.
    pub(crate) agent: PathBuf,
    /// Name and version.
    pub(crate) reference: String,
}

/// Builds the image and says where it is and how large.
pub(crate) fn run(options: &Options) -> Result<()> {
    let (repository, cache) = (Repository::find()?, Cache::open()?);
    tools::set_up_bpf(&cache, None)?;
    let architecture = options.arch.unwrap_or_else(Architecture::host);
    let image = make(&repository, &cache, architecture, Profile::Release)?;
    println!("{}: {}", image.reference, describe(&image)?);
    println!("podman load --input {}", image.archive.display());
    Ok(())
}

/// Sizes and sum, for people.
pub(crate) fn describe(image: &Image) -> Result<String> {
    let size = |file: &Path| -> Result<f64> { Ok(fs::metadata(file)?.len() as f64 / f64::from(1 << 20)) };
    let (agent, archive) = (size(&image.agent)?, size(&image.archive)?);
    Ok(format!("agent {agent:.1} MiB, archive {archive:.1} MiB, agent sha256 {}", sha256(&image.agent)?))
}

/// Builds the agent and the image for a kind of processor.
pub(crate) fn make(
    repository: &Repository,
    cache: &Cache,
    architecture: Architecture,
    profile: Profile,
) -> Result<Image> {
    let agent = build::agent_and_workload(repository, cache, architecture, profile)?.0;
    is_static(&agent)?;
    let version = env!("CARGO_PKG_VERSION");
    let reference = format!("{NAME}:{version}");
    let folder = repository.target().join("image");
    fs::create_dir_all(&folder)?;
    let archive = folder.join(format!("{NAME}-{version}-{}.tar", architecture.debian()));
    let scratch = Scratch::new(Medium::Disk)?;
    let context = scratch.folder("context")?;
    lay_context(repository.root(), &agent, &context)?;
    let podman = Podman::open(cache, scratch.path().join("podman"))?;
    let (time, revision) = commit(repository.root());
    let mut build = podman.command();
    build
        // A file's and the image's time are the commit's, so that the same sources make the same image.
        .args(["build", "--isolation", "chroot", "--timestamp", &time, "--format", "oci"])
        .args(["--platform", &format!("linux/{}", architecture.debian()), "--tag", &reference])
        .args(["--build-arg", &format!("VERSION={version}"), "--build-arg", &format!("REVISION={revision}")])
        .arg(&context);
    cache.run(&format!("build the image for {}", architecture.debian()), &mut build)?;
    let _ = fs::remove_file(&archive);
    let to = archive.display().to_string();
    podman.output(&["save", "--quiet", "--format", "oci-archive", "--output", &to, &reference])?;
    Ok(Image { archive, agent, reference })
}

/// The Containerfile, its files and the agent in one folder.
fn lay_context(root: &Path, agent: &Path, context: &Path) -> Result<()> {
    let status = Command::new("cp").arg("-a").arg(root.join(FOLDER).join(".")).arg(context).status()?;
    ensure!(status.success(), "cannot copy {FOLDER}");
    let copy = context.join(NAME);
    fs::copy(agent, &copy).with_context(|| format!("cannot copy {}", agent.display()))?;
    Ok(())
}

/// An image without libraries cannot start a program that asks for any.
fn is_static(program: &Path) -> Result<()> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let asks = has_interpreter(&bytes).with_context(|| format!("{} is no program", program.display()))?;
    ensure!(!asks, "{} asks for a dynamic linker", program.display());
    Ok(())
}

/// Whether a 64-bit little-endian ELF file has a segment that names an interpreter.
fn has_interpreter(elf: &[u8]) -> Option<bool> {
    const INTERPRETER: u32 = 3;
    let half = |at: usize| Some(usize::from(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?)));
    let word = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    let long = |at: usize| Some(u64::from_le_bytes(elf.get(at..at + 8)?.try_into().ok()?) as usize);
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (long(32)?, half(54)?, half(56)?);
    let mut kinds = (0..count).map(|index| word(table.checked_add(index.checked_mul(size)?)?));
    kinds.try_fold(false, |found, kind| Some(found | (kind? == INTERPRETER)))
}

/// When and what the sources are; outside a repository nobody can say.
fn commit(root: &Path) -> (String, String) {
    let ask = |format: &str| {
        let output = Command::new("git").args(["log", "-1", format]).current_dir(root).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        Some(text).filter(|text| output.status.success() && !text.is_empty())
    };
    (ask("--format=%ct").unwrap_or_else(|| "0".to_owned()), ask("--format=%H").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF header with program headers of these kinds.
    fn elf(kinds: &[u32]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = kinds.len() as u8;
        for kind in kinds {
            bytes.extend(kind.to_le_bytes());
            bytes.extend([0; 52]);
        }
        bytes
    }

    #[test]
    fn a_program_that_asks_for_a_linker_is_told_from_one_that_does_not() {
        assert_eq!(has_interpreter(&elf(&[1, 2, 6])), Some(false));
        assert_eq!(has_interpreter(&elf(&[1, 3])), Some(true));
        assert_eq!(has_interpreter(b"#!/bin/sh\n"), None);
        assert_eq!(has_interpreter(&elf(&[1])[..66]), None);
        assert_eq!(has_interpreter(&[]), None);
    }
}
