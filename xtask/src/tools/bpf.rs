//! The BPF toolchain: a rustc with the library sources, and bpf-linker.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, bail};

use super::{cache::Cache, debian, toolchain::BpfToolchain};

/// The linker's version; it decides which aya and which LLVM it works with.
const LINKER_VERSION: &str = "0.13.0";
/// The LLVM that the linker is built with. It reads what a rustc with this LLVM or an older one writes.
const LLVM: u32 = 22;
/// The name under which Debian's rustc is made known to rustup.
const LINKED_TOOLCHAIN: &str = "watchdog-bpf";
/// Debian's rustc and its library sources, in a version that the probes build with.
const DEBIAN_RUST: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// Whose rustc builds the eBPF object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Origin {
    /// The rustup toolchain that builds the agent, with its component `rust-src`.
    Rustup,
    /// Debian's rustc, where rustup cannot fetch the component.
    Debian,
}

/// Makes sure that the eBPF object can be built: with the toolchain of `origin`, or with the first that works.
pub(crate) fn set_up_bpf(cache: &Cache, origin: Option<Origin>) -> Result<()> {
    let file = BpfToolchain::file(cache.folder());
    let known = fs::read_to_string(&file).ok().and_then(|text| BpfToolchain::parse(&text));
    if origin.is_none()
        && let Some(known) = &known
        && known.linker.is_file()
        && has_sources(&known.toolchain)
        && known.linker.starts_with(linker_folder(cache))
    {
        println!("  BPF toolchain: {} and {}", known.toolchain, known.linker.display());
        return Ok(());
    }
    let toolchain = match origin {
        Some(Origin::Rustup) => rustup_toolchain(cache)?,
        Some(Origin::Debian) => debian_toolchain(cache)?,
        None => rustup_toolchain(cache).or_else(|problem| {
            println!("  rustup's own toolchain cannot build for BPF ({problem:#}); trying Debian's");
            debian_toolchain(cache)
        })?,
    };
    let found = BpfToolchain { toolchain, linker: linker(cache)? };
    fs::write(&file, format!("toolchain={}\nlinker={}\n", found.toolchain, found.linker.display()))
        .with_context(|| format!("cannot write {}", file.display()))?;
    println!("  BPF toolchain: {} and {}", found.toolchain, found.linker.display());
    Ok(())
}

/// The toolchain that is active in this repository, with the sources of the library.
fn rustup_toolchain(cache: &Cache) -> Result<String> {
    let active = output(Command::new("rustup").args(["show", "active-toolchain"]))?;
    let name = active.split_whitespace().next().context("rustup names no active toolchain")?.to_owned();
    let version = output(Command::new("rustup").args(["run", &name, "rustc", "--version", "--verbose"]))?;
    let llvm = llvm_major(&version).with_context(|| format!("rustc of {name} names no LLVM version"))?;
    if llvm > LLVM {
        bail!("{name} has LLVM {llvm}, bpf-linker is built with LLVM {LLVM}");
    }
    if !has_sources(&name) {
        let mut add = Command::new("rustup");
        add.args(["component", "add", "rust-src", "--toolchain", &name]);
        cache.run(&format!("add rust-src to {name}"), &mut add)?;
    }
    if !has_sources(&name) {
        bail!("{name} has no library sources");
    }
    Ok(name)
}

/// Debian's rustc, known to rustup under a name of ours.
fn debian_toolchain(cache: &Cache) -> Result<String> {
    debian::installed(cache, &DEBIAN_RUST)?;
    if !has_sources(LINKED_TOOLCHAIN) {
        let mut link = Command::new("rustup");
        link.args(["toolchain", "link", LINKED_TOOLCHAIN, "/usr"]);
        cache.run(&format!("link /usr as toolchain {LINKED_TOOLCHAIN}"), &mut link)?;
    }
    if !has_sources(LINKED_TOOLCHAIN) {
        bail!("Debian's rustc has no library sources, though rust-web-src is installed");
    }
    Ok(LINKED_TOOLCHAIN.to_owned())
}

fn linker_folder(cache: &Cache) -> PathBuf {
    cache.folder().join(format!("bpf-linker-{LINKER_VERSION}-llvm-{LLVM}"))
}

/// bpf-linker, built against Debian's LLVM and able to find it when it runs.
fn linker(cache: &Cache) -> Result<PathBuf> {
    let folder = linker_folder(cache);
    let linker = folder.join("bin/bpf-linker");
    let runs = || Command::new(&linker).arg("--version").output().is_ok_and(|output| output.status.success());
    debian::installed(cache, &[&format!("llvm-{LLVM}-dev")])?;
    if !runs() {
        let library = format!("/usr/lib/llvm-{LLVM}/lib");
        let mut install = Command::new("cargo");
        install
            .args(["install", "bpf-linker", "--version", LINKER_VERSION, "--locked", "--no-default-features"])
            .args(["--features", &format!("llvm-{LLVM}"), "--force", "--root"])
            .arg(&folder)
            .env("RUSTFLAGS", format!("-L{library} -Clink-arg=-Wl,-rpath,{library}"))
            .env_remove("CARGO_TARGET_DIR");
        cache.run(&format!("build bpf-linker {LINKER_VERSION}"), &mut install)?;
    }
    if !runs() {
        bail!("{} does not run", linker.display());
    }
    Ok(linker)
}

/// True when the toolchain exists and its library sources lie where cargo looks for them.
fn has_sources(toolchain: &str) -> bool {
    output(Command::new("rustup").args(["run", toolchain, "rustc", "--print", "sysroot"])).is_ok_and(|root| {
        PathBuf::from(root.trim()).join("lib/rustlib/src/rust/library/Cargo.lock").is_file()
    })
}

fn llvm_major(verbose_version: &str) -> Option<u32> {
    verbose_version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?
        .split('.')
        .next()?
        .parse()
        .ok()
}

fn output(command: &mut Command) -> Result<String> {
    let program = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_setup_writes_the_build_script_reads() {
        let text = "toolchain=stable\nlinker=/cache/bin/bpf-linker\n";
        let expected = BpfToolchain { toolchain: "stable".into(), linker: "/cache/bin/bpf-linker".into() };
        assert_eq!(BpfToolchain::parse(text), Some(expected));
        assert_eq!(BpfToolchain::parse("toolchain=stable\n"), None);
    }

    #[test]
    fn the_major_llvm_version_is_found() {
        assert_eq!(llvm_major("rustc 1.95.0\nrelease: 1.95.0\nLLVM version: 22.1.2\n"), Some(22));
        assert_eq!(llvm_major("rustc 1.95.0\n"), None);
    }
}
