//! The programs that judge what is deployed.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::tools::{self, Cache};

/// Found or installed, each by its path.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(super) helm: PathBuf,
    pub(crate) kubectl: PathBuf,
    /// The folder of the Python programs.
    pub(super) python: PathBuf,
    /// helm keeps what it knows here and nowhere else.
    home: PathBuf,
}

impl Programs {
    /// Finds or installs them.
    pub(crate) fn get(cache: &Cache) -> Result<Self> {
        let (helm, kubectl) = tools::helm_and_kubectl(cache)?;
        Ok(Self { helm, kubectl, python: tools::python(cache)?, home: cache.folder().join("helm") })
    }

    /// helm, blind to the user's own settings.
    pub(crate) fn helm(&self) -> Command {
        let mut helm = Command::new(&self.helm);
        helm.env("HELM_CACHE_HOME", &self.home).env("HELM_CONFIG_HOME", &self.home);
        helm.env("HELM_DATA_HOME", &self.home).env_remove("KUBECONFIG");
        helm
    }

    /// One of the Python programs.
    pub(super) fn python(&self, program: &str) -> Command {
        Command::new(self.python.join(program))
    }

    /// The documents of a YAML text.
    pub(super) fn parse(&self, text: &str) -> Result<Vec<Value>> {
        let script =
            "import json, sys, yaml; json.dump([d for d in yaml.safe_load_all(sys.stdin) if d], sys.stdout)";
        let mut python = self.python("python");
        let json = feed(python.args(["-c", script]), text).context("no YAML")?;
        Ok(serde_json::from_str(&json)?)
    }

    /// What an overlay comes to.
    pub(super) fn kustomize(&self, folder: &Path) -> Result<String> {
        output(Command::new(&self.kubectl).arg("kustomize").arg(folder))
    }
}

/// What a command prints; an error when it fails.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {name}"))?;
    good(&name, &output)
}

/// The same with a text on its standard input.
pub(crate) fn feed(command: &mut Command, text: &str) -> Result<String> {
    let name = command.get_program().display().to_string();
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {name}"))?;
    let mut input = child.stdin.take().context("no standard input")?;
    let text = text.to_owned();
    // The program may print before it has read all.
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    good(&name, &output)
}

fn good(name: &str, output: &Output) -> Result<String> {
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    ensure!(
        output.status.success(),
        "{name} ended with {}: {}\n{}",
        output.status,
        said(&output.stderr),
        said(&output.stdout)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
