//! Packages of other Debian releases, by an apt configuration of our own: nothing is installed on the system.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    cache::Cache,
    debian::refresh_package_lists,
    index::{self, Package},
};
use crate::architecture::Architecture;

/// One release for one kind of processor.
#[derive(Clone, Debug)]
pub(crate) struct Suite {
    folder: PathBuf,
    label: String,
}

/// What is fetched.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Packages to unpack.
    Programs,
    /// What they are made from.
    Sources,
}

impl Suite {
    /// Another release: the system's own source with another name in it.
    pub(crate) fn open(cache: &Cache, name: &str, architecture: Architecture) -> Result<Self> {
        let (archive, _) = own_sources(cache)?.into_iter().next().context("apt has no source")?;
        Self::new(cache, name, Kind::Programs, &[(archive, name.to_owned())], architecture)
    }

    /// The sources of a release.
    pub(crate) fn sources(cache: &Cache, name: &str) -> Result<Self> {
        let (archive, _) = own_sources(cache)?.into_iter().next().context("apt has no source")?;
        Self::new(
            cache,
            &format!("{name}-sources"),
            Kind::Sources,
            &[(archive, name.to_owned())],
            Architecture::host(),
        )
    }

    /// The system's own release with its updates, as it is for another kind of processor.
    fn own(cache: &Cache, architecture: Architecture) -> Result<Self> {
        Self::new(cache, "own", Kind::Programs, &own_sources(cache)?, architecture)
    }

    /// A package of the system's own release as it is for another kind of processor, unpacked once; gives its folder.
    pub(crate) fn own_unpacked(cache: &Cache, architecture: Architecture, package: &str) -> Result<PathBuf> {
        let folder = cache.folder().join(format!("cross-{}", architecture.debian()));
        let place = folder.join(package);
        if !place.is_dir() {
            fs::create_dir_all(&folder)?;
            Self::own(cache, architecture)?.unpack(cache, &[package.to_owned()], &place)?;
        }
        Ok(place)
    }

    /// Makes the configuration and fetches the lists of packages.
    fn new(
        cache: &Cache,
        name: &str,
        kind: Kind,
        sources: &[(String, String)],
        architecture: Architecture,
    ) -> Result<Self> {
        let label = format!("{name}-{}", architecture.debian());
        let folder = cache.folder().join("apt").join(&label);
        for sub in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(sub))
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let suite = Self { folder, label };
        suite.configure(kind, sources, architecture)?;
        cache
            .run(&format!("fetch the package list of {}", suite.label), suite.apt("apt-get").arg("update"))?;
        Ok(suite)
    }

    /// What the release says of a package.
    pub(crate) fn package(&self, name: &str) -> Result<Package> {
        let output = self.apt("apt-cache").args(["show", "--no-all-versions", name]).output()?;
        index::parse(&String::from_utf8_lossy(&output.stdout))
            .into_iter()
            .next()
            .with_context(|| format!("{} has no package {name}", self.label))
    }

    /// Downloads packages and unpacks all of them into `folder`, which appears only when it is complete.
    pub(crate) fn unpack(&self, cache: &Cache, packages: &[String], folder: &Path) -> Result<()> {
        let download = folder.with_extension("part");
        let files = download.join("files");
        let _ = fs::remove_dir_all(&download);
        fs::create_dir_all(&files).with_context(|| format!("cannot make {}", download.display()))?;
        for package in packages {
            let mut fetch = self.apt("apt-get");
            fetch.args(["download", package]).current_dir(&download);
            cache.run(&format!("download {package} of {}", self.label), &mut fetch)?;
        }
        for entry in fs::read_dir(&download)? {
            let archive = entry?.path();
            if archive.extension().is_some_and(|extension| extension == "deb") {
                let status = Command::new("dpkg").arg("-x").arg(&archive).arg(&files).status()?;
                ensure!(status.success(), "dpkg -x {} ended with {status}", archive.display());
            }
        }
        fs::rename(&files, folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let _ = fs::remove_dir_all(&download);
        Ok(())
    }

    /// Downloads the sources of a package into `folder` and unpacks them there, patched; gives where they lie.
    pub(crate) fn unpack_source(&self, cache: &Cache, package: &str, folder: &Path) -> Result<PathBuf> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut fetch = self.apt("apt-get");
        fetch.args(["source", package]).current_dir(folder);
        cache.run(&format!("download and unpack the sources of {package}"), &mut fetch)?;
        let unpacked = fs::read_dir(folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        let found = unpacked.into_iter().find(|path| path.is_dir());
        found.with_context(|| format!("{} has no folder of sources", folder.display()))
    }

    fn configure(&self, kind: Kind, sources: &[(String, String)], architecture: Architecture) -> Result<()> {
        let folder = self.folder.display();
        let debian = architecture.debian();
        // A user's own process downloads as that user: apt's own user cannot reach the cache below a home.
        let settings = format!(
            "Dir::Etc::sourcelist \"{folder}/sources.list\";\n\
             Dir::Etc::sourceparts \"/dev/null\";\n\
             Dir::State::lists \"{folder}/lists\";\n\
             Dir::Cache \"{folder}/cache\";\n\
             APT::Architecture \"{debian}\";\n\
             APT::Architectures {{ \"{debian}\"; }};\n\
             APT::Sandbox::User \"\";\n\
             Acquire::Languages \"none\";\n\
             Acquire::IndexTargets::deb::DEP-11::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::DEP-11-icons::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::DEP-11-icons-small::DefaultEnabled \"false\";\n\
             Acquire::IndexTargets::deb::DEP-11-icons-hidpi::DefaultEnabled \"false\";\n"
        );
        fs::write(self.folder.join("apt.conf"), settings)?;
        let word = match kind {
            Kind::Programs => "deb",
            Kind::Sources => "deb-src",
        };
        let lines: String =
            sources.iter().map(|(archive, name)| format!("{word} {archive} {name} main\n")).collect();
        fs::write(self.folder.join("sources.list"), lines)?;
        Ok(())
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("APT_CONFIG", self.folder.join("apt.conf"));
        command
    }
}

/// Packages unpacked together beside the system, once, from the first release that has all that is named for it.
pub(crate) fn released(cache: &Cache, name: &str, choices: &[(&str, &[&str])]) -> Result<PathBuf> {
    let folder = cache.folder().join("debian").join(name);
    let mut problem = None;
    for (suite, packages) in choices {
        if folder.is_dir() {
            break;
        }
        fs::create_dir_all(cache.folder().join("debian"))?;
        let packages: Vec<String> = packages.iter().map(|package| (*package).to_owned()).collect();
        let unpack = || Suite::open(cache, suite, Architecture::host())?.unpack(cache, &packages, &folder);
        if let Err(error) = unpack() {
            println!("  not from {suite}: {error:#}");
            problem = Some(error);
        }
    }
    match problem {
        Some(error) if !folder.is_dir() => Err(error),
        _ => Ok(folder),
    }
}

/// Where the system's own packages come from, its release first, then that release's updates.
fn own_sources(cache: &Cache) -> Result<Vec<(String, String)>> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = index::value(&release, "VERSION_CODENAME").context("the system has no code name")?;
    let known = || -> Result<Vec<(String, String)>> {
        let output = Command::new("apt-get")
            .args(["indextargets", "--format", index::TARGET_FORMAT, "Created-By: Packages"])
            .output()
            .context("cannot start apt-get")?;
        Ok(index::sources(&String::from_utf8_lossy(&output.stdout), &codename))
    };
    let sources = known()?;
    if !sources.is_empty() {
        return Ok(sources);
    }
    // A source line may name a release by its rank; which one that is stands in the lists.
    refresh_package_lists(cache)?;
    let sources = known()?;
    ensure!(!sources.is_empty(), "no source of the system's apt holds {codename}");
    Ok(sources)
}
