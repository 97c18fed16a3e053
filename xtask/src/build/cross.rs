//! Building for a processor that is not this machine's.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use super::compiler::Compiler;
use crate::{
    architecture::Architecture,
    tools::{self, Cache, Suite},
};

/// The linker and the C library that it links.
const LINKER: &str = "aarch64-linux-gnu-gcc";
const LINKER_PACKAGES: [&str; 2] = ["gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"];
/// Debian's rustc, used where rustup cannot fetch the other processor's library.
const RUSTC: &str = "/usr/bin/rustc";
const RUSTC_PACKAGE: &str = "rustc-web";
const LIBRARY_PACKAGE: &str = "libstd-rust-web-dev";

/// Finds or installs what building for `architecture` needs.
pub(super) fn compiler(cache: &Cache, architecture: Architecture) -> Result<Compiler> {
    let triple = architecture.triple();
    if architecture != Architecture::Arm64 {
        bail!("programs for {triple} can only be built on such a machine");
    }
    tools::installed(cache, &LINKER_PACKAGES)?;
    let variable = format!("CARGO_TARGET_{}_LINKER", triple.to_uppercase().replace('-', "_"));
    let mut compiler = Compiler { environment: vec![(variable, LINKER.to_owned())], flags: String::new() };
    if rustup_has(triple) {
        return Ok(compiler);
    }
    tools::installed(cache, &[RUSTC_PACKAGE])?;
    let library =
        Suite::own_unpacked(cache, architecture, LIBRARY_PACKAGE)?.join("usr/lib/rustlib").join(triple);
    let sysroot = cache.folder().join(format!("cross-{}", architecture.debian())).join("sysroot");
    link_libraries(&sysroot, triple, &library)?;
    compiler.environment.push(("RUSTC".to_owned(), RUSTC.to_owned()));
    compiler.flags = format!("--sysroot={}", sysroot.display());
    Ok(compiler)
}

/// True when rustup's own toolchain has the library, or could fetch it.
fn rustup_has(triple: &str) -> bool {
    Command::new("rustup")
        .args(["target", "add", triple])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// A folder in which rustc finds the other processor's library beside its own.
fn link_libraries(sysroot: &Path, triple: &str, library: &Path) -> Result<()> {
    ensure!(library.is_dir(), "{LIBRARY_PACKAGE} has no {}", library.display());
    let output = Command::new(RUSTC).args(["--print", "target-libdir"]).output()?;
    let own = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let own = own.parent().with_context(|| format!("{RUSTC} has no library"))?;
    let own_triple = own.file_name().with_context(|| format!("{RUSTC} names no machine"))?;
    let folder = sysroot.join("lib/rustlib");
    let _ = fs::remove_dir_all(sysroot);
    fs::create_dir_all(&folder)?;
    for (place, target) in [(folder.join(triple), library), (folder.join(own_triple), own)] {
        symlink(target, &place).with_context(|| format!("cannot link {}", place.display()))?;
    }
    Ok(())
}
