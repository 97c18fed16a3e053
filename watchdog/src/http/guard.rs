//! Who may ask, and what every answer says besides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use data_encoding::BASE64;

use super::Web;
use super::exposure::{mark_exposed, misdirected};
use super::page::POLICY;
use super::password::{Attempt, Verdict};

/// For probes that can show no password; they tell one word.
const FOR_EVERYBODY: [&str; 2] = ["/livez", "/readyz"];

/// Answers when the request may be answered.
pub(super) async fn guard(State(web): State<Arc<Web>>, mut request: Request, next: Next) -> Response {
    let settings = web.current();
    let is_open = settings.users.is_empty() || FOR_EVERYBODY.contains(&request.uri().path());
    if settings.users.is_empty() {
        mark_exposed(&mut request);
    }
    let refusal = if let Some(refusal) = misdirected(&request) {
        Some(refusal)
    } else if is_open {
        None
    } else {
        let verdict = match (attempt(&request), web.passwords()) {
            (None, _) => Verdict::Wrong,
            (Some(attempt), Ok(passwords)) => passwords.check(&settings.users, attempt).await,
            (Some(_), Err(_)) => Verdict::Busy,
        };
        refuse(verdict, request.headers().contains_key(header::AUTHORIZATION))
    };
    let mut response = match refusal {
        Some(refusal) => refusal,
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&POLICY) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in &settings.headers {
        headers.insert(name, value.clone());
    }
    response
}

/// What the request shows; `None` when it shows nothing that could be right.
fn attempt(request: &Request) -> Option<Attempt> {
    let value = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let bytes = BASE64.decode(rest.trim().as_bytes()).ok()?;
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let user = std::str::from_utf8(&bytes[..colon]).ok()?.to_owned();
    Some(Attempt { user, password: bytes[colon + 1..].to_owned() })
}

fn refuse(verdict: Verdict, tried: bool) -> Option<Response> {
    match verdict {
        Verdict::Right => None,
        Verdict::Wrong => {
            static TRIES: AtomicU64 = AtomicU64::new(0);
            let tries = TRIES.fetch_add(u64::from(tried), Ordering::Relaxed) + 1;
            if tried && tries.is_power_of_two() {
                tracing::warn!(tries, "a request with a wrong user or password was refused");
            }
            let ask = (header::WWW_AUTHENTICATE, "Basic realm=\"state-watchdog\", charset=\"UTF-8\"");
            let answer = (
                StatusCode::UNAUTHORIZED,
                [ask, (header::CONNECTION, "close")],
                "a user and a password are needed\n",
            );
            Some(answer.into_response())
        }
        Verdict::Busy => {
            let headers = [(header::RETRY_AFTER, "1"), (header::CONNECTION, "close")];
            Some(
                (StatusCode::SERVICE_UNAVAILABLE, headers, "too many passwords are being checked\n")
                    .into_response(),
            )
        }
    }
}
