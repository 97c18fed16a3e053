//! Decides which pages a connection may see, by the local address that it reached.
//!
//! - On a loopback address, a request must name this host: a browser that a foreign web page sends here by DNS rebinding
//!   names the page's host, and gets 421.
//! - On any other address, pages with command lines and paths are refused with 403 while the web configuration asks
//!   neither for a password nor for a client certificate.

use std::net::{IpAddr, SocketAddr};

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{StatusCode, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

/// How a request's connection came in. The server puts it into the request's extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    /// The local address.
    pub(super) address: SocketAddr,
    /// The client had to show a certificate.
    pub(super) verified: bool,
}

/// Marks a request that anybody on the network can make.
#[derive(Clone, Copy, Debug)]
struct Exposed {
    /// The port of the agent, if it is known.
    port: Option<u16>,
}

/// Returns the refusal of a request that reached loopback under a foreign name.
pub(super) fn misdirected(request: &Request) -> Option<Response> {
    if !is_loopback(reached(request)?.address.ip()) {
        return None;
    }
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    let needs_host = request.version() == Version::HTTP_11 && host.is_none();
    if needs_host || second.is_some() {
        return Some((StatusCode::BAD_REQUEST, "expected one Host header\n").into_response());
    }
    // HTTP/1.0 knows no Host; every browser sends one.
    let named = host.is_none_or(|host| host.to_str().is_ok_and(is_own));
    let target = request.uri().authority().is_none_or(|authority: &Authority| is_own(authority.as_str()));
    let foreign = !(named && target);
    foreign.then(|| {
        let why =
            "this address answers to localhost, 127.0.0.1 and [::1] alone; the request names another host\n";
        (StatusCode::MISDIRECTED_REQUEST, why).into_response()
    })
}

/// Marks the request if it came by an address that is not loopback and its client had to show no certificate. A request
/// of which nothing is known is marked. To be called where no password is asked for.
pub(super) fn mark_exposed(request: &mut Request) {
    let reached = reached(request);
    if !reached.is_some_and(|reached| reached.verified || is_loopback(reached.address.ip())) {
        request.extensions_mut().insert(Exposed { port: reached.map(|reached| reached.address.port()) });
    }
}

/// Refuses marked requests. Wraps the routes that show more than numbers.
pub(super) async fn refuse_exposed(request: Request, next: Next) -> Response {
    let Some(Exposed { port }) = request.extensions().get().copied() else { return next.run(request).await };
    let port = port.map_or("PORT".to_owned(), |port| port.to_string());
    let why = format!(
        "this page holds command lines and is not shown on this address, because neither a password nor client \
         certificates are configured (--web-config); to look at it, run `kubectl port-forward pod/POD {port}` and open \
         http://localhost:{port}/, or ask 127.0.0.1:{port} on the node itself\n"
    );
    (StatusCode::FORBIDDEN, why).into_response()
}

fn reached(request: &Request) -> Option<Reached> {
    request.extensions().get().copied()
}

/// True also for an IPv4 address as a socket for both families tells it, `::ffff:127.0.0.1`.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// True if `HOST` or `HOST:PORT` is a name of this host on loopback.
fn is_own(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        // A colon within brackets belongs to an IPv6 address.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    // An empty port is the scheme's own.
    let is_port = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && (port.is_empty() || port.parse::<u16>().is_ok())
    });
    let name = host.strip_suffix('.').unwrap_or(host);
    let address = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').and_then(|address| address.parse().ok()).map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    };
    is_port && (name.eq_ignore_ascii_case("localhost") || address.is_some_and(is_loopback))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_own_if_it_is_localhost_or_a_loopback_address() {
        for own in [
            "localhost",
            "LocalHost:9737",
            "localhost.",
            "localhost.:80",
            "localhost:",
            "127.0.0.1",
            "127.0.0.1:65535",
            "127.8.8.8",
            "[::1]",
            "[::1]:9737",
            "[::ffff:127.0.0.1]:9737",
        ] {
            assert!(is_own(own), "{own}");
        }
        for foreign in [
            "",
            ":",
            ":9737",
            ".",
            "evil.example",
            "localhost.evil.example",
            "evil.localhost.example:9737",
            "127.0.0.1.evil.example",
            "127.0.0.1:9737:9737",
            "localhost:99999",
            "localhost:x",
            "localhost:+1",
            "localhost@evil.example",
            "evil.example@localhost",
            "evil@127.0.0.1",
            "0.0.0.0",
            "10.0.0.7:9737",
            "::1",
            "[::1",
            "[::2]",
            "[localhost]",
            "[127.0.0.1]",
            "127.1",
            "2130706433",
            "localhost localhost",
        ] {
            assert!(!is_own(foreign), "{foreign}");
        }
    }
}
