//! A real containerd with its CRI plugin on, in folders of its own; gone when it is dropped.

use std::{
    ffi::OsString,
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::{
    annotated,
    cri::{Cri, Pod},
};
use crate::{deadline::until, finding::Pod as Names, tools::Runtimes};

const CONFIG: &str = include_str!("containerd.toml");
/// What every container here is made from.
pub(crate) const IMAGE: &str = "localhost/watched:1";
const READY: Duration = Duration::from_secs(120);
const STOP: Duration = Duration::from_secs(60);

/// A containerd, and the pods that were made with it.
#[derive(Debug)]
pub(crate) struct Containerd {
    daemon: Child,
    places: Places,
    /// Below which all its containers' cgroups lie.
    cgroup: String,
    cri: Cri,
}

/// Where it keeps what.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// Images and the like.
    pub(crate) root: PathBuf,
    /// The bundles.
    pub(crate) state: PathBuf,
    /// runc's own state.
    pub(crate) runtime: PathBuf,
    /// Everything else.
    pub(crate) folder: PathBuf,
}

impl Places {
    /// All below one folder.
    pub(super) fn below(folder: &Path) -> Self {
        let [root, state, runtime] = ["root", "state", "runc"].map(|name| folder.join(name));
        Self { root, state, runtime, folder: folder.to_owned() }
    }
}

/// A pod with one container.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) sandbox: String,
    pub(super) container: String,
}

impl Containerd {
    /// Starts one, with an image in it; its containers' cgroups lie below `cgroup`.
    pub(crate) fn start(programs: &Runtimes, places: Places, cgroup: String) -> Result<Self> {
        let Places { root, state, runtime, folder } = &places;
        fs::create_dir_all(folder.join("cni"))?;
        let config = folder.join("config.toml");
        let words = [
            ("RUNTIME_ROOT", runtime),
            ("ROOT", root),
            ("STATE", state),
            ("FOLDER", folder),
            ("PROGRAM", &programs.runc),
        ];
        let text = words.iter().fold(CONFIG.replace("IMAGE", IMAGE), |text, (word, path)| {
            text.replace(word, &path.display().to_string())
        });
        fs::write(&config, text)?;
        let log = File::create(folder.join("containerd.log"))?;
        let daemon = Command::new(&programs.containerd)
            .arg("--config")
            .arg(&config)
            .env("PATH", path(programs)?)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", programs.containerd.display()))?;
        let cri = Cri::new(&folder.join("containerd.sock"))?;
        let mut containerd = Self { daemon, places, cgroup, cri };
        containerd.wait_until_ready()?;
        let archive = make_image(programs, &containerd.places.folder.join("image"))?;
        containerd.import(programs, IMAGE, &archive)?;
        Ok(containerd)
    }

    /// Where runc keeps the state of its containers.
    pub(crate) fn runtime_root(&self) -> PathBuf {
        self.places.runtime.join("k8s.io")
    }

    /// Makes the pod that [`annotated`] names, with one container that sleeps.
    pub(super) fn run(&self) -> Result<Made> {
        let [name, namespace, container, uid] = {
            let Names { name, namespace, container, uid } = annotated();
            [name, namespace, container, uid].map(Option::unwrap_or_default)
        };
        let cgroup = format!("/{}/kubepods/besteffort/pod{uid}", self.cgroup);
        let pod = Pod { name: &name, namespace: &namespace, uid: &uid, cgroup: &cgroup };
        let sandbox = self.cri.run_sandbox(&pod).with_context(|| self.log_end())?;
        let container = self.cri.run_container(&sandbox, &pod, &container, IMAGE);
        Ok(Made { container: container.with_context(|| self.log_end())?, sandbox })
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let ready = until(READY, || {
            if let Some(status) = self.daemon.try_wait()? {
                anyhow::bail!("containerd ended with {status}: {}", self.log_end());
            }
            Ok(self.cri.has_image(IMAGE).ok())
        })?;
        ready.map(|_| ()).with_context(|| format!("containerd does not answer: {}", self.log_end()))
    }

    /// Takes an image from an archive that has it by its tag.
    pub(crate) fn import(&self, programs: &Runtimes, image: &str, archive: &Path) -> Result<()> {
        let (name, _) = image.split_once(':').context("the image has no tag")?;
        let ctr = programs.containerd.with_file_name("ctr");
        run(Command::new(ctr)
            .arg("--address")
            .arg(self.places.folder.join("containerd.sock"))
            .args(["--namespace", "k8s.io", "images", "import", "--base-name", name])
            .arg(archive))?;
        // The plugin hears of it by an event.
        let known = until(READY, || Ok(self.cri.has_image(image)?.then_some(())))?;
        known.with_context(|| format!("the CRI plugin never knew {image}: {}", self.log_end()))
    }

    fn log_end(&self) -> String {
        let text = fs::read_to_string(self.places.folder.join("containerd.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }

    fn end(&mut self) -> Result<()> {
        for sandbox in self.cri.sandboxes()? {
            self.cri.remove_sandbox(&sandbox)?;
        }
        let pid = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw);
        kill_process(pid.context("no such process id")?, Signal::TERM)?;
        let ended = until(STOP, || Ok(self.daemon.try_wait()?))?;
        ensure!(ended.is_some(), "it does not stop");
        remove_cgroups(&self.cgroup);
        Ok(())
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            eprintln!("containerd in {} is left behind: {error:#}", self.places.folder.display());
            // After a good end both do nothing.
            let _ = self.daemon.kill();
            let _ = self.daemon.wait();
        }
    }
}

/// containerd starts its shim by name, and the shim comes in the same package.
fn path(programs: &Runtimes) -> Result<OsString> {
    let own = programs.containerd.parent().context("containerd lies in no folder")?.to_owned();
    let rest = std::env::var_os("PATH").unwrap_or_default();
    Ok(std::env::join_paths([own].into_iter().chain(std::env::split_paths(&rest)))?)
}

/// An image with busybox in it that sleeps, as an archive.
fn make_image(programs: &Runtimes, folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let (layout, bundle) = (folder.join("layout"), folder.join("bundle"));
    let tagged = format!("{}:{}", layout.display(), IMAGE.rsplit(':').next().unwrap_or_default());
    let umoci = || Command::new(&programs.umoci);
    run(umoci().arg("init").arg("--layout").arg(&layout))?;
    run(umoci().args(["new", "--image", &tagged]))?;
    run(umoci().args(["unpack", "--image", &tagged]).arg(&bundle))?;
    let bin = bundle.join("rootfs/bin");
    fs::create_dir_all(&bin)?;
    fs::copy(&programs.busybox, bin.join("busybox"))?;
    symlink("busybox", bin.join("sleep"))?;
    run(umoci().args(["repack", "--image", &tagged]).arg(&bundle))?;
    run(umoci()
        .args(["config", "--image", &tagged, "--config.entrypoint", "/bin/sleep"])
        .args(["--config.cmd", "3600"]))?;
    let archive = folder.join("image.tar");
    run(Command::new("tar").arg("-C").arg(&layout).arg("-cf").arg(&archive).arg("."))?;
    Ok(archive)
}

/// Runs a command that says little, and quotes it when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program} ended with {}: {}", output.status, said.trim());
    Ok(())
}

/// runc leaves the parents of its cgroups behind; they are empty by then.
pub(crate) fn remove_cgroups(name: &str) {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let folders = hierarchies.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]);
    for folder in folders.map(|folder| folder.join(name)).filter(|folder| folder.is_dir()) {
        remove_cgroup(&folder);
    }
}

fn remove_cgroup(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_cgroup(&entry.path());
        }
    }
    if let Err(error) = fs::remove_dir(folder) {
        eprintln!("left behind: {} ({error})", folder.display());
    }
}
