//! What the agent makes of a kernel that is locked down under its feet.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{catalogue::Choice, transcript::Transcript};
use crate::{finding::Finding, tally::Tally};

/// `/status`, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Status {
    source: String,
    #[serde(default)]
    refused_sources: BTreeMap<String, String>,
}

/// `doctor --json`, as far as it is needed.
#[derive(Debug, Deserialize)]
struct Doctor {
    takes: String,
    sources: Vec<Source>,
}

#[derive(Debug, Deserialize)]
struct Source {
    source: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    remedy: String,
}

/// Integrity costs nothing. Confidentiality leaves inotify, and whoever asks is told why; where the kernel's state cannot
/// be read, its answer to an attempt is the reason.
pub(super) fn judge(choice: Choice, takes: &str, transcript: &Transcript, tally: &mut Tally) {
    let check = |what: &str| format!("{}, locked down: {what}", choice.name);
    tally.check(&check("integrity changes nothing"), || {
        let status = works(transcript, "integrity", takes)?;
        ensure!(!status.refused_sources.contains_key(takes), "{status:?}");
        Ok(format!("it runs by {takes}"))
    });
    tally.check(&check("confidentiality leaves inotify, which is said"), || {
        let status = works(transcript, "confidentiality", "inotify")?;
        let doctor: Doctor = parse(transcript, "confidentiality.doctor")?;
        ensure!(doctor.takes == "inotify", "{doctor:?}");
        for refused in ["vfs", "syscalls"] {
            let reason = status.refused_sources.get(refused).map_or("", String::as_str);
            ensure!(reason.contains("lockdown"), "{refused}: {status:?}");
            let advice = doctor.sources.iter().find(|source| source.source == refused);
            let advice = advice.with_context(|| format!("the doctor does not know {refused}"))?;
            ensure!(advice.reason.contains("lockdown") && advice.remedy.contains("lockdown"), "{advice:?}");
        }
        Ok(String::new())
    });
    tally.check(&check("where it is not told, it is found out"), || {
        let status = works(transcript, "unsaid", "inotify")?;
        let reason = |source: &str| status.refused_sources.get(source).filter(|reason| !reason.is_empty());
        let reason = reason("vfs").and(reason("syscalls")).with_context(|| format!("{status:?}"))?;
        Ok(reason.clone())
    });
}

/// The agent ran by that source and saw the one save.
fn works(transcript: &Transcript, state: &str, source: &str) -> Result<Status> {
    let log = transcript.section(&format!("lockdown.{state}.log")).context("it was not tried")?;
    ensure!(log.status == Some(0), "the agent ended with {:?}: {}", log.status, log.text());
    let status: Status = parse(transcript, &format!("{state}.status"))?;
    ensure!(status.source == source, "it runs by {}, not by {source}: {status:?}", status.source);
    let findings = transcript.section(&format!("lockdown.{state}.findings")).context("no findings")?;
    let saves = findings.lines.iter().map(|line| Finding::parse(line)).collect::<Result<Vec<_>, _>>()?;
    let saves = saves.iter().filter(|finding| finding.kind == "nonatomic_write").count();
    ensure!(saves == 1, "1 save, {saves} findings: {}", findings.text());
    Ok(status)
}

fn parse<T: for<'a> Deserialize<'a>>(transcript: &Transcript, name: &str) -> Result<T> {
    let text = transcript.section(&format!("lockdown.{name}")).context("it was not asked")?.text();
    serde_json::from_str(&text).with_context(|| text)
}

/// What a machine says in which all is well and the best source is `takes`.
#[cfg(test)]
pub(super) fn said(takes: &str) -> String {
    let section =
        |name: &str, text: &str| format!("@@ begin lockdown.{name}\n{text}\n@@ end lockdown.{name} 0\n");
    let refused = |reason: &str| {
        format!(r#"{{"source":"inotify","refused_sources":{{"vfs":"{reason}","syscalls":"{reason}"}}}}"#)
    };
    let source = |name: &str| {
        format!(r#"{{"source":"{name}","reason":"kernel lockdown","remedy":"boot with lockdown=none"}}"#)
    };
    let doctor = format!(r#"{{"takes":"inotify","sources":[{},{}]}}"#, source("vfs"), source("syscalls"));
    let mut text = section("integrity.status", &format!(r#"{{"source":"{takes}"}}"#))
        + &section("confidentiality.status", &refused("kernel lockdown"))
        + &section("confidentiality.doctor", &doctor)
        + &section("unsaid.status", &refused("Operation not permitted"));
    for state in ["integrity", "confidentiality", "unsaid"] {
        text += &section(&format!("{state}.log"), "");
        text += &section(&format!("{state}.findings"), r#"{"kind":"nonatomic_write"}"#);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::catalogue::KERNELS;

    fn is_good(text: &str) -> bool {
        let mut tally = Tally::default();
        judge(KERNELS[1], "vfs", &Transcript::parse(text), &mut tally);
        tally.is_good()
    }

    #[test]
    fn each_promise_is_asked_for() {
        let good = said("vfs");
        assert!(is_good(&good));
        for (from, to) in [
            (r#"{"source":"vfs"}"#, r#"{"source":"syscalls"}"#),
            (r#""vfs":"kernel lockdown""#, r#""vfs":"""#),
            (r#""takes":"inotify""#, r#""takes":"vfs""#),
            ("boot with lockdown=none", "none"),
            (r#""syscalls":"Operation not permitted""#, r#""syscalls":"""#),
            (r#"{"kind":"nonatomic_write"}"#, ""),
            ("@@ end lockdown.unsaid.log 0", "@@ end lockdown.unsaid.log 1"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert!(bad != good && !is_good(&bad), "{from}");
        }
    }
}
