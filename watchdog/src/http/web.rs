//! The web configuration in force, and what becomes of it when its files change.

use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderName, HeaderValue};
use rustls::ServerConfig;

use super::password::Passwords;
use super::tls;
use crate::config::{ClientAuth, WebConfig};

/// Files are looked at so often at most, when somebody asks.
const PERIOD: Duration = Duration::from_secs(1);

/// Why the web configuration cannot be used.
pub type WebError = Box<dyn Error + Send + Sync>;

/// What is in force now.
pub(super) struct Settings {
    /// Serve by TLS.
    pub(super) tls: Option<Arc<ServerConfig>>,
    /// Who connects must show a certificate.
    pub(super) verifies_clients: bool,
    /// Added to every answer.
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// Who may ask; everybody when there are none.
    pub(super) users: BTreeMap<String, String>,
}

impl Settings {
    /// True if whoever connects now must show a password or a certificate.
    fn is_protected(&self) -> bool {
        !self.users.is_empty() || self.verifies_clients
    }
}

/// The web configuration, followed through changes of its files.
pub struct Web {
    path: Option<PathBuf>,
    state: Mutex<State>,
    /// There when there were users at the start or came later.
    passwords: Mutex<Option<Arc<Passwords>>>,
}

struct State {
    settings: Arc<Settings>,
    marks: Vec<Mark>,
    looked: Instant,
}

/// By what a change of a file is noticed: a secret that is mounted changes by a symbolic link, so its inode does.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    path: PathBuf,
    file: Option<(u64, u64, u64, i64, i64)>,
}

impl Mark {
    fn of(path: &Path) -> Self {
        let file = fs::metadata(path).ok().map(|m| (m.dev(), m.ino(), m.size(), m.mtime(), m.mtime_nsec()));
        Self { path: path.to_owned(), file }
    }
}

impl Web {
    /// No configuration: plain HTTP for everybody.
    #[must_use]
    pub fn open() -> Self {
        let settings =
            Settings { tls: None, verifies_clients: false, headers: Vec::new(), users: BTreeMap::new() };
        Self::with(None, settings, Vec::new())
    }

    /// The configuration in a file.
    ///
    /// # Errors
    /// It, or what it names, cannot be used.
    pub fn load(path: &Path) -> Result<Self, WebError> {
        let (settings, marks) = read(path);
        let web = Self::with(Some(path.to_owned()), settings?, marks);
        if !web.state().settings.users.is_empty() {
            web.passwords()?;
        }
        Ok(web)
    }

    fn with(path: Option<PathBuf>, settings: Settings, marks: Vec<Mark>) -> Self {
        let state = State { settings: Arc::new(settings), marks, looked: Instant::now() };
        Self { path, state: Mutex::new(state), passwords: Mutex::new(None) }
    }

    /// What is in force, after a look at the files when the last one is a while ago. A broken file leaves the old state.
    pub(super) fn current(&self) -> Arc<Settings> {
        let mut state = self.state();
        let Some(path) = self.path.as_deref().filter(|_| state.looked.elapsed() >= PERIOD) else {
            return Arc::clone(&state.settings);
        };
        state.looked = Instant::now();
        let marks: Vec<Mark> = state.marks.iter().map(|mark| Mark::of(&mark.path)).collect();
        if marks != state.marks {
            let (settings, marks) = read(path);
            // Also when it fails: said once, and tried again at the next change, of a file that is not there yet as well.
            state.marks = marks;
            match settings {
                Ok(settings) => {
                    state.settings = Arc::new(settings);
                    tracing::info!(path = %path.display(), "the web configuration is read anew");
                }
                Err(error) => tracing::error!(
                    error = chain(error.as_ref()),
                    "the web configuration cannot be read anew, the one before stays in force"
                ),
            }
        }
        Arc::clone(&state.settings)
    }

    /// Who checks passwords.
    pub(super) fn passwords(&self) -> io::Result<Arc<Passwords>> {
        let mut passwords = self.passwords.lock().unwrap_or_else(PoisonError::into_inner);
        match &*passwords {
            Some(passwords) => Ok(Arc::clone(passwords)),
            None => Ok(Arc::clone(passwords.insert(Arc::new(Passwords::start()?)))),
        }
    }

    /// True if whoever asks must show a password or a certificate.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        self.state().settings.is_protected()
    }

    /// True if passwords are asked for and everybody on the way can read them.
    #[must_use]
    pub fn is_overheard(&self) -> bool {
        let settings = &self.state().settings;
        settings.is_protected() && settings.tls.is_none()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the configuration and what it names. The marks are those of all files that were wanted, also when one of them
/// cannot be used.
fn read(path: &Path) -> (Result<Settings, WebError>, Vec<Mark>) {
    // Before they are read: a change in between is noticed at the next look.
    let mut marks = vec![Mark::of(path)];
    let settings = WebConfig::load(path).map_err(WebError::from).and_then(|config| {
        marks.extend(config.files().map(Mark::of));
        settings(config)
    });
    (settings, marks)
}

fn settings(config: WebConfig) -> Result<Settings, WebError> {
    if config.wants_http2 {
        tracing::warn!("http2 is asked for and not served; clients get HTTP/1.1");
    }
    let mut headers = Vec::new();
    for (name, value) in &config.headers {
        headers.push((HeaderName::try_from(name.as_str())?, HeaderValue::try_from(value.as_str())?));
    }
    let tls = config.tls.as_ref().map(tls::server).transpose()?;
    let verifies_clients = config.tls.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::Required);
    Ok(Settings { tls, verifies_clients, headers, users: config.users })
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_named_and_appears_later_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.yml");
        fs::write(&file, "").unwrap();
        let web = Web::load(&file).unwrap();
        fs::write(&file, "tls_server_config:\n  cert_file: later.crt\n  key_file: later.key\n").unwrap();
        let look = || {
            let at = web.state().looked.checked_sub(2 * PERIOD).unwrap();
            web.state().looked = at;
            assert!(web.current().tls.is_none(), "the one before stays in force");
            web.state().marks.clone()
        };
        let before = look();
        assert_eq!(before, look(), "nothing changed");
        for name in ["later.crt", "later.key"] {
            let marked = before.iter().find(|mark| mark.path.ends_with(name));
            assert!(marked.is_some_and(|mark| mark.file.is_none()), "{name} is looked for: {before:?}");
            fs::write(folder.path().join(name), "no certificate yet").unwrap();
            assert_ne!(before, look(), "{name} is there now");
        }
    }

    #[test]
    fn a_password_or_a_demanded_certificate_protects_and_tls_keeps_it_secret() {
        let with = |tls: bool, verifies_clients: bool, user: bool| {
            let tls = tls.then(|| {
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let builder =
                    ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
                let resolver = Arc::new(rustls::server::ResolvesServerCertUsingSni::new());
                Arc::new(builder.unwrap().with_no_client_auth().with_cert_resolver(resolver))
            });
            let users = user.then(|| ("alice".to_owned(), String::new())).into_iter().collect();
            let web =
                Web::with(None, Settings { tls, verifies_clients, headers: Vec::new(), users }, Vec::new());
            (web.is_protected(), web.is_overheard())
        };
        assert_eq!(with(false, false, false), (false, false));
        assert_eq!(with(true, false, false), (false, false));
        assert_eq!(with(false, false, true), (true, true));
        assert_eq!(with(true, false, true), (true, false));
        assert_eq!(with(true, true, false), (true, false));
    }
}
