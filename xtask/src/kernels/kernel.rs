//! A kernel, unpacked and kept.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::catalogue::Choice;
use crate::tools::{Cache, Suite, index};

/// How many meta-packages may lie between the first one and the kernel.
const DEPTH: usize = 4;

/// What the media and the tests need beside what is built in.
const MODULES: [&str; 2] = ["overlay", "loop"];

/// A kernel that can be booted.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// The package version, which is also its place in the cache.
    pub(crate) version: String,
    /// What the boot loader loads.
    pub(crate) image: PathBuf,
    folder: PathBuf,
}

impl Kernel {
    /// From the cache, else from the release; with `refresh` the release is asked whether it has a newer one.
    pub(crate) fn get(cache: &Cache, choice: Choice, refresh: bool) -> Result<Self> {
        let suites = [Some(choice.suite), choice.fallback];
        let mut problem = None;
        for suite in suites.into_iter().flatten() {
            match Self::of(cache, suite, choice, refresh) {
                Ok(kernel) => return Ok(kernel),
                Err(error) => {
                    println!("  no kernel of {suite}: {error:#}");
                    problem = Some(error);
                }
            }
        }
        Err(problem.context("no release is named")?)
    }

    fn of(cache: &Cache, suite: &str, choice: Choice, refresh: bool) -> Result<Self> {
        let architecture = choice.architecture;
        let kernels = cache.folder().join("kernels");
        let note = kernels.join(format!("{suite}-{}", architecture.debian()));
        let noted = fs::read_to_string(&note).ok().filter(|_| !refresh);
        if let Some(version) = noted
            && let Ok(kernel) = Self::at(&kernels.join(&version), &version)
        {
            return Ok(kernel);
        }
        fs::create_dir_all(&kernels)?;
        let suite = Suite::open(cache, suite, architecture)?;
        let (version, parts) = resolve(&suite, architecture.debian())?;
        let folder = kernels.join(&version);
        if !folder.is_dir() {
            suite.unpack(cache, &parts, &folder)?;
        }
        let kernel = Self::at(&folder, &version)?;
        fs::write(&note, &version).with_context(|| format!("cannot write {}", note.display()))?;
        Ok(kernel)
    }

    fn at(folder: &Path, version: &str) -> Result<Self> {
        // Until 6.12 the kernel is in /boot, later beside its modules.
        let found = files(folder)?.into_iter().find(|file| name(file).starts_with("vmlinuz"));
        let image = found.with_context(|| format!("no kernel lies in {}", folder.display()))?;
        Ok(Self { version: version.to_owned(), image, folder: folder.to_owned() })
    }

    /// The modules that the media need, by their file names, ready to be loaded.
    pub(crate) fn modules(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let mut modules = Vec::new();
        for file in files(&self.folder)? {
            let Some((module, packing)) = name(&file).split_once(".ko") else { continue };
            if MODULES.contains(&module) {
                let content = match packing {
                    "" => fs::read(&file)?,
                    _ => {
                        let output = Command::new("xz").arg("-dc").arg(&file).output()?;
                        ensure!(output.status.success(), "cannot unpack {}", file.display());
                        output.stdout
                    }
                };
                modules.push((format!("{module}.ko"), content));
            }
        }
        Ok(modules)
    }
}

/// The version of the release's cloud kernel, and the packages that it consists of.
fn resolve(suite: &Suite, architecture: &str) -> Result<(String, Vec<String>)> {
    let first = suite.package(&format!("linux-image-cloud-{architecture}"))?;
    let version = format!("{}-{architecture}", first.version);
    let (mut parts, mut level) = (Vec::new(), vec![first]);
    for _ in 0..DEPTH {
        let mut next = Vec::new();
        for package in &level {
            for part in index::kernel_parts(package, architecture) {
                if !parts.contains(&part) {
                    next.push(suite.package(&part)?);
                    parts.push(part);
                }
            }
        }
        level = next;
    }
    ensure!(!parts.is_empty(), "the meta-package of version {version} needs no kernel");
    Ok((version, parts))
}

fn name(file: &Path) -> &str {
    file.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// All files below a folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}
