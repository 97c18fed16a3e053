//! What is run where: the kernels, the ways to events, and the work that each of them watches. Data, to be extended.

pub(crate) use crate::truth::SMALL_PLANS as PLANS;
use crate::{architecture::Architecture, truth::Plan};

/// A kernel to boot: the cloud kernel of a Debian release, whatever its version is by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// What it is called here.
    pub(crate) name: &'static str,
    /// The release that it comes from.
    pub(crate) suite: &'static str,
    /// Taken instead when `suite` has gone or its packages are not as expected.
    pub(crate) fallback: Option<&'static str>,
    /// For which processor.
    pub(crate) architecture: Architecture,
    /// How `vfs` is attached there when nothing is forced.
    pub(crate) vfs_by: &'static str,
    /// The ways to events that are tried there.
    pub(crate) doors: &'static [Door],
}

/// All kernels.
pub(crate) const KERNELS: [Choice; 6] = [
    amd64("5.10", "bullseye", None),
    amd64("6.1", "bookworm", None),
    amd64("6.12", "trixie", None),
    // It preempts fentry programs, and then does not start them for others.
    Choice { vfs_by: "kprobe and kprobe+fexit", ..amd64("newest", "forky", Some("trixie")) },
    // fentry came to arm64 with 6.4.
    Choice {
        name: "6.1-arm64",
        architecture: Architecture::Arm64,
        vfs_by: "kprobe",
        doors: &[VFS, SYSCALLS, INOTIFY],
        ..amd64("6.1", "bookworm", None)
    },
    Choice {
        name: "6.12-arm64",
        architecture: Architecture::Arm64,
        doors: &[VFS, SYSCALLS, INOTIFY],
        ..amd64("6.12", "trixie", None)
    },
];

const fn amd64(name: &'static str, suite: &'static str, fallback: Option<&'static str>) -> Choice {
    let doors = &[VFS, VFS_KPROBE, SYSCALLS, INOTIFY];
    Choice { name, suite, fallback, architecture: Architecture::Amd64, vfs_by: "fentry", doors }
}

/// A way to events: a source, as the agent is told to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    /// What it is called here; one word.
    pub(crate) name: &'static str,
    /// What the agent's environment says beside the rest: words of `NAME=VALUE`.
    pub(crate) environment: &'static [&'static str],
    /// What the agent's command line says beside the rest.
    pub(crate) arguments: &'static [&'static str],
    /// What it sees, and so what is asked of it.
    pub(crate) sight: Sight,
}

/// What a source sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sight {
    /// Who does what, with offsets and results.
    Deeds,
    /// The order of events alone.
    Order,
}

impl Sight {
    /// The agent's own tests of such sources, and which of them are for a machine: it has no time for thousands.
    pub(crate) fn tests(self) -> (&'static str, &'static str) {
        match self {
            Self::Deeds => ("kernel", ""),
            Self::Order => ("inotify", "sessions:: roots:: loss:: --skip thousand"),
        }
    }
}

/// `vfs` as the kernel allows it.
const VFS: Door = Door {
    name: "vfs",
    environment: &["STATE_WATCHDOG_TEST_SOURCE=vfs"],
    arguments: &["--source", "vfs"],
    sight: Sight::Deeds,
};
/// `vfs` without fentry.
const VFS_KPROBE: Door = Door {
    name: "vfs-kprobe",
    environment: &["STATE_WATCHDOG_TEST_SOURCE=vfs", "STATE_WATCHDOG_MECHANISM=kprobe"],
    arguments: &["--source", "vfs"],
    sight: Sight::Deeds,
};
/// `syscalls`.
pub(crate) const SYSCALLS: Door = Door {
    name: "syscalls",
    environment: &["STATE_WATCHDOG_TEST_SOURCE=syscalls"],
    arguments: &["--source", "syscalls"],
    sight: Sight::Deeds,
};
/// `inotify`.
const INOTIFY: Door =
    Door { name: "inotify", environment: &[], arguments: &["--source", "inotify"], sight: Sight::Order };

/// The file systems that state files lie on, by the names that the machine's first program knows.
pub(crate) const MEDIA: [&str; 3] = ["tmpfs", "ext4", "overlay"];

/// The container of a plan on a medium: all media are watched at once, so their containers must differ.
pub(crate) fn container(medium: &str, plan: &Plan) -> String {
    format!("{medium}-{}", plan.container())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_tell_everything_apart() {
        let kernels: BTreeSet<_> = KERNELS.map(|kernel| kernel.name).into();
        assert_eq!(kernels.len(), KERNELS.len());
        for kernel in KERNELS {
            let doors: BTreeSet<_> = kernel.doors.iter().map(|door| door.name).collect();
            assert_eq!(doors.len(), kernel.doors.len());
        }
        let containers: BTreeSet<_> =
            MEDIA.iter().flat_map(|medium| PLANS.iter().map(|plan| container(medium, plan))).collect();
        assert_eq!(containers.len(), MEDIA.len() * PLANS.len());
    }
}
