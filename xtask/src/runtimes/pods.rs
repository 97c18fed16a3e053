//! Whose a container is: an in-place writer on the state file of a container that a real containerd made through its
//! CRI plugin. runc itself replaces the file atomically, so the check plays the writer.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    annotated,
    containerd::{Containerd, IMAGE, Made, Places},
};
use crate::{
    agent::Agent,
    deadline::until,
    finding::{Finding, Pod},
    programs::Programs,
    scratch::{Medium, Scratch},
    tally::Tally,
};

const RUNTIME: &str = "containerd";
const PATIENCE: Duration = Duration::from_secs(60);

/// Every finding on a container of the CRI plugin names its pod.
pub(crate) fn check(programs: &Programs, tally: &mut Tally) {
    let mut watched = None;
    tally.check(
        "containerd: a pod is made through its CRI plugin, and its state files are written in place",
        || {
            let result = watch(programs)?;
            let text = format!("{} findings", result.findings.len());
            watched = Some(result);
            Ok(text)
        },
    );
    let Some(Watched { made, findings }) = watched else { return };
    let of = |id: &str| -> Vec<&Finding> {
        findings.iter().filter(|finding| finding.container_id.as_deref() == Some(id)).collect()
    };
    tally.check("containerd: each finding on the container names pod, namespace and container", || {
        let findings = of(&made.container);
        all_name(&findings, &annotated())?;
        for kind in ["nonatomic_write", "torn_read", "damaged_state_file"] {
            ensure!(findings.iter().any(|finding| finding.kind == kind), "no {kind}");
        }
        let image = findings[0].image.as_deref();
        ensure!(image.is_none_or(|image| image == IMAGE), "image {image:?}");
        Ok(format!("{} findings, image {}", findings.len(), image.unwrap_or("not told by this containerd")))
    });
    tally.check("containerd: each finding on the sandbox names the pod", || {
        let findings = of(&made.sandbox);
        all_name(&findings, &Pod { container: None, ..annotated() })?;
        Ok(format!("{} findings", findings.len()))
    });
}

struct Watched {
    made: Made,
    findings: Vec<Finding>,
}

fn watch(programs: &Programs) -> Result<Watched> {
    let scratch = Scratch::new(Medium::Memory)?;
    let places = Places::below(&scratch.folder("containerd")?);
    let cgroup = format!("state-watchdog-{}", std::process::id());
    let containerd = Containerd::start(&programs.runtimes, places, cgroup)?;
    let root = containerd.runtime_root();
    let agent = Agent::start(&programs.agent, &[(RUNTIME, &root)], &scratch.path().join("agent.log"), None)?;
    let made = containerd.run()?;
    // The root came into being with the first container.
    let watched = || Ok((agent.metrics()?.count("state_watchdog_state_files", &[]) >= 2).then_some(()));
    until(PATIENCE, watched)?.context("the agent never saw the state files")?;
    for id in [&made.container, &made.sandbox] {
        let file = StateFile::of(&root, id)?;
        file.rewrite()?;
        wait_for(&agent, id, "nonatomic_write")?;
        file.rewrite_beside_a_reader()?;
        wait_for(&agent, id, "torn_read")?;
        file.leave_cut()?;
        wait_for(&agent, id, "damaged_state_file")?;
        file.rewrite()?;
    }
    let findings = agent.stop()?;
    Ok(Watched { made, findings })
}

fn wait_for(agent: &Agent, id: &str, kind: &str) -> Result<()> {
    let of = |finding: &Finding| finding.kind == kind && finding.container_id.as_deref() == Some(id);
    let found = until(PATIENCE, || Ok((agent.count(of) > 0).then_some(())))?;
    found.with_context(|| format!("no {kind} on {id} within {} s", PATIENCE.as_secs()))
}

fn all_name(findings: &[&Finding], pod: &Pod) -> Result<()> {
    ensure!(!findings.is_empty(), "no finding");
    for finding in findings {
        ensure!(finding.pod.as_ref() == Some(pod), "not {pod:?}: {}", finding.line);
        ensure!(finding.message.contains("pod shop/web-0"), "the message names no pod: {}", finding.line);
    }
    Ok(())
}

/// A state file with the content that its runtime gave it.
pub(crate) struct StateFile {
    path: PathBuf,
    content: Vec<u8>,
}

impl StateFile {
    /// The file of a container.
    pub(crate) fn of(root: &Path, id: &str) -> Result<Self> {
        let path = root.join(id).join("state.json");
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(Self { path, content })
    }

    /// As old runc did.
    fn rewrite(&self) -> Result<()> {
        Ok(fs::write(&self.path, &self.content)?)
    }

    /// The same, with a reader that opens and reads in the gap.
    pub(crate) fn rewrite_beside_a_reader(&self) -> Result<()> {
        let mut writer = File::create(&self.path)?;
        let mut read = Vec::new();
        File::open(&self.path)?.read_to_end(&mut read)?;
        ensure!(read.is_empty(), "{} bytes in an empty file", read.len());
        Ok(writer.write_all(&self.content)?)
    }

    /// The same, with the file empty for a while.
    pub(crate) fn rewrite_slowly(&self, hold: Duration) -> Result<()> {
        let mut writer = File::create(&self.path)?;
        std::thread::sleep(hold);
        Ok(writer.write_all(&self.content)?)
    }

    fn leave_cut(&self) -> Result<()> {
        Ok(fs::write(&self.path, &self.content[..self.content.len() / 2])?)
    }
}
