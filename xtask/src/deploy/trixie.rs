//! Debian 13 in a folder, whose podman plays a DaemonSet: the one of Debian 12 does not know the kind.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result};

use crate::{
    scratch::Scratch,
    tools::{self, Cache},
};

const PACKAGES: &str = "podman,runc,netavark,catatonit";

/// Finds or makes the folder.
pub(super) fn get(cache: &Cache) -> Result<PathBuf> {
    let folder = cache.folder().join("trixie-podman");
    let note = folder.join("packages");
    if !fs::read_to_string(&note).is_ok_and(|found| found == PACKAGES) {
        if !tools::has_program("debootstrap") {
            tools::installed(cache, &["debootstrap"])?;
        }
        let part = folder.with_extension("part");
        let _ = fs::remove_dir_all(&part);
        let mut make = Command::new("debootstrap");
        make.args(["--variant=minbase", &format!("--include={PACKAGES}"), "trixie"]).arg(&part);
        cache.run("make a Debian 13 with podman", &mut make)?;
        fs::write(part.join("packages"), PACKAGES)?;
        let _ = fs::remove_dir_all(&folder);
        fs::rename(&part, &folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    Ok(folder)
}

/// Enters the folder in a mount namespace of its own, plays the manifest, and takes it down when its input ends.
const PLAY: &str = r#"
set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mkdir -p scratch outside
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount --rbind /run run
mount --bind "$2" scratch
pivot_root . outside
mount --make-rshared /
umount -l /outside
export TMPDIR=/scratch CONTAINERS_CONF=/scratch/podman/containers.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
podman() { /usr/bin/podman --root /scratch/podman5/storage --runroot /scratch/podman5/run --tmpdir /scratch/podman5/tmp "$@"; }
finish() { podman rm --all --force --time 0 >/dev/null || true; podman pod rm --all --force >/dev/null || true; }
trap finish EXIT
podman load --quiet --input /scratch/image.tar
podman kube play /scratch/daemonset.json
cat >/dev/null
podman logs $(podman ps --all --quiet --filter label=app.kubernetes.io/name=state-watchdog) >/scratch/agent.log 2>&1 || true
"#;

/// A DaemonSet as podman plays it. It ends when this is dropped.
pub(super) struct Played {
    child: Child,
    log: PathBuf,
}

impl Played {
    /// Plays `manifest` with the image in `archive`; `scratch` holds podman's settings.
    pub(super) fn start(trixie: &Path, scratch: &Scratch, archive: &Path, manifest: &str) -> Result<Self> {
        let folder = scratch.path();
        fs::copy(archive, folder.join("image.tar"))
            .with_context(|| format!("cannot copy {}", archive.display()))?;
        fs::write(folder.join("daemonset.json"), manifest)?;
        let log = folder.join("podman5.log");
        let output = File::create(&log)?;
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "bash", "-c", PLAY, "bash"])
            .args([trixie, folder])
            .stdin(Stdio::piped())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start unshare")?;
        Ok(Self { child, log })
    }

    /// Why there is nothing any more, when it ended by itself.
    pub(super) fn ended(&mut self) -> Result<Option<String>> {
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        Ok(Some(format!("podman ended with {status}: {}", fs::read_to_string(&self.log).unwrap_or_default())))
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        // The script ends with its input, and takes everything down on its way.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
