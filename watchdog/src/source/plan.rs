//! Which source is taken, and why not a better one. Pure.

use super::{Capabilities, Capability, Fact, SourceKind};
use crate::cli::SourceChoice;

/// The sources to try, best first, and what stands against the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// May run, in this order; what the kernel says when it is tried comes last.
    pub candidates: Vec<SourceKind>,
    /// Cannot run.
    pub refused: Vec<(SourceKind, Refusal)>,
}

/// Why a source cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What is missing.
    pub reason: String,
    /// What to do about it.
    pub remedy: Remedy,
}

/// What helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// A permission.
    Permission(String),
    /// Another kernel, build or setting.
    Environment(String),
    /// Nothing on this machine.
    Nothing,
}

impl Remedy {
    /// In words, when there is one.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Permission(text) | Self::Environment(text) => Some(text),
            Self::Nothing => None,
        }
    }
}

impl Plan {
    /// True when what stands in the way of every refused source is a permission, so that granting one would help.
    #[must_use]
    pub fn lacks_permission(&self) -> bool {
        self.candidates.is_empty()
            && self.refused.iter().any(|(_, why)| matches!(why.remedy, Remedy::Permission(_)))
    }
}

/// What helps where there is no type information.
pub const BTF_REMEDY: &str = "use a kernel with CONFIG_DEBUG_INFO_BTF=y, and mount /sys";
/// What helps where kernel memory must not be read.
pub const LOCKDOWN_REMEDY: &str = "boot with lockdown=integrity or none";

/// The live sources, best first.
const LIVE: [SourceKind; 3] = [SourceKind::Vfs, SourceKind::Syscalls, SourceKind::Inotify];

/// Decides for a choice under what the machine allows.
#[must_use]
pub fn plan(choice: SourceChoice, capabilities: &Capabilities) -> Plan {
    let wanted = match choice {
        SourceChoice::Auto => &LIVE[..],
        SourceChoice::Vfs => &LIVE[0..1],
        SourceChoice::Syscalls => &LIVE[1..2],
        SourceChoice::Inotify => &LIVE[2..3],
    };
    let mut plan = Plan { candidates: Vec::new(), refused: Vec::new() };
    for &kind in wanted {
        match refusal(kind, capabilities) {
            None => plan.candidates.push(kind),
            Some(why) => plan.refused.push((kind, why)),
        }
    }
    plan
}

fn refusal(kind: SourceKind, capabilities: &Capabilities) -> Option<Refusal> {
    match kind {
        SourceKind::Inotify => None,
        SourceKind::Replay => {
            Some(Refusal { reason: "a recording is not a live source".to_owned(), remedy: Remedy::Nothing })
        }
        SourceKind::Vfs | SourceKind::Syscalls if !cfg!(feature = "ebpf") => Some(Refusal {
            reason: "this binary was built without eBPF".to_owned(),
            remedy: Remedy::Environment("build with the `ebpf` feature".to_owned()),
        }),
        SourceKind::Vfs | SourceKind::Syscalls => ebpf_refusal(capabilities),
    }
}

fn ebpf_refusal(capabilities: &Capabilities) -> Option<Refusal> {
    let refuse = |reason: String, remedy: Remedy| Some(Refusal { reason, remedy });
    if let Some((major, minor)) = capabilities.version
        && (major, minor) < (5, 8)
    {
        let remedy = Remedy::Environment("run kernel 5.8 or later".to_owned());
        return refuse(format!("kernel {major}.{minor} has no BPF ring buffer"), remedy);
    }
    if capabilities.btf == Fact::No {
        let remedy = BTF_REMEDY.to_owned();
        return refuse(
            "the kernel shows no type information in /sys/kernel/btf/vmlinux".to_owned(),
            Remedy::Environment(remedy),
        );
    }
    if capabilities.lockdown.as_deref() == Some("confidentiality") {
        let remedy = LOCKDOWN_REMEDY.to_owned();
        return refuse(
            "kernel lockdown `confidentiality` forbids reading kernel memory".to_owned(),
            Remedy::Environment(remedy),
        );
    }
    let enough = capabilities.has(Capability::SysAdmin)
        || (capabilities.has(Capability::Bpf) && capabilities.has(Capability::Perfmon));
    if !enough {
        let missing: Vec<_> = [Capability::Bpf, Capability::Perfmon]
            .into_iter()
            .filter(|capability| !capabilities.has(*capability))
            .map(Capability::as_str)
            .collect();
        let remedy = "run as root, or grant CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH";
        return refuse(format!("{} missing", missing.join(" and ")), Remedy::Permission(remedy.to_owned()));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "ebpf")]
    #[test]
    fn auto_tries_the_best_first() {
        let plan = plan(SourceChoice::Auto, &Capabilities::all());
        assert_eq!(plan.candidates, [SourceKind::Vfs, SourceKind::Syscalls, SourceKind::Inotify]);
        assert_eq!(plan.refused, []);
    }

    #[test]
    fn inotify_needs_nothing_and_comes_last() {
        let bare = Capabilities { effective: 0, btf: Fact::No, ..Capabilities::all() };
        assert_eq!(plan(SourceChoice::Auto, &bare).candidates, [SourceKind::Inotify]);
        assert_eq!(plan(SourceChoice::Inotify, &Capabilities::all()).candidates, [SourceKind::Inotify]);
    }

    #[cfg(not(feature = "ebpf"))]
    #[test]
    fn a_source_that_is_not_built_in_is_no_matter_of_permission() {
        let plan = plan(SourceChoice::Vfs, &Capabilities::all());
        assert!(plan.candidates.is_empty());
        assert!(!plan.lacks_permission());
    }

    #[cfg(feature = "ebpf")]
    #[test]
    fn what_is_missing_is_named_with_its_remedy() {
        let bits = |all: &[Capability]| all.iter().fold(0, |bits, c| bits | 1_u64 << *c as u32);
        let cases: [(Capabilities, Option<(&str, bool)>); 8] = [
            (
                Capabilities { effective: 0, ..Capabilities::all() },
                Some(("CAP_BPF and CAP_PERFMON missing", true)),
            ),
            (
                Capabilities { effective: bits(&[Capability::Bpf]), ..Capabilities::all() },
                Some(("CAP_PERFMON missing", true)),
            ),
            (
                Capabilities {
                    effective: bits(&[Capability::Bpf, Capability::Perfmon]),
                    ..Capabilities::all()
                },
                None,
            ),
            (Capabilities { effective: bits(&[Capability::SysAdmin]), ..Capabilities::all() }, None),
            (Capabilities { btf: Fact::No, ..Capabilities::all() }, Some(("no type information", false))),
            (
                Capabilities { version: Some((5, 7)), ..Capabilities::all() },
                Some(("no BPF ring buffer", false)),
            ),
            (
                Capabilities { lockdown: Some("confidentiality".to_owned()), ..Capabilities::all() },
                Some(("lockdown", false)),
            ),
            (
                Capabilities { lockdown: Some("integrity".to_owned()), version: None, ..Capabilities::all() },
                None,
            ),
        ];
        for (capabilities, expected) in cases {
            let plan = plan(SourceChoice::Syscalls, &capabilities);
            match expected {
                None => assert_eq!(plan.candidates, [SourceKind::Syscalls], "{capabilities:?}"),
                Some((reason, permission)) => {
                    let why = &plan.refused[0].1;
                    assert!(why.reason.contains(reason), "{}", why.reason);
                    assert!(why.remedy.text().is_some());
                    assert_eq!(plan.lacks_permission(), permission);
                }
            }
        }
    }
}
