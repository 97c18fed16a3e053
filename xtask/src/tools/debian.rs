//! Debian packages: installed where a compiler or a runtime needs them in place, unpacked where a file will do.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::{cache::Cache, programs::has_program};
use crate::privilege;

/// Installs those of `packages` that are missing.
pub(crate) fn installed(cache: &Cache, packages: &[&str]) -> Result<()> {
    let missing: Vec<&str> = packages.iter().copied().filter(|package| !is_installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let remedy = format!("as root: apt-get install {}", missing.join(" "));
    if !has_program("apt-get") {
        bail!("missing: {}; there is no apt-get here, so please install them", missing.join(", "));
    }
    println!("  missing Debian packages: {}", missing.join(", "));
    let apt = || elevated("apt-get").with_context(|| remedy.clone());
    refresh_package_lists(cache).with_context(|| remedy.clone())?;
    cache
        .run(
            &format!("install {}", missing.join(" ")),
            apt()?.args(["install", "--yes", "--no-install-recommends"]).args(&missing),
        )
        .with_context(|| remedy.clone())
}

/// Fetches the system's package lists.
pub(crate) fn refresh_package_lists(cache: &Cache) -> Result<()> {
    cache.run("refresh the package lists", elevated("apt-get")?.arg("update"))
}

/// A file of a package that is unpacked beside the system: no service starts, and no root is needed.
pub(crate) fn unpacked(cache: &Cache, package: &str, file: &str) -> Result<PathBuf> {
    let folder = cache.folder().join("debian").join(package);
    if !folder.is_dir() {
        unpack(cache, package, &folder)?;
    }
    let found = folder.join(file);
    ensure!(found.is_file(), "the package {package} has no {file}");
    Ok(found)
}

fn unpack(cache: &Cache, package: &str, folder: &Path) -> Result<()> {
    let download = cache.folder().join("debian").join(format!("{package}.part"));
    let _ = fs::remove_dir_all(&download);
    fs::create_dir_all(&download)?;
    let fetch = |cache: &Cache| {
        cache.run(
            &format!("download {package}"),
            Command::new("apt-get").args(["download", package]).current_dir(&download),
        )
    };
    if fetch(cache).is_err() {
        refresh_package_lists(cache)?;
        fetch(cache)?;
    }
    let archive = fs::read_dir(&download)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get download {package} left no package"))?;
    let files = download.join("files");
    cache.run(&format!("unpack {package}"), Command::new("dpkg").arg("-x").arg(&archive).arg(&files))?;
    fs::rename(&files, folder)?;
    let _ = fs::remove_dir_all(&download);
    Ok(())
}

/// A command run as root: directly, or through sudo.
fn elevated(program: &str) -> Result<Command> {
    let mut command = if privilege::is_root() {
        Command::new(program)
    } else if has_program("sudo") {
        let mut sudo = Command::new("sudo");
        sudo.args(["DEBIAN_FRONTEND=noninteractive", program]);
        sudo
    } else {
        bail!("not root, and there is no sudo");
    };
    command.env("DEBIAN_FRONTEND", "noninteractive");
    Ok(command)
}

fn is_installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}", package])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|output| output.status.success() && output.stdout == b"installed")
}
