//! Builds the eBPF object and leaves it in `OUT_DIR`, from where the agent embeds it.

#[cfg(feature = "ebpf")]
#[path = "build/slim.rs"]
mod slim;
#[cfg(feature = "ebpf")]
#[path = "build/toolchain.rs"]
mod toolchain;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    #[cfg(feature = "ebpf")]
    if let Err(problem) = probes::build() {
        println!("cargo::error={problem}");
    }
}

#[cfg(feature = "ebpf")]
mod probes {
    use std::{
        env, fs,
        path::{Path, PathBuf},
    };

    use aya_build::{Package, Toolchain};

    use crate::{slim::slim, toolchain::BpfToolchain};

    const REMEDY: &str = "run `cargo xtask setup` once, or build with `--no-default-features` for an agent \
                          with the inotify source alone";

    pub(super) fn build() -> Result<(), String> {
        println!("cargo::rerun-if-changed=build");
        println!("cargo::rerun-if-changed=../watchdog-common");
        for variable in ["STATE_WATCHDOG_CACHE", "XDG_CACHE_HOME", "HOME"] {
            println!("cargo::rerun-if-env-changed={variable}");
        }
        let found = find()?;
        if !found.linker.is_file() {
            return Err(format!("the BPF linker {} is gone: {REMEDY}", found.linker.display()));
        }
        prepare_environment(&found);
        let probes = Package { name: "watchdog-ebpf", root_dir: "../watchdog-ebpf", ..Package::default() };
        aya_build::build_ebpf([probes], Toolchain::Custom(&found.toolchain))
            .map_err(|error| format!("the eBPF object did not build: {error:#}").replace('\n', " "))?;
        let folder =
            env::var_os("OUT_DIR").map(PathBuf::from).ok_or("cargo names no folder for what is built")?;
        let object = folder.join("watchdog-ebpf");
        make_slim(&object).map_err(|problem| format!("cannot strip {}: {problem}", object.display()))
    }

    fn make_slim(object: &Path) -> Result<(), String> {
        let whole = fs::read(object).map_err(|error| error.to_string())?;
        let slim = slim(&whole).map_err(|error| error.to_string())?;
        fs::write(object, slim).map_err(|error| error.to_string())
    }

    fn find() -> Result<BpfToolchain, String> {
        let cache = BpfToolchain::cache().ok_or_else(|| format!("no home, so no BPF toolchain: {REMEDY}"))?;
        let file = BpfToolchain::file(&cache);
        println!("cargo::rerun-if-changed={}", file.display());
        fs::read_to_string(&file)
            .ok()
            .and_then(|text| BpfToolchain::parse(&text))
            .ok_or_else(|| format!("no BPF toolchain is set up ({}): {REMEDY}", file.display()))
    }

    /// aya-build takes neither a linker nor the permission to build `core` from its sources: cargo and rustc,
    /// which it starts, take both from the environment.
    #[expect(
        unsafe_code,
        reason = "the environment is the only way to reach the cargo that aya-build starts"
    )]
    fn prepare_environment(found: &BpfToolchain) {
        let endian = env::var("CARGO_CFG_TARGET_ENDIAN").unwrap_or_default();
        let target = if endian == "big" { "BPFEB" } else { "BPFEL" };
        // SAFETY: the build script has one thread at this point.
        unsafe {
            env::set_var("RUSTC_BOOTSTRAP", "1");
            // aya-build passes all that cargo says on as warnings; what rustc says comes another way.
            env::set_var("CARGO_TERM_QUIET", "true");
            env::set_var(format!("CARGO_TARGET_{target}_UNKNOWN_NONE_LINKER"), &found.linker);
        }
    }
}
