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
        env,
        fs::{self, File},
        path::{Path, PathBuf},
    };

    use aya_build::{Package, Toolchain};

    use crate::{slim::slim, toolchain::BpfToolchain};

    /// The object that only measurements load.
    const MEASURED: &str = "attach-kinds";
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
        let folder =
            env::var_os("OUT_DIR").map(PathBuf::from).ok_or("cargo names no folder for what is built")?;
        let shared = Shared::open()?;
        prepare_environment(&found, shared.as_ref());
        let probes = Package { name: "watchdog-ebpf", root_dir: "../watchdog-ebpf", ..Package::default() };
        aya_build::build_ebpf([probes], Toolchain::Custom(&found.toolchain))
            .map_err(|error| format!("the eBPF object did not build: {error:#}").replace('\n', " "))?;
        let built_in = shared.as_ref().map_or(&folder, |shared| &shared.folder);
        if *built_in != folder {
            // The object of the measurements is embedded by their programs, as it is.
            let copied = fs::copy(built_in.join(MEASURED), folder.join(MEASURED));
            copied.map_err(|problem| {
                format!("cannot copy {MEASURED} from {}: {problem}", built_in.display())
            })?;
        }
        let built = built_in.join("watchdog-ebpf");
        let object = folder.join("watchdog-ebpf");
        make_slim(&built, &object).map_err(|problem| format!("cannot strip {}: {problem}", built.display()))
    }

    /// A folder that several builds of the agent share, so that the probes are built once for all profiles and sets of
    /// features, none of which makes a difference to them. `STATE_WATCHDOG_PROBES` names it; cargo is not told, because
    /// what is built is the same with and without.
    struct Shared {
        folder: PathBuf,
        /// Locked: one build at a time.
        _lock: File,
    }

    impl Shared {
        fn open() -> Result<Option<Self>, String> {
            let Some(folder) = env::var_os("STATE_WATCHDOG_PROBES").map(PathBuf::from) else {
                return Ok(None);
            };
            // The architecture of the agent is one of the compiler's flags.
            let folder = folder.join(env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default());
            let lock = || {
                fs::create_dir_all(&folder)?;
                let lock = File::create(folder.join("lock"))?;
                lock.lock()?;
                Ok(lock)
            };
            let lock: std::io::Result<File> = lock();
            let lock = lock.map_err(|error| format!("cannot build in {}: {error}", folder.display()))?;
            Ok(Some(Self { folder, _lock: lock }))
        }
    }

    fn make_slim(built: &Path, object: &Path) -> Result<(), String> {
        let whole = fs::read(built).map_err(|error| error.to_string())?;
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
    /// which it starts, take both from the environment. Where it builds, it takes from there, too.
    #[expect(
        unsafe_code,
        reason = "the environment is the only way to reach the cargo that aya-build starts"
    )]
    fn prepare_environment(found: &BpfToolchain, shared: Option<&Shared>) {
        let endian = env::var("CARGO_CFG_TARGET_ENDIAN").unwrap_or_default();
        let target = if endian == "big" { "BPFEB" } else { "BPFEL" };
        // SAFETY: the build script has one thread at this point.
        unsafe {
            env::set_var("RUSTC_BOOTSTRAP", "1");
            // aya-build passes all that cargo says on as warnings; what rustc says comes another way.
            env::set_var("CARGO_TERM_QUIET", "true");
            env::set_var(format!("CARGO_TARGET_{target}_UNKNOWN_NONE_LINKER"), &found.linker);
            if let Some(shared) = shared {
                env::set_var("OUT_DIR", &shared.folder);
            }
        }
    }
}
