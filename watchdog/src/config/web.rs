//! The web configuration: the YAML file that Prometheus's exporters share, as far as it can be kept here.
//!
//! What it names and we cannot keep is refused by name: a setting that is silently ignored protects nobody.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_saphyr::{DuplicateKeyPolicy, Spanned};

use super::{ConfigError, Location};

/// A file is never larger.
const MAX_BYTES: u64 = 1 << 20;
/// A password that takes longer to check is refused: 2 to the power of it rounds, some 5 s.
const MAX_COST: u32 = 16;
/// The headers that may be set, and no others.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
];

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebConfig {
    /// Serve by TLS.
    pub tls: Option<TlsConfig>,
    /// HTTP/2 is asked for by name; it is not served.
    pub wants_http2: bool,
    /// Added to every answer.
    pub headers: Vec<(String, String)>,
    /// Users with the bcrypt hashes of their passwords; everybody may ask when there are none.
    pub users: BTreeMap<String, String>,
}

/// How TLS is spoken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// Our certificate, and those between it and the authority.
    pub certificate: Pem,
    /// Its private key.
    pub key: Pem,
    /// What clients must show.
    pub client_auth: ClientAuth,
    /// The authority that signs theirs.
    pub client_ca: Option<Pem>,
    /// TLS 1.2 is spoken.
    pub tls12: bool,
    /// TLS 1.3 is spoken.
    pub tls13: bool,
    /// The cipher suites of TLS 1.2 by their IANA names; all when there are none.
    pub suites: Vec<String>,
    /// The key exchange groups, best first; all when there are none.
    pub curves: Vec<String>,
    /// Our order of suites counts, not the client's.
    pub server_order: bool,
}

/// A text in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pem {
    /// In a file.
    File(PathBuf),
    /// Said in the web configuration itself.
    Inline(String),
}

/// What clients must show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    None,
    /// A certificate that is shown must be signed by the authority.
    IfGiven,
    /// A certificate that is signed by the authority.
    Required,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWeb {
    tls_server_config: Option<Spanned<RawTls>>,
    http_server_config: Option<RawHttp>,
    basic_auth_users: Option<BTreeMap<String, Spanned<String>>>,
    rate_limit: Option<Spanned<IgnoredAny>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    cert: Option<Spanned<String>>,
    cert_file: Option<Spanned<String>>,
    key: Option<Spanned<String>>,
    key_file: Option<Spanned<String>>,
    client_auth_type: Option<Spanned<String>>,
    client_ca: Option<Spanned<String>>,
    client_ca_file: Option<Spanned<String>>,
    client_allowed_sans: Option<Spanned<IgnoredAny>>,
    min_version: Option<Spanned<String>>,
    max_version: Option<Spanned<String>>,
    cipher_suites: Option<Vec<Spanned<String>>>,
    curve_preferences: Option<Vec<Spanned<String>>>,
    prefer_server_cipher_suites: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHttp {
    http2: Option<bool>,
    headers: Option<BTreeMap<String, Spanned<String>>>,
}

impl WebConfig {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or says something that makes no sense here.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path).map_err(|cause| ConfigError {
            place: Location::File(path.to_owned()),
            message: "cannot read the web configuration".to_owned(),
            cause: Some(cause),
        })?;
        Self::parse(path, &text)
    }

    /// Understands the text of a file; what it names lies beside it.
    ///
    /// # Errors
    /// It says something that makes no sense here.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            return Ok(Self::default());
        }
        let options = serde_saphyr::options! {
            duplicate_keys: DuplicateKeyPolicy::Error,
            with_snippet: false,
        };
        let raw: RawWeb = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
            let place = error.location().map_or_else(
                || Location::File(path.to_owned()),
                |at| Location::Line(path.to_owned(), usize::try_from(at.line()).unwrap_or(0)),
            );
            ConfigError::new(place, crate::report::clean(without_place(&error.to_string())))
        })?;
        let refuse = Refuse { path };
        if let Some(limit) = &raw.rate_limit {
            return refuse.at(limit, "rate_limit is not supported: requests are bounded by themselves");
        }
        let RawHttp { http2, headers } =
            raw.http_server_config.unwrap_or(RawHttp { http2: None, headers: None });
        Ok(Self {
            tls: raw.tls_server_config.map(|tls| refuse.tls(tls)).transpose()?,
            wants_http2: http2 == Some(true),
            headers: refuse.headers(headers.unwrap_or_default())?,
            users: refuse.users(raw.basic_auth_users.unwrap_or_default())?,
        })
    }

    /// The files that are read besides the configuration itself.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let pems =
            self.tls.iter().flat_map(|tls| [Some(&tls.certificate), Some(&tls.key), tls.client_ca.as_ref()]);
        pems.flatten().filter_map(|pem| match pem {
            Pem::File(path) => Some(path.as_path()),
            Pem::Inline(_) => None,
        })
    }
}

/// Turns what was said into what is meant, or says where it makes no sense.
struct Refuse<'a> {
    path: &'a Path,
}

impl Refuse<'_> {
    fn at<T, S>(&self, place: &Spanned<S>, message: impl Into<String>) -> Result<T, ConfigError> {
        let line = usize::try_from(place.referenced.line()).unwrap_or(0);
        Err(ConfigError::new(Location::Line(self.path.to_owned(), line), message))
    }

    fn tls(&self, raw: Spanned<RawTls>) -> Result<TlsConfig, ConfigError> {
        let Spanned { value: raw, referenced, defined } = raw;
        let place = Spanned::new((), referenced, defined);
        if let Some(sans) = &raw.client_allowed_sans {
            return self.at(
                sans,
                "client_allowed_sans is not supported: use an authority of its own for these clients",
            );
        }
        let certificate = self.pem("cert", raw.cert, raw.cert_file)?;
        let key = self.pem("key", raw.key, raw.key_file)?;
        let (Some(certificate), Some(key)) = (certificate, key) else {
            return self.at(&place, "tls_server_config needs cert_file and key_file (or cert and key)");
        };
        let client_ca = self.pem("client_ca", raw.client_ca, raw.client_ca_file)?;
        let client_auth = match &raw.client_auth_type {
            None => ClientAuth::None,
            Some(said) => match said.value.as_str() {
                "NoClientCert" | "" => ClientAuth::None,
                "VerifyClientCertIfGiven" => ClientAuth::IfGiven,
                "RequireAndVerifyClientCert" => ClientAuth::Required,
                "RequestClientCert" | "RequireAnyClientCert" => {
                    let message = "client_auth_type without verification protects nothing and is not supported: \
                                   use RequireAndVerifyClientCert";
                    return self.at(said, message);
                }
                other => {
                    let message = format!(
                        "client_auth_type {other:?}: expected NoClientCert, VerifyClientCertIfGiven or \
                         RequireAndVerifyClientCert"
                    );
                    return self.at(said, message);
                }
            },
        };
        if (client_auth == ClientAuth::None) != client_ca.is_none() {
            return self.at(&place, "client_ca_file and a client_auth_type that verifies go together");
        }
        let min = self.version("min_version", raw.min_version.as_ref())?.unwrap_or(2);
        let max = self.version("max_version", raw.max_version.as_ref())?.unwrap_or(3);
        if min > max {
            return self.at(&place, "min_version is above max_version");
        }
        let listed = |list: Option<Vec<Spanned<String>>>, what: &str, known: &dyn Fn(&str) -> bool| {
            let mut names = Vec::new();
            for name in list.unwrap_or_default() {
                if !known(&name.value) {
                    return self.at(&name, format!("{what} {:?} is not supported", name.value));
                }
                names.push(name.value);
            }
            Ok(names)
        };
        Ok(TlsConfig {
            certificate,
            key,
            client_auth,
            client_ca,
            tls12: min == 2,
            tls13: max == 3,
            suites: listed(raw.cipher_suites, "cipher suite", &crate::http::is_suite)?,
            curves: listed(raw.curve_preferences, "curve", &crate::http::is_curve)?,
            server_order: raw.prefer_server_cipher_suites.unwrap_or(true),
        })
    }

    fn pem(
        &self,
        what: &str,
        inline: Option<Spanned<String>>,
        file: Option<Spanned<String>>,
    ) -> Result<Option<Pem>, ConfigError> {
        match (inline, file) {
            (Some(place), Some(_)) => self.at(&place, format!("{what} and {what}_file exclude each other")),
            (Some(text), None) => Ok(Some(Pem::Inline(text.value))),
            (None, Some(name)) if name.value.is_empty() => self.at(&name, format!("{what}_file is empty")),
            // As the exporters do it: relative to where the web configuration lies.
            (None, Some(name)) => {
                let folder = self.path.parent().unwrap_or(Path::new(""));
                Ok(Some(Pem::File(folder.join(name.value))))
            }
            (None, None) => Ok(None),
        }
    }

    fn version(&self, key: &str, said: Option<&Spanned<String>>) -> Result<Option<u8>, ConfigError> {
        let Some(said) = said else { return Ok(None) };
        match said.value.as_str() {
            "TLS12" => Ok(Some(2)),
            "TLS13" => Ok(Some(3)),
            "TLS10" | "TLS11" => {
                self.at(said, format!("{key} {}: it is broken and not supported", said.value))
            }
            other => self.at(said, format!("{key} {other:?}: expected TLS12 or TLS13")),
        }
    }

    fn headers(&self, raw: BTreeMap<String, Spanned<String>>) -> Result<Vec<(String, String)>, ConfigError> {
        let mut headers = Vec::new();
        for (name, value) in raw {
            if !HEADERS.contains(&name.as_str()) {
                return self.at(&value, format!("header {name:?}: expected one of {}", HEADERS.join(", ")));
            }
            if value.value.chars().any(|c| !matches!(c, ' '..='~')) {
                return self.at(&value, format!("header {name}: its value holds more than printable ASCII"));
            }
            headers.push((name, value.value));
        }
        Ok(headers)
    }

    fn users(&self, raw: BTreeMap<String, Spanned<String>>) -> Result<BTreeMap<String, String>, ConfigError> {
        let mut users = BTreeMap::new();
        for (name, hash) in raw {
            if name.is_empty() || name.contains(':') {
                return self.at(&hash, format!("user {name:?}: a name is not empty and holds no colon"));
            }
            match cost(&hash.value) {
                None => return self.at(&hash, format!("user {name:?}: this is no bcrypt hash")),
                Some(cost) if cost > MAX_COST => {
                    let message = format!(
                        "user {name:?}: a cost of {cost} takes too long, expected at most {MAX_COST}"
                    );
                    return self.at(&hash, message);
                }
                Some(_) => users.insert(name, hash.value),
            };
        }
        Ok(users)
    }
}

/// The cost of a bcrypt hash, `$2y$10$` and 53 letters; `None` when it is none.
pub(crate) fn cost(hash: &str) -> Option<u32> {
    let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|prefix| hash.strip_prefix(prefix))?;
    let (cost, rest) = rest.split_once('$')?;
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
    let is_sound = cost.len() == 2 && rest.len() == 53 && rest.bytes().all(is_letter);
    cost.parse().ok().filter(|cost| is_sound && (4..=31).contains(cost))
}

fn read(path: &Path) -> std::io::Result<String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    // What stands behind the limit may be what protects the pages, so the rest is not taken for the whole.
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other(format!("it is larger than {} KiB", MAX_BYTES >> 10)));
    }
    Ok(text)
}

/// The library says the place in its message; we put file and line in front of it.
fn without_place(message: &str) -> &str {
    let message = message.lines().next().unwrap_or_default();
    message.rfind(" at line ").map_or(message, |at| &message[..at])
}

#[cfg(test)]
mod tests;
