//! From the web configuration to a TLS server.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite};

use super::spoken::{group, name_of};
use crate::config::{ClientAuth, Pem, TlsConfig};

/// A file with certificates or a key is never larger.
const MAX_PEM: u64 = 1 << 20;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be used")]
pub(super) struct TlsError {
    what: String,
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl TlsError {
    fn of(pem: &Pem, what: &str) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self + use<> {
        let what = match pem {
            Pem::File(path) => format!("{what} {}", path.display()),
            Pem::Inline(_) => format!("{what} in the web configuration"),
        };
        move |cause| Self { what, cause }
    }
}

/// Builds a server that speaks as configured. Reads the files that the configuration names.
pub(super) fn server(config: &TlsConfig) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(provider(config));
    let certificates = certificates(&config.certificate, "the certificate")?;
    let key = read(&config.key)
        .and_then(|pem| Ok(PrivateKeyDer::from_pem_slice(&pem)?))
        .map_err(TlsError::of(&config.key, "the private key"))?;
    let versions: Vec<_> =
        [(config.tls13, &TLS13), (config.tls12, &TLS12)].into_iter().filter(|v| v.0).map(|v| v.1).collect();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions)
        .map_err(|error| TlsError {
            what: "the choice of versions, suites and curves".to_owned(),
            cause: error.into(),
        })?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let fail = |error: Box<dyn std::error::Error + Send + Sync>| {
                TlsError::of(authority, "the clients' authority")(error)
            };
            let mut roots = RootCertStore::empty();
            for certificate in self::certificates(authority, "the clients' authority")? {
                roots.add(certificate).map_err(|error| fail(error.into()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match config.client_auth {
                ClientAuth::Required => verifier,
                ClientAuth::IfGiven | ClientAuth::None => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(|error| fail(error.into()))?)
        }
    };
    let mut server = builder
        .with_single_cert(certificates, key)
        .map_err(|error| TlsError::of(&config.certificate, "the certificate with its key")(error.into()))?;
    server.ignore_client_order = config.server_order;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(server))
}

fn provider(config: &TlsConfig) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !config.suites.is_empty() {
        // As in Go, the suites of TLS 1.3 are not for choosing.
        provider.cipher_suites.retain(|suite| {
            matches!(suite, SupportedCipherSuite::Tls13(_))
                || config.suites.iter().any(|name| *name == name_of(suite))
        });
    }
    if !config.curves.is_empty() {
        provider.kx_groups = config.curves.iter().filter_map(|name| group(name)).collect();
    }
    provider
}

fn certificates(pem: &Pem, what: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = read(pem).and_then(|text| {
        let all = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>()?;
        if all.is_empty() { Err("it holds no certificate".into()) } else { Ok(all) }
    });
    all.map_err(TlsError::of(pem, what))
}

fn read(pem: &Pem) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    use std::io::Read as _;
    match pem {
        Pem::Inline(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => {
            let mut bytes = Vec::new();
            std::fs::File::open(path)?.take(MAX_PEM).read_to_end(&mut bytes)?;
            Ok(bytes)
        }
    }
}
