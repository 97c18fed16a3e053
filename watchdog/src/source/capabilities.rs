//! What this kernel and this process allow.

use std::fs;

use crate::host_root::HostRoot;

/// What was found out. `doctor` shows it, [`super::plan`] decides by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The kernel's release, as uname gives it.
    pub kernel: String,
    /// The kernel's major and minor version, when the release could be read.
    pub version: Option<(u32, u32)>,
    /// Type information is there: `/sys/kernel/btf/vmlinux`.
    pub btf: Fact,
    /// The lockdown state, when the kernel has one.
    pub lockdown: Option<String>,
    /// Effective capabilities, as a bit set.
    pub effective: u64,
}

/// Something that was asked and answered, or could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fact {
    /// It is so.
    Yes,
    /// It is not so.
    No,
    /// It could not be told.
    Unknown,
}

/// The Linux capabilities that matter here, with their bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// Read any file: state files of other users.
    DacReadSearch = 2,
    /// Change the bounding set.
    SetPcap = 8,
    /// Look at other users' processes in /proc.
    SysPtrace = 19,
    /// Nearly everything; the only way before 5.8.
    SysAdmin = 21,
    /// Raise limits.
    SysResource = 24,
    /// Attach tracing programs.
    Perfmon = 38,
    /// Load programs and make maps.
    Bpf = 39,
}

impl Capability {
    /// Those that `doctor` shows.
    pub const ALL: [Self; 5] =
        [Self::Bpf, Self::Perfmon, Self::SysAdmin, Self::SysPtrace, Self::DacReadSearch];

    /// As capabilities(7) writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::SetPcap => "CAP_SETPCAP",
            Self::SysResource => "CAP_SYS_RESOURCE",
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::Bpf => "CAP_BPF",
        }
    }
}

impl Capabilities {
    /// Asks this kernel. The process's own facts come from its own /proc, the kernel's from the host's file system.
    #[must_use]
    pub fn probe(host: &HostRoot) -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let btf = ["/sys/kernel/btf/vmlinux".into(), host.path("/sys/kernel/btf/vmlinux")];
        let readable = btf.iter().any(|path: &std::path::PathBuf| fs::File::open(path).is_ok());
        let lockdown = fs::read_to_string(host.path("/sys/kernel/security/lockdown"));
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            version: version(&kernel),
            kernel,
            btf: if readable { Fact::Yes } else { Fact::No },
            lockdown: lockdown.ok().and_then(|text| selected(&text)),
            effective: effective(&status),
        }
    }

    /// True when the process holds the capability.
    #[must_use]
    pub fn has(&self, capability: Capability) -> bool {
        self.effective & (1 << capability as u32) != 0
    }
}

/// `6.1` of `6.1.0-18-cloud-amd64`.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// The word in brackets of `none [integrity] confidentiality`.
fn selected(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    Some(rest.split_once(']')?.0.to_owned())
}

fn effective(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
impl Capabilities {
    /// A machine on which nothing is missing.
    pub(crate) fn all() -> Self {
        Self {
            kernel: "6.1.0".to_owned(),
            version: Some((6, 1)),
            btf: Fact::Yes,
            lockdown: None,
            effective: u64::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_texts_are_read() {
        assert_eq!(version("6.1.0-18-cloud-amd64"), Some((6, 1)));
        assert_eq!(version("7.2"), Some((7, 2)));
        assert_eq!(version("odd"), None);
        assert_eq!(selected("none [integrity] confidentiality\n").as_deref(), Some("integrity"));
        assert_eq!(selected("nonsense"), None);
        assert_eq!(effective("Name:\tx\nCapEff:\t000001c000000000\n"), 0x1c0_0000_0000);
        assert_eq!(effective("CapEff: nonsense"), 0);
    }

    #[test]
    fn lockdown_is_read_below_the_host_root() {
        let host = tempfile::tempdir().unwrap();
        fs::create_dir_all(host.path().join("sys/kernel/security")).unwrap();
        fs::write(host.path().join("sys/kernel/security/lockdown"), "none integrity [confidentiality]")
            .unwrap();
        let found = Capabilities::probe(&HostRoot::new(host.path()));
        assert_eq!(found.lockdown.as_deref(), Some("confidentiality"));
    }
}
