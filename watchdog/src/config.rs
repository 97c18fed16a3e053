//! The configuration as resolved: what was typed, over what the file says, over the defaults.
//!
//! Pure but for reading the file. Everything is decided here, before anything opens.

mod file;
pub mod reference;
mod web;

pub(crate) use web::cost;
pub use web::{ClientAuth, Pem, TlsConfig, WebConfig};

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cli::{Arguments, FindingsFormat, LogFormat, RunArgs, SourceChoice};
use crate::host_root::HostRoot;
use crate::model::Role;
use crate::profile::{Profile, RootEntry, check_runtime, root_pattern};

/// Where the agent serves unless told otherwise.
pub const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9737);

/// Time between two writes to the agent's own file.
const CANARY_PERIOD: Duration = Duration::from_secs(60);

/// How many entries may be configured; each is a label value.
const MAX_ENTRIES: usize = 64;

/// The resolved configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which source is wanted.
    pub source: SourceChoice,
    /// The inotify watches beside an eBPF source cross-check it.
    pub witness: bool,
    /// Where to serve.
    pub listen: SocketAddr,
    /// The web configuration, for TLS and passwords.
    pub web_config: Option<PathBuf>,
    /// How findings appear on stdout.
    pub findings: FindingsFormat,
    /// What is kept of processes' arguments.
    pub arguments: Arguments,
    /// How logs appear on stderr.
    pub log_format: LogFormat,
    /// Where the host's file system is.
    pub host_root: PathBuf,
    /// What to watch.
    pub roots: Vec<RootEntry>,
    /// The roots were typed: one that does not exist is more likely a mistake than a runtime that comes later.
    pub roots_are_typed: bool,
    /// Time between two proofs of life. Not for users: the default is right.
    pub canary_period: Duration,
}

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
#[error("{place}{message}")]
pub struct ConfigError {
    place: Location,
    message: String,
    #[source]
    cause: Option<std::io::Error>,
}

/// What came of reading the configuration again; also the label values of `result` in `config_reloads_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reloaded {
    /// It is another one, and in force.
    Applied,
    /// It is the same.
    Unchanged,
    /// It makes no sense; the one before stays in force.
    Refused,
}

impl Reloaded {
    /// All results, in label order.
    pub const ALL: [Self; 3] = [Self::Applied, Self::Unchanged, Self::Refused];

    /// The label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Location {
    CommandLine,
    File(PathBuf),
    Line(PathBuf, usize),
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommandLine => Ok(()),
            Self::File(path) => write!(f, "{}: ", path.display()),
            Self::Line(path, line) => write!(f, "{}:{line}: ", path.display()),
        }
    }
}

impl ConfigError {
    fn new(place: Location, message: impl Into<String>) -> Self {
        Self { place, message: message.into(), cause: None }
    }
}

/// A root as given: runtime, path, and where it was said.
struct GivenRoot {
    runtime: String,
    path: String,
    place: Location,
}

impl Config {
    /// Resolves the arguments; reads the configuration file if one is named.
    ///
    /// # Errors
    /// The file cannot be read, or a value makes no sense.
    pub fn load(args: &RunArgs) -> Result<Self, ConfigError> {
        let config = match &args.config {
            None => Self::resolve(args, None)?,
            Some(path) => {
                let text = std::fs::read_to_string(path).map_err(|cause| ConfigError {
                    place: Location::File(path.clone()),
                    message: "cannot read the configuration file".to_owned(),
                    cause: Some(cause),
                })?;
                Self::resolve(args, Some((path, &text)))?
            }
        };
        // What it says is used when pages are served; whether it makes sense is known now.
        config.web_config.as_deref().map(WebConfig::load).transpose()?;
        Ok(config)
    }

    /// Resolves the arguments over the text of a configuration file.
    ///
    /// # Errors
    /// A value makes no sense.
    pub fn resolve(args: &RunArgs, file: Option<(&Path, &str)>) -> Result<Self, ConfigError> {
        let file = file.map(|(path, text)| file::parse(path, text)).transpose()?.unwrap_or_default();
        let mut given = Vec::new();
        for root in &args.roots {
            given.push(typed_root(root)?);
        }
        if given.is_empty() {
            given = file.roots;
        }
        let profiles = file.profiles;
        let roots = if given.is_empty() { default_roots(&profiles) } else { entries(given, &profiles)? };
        let somewhere = |message| ConfigError::new(file.place.unwrap_or(Location::CommandLine), message);
        if roots.is_empty() {
            return Err(somewhere(
                "no root is left to watch: every profile has `watched = false`".to_owned(),
            ));
        }
        check_distinct_names(&roots).map_err(somewhere)?;
        let host_root = args.host_root.clone().map(|path| (path, Location::CommandLine)).or(file.host_root);
        Ok(Self {
            source: args.source.or(file.source).unwrap_or_default(),
            witness: !args.no_witness && file.witness.unwrap_or(true),
            listen: args.listen.or(file.listen).unwrap_or(DEFAULT_LISTEN),
            web_config: args.web_config.clone().or(file.web_config),
            findings: args.findings.or(file.findings).unwrap_or_default(),
            arguments: args.arguments.or(file.arguments).unwrap_or_default(),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
            host_root: absolute_host_root(host_root)?,
            roots,
            roots_are_typed: !args.roots.is_empty(),
            canary_period: CANARY_PERIOD,
        })
    }

    /// The host that paths refer to.
    #[must_use]
    pub fn host(&self) -> HostRoot {
        HostRoot::new(&self.host_root)
    }

    /// The runtimes in force, in the order of their roots: the label values of `runtime`.
    #[must_use]
    pub fn runtimes(&self) -> Vec<Arc<str>> {
        let mut names: Vec<Arc<str>> = Vec::new();
        for root in &self.roots {
            if !names.contains(&root.profile.name) {
                names.push(Arc::clone(&root.profile.name));
            }
        }
        names
    }

    /// What of another configuration can be taken over while the agent runs: the roots and their profiles. The settings
    /// that differ and cannot are named.
    #[must_use]
    pub fn joined_with(&self, other: &Self) -> (Self, Vec<&'static str>) {
        let Self {
            source,
            witness,
            listen,
            web_config,
            findings,
            arguments,
            log_format,
            host_root,
            roots,
            roots_are_typed: _,
            canary_period: _,
        } = other;
        let fixed = [
            ("source", self.source == *source),
            ("witness", self.witness == *witness),
            ("listen", self.listen == *listen),
            ("web-config", self.web_config == *web_config),
            ("findings", self.findings == *findings),
            ("arguments", self.arguments == *arguments),
            ("log-format", self.log_format == *log_format),
            ("host-root", self.host_root == *host_root),
        ];
        let differ = fixed.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect();
        (Self { roots: roots.clone(), ..self.clone() }, differ)
    }

    /// The configuration as a file that resolves to it again.
    #[must_use]
    pub fn to_toml(&self) -> String {
        file::render(self)
    }

    /// A short mark by which two configurations can be told apart (FNV-1a of the rendered file).
    #[must_use]
    pub fn hash(&self) -> String {
        let hash = self.to_toml().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

fn typed_root(text: &str) -> Result<GivenRoot, ConfigError> {
    let Some((runtime, path)) = text.split_once('=') else {
        return Err(ConfigError::new(
            Location::CommandLine,
            format!("--root {text:?}: expected RUNTIME=PATH, for example runc=/run/runc"),
        ));
    };
    Ok(GivenRoot { runtime: runtime.to_owned(), path: path.to_owned(), place: Location::CommandLine })
}

fn absolute_host_root(given: Option<(PathBuf, Location)>) -> Result<PathBuf, ConfigError> {
    let Some((path, place)) = given else { return Ok(PathBuf::from("/")) };
    if !path.is_absolute() {
        let message = format!("host root {:?} is relative, expected an absolute path", path.display());
        return Err(ConfigError::new(place, message));
    }
    Ok(path)
}

fn default_roots(profiles: &[Arc<Profile>]) -> Vec<RootEntry> {
    let roots = profiles.iter().filter(|profile| profile.watched).flat_map(|profile| {
        profile.roots.iter().map(|root| RootEntry { pattern: root.clone(), profile: Arc::clone(profile) })
    });
    roots.collect()
}

fn entries(given: Vec<GivenRoot>, profiles: &[Arc<Profile>]) -> Result<Vec<RootEntry>, ConfigError> {
    let mut entries: Vec<RootEntry> = Vec::new();
    for root in given {
        let pattern =
            root_pattern(&root.path).map_err(|message| ConfigError::new(root.place.clone(), message))?;
        check_runtime(&root.runtime).map_err(|message| ConfigError::new(root.place.clone(), message))?;
        if entries.iter().any(|entry| entry.pattern == pattern) {
            return Err(ConfigError::new(root.place, format!("root {pattern:?} is given twice")));
        }
        if entries.len() >= MAX_ENTRIES {
            return Err(ConfigError::new(root.place, format!("more than {MAX_ENTRIES} roots")));
        }
        let known = profiles.iter().find(|profile| *profile.name == *root.runtime);
        let earlier = entries.iter().map(|e| &e.profile).find(|profile| *profile.name == *root.runtime);
        let profile = known.or(earlier).map(Arc::clone);
        let profile = profile.unwrap_or_else(|| Arc::new(Profile::unknown(&root.runtime)));
        entries.push(RootEntry { pattern, profile });
    }
    Ok(entries)
}

/// The probes compare the names of all state and lock files, of whatever runtime, in one table.
fn check_distinct_names(roots: &[RootEntry]) -> Result<(), String> {
    let names = roots.iter().flat_map(|root| &root.profile.names);
    let distinct: HashSet<_> = names.filter(|name| name.role != Role::Temporary).collect();
    if distinct.len() > Profile::MAX_NAMES {
        let (given, limit) = (distinct.len(), Profile::MAX_NAMES);
        return Err(format!("{given} different names of state and lock files, expected at most {limit}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
