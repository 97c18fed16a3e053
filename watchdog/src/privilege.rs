//! Which capabilities the agent holds, why, and how it gets rid of the others.
//!
//! Capabilities belong to threads. The loop's thread sheds what it no longer needs when a source is attached; threads
//! that are started later begin with what it has then, and shed what they do not need themselves.

use std::fs;

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use crate::source::{Capability, SourceKind};

/// A capability, what it is for, and what there is without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Which.
    pub capability: Capability,
    /// What it is for.
    pub feature: &'static str,
    /// What degrades where it is missing.
    pub without: &'static str,
}

/// What a running agent holds with an eBPF source. Manifests grant exactly these.
pub const NEEDED: [Need; 4] = [
    Need {
        capability: Capability::Bpf,
        feature: "load the probes and their maps; later: add roots on kernels that ask for it at each access \
                  (before 5.19), load second copies of probes, load the next source when one falls silent",
        without: "only the source inotify runs: no process is named, no read is proved torn",
    },
    Need {
        capability: Capability::Perfmon,
        feature: "attach the probes and let them read kernel memory; later: as CAP_BPF",
        without: "only the source inotify runs: no process is named, no read is proved torn",
    },
    Need {
        capability: Capability::SysPtrace,
        feature: "read the program and the descriptors of other processes in /proc",
        without: "writers and readers are known from the probes alone (attribution is process instead of full): no exe of \
                  more than 11 components, at most 256 bytes of args; descriptors that others opened before the agent \
                  started are not followed",
    },
    Need {
        capability: Capability::DacReadSearch,
        feature: "enter roots and read state files of other users, where the agent is not their owner",
        without: "such roots are not found, and the content of such files is not judged; root's own are",
    },
];

/// What more is used while a source is attached, where it is held, and dropped afterwards.
pub const AT_START: [Need; 3] = [
    Need {
        capability: Capability::SysResource,
        feature: "raise RLIMIT_MEMLOCK, which bounds BPF maps before 5.11",
        without: "nothing from 5.11 on; before it the limit must be raised by who starts the agent",
    },
    Need {
        capability: Capability::SysAdmin,
        feature: "ask the kernel for its preemption model and for the misses of kprobes",
        without: "second copies of probes are attached at the first miss instead of the start, and misses of kretprobes \
                  are not counted",
    },
    Need {
        capability: Capability::SetPcap,
        feature: "empty the bounding set",
        without: "the bounding set stays; no_new_privs makes it useless",
    },
];

/// What a thread holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Held {
    /// In its permitted set, by name.
    pub held: Vec<String>,
    /// In its bounding set, by name: what a program that it executes could be given.
    pub bounding: Vec<String>,
    /// No program that it executes can have more than it has.
    pub no_new_privileges: bool,
}

impl Held {
    /// Of the calling thread.
    #[must_use]
    pub fn read() -> Self {
        let permitted = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.permitted);
        let status = fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
        Self {
            held: names(permitted),
            bounding: names(bounding()),
            no_new_privileges: field(&status, "NoNewPrivs:") == Some("1"),
        }
    }
}

/// What a loop's thread keeps with a source of that kind.
fn kept_with(kind: SourceKind, permitted: CapabilitySet) -> CapabilitySet {
    let all = NEEDED.iter().fold(CapabilitySet::empty(), |set, need| set | bit(need.capability));
    let probing = bit(Capability::Bpf) | bit(Capability::Perfmon);
    match kind {
        // In place of the finer ones, where those were not granted.
        SourceKind::Vfs | SourceKind::Syscalls if !permitted.contains(probing) => {
            all | bit(Capability::SysAdmin)
        }
        SourceKind::Vfs | SourceKind::Syscalls => all,
        // It is the last choice, and names no process.
        SourceKind::Inotify | SourceKind::Replay => bit(Capability::DacReadSearch),
    }
}

/// Sheds what the loop's thread does not need with a source that is attached, and says what is left.
pub fn shed(kind: SourceKind) -> Held {
    let result = capabilities(None).and_then(|sets| keep(kept_with(kind, sets.permitted) & sets.permitted));
    let held = Held::read();
    match result {
        Ok(()) => tracing::info!(
            held = held.held.join(" "),
            bounding = held.bounding.len(),
            "capabilities that are not needed any more are dropped"
        ),
        Err(error) => tracing::warn!(
            %error,
            held = held.held.join(" "),
            "cannot drop capabilities that are not needed any more"
        ),
    }
    held
}

/// Sheds all that a thread which only reads and checks files beside the loop does not need.
pub fn shed_for_reading() {
    let reading = bit(Capability::DacReadSearch);
    let _ = capabilities(None).and_then(|sets| keep(reading & sets.permitted));
}

/// Sheds everything, in a thread that needs nothing.
pub fn shed_all() {
    let _ = keep(CapabilitySet::empty());
}

/// Leaves the calling thread with these alone, and what it executes with no way to more.
fn keep(kept: CapabilitySet) -> rustix::io::Result<()> {
    // While CAP_SETPCAP is still there; without it the flag below does as well.
    for number in numbers(bounding()) {
        if remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)).is_err() {
            break;
        }
    }
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: none })?;
    Ok(())
}

fn bounding() -> CapabilitySet {
    let is_there = |number: &u32| {
        // The first number that the kernel does not know ends them.
        capability_is_in_bounding_set(CapabilitySet::from_bits_retain(1 << number)).unwrap_or(false)
    };
    (0..64)
        .filter(is_there)
        .fold(CapabilitySet::empty(), |set, number| set | CapabilitySet::from_bits_retain(1 << number))
}

fn bit(capability: Capability) -> CapabilitySet {
    CapabilitySet::from_bits_retain(1 << capability as u32)
}

fn numbers(set: CapabilitySet) -> impl Iterator<Item = u32> {
    (0..64).filter(move |number| set.bits() & 1 << number != 0)
}

/// As capabilities(7) writes them; a number where the library knows no name.
fn names(set: CapabilitySet) -> Vec<String> {
    let name = |number| {
        let one = CapabilitySet::from_bits_retain(1_u64 << number);
        let known = one.iter_names().next().map(|(name, _)| format!("CAP_{name}"));
        known.unwrap_or_else(|| format!("CAP_{number}"))
    };
    numbers(set).map(name).collect()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_source_keeps_what_it_needs_and_no_more() {
        let everything = CapabilitySet::from_bits_retain((1 << 41) - 1);
        let kept = |kind, permitted| names(kept_with(kind, permitted));
        let ebpf = ["CAP_DAC_READ_SEARCH", "CAP_SYS_PTRACE", "CAP_PERFMON", "CAP_BPF"];
        assert_eq!(kept(SourceKind::Vfs, everything), ebpf);
        assert_eq!(kept(SourceKind::Syscalls, everything), ebpf);
        assert_eq!(kept(SourceKind::Inotify, everything), ["CAP_DAC_READ_SEARCH"]);
        let old = everything - bit(Capability::Bpf) - bit(Capability::Perfmon);
        assert!(kept(SourceKind::Syscalls, old).contains(&"CAP_SYS_ADMIN".to_owned()));
    }

    #[test]
    fn names_are_those_of_the_manual() {
        for capability in Capability::ALL {
            assert_eq!(names(bit(capability)), [capability.as_str()]);
        }
        assert_eq!(names(CapabilitySet::from_bits_retain(1 << 63)), ["CAP_63"]);
    }

    #[test]
    fn a_thread_that_shed_everything_holds_nothing() {
        let before = Held::read();
        let after = std::thread::spawn(|| {
            shed_all();
            Held::read()
        });
        let after = after.join().unwrap();
        assert_eq!(after.held, [""; 0]);
        assert!(after.no_new_privileges);
        assert_eq!(Held::read(), before, "another thread's are its own");
    }

    /// The page for users says what the code does; with `UPDATE_DOCS` set, it is written.
    #[test]
    fn the_documentation_has_these_tables() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/HTTP.md");
        let page = fs::read_to_string(path).unwrap();
        let mut renewed = page.clone();
        for (mark, needs) in [("needed", &NEEDED[..]), ("start", &AT_START[..])] {
            let begin = format!("<!-- begin {mark}: compared with the code by a test -->\n");
            let (before, rest) = renewed.split_once(&begin).unwrap();
            let (_, after) = rest.split_once(&format!("<!-- end {mark} -->")).unwrap();
            let row = |need: &Need| {
                format!("| `{}` | {} | {} |\n", need.capability.as_str(), need.feature, need.without)
            };
            let rows: String = needs.iter().map(row).collect();
            let head = "| capability | for | without it |\n|---|---|---|\n";
            renewed = format!("{before}{begin}{head}{rows}<!-- end {mark} -->{after}");
        }
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(path, &renewed).unwrap();
        }
        assert!(
            page == renewed || std::env::var_os("UPDATE_DOCS").is_some(),
            "docs/HTTP.md is stale: UPDATE_DOCS=1 writes it"
        );
    }
}
