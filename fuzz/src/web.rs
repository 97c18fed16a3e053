//! The web configuration: TLS and passwords.

use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use watchdog::config::{ClientAuth, Pem, TlsConfig, WebConfig};
use watchdog::http::{Shared, Status, Web, guarded, routes};
use watchdog::metrics::Metrics;
use watchdog::report::clean;

use crate::requests::talk;

/// The most expensive hash that is taken.
const DEAREST: u32 = 16;

/// A server that can be set up anew.
struct Ground {
    runtime: Runtime,
    pages: axum::Router,
    folder: TempDir,
}

impl Ground {
    fn new() -> Option<Self> {
        let runtime = Builder::new_current_thread().enable_all().build().ok()?;
        let shared = Arc::new(Shared::new(Metrics::new(&[]).ok()?, Status::starting("fuzz".to_owned())));
        Some(Self { runtime, pages: routes(shared), folder: tempfile::tempdir().ok()? })
    }
}

thread_local! {
    static GROUND: RefCell<Option<Ground>> = RefCell::new(Ground::new());
}

/// A web configuration is refused with a place and a reason; or it means the same after it was printed, and what it asks
/// for is in force.
pub fn webconfig(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let path = Path::new("/etc/web.yml");
    let config = match WebConfig::parse(path, text) {
        Ok(config) => config,
        Err(error) => return refused(text, &error.to_string()),
    };
    sound(&config);
    let printed = printed(&config).to_string();
    match WebConfig::parse(path, &printed) {
        Ok(again) => assert_eq!(config, again, "{printed}"),
        Err(error) => panic!("what was printed is refused: {error}\n{printed}"),
    }
    // Files of this machine are nobody's to open here.
    if config.files().next().is_none() {
        GROUND.with_borrow(|ground| {
            let Some(ground) = ground else { panic!("no server") };
            in_force(ground, text, &config);
        });
    }
}

fn refused(text: &str, said: &str) {
    assert_eq!(clean(said), said, "an error steers a terminal");
    let Some(rest) = said.strip_prefix("/etc/web.yml:") else { panic!("no place: {said}") };
    let number = rest.split(':').next().unwrap_or_default();
    if let Ok(number) = number.parse::<usize>() {
        // YAML ends a line by a carriage return, too, and names the line behind the last where something is missing.
        let lines = text.split(['\n', '\r']).count();
        assert!((1..=lines + 1).contains(&number), "line {number} of {lines}: {said}");
    } else {
        assert!(number.starts_with(' '), "no line: {said}");
    }
    assert!(said.len() < 64 << 10, "{} bytes are said", said.len());
}

/// Nothing is taken that cannot be kept.
fn sound(config: &WebConfig) {
    for (user, hash) in &config.users {
        assert!(!user.is_empty() && !user.contains(':'), "{user:?} can never ask");
        let cost = hash.split('$').nth(2).and_then(|cost| cost.parse::<u32>().ok());
        assert!(cost.is_some_and(|cost| cost <= DEAREST), "{user:?}: {hash:?}");
    }
    if let Some(tls) = &config.tls {
        assert!(tls.tls12 || tls.tls13, "no version is left: {tls:?}");
        let asks = tls.client_auth != ClientAuth::None;
        assert_eq!(asks, tls.client_ca.is_some(), "{tls:?}");
    }
}

/// The same as JSON, which is YAML as well.
fn printed(config: &WebConfig) -> Value {
    let WebConfig { tls, wants_http2, headers, users } = config;
    let headers: serde_json::Map<_, _> =
        headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    let mut all = json!({
        "http_server_config": { "http2": wants_http2, "headers": headers },
        "basic_auth_users": users,
    });
    if let Some(tls) = tls {
        all["tls_server_config"] = printed_tls(tls);
    }
    all
}

fn printed_tls(tls: &TlsConfig) -> Value {
    let TlsConfig { certificate, key, client_auth, client_ca, tls12, tls13, suites, curves, server_order } =
        tls;
    let client_auth = match client_auth {
        ClientAuth::None => "NoClientCert",
        ClientAuth::IfGiven => "VerifyClientCertIfGiven",
        ClientAuth::Required => "RequireAndVerifyClientCert",
    };
    let mut all = json!({
        "client_auth_type": client_auth,
        "min_version": if *tls12 { "TLS12" } else { "TLS13" },
        "max_version": if *tls13 { "TLS13" } else { "TLS12" },
        "cipher_suites": suites,
        "curve_preferences": curves,
        "prefer_server_cipher_suites": server_order,
    });
    for (name, pem) in [("cert", Some(certificate)), ("key", Some(key)), ("client_ca", client_ca.as_ref())] {
        match pem {
            Some(Pem::Inline(text)) => all[name] = json!(text),
            Some(Pem::File(path)) => all[format!("{name}_file")] = json!(path),
            None => {}
        }
    }
    all
}

/// Who has no password gets no page where there are users, and the page elsewhere.
fn in_force(ground: &Ground, text: &str, config: &WebConfig) {
    let path = ground.folder.path().join("web.yml");
    if let Err(error) = fs::write(&path, text) {
        panic!("{}: {error}", path.display());
    }
    let web = match Web::load(&path) {
        Ok(web) => Arc::new(web),
        Err(error) => {
            let said = error.to_string();
            assert!(config.tls.is_some(), "only TLS can still fail: {said}");
            return assert_eq!(clean(&said), said, "an error steers a terminal");
        }
    };
    let asks = !config.users.is_empty();
    let shows = config.tls.as_ref().is_some_and(|tls| tls.client_auth == ClientAuth::Required);
    assert_eq!(web.is_protected(), asks || shows);
    assert_eq!(web.is_overheard(), asks && config.tls.is_none());
    ground.runtime.block_on(async {
        for (page, open) in [("/metrics", !asks), ("/livez", true), ("/status", !asks)] {
            let request = format!("GET {page} HTTP/1.1\r\nHost: fuzz\r\nConnection: close\r\n\r\n");
            let talk = talk(guarded(ground.pages.clone(), Arc::clone(&web)), request.as_bytes());
            let Ok(answer) = tokio::time::timeout(Duration::from_secs(10), talk).await else {
                panic!("the connection hangs");
            };
            let answer = String::from_utf8_lossy(&answer).into_owned();
            assert_eq!(answer.starts_with("HTTP/1.1 401 "), !open, "{page}: {answer}");
            // A connection of which nothing is known counts as one from the network.
            let exposed = page == "/status" && open;
            assert_eq!(answer.starts_with("HTTP/1.1 403 "), exposed, "{page}: {answer}");
            for (name, value) in &config.headers {
                // Blanks around a value are no part of it.
                let name = format!("{}:", name.to_ascii_lowercase());
                let said = answer.lines().find_map(|line| line.strip_prefix(&name)).map(str::trim);
                assert_eq!(said, Some(value.trim()), "{name} {answer}");
            }
        }
    });
}
