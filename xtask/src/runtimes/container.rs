//! One container of a real runtime, gone when it is dropped.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::again::until_begun;

const CONFIG: &str = include_str!("config.json");

/// What youki says when it could not seal the copy of itself that it begins with: the kernel refuses while anything
/// still holds a page of it (`memfd_wait_for_pins`), and nothing has been done yet.
const NOT_BEGUN: &str = "failed to seal /proc/self/exe";
/// A runtime that never begins is told after so many tries.
const TRIES: usize = 10;

/// A container that sleeps.
#[derive(Debug)]
pub(super) struct Container {
    runtime: Runtime,
    root: PathBuf,
    id: String,
}

/// A runtime, and how it is started.
#[derive(Clone, Debug)]
pub(super) struct Runtime {
    program: PathBuf,
    before: Vec<String>,
}

impl Runtime {
    pub(super) fn new(program: &Path) -> Self {
        Self { program: program.to_owned(), before: Vec::new() }
    }

    /// Started by other words, which become it.
    pub(super) fn by(program: &Path, before: Vec<String>) -> Self {
        Self { program: program.to_owned(), before }
    }

    fn command(&self) -> Command {
        let mut words = self.before.iter().map(AsRef::as_ref).chain([self.program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words);
        command
    }
}

/// How one call of the runtime ended.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The runtime's process.
    pub(super) pid: u32,
    /// It exited with 0.
    pub(super) success: bool,
    /// What it wrote to standard error.
    pub(super) said: String,
}

impl Call {
    fn has_begun(&self) -> bool {
        self.success || !self.said.contains(NOT_BEGUN)
    }
}

impl Container {
    /// Creates and starts one under `root`, with its files in `bundle`.
    pub(super) fn start(runtime: &Runtime, root: &Path, bundle: &Path, busybox: &Path) -> Result<Self> {
        let id = format!("watched-{}", std::process::id());
        if !bundle.join("config.json").is_file() {
            make_bundle(bundle, busybox, |config| {
                config["linux"]["cgroupsPath"] = format!("/state-watchdog-{id}").into();
            })?;
        }
        Self::of_bundle(runtime, root, bundle, id)
    }

    /// The same under a given id, with a bundle that is there.
    pub(super) fn of_bundle(runtime: &Runtime, root: &Path, bundle: &Path, id: String) -> Result<Self> {
        let container = Self { runtime: runtime.clone(), root: root.to_owned(), id };
        for arguments in [&["create", "--bundle", &bundle.display().to_string()][..], &["start"]] {
            let call = container.call(arguments, &[])?;
            ensure!(call.success, "{} {}: {}", runtime.program.display(), arguments[0], call.said.trim());
        }
        Ok(container)
    }

    /// Its id.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Calls the runtime: `before`, the container's id, `after`; again when it could not even begin.
    pub(super) fn call(&self, before: &[&str], after: &[&str]) -> Result<Call> {
        until_begun(TRIES, |_| {
            let call = self.call_once(before, after)?;
            if !call.has_begun() {
                println!("  it had not begun: {}", call.said.trim());
            }
            Ok((call.has_begun(), call))
        })
    }

    fn call_once(&self, before: &[&str], after: &[&str]) -> Result<Call> {
        let said = tempfile(&self.root)?;
        // A container keeps what its creator had open: a pipe would never end.
        let mut child = self
            .runtime
            .command()
            .arg("--root")
            .arg(&self.root)
            .args(before)
            .arg(&self.id)
            .args(after)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(said.try_clone()?)
            .spawn()
            .with_context(|| format!("cannot start {}", self.runtime.program.display()))?;
        let (pid, status) = (child.id(), child.wait()?);
        Ok(Call { pid, success: status.success(), said: contents(said)? })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        match self.call(&["delete", "--force"], &[]) {
            Ok(call) if call.success => {}
            Ok(call) => eprintln!("container {} is left behind: {}", self.id, call.said.trim()),
            Err(error) => eprintln!("container {} is left behind: {error:#}", self.id),
        }
    }
}

/// Makes what a runtime needs to start a container that sleeps; `change` has the last word on its configuration.
pub(super) fn make_bundle(
    bundle: &Path,
    busybox: &Path,
    change: impl FnOnce(&mut serde_json::Value),
) -> Result<()> {
    let programs = bundle.join("rootfs/bin");
    for folder in ["bin", "proc", "dev"] {
        fs::create_dir_all(bundle.join("rootfs").join(folder))?;
    }
    fs::copy(busybox, programs.join("busybox"))
        .with_context(|| format!("cannot copy {}", busybox.display()))?;
    for name in ["sleep", "true"] {
        symlink("busybox", programs.join(name))?;
    }
    let mut config: serde_json::Value = serde_json::from_str(CONFIG)?;
    change(&mut config);
    fs::write(bundle.join("config.json"), config.to_string())?;
    Ok(())
}

/// A file without a name, beside the runtime's root.
fn tempfile(root: &Path) -> Result<fs::File> {
    use rustix::fs::{CWD, Mode, OFlags, openat};
    let folder = root.parent().unwrap_or(root);
    let file = openat(CWD, folder, OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR)
        .with_context(|| format!("no nameless file in {}", folder.display()))?;
    Ok(file.into())
}

fn contents(mut file: fs::File) -> Result<String> {
    use std::io::{Read as _, Seek as _};
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_runtime_that_has_not_begun_is_called_again() {
        let call = |success, said: &str| Call { pid: 1, success, said: said.to_owned() };
        let busy =
            "Error: failed to seal /proc/self/exe\n\nCaused by:\n    Device or resource busy (os error 16)";
        assert!(!call(false, busy).has_begun());
        assert!(call(true, busy).has_begun());
        assert!(call(false, "Error: Device or resource busy (os error 16)").has_begun());
    }
}
