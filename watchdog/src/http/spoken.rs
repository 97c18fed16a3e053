//! What TLS can be spoken here: cipher suites and curves by the names that configurations use.

use rustls::crypto::{SupportedKxGroup, ring};
use rustls::{NamedGroup, SupportedCipherSuite};

/// True for a suite that can be spoken, by its IANA name.
pub(crate) fn is_suite(name: &str) -> bool {
    ring::ALL_CIPHER_SUITES.iter().any(|suite| name_of(suite) == name)
}

/// True for a curve that can be spoken, by its name in Go.
pub(crate) fn is_curve(name: &str) -> bool {
    group(name).is_some()
}

/// The IANA name.
pub(super) fn name_of(suite: &SupportedCipherSuite) -> String {
    let name = format!("{:?}", suite.suite());
    // The library marks those of TLS 1.3.
    name.strip_prefix("TLS13_").map_or_else(|| name.clone(), |rest| format!("TLS_{rest}"))
}

/// The curve by its name in Go.
pub(super) fn group(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    let wanted = match name {
        "X25519" => NamedGroup::X25519,
        "CurveP256" => NamedGroup::secp256r1,
        "CurveP384" => NamedGroup::secp384r1,
        _ => return None,
    };
    ring::ALL_KX_GROUPS.iter().copied().find(|group| group.name() == wanted)
}
