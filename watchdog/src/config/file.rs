//! The configuration file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::{Config, ConfigError, GivenRoot, Location};
use crate::cli::{Arguments, FindingsFormat, LogFormat, SourceChoice, listen_address};
use crate::profile::{Profile, Written};

/// What a file says; its profiles are joined with the built-in ones.
pub(super) struct FileConfig {
    /// The file itself; `None` when there is none.
    pub(super) place: Option<Location>,
    pub(super) source: Option<SourceChoice>,
    pub(super) witness: Option<bool>,
    pub(super) listen: Option<SocketAddr>,
    pub(super) web_config: Option<PathBuf>,
    pub(super) findings: Option<FindingsFormat>,
    pub(super) arguments: Option<Arguments>,
    pub(super) log_format: Option<LogFormat>,
    pub(super) host_root: Option<(PathBuf, Location)>,
    pub(super) roots: Vec<GivenRoot>,
    pub(super) profiles: Vec<Arc<Profile>>,
}

impl Default for FileConfig {
    fn default() -> Self {
        Self {
            place: None,
            source: None,
            witness: None,
            listen: None,
            web_config: None,
            findings: None,
            arguments: None,
            log_format: None,
            host_root: None,
            roots: Vec::new(),
            profiles: crate::profile::builtin().into_iter().map(Arc::new).collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    source: Option<SourceChoice>,
    witness: Option<bool>,
    listen: Option<Spanned<String>>,
    web_config: Option<PathBuf>,
    findings: Option<FindingsFormat>,
    arguments: Option<Arguments>,
    log_format: Option<LogFormat>,
    host_root: Option<Spanned<PathBuf>>,
    #[serde(default)]
    root: Vec<RawRoot>,
    #[serde(default)]
    profile: Vec<Written>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRoot {
    runtime: String,
    path: Spanned<String>,
}

/// Parses a file's text. Every refusal names file and line.
pub(super) fn parse(path: &Path, text: &str) -> Result<FileConfig, ConfigError> {
    let at = |offset: usize| {
        let line = text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1;
        Location::Line(path.to_owned(), line)
    };
    let raw: RawFile = toml::from_str(text).map_err(|error| {
        let place = error.span().map_or_else(|| Location::File(path.to_owned()), |span| at(span.start));
        ConfigError::new(place, error.message().trim_end().replace('\n', ", "))
    })?;
    let mut file = FileConfig {
        place: Some(Location::File(path.to_owned())),
        source: raw.source,
        witness: raw.witness,
        // Relative to the file that names it, as the exporters do it.
        web_config: raw.web_config.map(|web| path.parent().unwrap_or(Path::new("")).join(web)),
        findings: raw.findings,
        arguments: raw.arguments,
        log_format: raw.log_format,
        ..FileConfig::default()
    };
    if let Some(listen) = raw.listen {
        let address = listen_address(listen.get_ref()).map_err(|expected| {
            let message = format!("listen = {:?}: {expected}", listen.get_ref());
            ConfigError::new(at(listen.span().start), message)
        })?;
        file.listen = Some(address);
    }
    if let Some(root) = raw.host_root {
        let place = at(root.span().start);
        file.host_root = Some((root.into_inner(), place));
    }
    for root in raw.root {
        let place = at(root.path.span().start);
        file.roots.push(GivenRoot { runtime: root.runtime, path: root.path.into_inner(), place });
    }
    let mut own = Vec::new();
    for written in raw.profile {
        let index = file.profiles.iter().position(|known| *known.name == **written.name.get_ref());
        let known = index.map(|index| Profile::clone(&file.profiles[index]));
        let profile = written
            .over(known)
            .map_err(|refused| ConfigError::new(at(refused.at.start), refused.to_string()))?;
        if own.contains(&profile.name) {
            let place = at(written.name.span().start);
            return Err(ConfigError::new(place, format!("profile {:?} is given twice", profile.name)));
        }
        own.push(Arc::clone(&profile.name));
        match index {
            Some(index) => file.profiles[index] = Arc::new(profile),
            None => file.profiles.push(Arc::new(profile)),
        }
    }
    Ok(file)
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct View<'a> {
    source: SourceChoice,
    witness: bool,
    listen: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    web_config: Option<&'a Path>,
    findings: FindingsFormat,
    arguments: Arguments,
    log_format: LogFormat,
    host_root: &'a Path,
    root: Vec<RootView<'a>>,
    profile: Vec<Written>,
}

#[derive(Serialize)]
struct RootView<'a> {
    runtime: &'a str,
    path: &'a str,
}

/// The configuration as a file.
pub(super) fn render(config: &Config) -> String {
    let mut profiles: Vec<Written> = Vec::new();
    for root in &config.roots {
        if profiles.iter().all(|profile| **profile.name.get_ref() != *root.profile.name) {
            profiles.push(root.profile.written());
        }
    }
    let root = config.roots.iter().map(|e| RootView { runtime: &e.profile.name, path: &e.pattern });
    let view = View {
        source: config.source,
        witness: config.witness,
        listen: config.listen.to_string(),
        web_config: config.web_config.as_deref(),
        findings: config.findings,
        arguments: config.arguments,
        log_format: config.log_format,
        host_root: &config.host_root,
        root: root.collect(),
        profile: profiles,
    };
    // A view of plain strings and enums always renders.
    toml::to_string(&view).unwrap_or_default()
}
