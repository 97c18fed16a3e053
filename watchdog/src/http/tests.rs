use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::health::Readiness;
use crate::metrics::Metrics;
use crate::model::BootNanos;
use crate::recent::Recent;

mod abuse;
mod exposure;

async fn served() -> (SocketAddr, Arc<Shared>) {
    let shared = Arc::new(Shared::new(Metrics::new(&[]).unwrap(), Status::starting("cafe".to_owned())));
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, routes(Arc::clone(&shared)), Arc::new(Web::open())));
    (address, shared)
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let reading = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap().unwrap();
    String::from_utf8(answer).unwrap()
}

/// Status code and body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let answer =
        ask(address, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn every_page_answers() {
    let (address, _shared) = served().await;
    let (code, body) = get(address, "/").await;
    assert_eq!(code, 200);
    for page in ["/metrics", "/findings", "/status", "/livez", "/readyz"] {
        assert!(body.contains(page), "{page}");
    }
    let (code, body) = get(address, "/metrics").await;
    assert_eq!(code, 200);
    assert!(body.contains("# TYPE state_watchdog_anomalies_total counter"));
    assert_eq!(get(address, "/nothing").await.0, 404);
    let answer = ask(address, "POST /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[tokio::test]
async fn readiness_follows_the_status_and_liveness_the_loop() {
    let (address, shared) = served().await;
    assert_eq!(get(address, "/readyz").await, (503, "not ready\n".to_owned()));
    assert_eq!(get(address, "/livez").await.0, 200);
    shared.status().readiness = Readiness::Degraded;
    assert_eq!(get(address, "/readyz").await, (200, "degraded\n".to_owned()));
    shared.turned(BootNanos(0));
    assert_eq!(get(address, "/livez").await.0, 503);
}

#[tokio::test]
async fn findings_come_newest_first_and_limited() {
    let (address, shared) = served().await;
    assert_eq!(get(address, "/findings").await, (200, "[]".to_owned()));
    for i in 0..150 {
        shared.recent().push(&i.to_string());
    }
    assert_eq!(get(address, "/findings?limit=2").await.1, "[149,148]");
    let all: Vec<u64> = serde_json::from_str(&get(address, "/findings").await.1).unwrap();
    assert_eq!(all.len(), 100);
    let everything = get(address, &format!("/findings?limit={}", Recent::MAX * 9)).await;
    assert_eq!(serde_json::from_str::<Vec<u64>>(&everything.1).unwrap().len(), 150);
    for bad in ["limit=-1", "limit=x", "limit=", "limt=3", "limit=99999999999999999999999"] {
        let (code, body) = get(address, &format!("/findings?{bad}")).await;
        assert_eq!(code, 400, "{bad}");
        assert!(body.contains("limit=N"), "{body}");
    }
}

#[tokio::test]
async fn the_status_is_json() {
    let (address, shared) = served().await;
    shared.status().probes.push(ProbeView {
        probe: "sys_enter",
        mechanism: "tp_btf",
        attached: false,
        reason: Some("refused".to_owned()),
    });
    let status: Value = serde_json::from_str(&get(address, "/status").await.1).unwrap();
    assert_eq!(status["configuration_hash"], "cafe");
    assert_eq!(status["readiness"], "not_ready");
    assert_eq!(status["probes"][0]["reason"], "refused");
    for key in ["version", "roots", "losses", "refused_sources"] {
        assert!(status.get(key).is_some(), "{key}");
    }
}

#[tokio::test]
async fn nonsense_ends_its_own_connection_alone() {
    let (address, _shared) = served().await;
    let answer = ask(address, "\0\0\0 nonsense\r\n\r\n").await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(100_000));
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may close before it took everything.
    let _ = stream.write_all(long.as_bytes()).await;
    assert_eq!(get(address, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_taken_address_is_refused() {
    let (address, _shared) = served().await;
    assert_eq!(bind(address).await.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
}

/// Served by a web configuration.
async fn guarded(text: &str) -> (SocketAddr, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("web.yml");
    std::fs::write(&file, text).unwrap();
    let web = Arc::new(Web::load(&file).unwrap());
    let shared = Arc::new(Shared::new(Metrics::new(&[]).unwrap(), Status::starting("cafe".to_owned())));
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, routes(shared), web));
    (address, folder)
}

fn users(password: &str) -> String {
    format!("basic_auth_users:\n  alice: {}\n", bcrypt::hash(password, 4).unwrap())
}

async fn get_as(address: SocketAddr, path: &str, authorization: &str) -> String {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: {authorization}\r\n\r\n"
    );
    ask(address, &head).await
}

fn basic(pair: &str) -> String {
    format!("Basic {}", data_encoding::BASE64.encode(pair.as_bytes()))
}

#[tokio::test]
async fn who_shows_no_right_password_gets_nothing_but_the_probes() {
    let (address, _folder) = guarded(&users("right")).await;
    for path in ["/", "/metrics", "/findings", "/status", "/nothing"] {
        assert_eq!(get(address, path).await.0, 401, "{path}");
        assert!(get_as(address, path, &basic("alice:wrong")).await.starts_with("HTTP/1.1 401 "), "{path}");
    }
    assert_eq!(get(address, "/livez").await.0, 200);
    assert_eq!(get(address, "/readyz").await.0, 503);
    assert!(get_as(address, "/metrics", &basic("alice:right")).await.starts_with("HTTP/1.1 200 "));
    let answer = get_as(address, "/metrics", &basic("bob:right")).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("www-authenticate: Basic realm"), "{answer}");
    for nonsense in
        ["", "Basic", "Basic !!", "Bearer x", "Basic YQ==", &basic("\u{1}\u{2}:"), &"x".repeat(9_000)]
    {
        let answer = get_as(address, "/metrics", nonsense).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{nonsense}: {answer}");
    }
}

#[tokio::test]
async fn users_change_without_a_restart_and_a_broken_file_leaves_them() {
    let (address, folder) = guarded(&users("old")).await;
    let file = folder.path().join("web.yml");
    let becomes = async |pair: &str, status: &str| {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !get_as(address, "/status", &basic(pair)).await.starts_with(status) {
            assert!(std::time::Instant::now() < deadline, "{pair} never gets {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    becomes("alice:old", "HTTP/1.1 200 ").await;
    std::fs::write(&file, users("new")).unwrap();
    becomes("alice:new", "HTTP/1.1 200 ").await;
    becomes("alice:old", "HTTP/1.1 401 ").await;
    std::fs::write(&file, "nonsense: true\n").unwrap();
    // Longer than the files are left unlooked at.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    becomes("alice:new", "HTTP/1.1 200 ").await;
    std::fs::write(&file, "").unwrap();
    becomes("alice:any", "HTTP/1.1 200 ").await;
}

#[tokio::test]
async fn every_answer_forbids_what_pages_do_not_need() {
    let (address, _folder) =
        guarded("http_server_config:\n  headers:\n    X-Frame-Options: SAMEORIGIN\n").await;
    for path in ["/", "/metrics", "/findings", "/nothing"] {
        let answer = get_as(address, path, "").await;
        for header in [
            "content-security-policy: default-src 'none'",
            "x-content-type-options: nosniff",
            "x-frame-options: SAMEORIGIN",
            "referrer-policy: no-referrer",
        ] {
            assert!(answer.contains(header), "{header} in {answer}");
        }
    }
}
