//! What this kernel, these capabilities and these roots allow, each with its remedy.

use std::fmt::Write as _;

use serde::Serialize;

use crate::config::Config;
use crate::exit::Exit;
use crate::profile::Roots;
use crate::source::inotify::Limits;
use crate::source::{Capabilities, Capability, Fact, Plan, plan};

/// The doctor's answer.
#[derive(Debug, Serialize)]
pub struct Report {
    kernel: String,
    btf: Fact,
    #[serde(skip_serializing_if = "Option::is_none")]
    lockdown: Option<String>,
    inotify: Limits,
    capabilities: Vec<CapabilityView>,
    sources: Vec<SourceView>,
    /// The source that `run` would take.
    #[serde(skip_serializing_if = "Option::is_none")]
    takes: Option<&'static str>,
    roots: Vec<RootView>,
}

#[derive(Debug, Serialize)]
struct CapabilityView {
    name: &'static str,
    held: bool,
}

#[derive(Debug, Serialize)]
struct SourceView {
    source: &'static str,
    can_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    /// What it can never tell.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    blind_spots: &'static [&'static str],
}

#[derive(Debug, Serialize)]
struct RootView {
    runtime: String,
    root: String,
    present: bool,
    directories: Vec<String>,
}

/// Asks the kernel, and looks for the roots.
#[must_use]
pub fn examine(config: &Config) -> Report {
    let host = config.host();
    let capabilities = Capabilities::probe(&host);
    let plan = plan(config.source, &capabilities);
    let limits = Limits::read(&host);
    let mut roots = Roots::new(host, config.roots.clone());
    roots.refresh();
    report(&capabilities, limits, &plan, &roots)
}

fn report(capabilities: &Capabilities, inotify: Limits, plan: &Plan, roots: &Roots) -> Report {
    let able = plan.candidates.iter().map(|kind| SourceView {
        source: kind.as_str(),
        can_run: true,
        reason: None,
        remedy: None,
        blind_spots: kind.blind_spots(),
    });
    let unable = plan.refused.iter().map(|(kind, why)| SourceView {
        source: kind.as_str(),
        can_run: false,
        reason: Some(why.reason.clone()),
        remedy: why.remedy.text().map(str::to_owned),
        blind_spots: kind.blind_spots(),
    });
    let root = |(index, entry): (usize, &crate::profile::RootEntry)| {
        let here = roots.table().iter().filter(|root| root.entry == index && root.present);
        RootView {
            runtime: entry.profile.name.to_string(),
            root: entry.pattern.clone(),
            present: roots.is_present(index),
            directories: here.map(|root| root.host_path.display().to_string()).collect(),
        }
    };
    Report {
        kernel: capabilities.kernel.clone(),
        btf: capabilities.btf,
        lockdown: capabilities.lockdown.clone(),
        inotify,
        capabilities: Capability::ALL
            .map(|c| CapabilityView { name: c.as_str(), held: capabilities.has(c) })
            .into(),
        sources: able.chain(unable).collect(),
        takes: plan.candidates.first().map(|kind| kind.as_str()),
        roots: roots.entries().iter().enumerate().map(root).collect(),
    }
}

impl Report {
    /// 0 when a source can run.
    #[must_use]
    pub fn exit(&self) -> Exit {
        if self.takes.is_some() { Exit::Fine } else { Exit::Unavailable }
    }

    /// For a program.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).map(|json| json + "\n").unwrap_or_default()
    }

    /// For a person.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let mark = |good: bool| if good { "ok  " } else { "--  " };
        writeln!(text, "kernel")?;
        writeln!(text, "  {}release {}", mark(true), self.kernel)?;
        writeln!(text, "  {}type information (BTF)", mark(self.btf == Fact::Yes))?;
        let lockdown = self.lockdown.as_deref().unwrap_or("none");
        writeln!(text, "  {}lockdown {lockdown}", mark(lockdown != "confidentiality"))?;
        let limit = |limit: Option<u64>| limit.map_or("unknown".to_owned(), |limit| limit.to_string());
        for (name, value) in [
            ("max_user_watches", self.inotify.max_user_watches),
            ("max_user_instances", self.inotify.max_user_instances),
            ("max_queued_events", self.inotify.max_queued_events),
        ] {
            writeln!(text, "  {}fs.inotify.{name} {}", mark(value.is_some()), limit(value))?;
        }
        writeln!(text, "capabilities")?;
        for CapabilityView { name, held } in &self.capabilities {
            writeln!(text, "  {}{name}", mark(*held))?;
        }
        writeln!(text, "sources")?;
        for SourceView { source, can_run, reason, remedy, blind_spots } in &self.sources {
            writeln!(text, "  {}{source}", mark(*can_run))?;
            if let Some(reason) = reason {
                writeln!(text, "        {reason}")?;
            }
            if let Some(remedy) = remedy {
                writeln!(text, "        remedy: {remedy}")?;
            }
            for spot in *blind_spots {
                writeln!(text, "        cannot tell {spot}")?;
            }
        }
        writeln!(text, "roots")?;
        for RootView { runtime, root, present, directories } in &self.roots {
            writeln!(text, "  {}{runtime:<12}{root}", mark(*present))?;
            for directory in directories.iter().filter(|directory| *directory != root) {
                writeln!(text, "        {directory}")?;
            }
        }
        match self.takes {
            Some(source) => writeln!(text, "run takes the source {source}"),
            None => writeln!(text, "no source can run"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{RunArgs, SourceChoice};

    fn config(host: &std::path::Path, source: SourceChoice) -> Config {
        let args = RunArgs {
            roots: vec!["runc=/run/runc".to_owned(), "youki=/run/youki".to_owned()],
            source: Some(source),
            host_root: Some(host.to_owned()),
            ..RunArgs::default()
        };
        Config::resolve(&args, None).unwrap()
    }

    #[test]
    fn a_source_that_cannot_run_is_a_no_with_its_reason() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("run/youki")).unwrap();
        let config = config(host.path(), SourceChoice::Vfs);
        let capabilities = Capabilities { btf: Fact::No, ..Capabilities::probe(&config.host()) };
        let mut roots = Roots::new(config.host(), config.roots.clone());
        roots.refresh();
        let plan = plan(config.source, &capabilities);
        let report = report(&capabilities, Limits::default(), &plan, &roots);
        assert_eq!(report.exit(), Exit::Unavailable);
        let text = report.to_text();
        assert!(text.contains("        remedy: ") && text.contains("no source can run"), "{text}");
        assert!(text.contains("--  runc        /run/runc") && text.contains("ok  youki"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        assert_eq!(json["sources"][0]["can_run"], false);
        assert_eq!(json["roots"][1]["present"], true);
    }

    #[test]
    fn inotify_says_what_it_cannot_tell_and_its_limits() {
        let host = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(host.path().join("proc/sys/fs/inotify")).unwrap();
        std::fs::write(host.path().join("proc/sys/fs/inotify/max_user_watches"), "8192\n").unwrap();
        let report = examine(&config(host.path(), SourceChoice::Inotify));
        assert_eq!(report.exit(), Exit::Fine);
        let text = report.to_text();
        assert!(text.contains("run takes the source inotify"), "{text}");
        assert!(text.contains("cannot tell which process wrote or read"), "{text}");
        assert!(text.contains("ok  fs.inotify.max_user_watches 8192"), "{text}");
        assert!(text.contains("--  fs.inotify.max_queued_events unknown"), "{text}");
    }

    #[cfg(feature = "ebpf")]
    #[test]
    fn a_source_that_can_run_is_a_yes() {
        let capabilities = Capabilities {
            kernel: "6.1.0".to_owned(),
            version: Some((6, 1)),
            btf: Fact::Yes,
            lockdown: None,
            effective: u64::MAX,
        };
        let roots = Roots::new(crate::host_root::HostRoot::default(), Vec::new());
        let report =
            report(&capabilities, Limits::default(), &plan(SourceChoice::Auto, &capabilities), &roots);
        assert_eq!(report.exit(), Exit::Fine);
        assert!(report.to_text().contains("run takes the source vfs"));
    }
}
