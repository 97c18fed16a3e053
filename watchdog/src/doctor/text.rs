//! The doctor's answer for a person.

use std::fmt::{self, Write as _};

use super::roots::{DirectoryView, RootView};
use super::{CapabilityView, ProbeView, Report, SourceView};
use crate::report::clean;
use crate::source::{BTF_REMEDY, BlindSpot, Fact, LOCKDOWN_REMEDY};

fn mark(good: bool) -> &'static str {
    if good { "ok  " } else { "--  " }
}

fn fact(fact: Fact) -> &'static str {
    match fact {
        Fact::Yes => "ok  ",
        Fact::No => "--  ",
        Fact::Unknown => "??  ",
    }
}

impl Report {
    /// For a person.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) -> fmt::Result {
        self.write_kernel(text)?;
        writeln!(text, "capabilities")?;
        for CapabilityView { name, held, feature, without, at_start_only } in &self.capabilities {
            let when = if *at_start_only { " (at start only)" } else { "" };
            writeln!(text, "  {}{name}{when}", mark(*held))?;
            if !held {
                writeln!(text, "        to {feature}")?;
                writeln!(text, "        without it: {without}")?;
                writeln!(text, "        remedy: run as root, or grant it")?;
            }
        }
        writeln!(text, "sources")?;
        for source in &self.sources {
            self.write_source(text, source)?;
        }
        writeln!(text, "roots")?;
        for root in &self.roots {
            write_root(text, root)?;
        }
        if self.roots.iter().all(|root| !root.present && root.refused.is_empty()) {
            writeln!(text, "        no runtime is here yet; a root is watched as soon as it appears")?;
            writeln!(
                text,
                "        remedy: name other roots with --root RUNTIME=PATH; in a container, --host-root DIR"
            )?;
        }
        match self.takes {
            Some(source) => writeln!(text, "run takes the source {source}"),
            None => writeln!(text, "no source can run"),
        }
    }

    fn write_kernel(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "kernel")?;
        writeln!(text, "  {}release {}", mark(true), clean(&self.kernel))?;
        writeln!(text, "  {}type information (BTF)", fact(self.btf))?;
        if self.btf == Fact::No {
            writeln!(text, "        remedy: {BTF_REMEDY}")?;
        }
        let lockdown = self.lockdown.as_deref().unwrap_or("none");
        writeln!(text, "  {}lockdown {}", mark(lockdown != "confidentiality"), clean(lockdown))?;
        if lockdown == "confidentiality" {
            writeln!(text, "        remedy: {LOCKDOWN_REMEDY}")?;
        }
        let namespaces = &self.namespaces;
        writeln!(text, "  {}process ids are the host's", fact(namespaces.pid))?;
        writeln!(text, "  {}cgroup paths are the host's", fact(namespaces.cgroup))?;
        writeln!(text, "  {}the host's processes can be looked up", fact(namespaces.processes))?;
        for remedy in &namespaces.remedies {
            writeln!(text, "        remedy: {remedy}")?;
        }
        let inotify = &self.inotify;
        let limit = |limit: Option<u64>| limit.map_or("unknown".to_owned(), |limit| limit.to_string());
        let directories = inotify.directories;
        let watches = limit(inotify.limits.max_user_watches);
        writeln!(
            text,
            "  {}fs.inotify.max_user_watches {watches}, {directories} taken now",
            fact(inotify.enough)
        )?;
        if let Some(remedy) = &inotify.remedy {
            writeln!(text, "        remedy: {remedy}")?;
        }
        for (name, value) in [
            ("max_user_instances", inotify.limits.max_user_instances),
            ("max_queued_events", inotify.limits.max_queued_events),
        ] {
            let known = if value.is_some() { Fact::Yes } else { Fact::Unknown };
            writeln!(text, "  {}fs.inotify.{name} {}", fact(known), limit(value))?;
        }
        Ok(())
    }

    fn write_source(&self, text: &mut String, view: &SourceView) -> fmt::Result {
        let SourceView { source, can_run, reason, remedy, blind_spots, probes } = view;
        writeln!(text, "  {}{source}", mark(*can_run))?;
        if let Some(reason) = reason {
            writeln!(text, "        {}", clean(reason))?;
        }
        if let Some(remedy) = remedy {
            writeln!(text, "        remedy: {remedy}")?;
        }
        for ProbeView { probe, mechanism, attached, reason } in probes {
            let reason = reason.as_ref().map_or(String::new(), |reason| format!(": {}", clean(reason)));
            writeln!(text, "        {}probe {probe} by {mechanism}{reason}", mark(*attached))?;
        }
        // What a source cannot see matters where it would run.
        if *can_run {
            for BlindSpot { what, effect } in *blind_spots {
                writeln!(text, "        blind to {what}: {effect}")?;
            }
        }
        Ok(())
    }
}

fn write_root(text: &mut String, view: &RootView) -> fmt::Result {
    let RootView { runtime, root, present, directories, refused, remedy } = view;
    writeln!(text, "  {}{runtime:<11} {root}", mark(*present && refused.is_empty()))?;
    for DirectoryView { path, state_files, damaged, unreadable } in directories {
        write!(text, "        {}: {state_files} state files", clean(path))?;
        if *damaged > 0 {
            write!(text, ", {damaged} damaged (`scan` tells which)")?;
        }
        if *unreadable > 0 {
            write!(text, ", {unreadable} paths that cannot be read")?;
        }
        writeln!(text)?;
    }
    for refused in refused {
        writeln!(text, "        {}", clean(refused))?;
    }
    match remedy {
        Some(remedy) => writeln!(text, "        remedy: {remedy}"),
        None => Ok(()),
    }
}
